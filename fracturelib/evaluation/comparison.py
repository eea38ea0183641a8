"""Scores side by side: several models on the same files, and one model on two sets of files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fracturelib.errors import EvaluationError
from fracturelib.evaluation.intervals import (
    Interval,
    Units,
    fewest_per_class,
    percentile_interval,
    units_of,
    verdict_on,
)
from fracturelib.evaluation.metrics import HEADLINE, Scored, check_predictions, metric_draws, scores
from fracturelib.writing.verdicts import Reason


def comparison_table(models: Mapping[str, Scored], *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
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


def compare(first: Scored, second: Scored, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Differences first - second on the same files, with paired 95 % bootstrap intervals over units.

    Both are resampled together, so that what is hard for both cancels. One row for each metric of `HEADLINE`: metric,
    first, second, difference, low, high, verdict (a `Verdict` on the difference), reason (why there is no interval),
    unit.

    Raises:
        EvaluationError: the predictions are of different files.
    """
    _check_same_files(first.predictions, second.predictions, "second")
    left = first.predictions.reset_index(drop=True)
    right = second.predictions.set_index("path").loc[left["path"]].reset_index()
    units = units_of(left)  # for both, and with one seed: every resample draws the same files of both
    one, other = (
        _draws(table, scored.threshold, units, resamples=resamples, seed=seed)
        for table, scored in ((left, first), (right, second))
    )
    return _differences(one, other, fewest_per_class(left["label"].to_numpy(), units.codes), units.name)


def drop_table(internal: Scored, external: Scored, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """How scores change from the internal to an external test: columns as `compare`, first external, second internal.

    The two sets hold different patients, so that they are resampled apart and nothing cancels. A negative difference
    is a drop.
    """
    sides, fewest = [], []
    for number, (predictions, threshold) in enumerate((external, internal)):
        units = units_of(predictions)
        sides.append(_draws(predictions, threshold, units, resamples=resamples, seed=seed + number))
        fewest.append(fewest_per_class(predictions["label"].to_numpy(), units.codes))
    outside, inside = sides
    return _differences(outside, inside, min(fewest), "patients or sources")


def _draws(
    predictions: pd.DataFrame, threshold: float, units: Units, *, resamples: int, seed: int
) -> dict[str, NDArray[Any]]:
    labels, chances = check_predictions(predictions["label"], predictions["probability"])
    return metric_draws(labels, chances, units.codes, threshold=threshold, resamples=resamples, seed=seed)


def _differences(
    one: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]], fewest: int, unit: str
) -> pd.DataFrame:
    """The rows of `compare` from the draws (1 + R,) of both sides."""
    rows = []
    for metric in HEADLINE:
        draws = one[metric] - other[metric]
        low, high, reason = _difference(draws, fewest)
        row = {"metric": metric, "first": one[metric][0], "second": other[metric][0], "difference": draws[0]}
        rows.append(row | {"low": low, "high": high, "verdict": verdict_on(low, high), "reason": reason, "unit": unit})
    return pd.DataFrame(rows)


def _difference(draws: NDArray[Any], fewest: int) -> Interval:
    """The interval of a difference, whose value is the first of its `draws` (1 + R,)."""
    if np.isnan(draws[0]):
        return Interval(reason=Reason.ONE_CLASS)
    if not draws.any():  # the same calls: no difference in any resample
        return Interval(0.0, 0.0)
    return percentile_interval(draws[1:], units=fewest, per_class=True)
