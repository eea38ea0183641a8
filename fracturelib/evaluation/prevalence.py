"""What a call is worth where fractures are rarer or commoner than in the test set (Bayes' rule)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fracturelib.errors import EvaluationError
from fracturelib.evaluation.intervals import Interval, fewest_per_class, percentile_interval, units_of
from fracturelib.evaluation.metrics import check_predictions, metric_draws
from fracturelib.writing.verdicts import Reason

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

    Columns: prevalence, then ppv and npv, each followed by its `_low`, `_high` and `_reason` (why one of them is
    missing), and unit.

    Raises:
        EvaluationError: a prevalence outside 0…1; see `check_predictions`.
    """
    if not all(0 <= share <= 1 for share in prevalences):
        raise EvaluationError(f"a prevalence must lie between 0 and 1, not {list(prevalences)}")
    labels, chances = check_predictions(predictions["label"], predictions["probability"])
    units = units_of(predictions)
    found = metric_draws(labels, chances, units.codes, threshold=threshold, resamples=resamples, seed=seed)
    fewest = fewest_per_class(labels, units.codes)
    rows = []
    for prevalence in prevalences:
        row: dict[str, Any] = {"prevalence": float(prevalence)}
        worth = _by_bayes(found["sensitivity"], found["specificity"], prevalence)
        for name, draws in zip(("ppv", "npv"), worth, strict=True):
            interval = _interval(draws, fewest)
            row[name] = float(draws[0])
            row |= {f"{name}_{end}": value for end, value in interval._asdict().items()}
        rows.append(row | {"unit": units.name})
    return pd.DataFrame(rows)


def _interval(draws: NDArray[Any], fewest: int) -> Interval:
    """The interval of a predictive value, which is the first of its `draws` (1 + R,)."""
    if np.isnan(draws[0]):
        return Interval(reason=Reason.ONE_CLASS if fewest == 0 else Reason.NOT_CALLED_SO)
    return percentile_interval(draws[1:], units=fewest, per_class=True)


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
