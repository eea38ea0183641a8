"""Numbers from labels and probabilities, with 95 % intervals by a bootstrap over sources.

A file is not an independent observation: rotated copies of one radiograph succeed or fail together. So the
bootstrap draws *sources* with replacement, and every file counts as often as its source was drawn. One
resample is then a vector of whole-number weights, 2,000 resamples are a matrix, and each metric is a few
matrix operations.

Stratified: sources with fractured files only, with none, and with both are drawn apart, so each resample
has the class balance of the data and no resample lacks a class. Percentile intervals: Efron and Tibshirani,
*An Introduction to the Bootstrap* (1993), chapter 13. Bootstrap by cluster: Field and Welsh, JRSS B 69
(2007), 369–390.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from fracturelib.errors import EvaluationError

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
PROPORTIONS = ("accuracy", "sensitivity", "specificity", "ppv", "npv")
FEWEST_SOURCES = 10  # below this a bootstrap interval is too narrow to be believed
CALIBRATION_BINS = 10  # of equal width, as in Guo et al., ICML 2017

_UNDEFINED = {
    "auc": "the files are of one class only",
    "average_precision": "the files are of one class only",
    "sensitivity": "there is no fractured file",
    "specificity": "every file is fractured",
    "ppv": "no file was called fractured",
    "npv": "every file was called fractured",
}
_CELLS = 2_000_000  # most weights held at once, so that memory stays near 100 MB however many files there are


def check_predictions(labels: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Labels (n,) of 0 and 1 and probabilities (n,) as arrays of int and float64.

    Raises:
        EvaluationError: nothing to evaluate, unequal lengths, labels other than 0 and 1, probabilities that
            are not numbers between 0 and 1.
    """
    truth, chance = np.asarray(labels, dtype=float), np.asarray(probabilities, dtype=float)
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
    labels: NDArray[Any], probabilities: NDArray[Any], *, threshold: float, weights: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    """Every metric for every row of `weights` (R, n); each value is (R,), NaN where it is undefined.

    A file is called fractured when its probability is at least `threshold`. Equal probabilities count one
    half in the AUC (Mann–Whitney) and form one step of the average precision, as in scikit-learn.
    """
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
    """Which of the equal bins of 0…1 each probability (n,) falls in; 1.0 belongs to the last."""
    return np.minimum((probabilities * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)


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


def source_codes(sources: ArrayLike | None, count: int) -> NDArray[Any]:
    """A whole number 0…k-1 for each file's source; without sources each file is its own."""
    if sources is None:
        return np.arange(count)
    codes = pd.factorize(np.asarray(sources, dtype=object))[0]
    if codes.shape != (count,) or (codes < 0).any():
        raise EvaluationError("every file needs a source", cure="pass one source_id per prediction, without gaps")
    return codes


def resample_weights(labels: NDArray[Any], codes: NDArray[Any], *, resamples: int, seed: int) -> Iterator[NDArray[Any]]:
    """Blocks (r, n) of file weights, `resamples` rows in all: how often each file's source was drawn."""
    generator = np.random.default_rng(seed)
    count = codes.max() + 1
    stratum = 2 * (np.bincount(codes, labels, count) > 0) + (np.bincount(codes, 1 - labels, count) > 0)
    members = [np.flatnonzero(stratum == value) for value in np.unique(stratum)]
    block = max(1, _CELLS // len(codes))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = np.zeros((rows, count))
        for sources in members:
            picks = generator.integers(len(sources), size=(rows, len(sources)))
            picks += len(sources) * np.arange(rows)[:, None]  # one stretch of counters per resample
            drawn[:, sources] = np.bincount(picks.ravel(), minlength=picks.size).reshape(rows, -1)
        yield drawn[:, codes]


def scores(
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    threshold: float,
    sources: ArrayLike | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per metric: metric, value, low, high, n (files it is computed from), sources, note.

    `low` and `high` are the 95 % bootstrap interval over sources. Where a value or its interval cannot be
    estimated, the numbers are NaN and `note` says so and why. A proportion of exactly 0 or 1 has a Wilson
    interval over its sources, because the bootstrap has no width there.

    Raises:
        EvaluationError: see `check_predictions`; a file without a source.
    """
    truth, chance = check_predictions(labels, probabilities)
    codes = source_codes(sources, len(truth))
    point = weighted_metrics(truth, chance, threshold=threshold, weights=np.ones((1, len(truth))))
    blocks = [
        weighted_metrics(truth, chance, threshold=threshold, weights=weights)
        for weights in resample_weights(truth, codes, resamples=resamples, seed=seed)
    ]
    constant = np.ptp(chance) == 0
    called = chance >= threshold
    rows = []
    for metric in METRICS:
        draws = np.concatenate([block[metric] for block in blocks])
        used = _files_used(metric, truth, called)
        rows.append(_score_row(metric, point[metric][0], draws, _support(metric, truth, codes, used), constant))
        rows[-1]["n"] = int(used.sum())
    columns = ["metric", "value", "low", "high", "n", "sources", "note"]
    return pd.DataFrame(rows, columns=columns)


def _files_used(metric: str, labels: NDArray[Any], called: NDArray[Any]) -> NDArray[Any]:
    """Mask (n,) of the files in a metric's denominator."""
    masks = {"sensitivity": labels == 1, "specificity": labels == 0, "ppv": called, "npv": ~called}
    return masks.get(metric, np.ones(len(labels), dtype=bool))


def _support(metric: str, labels: NDArray[Any], codes: NDArray[Any], used: NDArray[Any]) -> tuple[int, int]:
    """Sources among the files used, and the number that decides whether an interval can be believed."""
    sources = len(np.unique(codes[used]))
    if metric in ("auc", "average_precision"):  # a ranking is only as certain as its smaller class
        return sources, min(len(np.unique(codes[labels == value])) for value in (0, 1))
    return sources, sources


def _score_row(
    metric: str, value: float, draws: NDArray[Any], support: tuple[int, int], constant: bool
) -> dict[str, Any]:
    """Value, interval and note of one metric; `draws` (R,) are its resampled values."""
    sources, decisive = support
    row = {
        "metric": metric,
        "value": float(value),
        "low": np.nan,
        "high": np.nan,
        "sources": sources,
        "note": "",
    }
    defined = draws[~np.isnan(draws)]
    if np.isnan(value):
        row["note"] = f"not estimable: {_UNDEFINED[metric]}"
    elif constant:
        row["note"] = "interval not estimable: the same probability for every file"
    elif decisive < FEWEST_SOURCES:
        few = "sources per class" if metric in ("auc", "average_precision") else "sources"
        row["note"] = f"interval not estimable with fewer than {FEWEST_SOURCES} {few} (here {decisive})"
    elif len(defined) < 0.95 * len(draws):
        row["note"] = "interval not estimable: undefined in more than 5 % of the resamples"
    elif np.ptp(defined) > 1e-9:  # rounding alone is no width
        row["low"], row["high"] = (float(edge) for edge in np.quantile(defined, (0.025, 0.975)))
    elif metric in PROPORTIONS and value in (0.0, 1.0):
        row["low"], row["high"] = wilson_interval(value * sources, sources)
        row["note"] = f"Wilson interval over {sources} sources"
    else:
        row["note"] = "interval not estimable: every resample gives the same value"
    return row


def wilson_interval(successes: float, total: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (JASA 22 (1927), 209–212), for independent observations.

    Raises:
        EvaluationError: there is no observation.
    """
    if total <= 0:
        raise EvaluationError("a proportion needs at least one observation")
    z = stats.norm.ppf((1 + confidence) / 2)
    share = successes / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    # At 0 and 1 the interval ends exactly there, and rounding must not move it.
    return (
        0.0 if successes == 0 else max(0.0, float(centre - half)),
        1.0 if successes == total else min(1.0, float(centre + half)),
    )


def choose_threshold(labels: ArrayLike, probabilities: ArrayLike, *, rule: str | float = "youden") -> float:
    """The operating point, from *validation* predictions; a number in (0, 1) is returned as it is.

    "youden" maximises sensitivity + specificity - 1 (Youden, Cancer 3 (1950), 32–35). Candidates lie halfway
    between neighbouring distinct probabilities, and below the lowest and above the highest unless these are 0
    and 1. Among equals the one nearest to 0.5 wins, and the lower of two that are equally near.

    Raises:
        EvaluationError: unknown rule; one class only, so that nothing can be chosen; see `check_predictions`.
    """
    if rule != "youden":
        return _fixed_threshold(rule)
    truth, chance = check_predictions(labels, probabilities)
    if truth.min() == truth.max():
        raise EvaluationError(
            "the threshold cannot be chosen: the validation files are of one class only",
            cure="add validation files of the other class, or set the threshold to a number",
        )
    distinct = np.unique(chance)
    between = (distinct[:-1] + distinct[1:]) / 2
    between = np.where(between > distinct[:-1], between, distinct[1:])  # neighbours too close to have a middle
    candidates = np.concatenate([[distinct[0] / 2], between, [(distinct[-1] + 1) / 2]])
    candidates = candidates[(candidates > 0) & (candidates < 1)]
    positive, negative = np.sort(chance[truth == 1]), np.sort(chance[truth == 0])
    sensitivity = 1 - np.searchsorted(positive, candidates) / len(positive)
    specificity = np.searchsorted(negative, candidates) / len(negative)
    index = sensitivity + specificity - 1
    best = candidates[index >= index.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - 0.5))])


def _fixed_threshold(rule: str | float) -> float:
    try:
        threshold = float(rule)
    except ValueError:
        threshold = np.nan
    if not 0 < threshold < 1:
        raise EvaluationError(f"threshold rule is {rule!r}", cure="use youden or a number between 0 and 1")
    return threshold
