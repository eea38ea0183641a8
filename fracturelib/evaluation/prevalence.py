"""What a call is worth where fractures are rarer or commoner than in the test set (Bayes' rule)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fracturelib.errors import EvaluationError
from fracturelib.evaluation.intervals import percentile_interval, resample_weights, units_of
from fracturelib.evaluation.metrics import check_predictions, weighted_metrics

PREVALENCES = (0.02, 0.1, 0.3, 0.5)


def predictive_values(sensitivity: float, specificity: float, prevalence: float) -> tuple[float, float]:
    """Positive and negative predictive value at a stated prevalence (Bayes); NaN if no file is called so.

    Raises:
        EvaluationError: a number lies outside 0…1.
    """
    if not all(0 <= value <= 1 for value in (sensitivity, specificity, prevalence)):
        raise EvaluationError("sensitivity, specificity and prevalence must lie between 0 and 1")
    positive, negative = _by_bayes(np.array([sensitivity]), np.array([specificity]), prevalence)
    return float(positive[0]), float(negative[0])


def predictive_value_table(
    predictions: pd.DataFrame,
    *,
    threshold: float,
    prevalences: Sequence[float] = PREVALENCES,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Predictive values at stated prevalences with 95 % bootstrap intervals over units.

    Columns: prevalence, then ppv and npv, each followed by its `_low`, `_high` and `_note`, which says what is not
    estimable and why.

    Raises:
        EvaluationError: a prevalence outside 0…1; see `check_predictions`.
    """
    if not all(0 <= share <= 1 for share in prevalences):
        raise EvaluationError(f"a prevalence must lie between 0 and 1, not {list(prevalences)}")
    labels, chances = check_predictions(predictions["label"], predictions["probability"])
    units = units_of(predictions)
    weights = [np.ones((1, len(labels)))]  # the data as they are come first
    weights += resample_weights(labels, units.codes, resamples=resamples, seed=seed)
    found = [weighted_metrics(labels, chances, threshold=threshold, weights=block) for block in weights]
    sensitivity, specificity = (np.concatenate([one[name] for one in found]) for name in ("sensitivity", "specificity"))
    fewest = min(len(np.unique(units.codes[labels == value])) for value in (0, 1))
    rows = []
    for prevalence in prevalences:
        row: dict[str, Any] = {"prevalence": float(prevalence)}
        for name, draws in zip(("ppv", "npv"), _by_bayes(sensitivity, specificity, prevalence), strict=True):
            row |= _cells(name, draws, fewest, units.name)
        rows.append(row)
    return pd.DataFrame(rows)


def _cells(name: str, draws: NDArray[Any], fewest: int, unit: str) -> dict[str, Any]:
    low, high, note = percentile_interval(draws[1:], units=fewest, name=f"{unit} per class")
    if np.isnan(draws[0]):
        reason = "the files are of one class only" if fewest == 0 else "no file is called so"
        low, high, note = np.nan, np.nan, f"not estimable: {reason}"
    return {name: float(draws[0]), f"{name}_low": low, f"{name}_high": high, f"{name}_note": note}


def _by_bayes(
    sensitivity: NDArray[Any], specificity: NDArray[Any], prevalence: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Positive and negative predictive values (R,), NaN where the call never occurs."""
    true_positive, false_positive = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    true_negative, false_negative = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    with np.errstate(divide="ignore", invalid="ignore"):
        return (
            true_positive / (true_positive + false_positive),
            true_negative / (true_negative + false_negative),
        )
