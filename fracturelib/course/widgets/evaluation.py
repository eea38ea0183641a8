"""Notebook 04's panels: move the threshold and see what a call is worth; set what errors cost and see the threshold."""

from __future__ import annotations

from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fracturelib import plots
from fracturelib.config import CLASS_NAMES
from fracturelib.course.widgets.common import Panel, slider, steps
from fracturelib.evaluation import choose_threshold, predictive_values
from fracturelib.evaluation.metrics import check_predictions, weighted_metrics
from fracturelib.plots.style import STYLE, legend_above
from fracturelib.writing.words import percent

PATIENTS = 1000  # natural frequencies are easier to grasp than percentages (Gigerenzer, BMJ 327 (2003), 741-744)


def confusion_at(predictions: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """2 × 2 counts at a threshold; rows are the truth, columns what the model called."""
    labels, chances = check_predictions(predictions["label"], predictions["probability"])
    counts = np.zeros((2, 2), dtype=int)
    np.add.at(counts, (labels, (chances >= threshold).astype(int)), 1)
    index, columns = (pd.Index(CLASS_NAMES, name=name) for name in ("truth", "called"))
    return pd.DataFrame(counts, index=index, columns=columns)


def rates_at(predictions: pd.DataFrame, threshold: float, *, prevalence: float) -> dict[str, float]:
    """Sensitivity, specificity and accuracy in the data at hand, and the predictive values at a stated prevalence.

    NaN where nothing is to be divided by, for example the positive predictive value when no file is called fractured.
    """
    labels, chances = check_predictions(predictions["label"], predictions["probability"])
    found = weighted_metrics(labels, chances, threshold=threshold, weights=np.ones((1, len(labels))))
    sensitivity, specificity = found["sensitivity"].item(), found["specificity"].item()
    positive = negative = np.nan
    if not np.isnan([sensitivity, specificity]).any():
        positive, negative = predictive_values(sensitivity, specificity, prevalence)
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "accuracy": found["accuracy"].item(),
        "positive predictive value": positive,
        "negative predictive value": negative,
    }


def natural_frequencies(sensitivity: float, specificity: float, prevalence: float, *, patients: int = PATIENTS) -> str:
    """The same numbers as a story about so many patients."""
    if np.isnan([sensitivity, specificity]).any():
        return "With one class only there is nothing to count."
    broken = round(prevalence * patients)
    found, alarms = round(sensitivity * broken), round((1 - specificity) * (patients - broken))
    right = f" {percent(found, found + alarms)} of the alarms are right." if found + alarms else ""
    return (
        f"Of {patients:,} patients {broken:,} have a fracture. The model finds {found:,} of them and misses "
        f"{broken - found:,}. Of the {patients - broken:,} others it alarms {alarms:,} without need.{right}"
    )


def threshold_figure(predictions: pd.DataFrame, threshold: float) -> Figure:
    """The probabilities with the threshold in them, the confusion matrix that follows, the point on the ROC curve."""
    with plt.rc_context(STYLE):
        figure = Figure(figsize=(12, 4.6))
        left, middle, right = figure.subplots(1, 3, width_ratios=(1.2, 1, 1))
        plots.probability_histogram(predictions["label"], predictions["probability"], threshold=threshold, ax=left)
        plots.confusion_matrix(confusion_at(predictions, threshold), ax=middle)
        plots.roc_curve(predictions["label"], predictions["probability"], threshold=threshold, ax=right)
        legend_above(left, columns=1)  # a wider one would squeeze the axes
        if right.get_legend() is not None:  # it could hide the curve, and the table has its numbers
            right.get_legend().remove()
            right.set_title("ROC curve, with the threshold's point")
    return figure


def threshold_view(
    predictions: pd.DataFrame, *, threshold: float, prevalence: float
) -> list[Figure | pd.DataFrame | str]:
    """All that a threshold means for these predictions: a figure, a table and a story."""
    rates = rates_at(predictions, threshold, prevalence=prevalence)
    shown = {name: "not estimable" if np.isnan(value) else f"{value:.2f}" for name, value in rates.items()}
    story = natural_frequencies(rates["sensitivity"], rates["specificity"], prevalence)
    return [threshold_figure(predictions, threshold), pd.DataFrame([shown]), story]


def threshold_panel(predictions: pd.DataFrame, *, threshold: float, prevalence: float) -> Panel:
    """`threshold_view` with two sliders; both start values are rounded to the sliders' steps."""
    controls = {
        "threshold": slider("Threshold", round(threshold, 2), 0.0, 1.0, 0.01, tip="Called fractured from here on"),
        "prevalence": slider(
            "Prevalence", round(prevalence, 2), 0.01, 0.9, 0.01, tip="Share of patients with a fracture"
        ),
    }
    return Panel(partial(threshold_view, predictions), controls, title="Move the threshold").start()


def cheapest_threshold(predictions: pd.DataFrame, *, miss: float, prevalence: float) -> float:
    """The threshold of least expected cost where a false alarm costs 1, at a stated share of fractures.

    Raises:
        EvaluationError: as `choose_threshold`, whose rule "costs" this is at the share of fractures of the data.
    """
    share = predictions["label"].mean()
    if not 0 < share < 1:
        return choose_threshold(predictions, rule=f"costs={miss}:1")  # which says what is wrong
    # another prevalence weighs the errors of the two classes as other costs would
    weight = miss * prevalence / share
    return choose_threshold(predictions, rule=f"costs={weight}:{(1 - prevalence) / (1 - share)}")


def cost_table(
    predictions: pd.DataFrame, thresholds: dict[str, float], *, miss: float, prevalence: float
) -> pd.DataFrame:
    """What each named threshold means for 1,000 patients: missed fractures, false alarms and their cost."""
    rows = []
    for name, threshold in thresholds.items():
        rates = rates_at(predictions, threshold, prevalence=prevalence)
        missed = PATIENTS * prevalence * (1 - rates["sensitivity"])
        alarms = PATIENTS * (1 - prevalence) * (1 - rates["specificity"])
        row = {"threshold": f"{threshold:.2f} ({name})", "missed": round(missed), "false alarms": round(alarms)}
        rows.append(row | {"cost": round(miss * missed + alarms)})
    return pd.DataFrame(rows)


def cost_view(predictions: pd.DataFrame, *, miss: float, prevalence: float) -> list[Figure | pd.DataFrame | str]:
    """The costs of every threshold, the cheapest beside Youden's, and both for 1,000 patients."""
    cheapest = cheapest_threshold(predictions, miss=miss, prevalence=prevalence)
    marks = {"cheapest": cheapest, "Youden": choose_threshold(predictions)}
    with plt.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 4.4))
        plots.cost_curve(
            predictions["label"].to_numpy(),
            predictions["probability"].to_numpy(),
            miss=miss,
            false_alarm=1,
            prevalence=prevalence,
            marks=marks,
            ax=figure.subplots(),
        )
    table = cost_table(predictions, marks, miss=miss, prevalence=prevalence)
    broken = round(PATIENTS * prevalence)
    story = f"Of {PATIENTS:,} patients, {broken:,} have a fracture. A miss costs as much as {miss:g} false alarms."
    return [figure, table, story]


def cost_panel(predictions: pd.DataFrame, *, miss: float = 10, prevalence: float) -> Panel:
    """`cost_view` of validation predictions, with a slider for the cost of a miss and one for the prevalence."""
    costs = {f"{value:g} alarms": value for value in (0.5, 1, 2, 5, 10, 20, 50, 100)}
    controls = {
        "miss": steps("A miss costs", costs, miss, tip="How many false alarms are as bad as one missed fracture"),
        "prevalence": slider(
            "Prevalence", round(prevalence, 2), 0.01, 0.9, 0.01, tip="Share of patients with a fracture"
        ),
    }
    return Panel(partial(cost_view, predictions), controls, title="Set what errors cost").start()
