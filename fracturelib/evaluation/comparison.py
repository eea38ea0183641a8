"""Scores side by side: several models on the same files, and one model on two sets of files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from fracturelib.errors import EvaluationError
from fracturelib.evaluation.baselines import Scored
from fracturelib.evaluation.intervals import percentile_interval, resample_weights, units_of
from fracturelib.evaluation.metrics import check_predictions, scores, weighted_metrics

COMPARED = ("auc", "sensitivity", "specificity", "accuracy")


def comparison_table(
    models: Mapping[str, Scored | tuple[pd.DataFrame, float]], *, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """`scores` of several sets of predictions of the same files, long, with the column `model` in front.

    Raises:
        EvaluationError: the predictions are of different files or disagree about the labels.
    """
    parts, first = [], None
    for name, (predictions, threshold) in models.items():
        first = predictions if first is None else first
        _check_same_files(first, predictions, name)
        part = scores_of(predictions, threshold=threshold, resamples=resamples, seed=seed)
        parts.append(part.assign(model=name))
    table = pd.concat(parts, ignore_index=True)
    return table[["model", *(column for column in table.columns if column != "model")]]


def scores_of(predictions: pd.DataFrame, *, threshold: float, resamples: int, seed: int) -> pd.DataFrame:
    """`scores` of a table with the columns label, probability, source_id and, where known, patient_id."""
    units = units_of(predictions)
    return scores(
        predictions["label"],
        predictions["probability"],
        threshold=threshold,
        sources=units.codes,
        unit=units.name,
        resamples=resamples,
        seed=seed,
    )


def _check_same_files(first: pd.DataFrame, other: pd.DataFrame, name: str) -> None:
    """Order does not matter; files, labels and, where both tables know them, contents do."""
    named = [column for column in ("path", "label", "sha256") if column in first and column in other]
    expected, found = ({tuple(row) for row in table[named].to_numpy(dtype=object)} for table in (first, other))
    if len(expected) < len(first) or len(found) < len(other):
        raise EvaluationError("a file stands in the predictions twice", cause="two tables were joined", cure="keep one")
    if expected != found:
        unlike = len(found - expected)
        raise EvaluationError(
            f"the predictions of '{name}' do not match the first ones ({len(first)} files): {unlike} of its "
            f"{len(other)} files are unknown there, labelled otherwise or of another content",
            cause="the predictions come from different data sets or splits",
            cure="compare models on the same files",
        )


def compare(
    first: Scored | tuple[pd.DataFrame, float],
    second: Scored | tuple[pd.DataFrame, float],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Differences first - second on the same files, with paired 95 % bootstrap intervals over units.

    Both are resampled together, so that what is hard for both cancels. Columns: metric (auc, sensitivity, specificity,
    accuracy), first, second, difference, low, high, verdict ("no difference shown", "first is higher", "second is
    higher", "not estimable: …").

    Raises:
        EvaluationError: the predictions are of different files.
    """
    _check_same_files(first[0], second[0], "second")
    left = first[0].reset_index(drop=True)
    right = second[0].set_index("path").loc[left["path"]].reset_index()
    labels, _ = check_predictions(left["label"], left["probability"])
    units = units_of(left)
    weights = [np.ones((1, len(labels))), *resample_weights(labels, units.codes, resamples=resamples, seed=seed)]
    one = _draws(left, first[1], weights)
    other = _draws(right, second[1], weights)
    fewest = min(len(np.unique(units.codes[labels == value])) for value in (0, 1))
    rows = []
    for metric in COMPARED:
        row = {"metric": metric, "first": one[metric][0], "second": other[metric][0]}
        rows.append(row | _difference(one[metric] - other[metric], fewest, units.name))
    return pd.DataFrame(rows)


def drop_table(
    internal: Scored | tuple[pd.DataFrame, float],
    external: Scored | tuple[pd.DataFrame, float],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """How scores change from the internal to an external test: columns as `compare`, first external, second internal.

    The two sets hold different patients, so that they are resampled apart and nothing cancels. A negative difference
    is a drop.
    """
    sides, fewest = [], []
    for number, (predictions, threshold) in enumerate((external, internal)):
        labels, _ = check_predictions(predictions["label"], predictions["probability"])
        units = units_of(predictions)
        blocks = resample_weights(labels, units.codes, resamples=resamples, seed=seed + number)
        sides.append(_draws(predictions, threshold, [np.ones((1, len(labels))), *blocks]))
        fewest.append(min(len(np.unique(units.codes[labels == value])) for value in (0, 1)))
    one, other = sides
    rows = []
    for metric in COMPARED:
        row = {"metric": metric, "first": one[metric][0], "second": other[metric][0]}
        rows.append(row | _difference(one[metric] - other[metric], min(fewest), "patients or sources"))
    return pd.DataFrame(rows)


def _draws(predictions: pd.DataFrame, threshold: float, weights: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Each compared metric for the data as they are, which come first, and for every resample: (1 + R,)."""
    labels, chances = check_predictions(predictions["label"], predictions["probability"])
    found = [weighted_metrics(labels, chances, threshold=threshold, weights=block) for block in weights]
    return {metric: np.concatenate([block[metric] for block in found]) for metric in COMPARED}


def _difference(draws: np.ndarray, fewest: int, unit: str) -> dict[str, Any]:
    """Difference (the first of `draws`), its interval, and what may be said of it."""
    if np.isnan(draws[0]):
        low, high, verdict = np.nan, np.nan, "not estimable: the files are of one class only"
    elif np.ptp(draws) == 0 and draws[0] == 0:
        low, high, verdict = 0.0, 0.0, "no difference shown"
    else:
        low, high, verdict = percentile_interval(draws[1:], units=fewest, name=f"{unit} per class")
        verdict = verdict.removeprefix("interval ")
    if not verdict:
        verdict = "first is higher" if low > 0 else "second is higher" if high < 0 else "no difference shown"
    return {"difference": draws[0], "low": low, "high": high, "verdict": verdict}
