"""What a threshold leads to: counts, rates, and the same told of so many patients, with what the errors cost."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from fracturelib.config import CLASS_NAMES
from fracturelib.evaluation.metrics import check_predictions, weighted_metrics
from fracturelib.evaluation.prevalence import predictive_values
from fracturelib.evaluation.thresholds import choose_threshold
from fracturelib.writing.numbers import percent

MOST_CELLS = 5000  # distinct probabilities of a living figure; more are counted in steps
STEPS = 1000  # of the threshold from 0 to 1
PATIENTS = 1000  # natural frequencies are easier to grasp than percentages (Gigerenzer, BMJ 327 (2003), 741–744)


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
    found = weighted_metrics(labels, chances, threshold=threshold)
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


def probability_cells(predictions: pd.DataFrame, *, threshold: float) -> dict[str, list[float]]:
    """What a living figure needs: distinct probabilities, the highest first, and how many files of each class have it.

    Of more than `MOST_CELLS` distinct ones each becomes the next lower of `STEPS` steps and `threshold`. Counts at any
    such step stay exact, because a file is called fractured from the threshold on.
    """
    labels, chances = check_predictions(predictions["label"], predictions["probability"])
    if len(np.unique(chances)) > MOST_CELLS:
        grid = np.unique([*np.arange(STEPS + 1) / STEPS, threshold])
        chances = grid[np.searchsorted(grid, chances, side="right") - 1]
    values, places = np.unique(-chances, return_inverse=True)
    fractured, files = np.bincount(places, labels), np.bincount(places)
    return {
        "probability": (-values).tolist(),
        "fractured": fractured.astype(int).tolist(),
        "healthy": (files - fractured).astype(int).tolist(),
    }


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
    predictions: pd.DataFrame, thresholds: Mapping[str, float], *, miss: float, prevalence: float
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
