"""Scores side by side: several models on the same files, and one model on subgroups of the files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from fracturelib.errors import EvaluationError
from fracturelib.evaluation.baselines import Scored
from fracturelib.evaluation.metrics import (
    FEWEST_SOURCES,
    check_predictions,
    resample_weights,
    scores,
    source_codes,
    weighted_metrics,
)

# Columns that describe the file or the prediction, not the patient: no subgroups from these.
NOT_SUBGROUPS = (
    "path", "split", "label", "source_id", "patient_id", "width", "height", "truncated", "sha256", "file",
    "probability", "prediction",
)  # fmt: skip


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
    """`scores` of a table with the columns label, probability and source_id."""
    return scores(
        predictions["label"],
        predictions["probability"],
        threshold=threshold,
        sources=predictions["source_id"],
        resamples=resamples,
        seed=seed,
    )


def _check_same_files(first: pd.DataFrame, other: pd.DataFrame, name: str) -> None:
    """Order does not matter; files and labels do."""
    expected, found = (dict(zip(table["path"], table["label"], strict=True)) for table in (first, other))
    if expected != found or len(first) != len(other):
        unlike = sum(expected.get(path) != label for path, label in found.items())
        raise EvaluationError(
            f"the predictions of '{name}' do not match the first ones ({len(expected)} files): {unlike} of "
            f"its {len(found)} files are unknown there or labelled otherwise",
            cause="the predictions come from different data sets or splits",
            cure="compare models on the same files",
        )


def subgroup_table(
    predictions: pd.DataFrame, *, threshold: float, resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Sensitivity, specificity and AUC for each value of every optional column with 2 to 12 values.

    Columns: column, group, n, sources, n_fractured, then for each metric its value, `_low` and `_high`, and
    note, which warns of small groups. Columns that hold nearly as many values as files describe files, not
    groups, and are left out.
    """
    rows = []
    for column in predictions.columns.difference(NOT_SUBGROUPS, sort=False):
        values = _groups(predictions[column])
        if not 2 <= values.nunique() <= min(12, len(values) // 2):
            continue
        for group, part in predictions.groupby(values, sort=True):
            result = scores_of(part, threshold=threshold, resamples=resamples, seed=seed)
            rows.append({"column": column, "group": group, **_subgroup_row(part, result.set_index("metric"))})
    return pd.DataFrame(rows)


def _groups(column: pd.Series) -> pd.Series:
    """The group of each file as text: "not stated" for a gap, "no" and "yes" for a column of 0 and 1."""
    values = column.astype(object).where(column.notna(), "not stated").astype(str)
    answers = {
        "0": "no",
        "1": "yes",
        "0.0": "no",
        "1.0": "yes",
        "False": "no",
        "True": "yes",
        "not stated": "not stated",
    }
    return values.map(answers) if values.isin(list(answers)).all() else values


def _subgroup_row(part: pd.DataFrame, result: pd.DataFrame) -> dict[str, Any]:
    row: dict[str, Any] = {
        "n": len(part),
        "sources": part["source_id"].nunique(),
        "n_fractured": int(part["label"].sum()),
    }
    for metric in ("sensitivity", "specificity", "auc"):
        row[metric] = result.loc[metric, "value"]
        row[f"{metric}_low"], row[f"{metric}_high"] = result.loc[metric, ["low", "high"]]
    fractured, healthy = (result.loc[metric, "sources"] for metric in ("sensitivity", "specificity"))
    small = min(fractured, healthy) < FEWEST_SOURCES
    row["note"] = result.loc["auc", "note"]
    if small:
        row["note"] = f"small group: {fractured} fractured and {healthy} other sources"
    return row


def compare(
    first: Scored | tuple[pd.DataFrame, float],
    second: Scored | tuple[pd.DataFrame, float],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Differences first - second on the same files, with paired 95 % bootstrap intervals over sources.

    Both are resampled together, so that what is hard for both cancels. Columns: metric (auc, sensitivity,
    specificity, accuracy), difference, low, high, verdict ("no difference shown", "first is higher",
    "second is higher", "not estimable").

    Raises:
        EvaluationError: the predictions are of different files.
    """
    _check_same_files(first[0], second[0], "second")
    left = first[0].reset_index(drop=True)
    right = second[0].set_index("path").loc[left["path"]]
    labels, one = check_predictions(left["label"], left["probability"])
    _, other = check_predictions(right["label"], right["probability"])
    codes = source_codes(left["source_id"], len(left))

    def differences(weights: np.ndarray) -> pd.DataFrame:
        a = weighted_metrics(labels, one, threshold=first[1], weights=weights)
        b = weighted_metrics(labels, other, threshold=second[1], weights=weights)
        return pd.DataFrame(a) - pd.DataFrame(b)

    point = differences(np.ones((1, len(labels)))).iloc[0]
    blocks = resample_weights(labels, codes, resamples=resamples, seed=seed)
    draws = pd.concat([differences(weights) for weights in blocks])
    enough = min(len(np.unique(codes[labels == value])) for value in (0, 1)) >= FEWEST_SOURCES
    rows = []
    for metric in ("auc", "sensitivity", "specificity", "accuracy"):
        low, high = np.quantile(draws[metric], (0.025, 0.975)) if enough else (np.nan, np.nan)
        rows.append(
            {
                "metric": metric,
                "difference": point[metric],
                "low": low,
                "high": high,
                "verdict": _verdict(low, high),
            }
        )
    return pd.DataFrame(rows)


def _verdict(low: float, high: float) -> str:
    if np.isnan(low):
        return f"not estimable: fewer than {FEWEST_SOURCES} sources in one class"
    if low > 0:
        return "first is higher"
    return "second is higher" if high < 0 else "no difference shown"
