"""Notebook 04's panels: move the threshold and see what a call is worth; set what errors cost and see the threshold."""

from __future__ import annotations

from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fracturelib import plots
from fracturelib.course.widgets.common import Panel, slider, steps
from fracturelib.evaluation import choose_threshold
from fracturelib.evaluation.consequences import (
    PATIENTS,
    cheapest_threshold,
    confusion_at,
    cost_table,
    natural_frequencies,
    rates_at,
)
from fracturelib.plots.style import STYLE, legend_above


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
