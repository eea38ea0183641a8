"""Numbers from labels and probabilities, each with a 95 % interval by a bootstrap over independent units.

How units are drawn stands in `intervals`. One resample is a vector of file weights, so that 2,000 resamples are a
matrix, and each metric is a few matrix operations.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fracturelib.errors import EvaluationError
from fracturelib.evaluation.intervals import (
    Interval,
    fewest_per_class,
    percentile_interval,
    resample_weights,
    source_codes,
    wilson_interval,
)
from fracturelib.writing.verdicts import Reason

METRICS = {
    "accuracy": "accuracy",
    "auc": "area under the ROC curve (AUC)",
    "average_precision": "average precision",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "positive predictive value",
    "npv": "negative predictive value",
    "brier": "Brier score (lower is better)",
    "ece": "expected calibration error (lower is better)",
}
# What is shown on every page, in every figure and in every comparison, with its short name.
HEADLINE = {"auc": "AUC", "sensitivity": "sensitivity", "specificity": "specificity", "accuracy": "accuracy"}
# The same for groups of files: their shares of fractures differ, and the accuracy depends on that share.
HEADLINE_OF_GROUPS = {metric: name for metric, name in HEADLINE.items() if metric != "accuracy"}
PROPORTIONS = ("accuracy", "sensitivity", "specificity", "ppv", "npv")
RANKINGS = ("auc", "average_precision")
CALIBRATION_BINS = 10  # of equal width, as in Guo et al., ICML 2017

_UNDEFINED = {
    "auc": Reason.ONE_CLASS,
    "average_precision": Reason.ONE_CLASS,
    "sensitivity": Reason.NO_FRACTURE,
    "specificity": Reason.ALL_FRACTURED,
    "ppv": Reason.NONE_CALLED,
    "npv": Reason.ALL_CALLED,
}


class Scored(NamedTuple):
    """Predictions (columns path, label, probability, source_id, …) and the threshold they are judged at."""

    predictions: pd.DataFrame
    threshold: float


def check_predictions(labels: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Labels (n,) of 0 and 1 and probabilities (n,) as arrays of int and float64.

    Raises:
        EvaluationError: nothing to evaluate, unequal lengths, labels other than 0 and 1, probabilities that
            are not numbers between 0 and 1.
    """
    try:
        truth, chance = np.asarray(labels, dtype=float), np.asarray(probabilities, dtype=float)
    except (TypeError, ValueError) as error:
        raise EvaluationError(
            f"labels and probabilities must be numbers: {error}",
            cure="use 1 for fractured and 0 for not fractured, and probabilities from 0 to 1",
        ) from error
    if truth.ndim != 1 or truth.shape != chance.shape:
        raise EvaluationError(
            f"labels and probabilities do not match: shapes {truth.shape} and {chance.shape}",
            cause="the two come from different tables",
            cure="evaluate predictions together with the table they were made from",
        )
    if truth.size == 0:
        raise EvaluationError("there are no predictions to evaluate", cure="check that the split holds files")
    if not np.isin(truth, (0, 1)).all():
        raise EvaluationError("labels must be 0 (not fractured) or 1 (fractured)")
    outside = int((~((chance >= 0) & (chance <= 1))).sum())  # written so that NaN is outside as well
    if outside:
        raise EvaluationError(
            f"{outside} of {chance.size} probabilities are not numbers between 0 and 1",
            cause="logits were passed instead of probabilities, or the weights hold NaN",
            cure="pass P(fractured) as the model gives it; if that is NaN, train with a lower learning rate",
        )
    return truth.astype(int), chance


def weighted_metrics(
    labels: NDArray[Any], probabilities: NDArray[Any], *, threshold: float, weights: NDArray[Any] | None = None
) -> dict[str, NDArray[Any]]:
    """Every metric for every row of `weights` (R, n), by default one row of ones; each is (R,), NaN where undefined.

    A file is called fractured when its probability is at least `threshold`. Equal probabilities count one
    half in the AUC (Mann–Whitney) and form one step of the average precision, as in scikit-learn.
    """
    weights = np.ones((1, len(labels))) if weights is None else weights
    called = probabilities >= threshold
    cells = np.stack([called & (labels == 1), called & (labels == 0), ~called & (labels == 1), ~called & (labels == 0)])
    tp, fp, fn, tn = (weights @ cells.T.astype(float)).T  # (R,) each
    total = weights.sum(axis=1)
    bins = np.eye(CALIBRATION_BINS)[calibration_bin(probabilities)]  # (n, bins)
    gap = weights @ ((probabilities - labels)[:, None] * bins)  # (R, bins)
    with np.errstate(divide="ignore", invalid="ignore"):
        auc, average_precision = _ranking(labels, probabilities, weights)
        return {
            "accuracy": (tp + tn) / total,
            "auc": auc,
            "average_precision": average_precision,
            "sensitivity": tp / (tp + fn),
            "specificity": tn / (tn + fp),
            "ppv": tp / (tp + fp),
            "npv": tn / (tn + fn),
            "brier": weights @ (probabilities - labels) ** 2 / total,
            "ece": np.abs(gap).sum(axis=1) / total,
        }


def calibration_bin(probabilities: NDArray[Any]) -> NDArray[Any]:
    """Which of the equal bins of 0…1 each probability (n,) falls in; an edge belongs to the bin below it, as in
    scikit-learn's `calibration_curve`."""
    return np.searchsorted(np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1], probabilities)


def _ranking(labels: NDArray[Any], probabilities: NDArray[Any], weights: NDArray[Any]) -> tuple[Any, Any]:
    """AUC and average precision (R,) from weights summed over runs of equal probability, highest first."""
    order = np.argsort(-probabilities, kind="stable")
    starts = np.flatnonzero(np.diff(probabilities[order], prepend=np.inf))
    ordered = weights[:, order]
    positive = np.add.reduceat(ordered * labels[order], starts, axis=1)  # (R, distinct probabilities)
    negative = np.add.reduceat(ordered, starts, axis=1) - positive
    above, below = positive.cumsum(axis=1), negative.cumsum(axis=1)  # called fractured: true, false
    positives, negatives = above[:, -1], below[:, -1]
    auc = ((above - positive / 2) * negative).sum(axis=1) / (positives * negatives)
    precision = above / np.maximum(above + below, 1e-12)  # where nothing is called, its step is zero as well
    average_precision = (positive * precision).sum(axis=1) / positives
    return auc, np.where(negatives > 0, average_precision, np.nan)


def metric_draws(
    labels: NDArray[Any],
    probabilities: NDArray[Any],
    codes: NDArray[Any],
    *,
    threshold: float,
    resamples: int,
    seed: int,
) -> dict[str, NDArray[Any]]:
    """Every metric (1 + R,): first of the files as they are, then of every resample of the units in `codes` (n,).

    The last few are remembered: a table of scores and the differences between its rows are of the same draws.
    """
    arrays = (np.asarray(labels, int), np.asarray(probabilities, float), np.asarray(codes, int))
    return dict(_metric_draws(*(array.tobytes() for array in arrays), threshold, resamples, seed))


@lru_cache(maxsize=4)
def _metric_draws(
    labels: bytes, probabilities: bytes, codes: bytes, threshold: float, resamples: int, seed: int
) -> Mapping[str, NDArray[Any]]:
    """`metric_draws` of arrays as bytes."""
    truth, chance, units = np.frombuffer(labels, int), np.frombuffer(probabilities), np.frombuffer(codes, int)
    blocks = [weighted_metrics(truth, chance, threshold=threshold)]
    for weights in resample_weights(truth, units, resamples=resamples, seed=seed):
        blocks.append(weighted_metrics(truth, chance, threshold=threshold, weights=weights))
    found = {metric: np.concatenate([block[metric] for block in blocks]) for metric in METRICS}
    for draws in found.values():
        draws.flags.writeable = False
    return found


def scores(
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    threshold: float,
    sources: ArrayLike | None = None,
    unit: str | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per metric: metric, value, low, high, wilson_low, wilson_high, n, units, unit, reason.

    `n` counts the files that a metric is computed from, `units` their independent observations: the values of
    `sources` (n,), which `unit` names. `low` and `high` are the 95 % bootstrap interval over these. Where a value or
    its interval cannot be estimated, the numbers are NaN and `reason` is why. A proportion of exactly 0 or 1 has a
    Wilson interval over its units. `wilson_low` and `wilson_high` are for comparison: given for proportions where
    every file is a unit of its own.

    Raises:
        EvaluationError: see `check_predictions`; a file without a source.
    """
    truth, chance = check_predictions(labels, probabilities)
    codes = source_codes(sources, len(truth))
    unit = unit or ("files" if sources is None else "sources")
    draws = metric_draws(truth, chance, codes, threshold=threshold, resamples=resamples, seed=seed)
    called, fewest = chance >= threshold, fewest_per_class(truth, codes)
    rows = []
    for metric in METRICS:
        used = _files_used(metric, truth, called)
        value, n, units = float(draws[metric][0]), int(used.sum()), len(np.unique(codes[used]))
        every_file = metric in PROPORTIONS and units == n and n > 0
        wilson = wilson_interval(value * units, units) if every_file else (np.nan, np.nan)
        interval = _interval(metric, draws[metric], units, fewest, constant=np.ptp(chance) == 0)
        rows.append((metric, value, interval.low, interval.high, *wilson, n, units, unit, interval.reason))
    columns = ["metric", "value", "low", "high", "wilson_low", "wilson_high", "n", "units", "unit", "reason"]
    return pd.DataFrame(rows, columns=columns)


def _files_used(metric: str, labels: NDArray[Any], called: NDArray[Any]) -> NDArray[Any]:
    """Mask (n,) of the files in a metric's denominator."""
    masks = {"sensitivity": labels == 1, "specificity": labels == 0, "ppv": called, "npv": ~called}
    return masks.get(metric, np.ones(len(labels), dtype=bool))


def _interval(metric: str, draws: NDArray[Any], units: int, fewest: int, *, constant: bool) -> Interval:
    """The interval of one metric from its `draws` (1 + R,), of which the first is its value."""
    value = draws[0]
    if np.isnan(value):
        return Interval(reason=_UNDEFINED[metric])
    if constant:
        return Interval(reason=Reason.SAME_PROBABILITY)
    if metric in RANKINGS:  # a ranking is only as certain as its smaller class
        return percentile_interval(draws[1:], units=fewest, per_class=True)
    return percentile_interval(draws[1:], units=units, proportion=value if metric in PROPORTIONS else None)
