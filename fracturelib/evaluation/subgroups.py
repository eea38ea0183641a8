"""Where a model fails: its scores on groups of the files, its surest errors, and the files it is least sure of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from fracturelib.catalog import BOX
from fracturelib.evaluation.comparison import scores_of
from fracturelib.evaluation.metrics import HEADLINE_OF_GROUPS
from fracturelib.writing.verdicts import FEWEST_UNITS, Reason

# Columns that describe the file or the prediction, not the patient: no subgroups from these.
NOT_SUBGROUPS = (
    "path", "split", "label", "source_id", "patient_id", "study_id", "width", "height", "truncated", "sha256",
    "content", "file", "grey_mean", "grey_std", "probability", "raw", "prediction", *BOX,
)  # fmt: skip
THIRDS = ("1 hard to see", "2 medium", "3 easy to see")  # of the fractures by conspicuity; the numbers keep their order


def subgroup_table(
    predictions: pd.DataFrame, *, threshold: float, resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """The metrics of `HEADLINE_OF_GROUPS` for each value of every optional column with 2 to 12 values.

    Columns: column, group, n, units, unit, n_fractured, units_with and units_without (a fracture), then each metric
    with its `_low` and `_high`, and reason: why one of them is missing or not to be trusted. Columns that hold nearly
    as many values as files describe files, not groups, and are left out; `conspicuity`, a number, is cut into thirds
    of the fractures.
    """
    rows = []
    for column in predictions.columns.difference(NOT_SUBGROUPS, sort=False):
        values = _groups(predictions, column)
        if not 2 <= values.nunique() <= min(12, len(values) // 2):
            continue
        for group, part in predictions.groupby(values, sort=True):
            result = scores_of(part, threshold=threshold, resamples=resamples, seed=seed).set_index("metric")
            rows.append({"column": column, "group": group, **_subgroup_row(part, result)})
    return pd.DataFrame(rows)


def _groups(predictions: pd.DataFrame, name: str) -> pd.Series:
    """The group of each file as text: "not stated" for a gap, "no" and "yes" for a column of 0 and 1."""
    column = predictions[name]
    if name == "conspicuity" and pd.api.types.is_numeric_dtype(column):
        return conspicuity_thirds(column)
    gap = "no fracture" if column[predictions["label"] == 0].isna().all() else "not stated"
    values = column.astype(object).where(column.notna(), gap).astype(str)
    answers = {"0": "no", "1": "yes", "0.0": "no", "1.0": "yes", "False": "no", "True": "yes", gap: gap}
    return values.map(answers) if values.isin(list(answers)).all() else values


def conspicuity_thirds(conspicuity: pd.Series) -> pd.Series:
    """How hard each fracture is to see, as one of `THIRDS`; "no fracture" where the number is missing."""
    ranks = conspicuity.rank(method="first", pct=True)
    cut = pd.cut(ranks, [0, 1 / 3, 2 / 3, 1], labels=list(THIRDS)).astype(object)
    return cut.where(conspicuity.notna(), "no fracture").astype(str)


def _subgroup_row(part: pd.DataFrame, result: pd.DataFrame) -> dict[str, Any]:
    counts = [int(result.loc[metric, "units"]) for metric in ("sensitivity", "specificity")]
    row: dict[str, Any] = {
        "n": len(part),
        "units": int(result.loc["accuracy", "units"]),
        "unit": result.loc["accuracy", "unit"],
        "n_fractured": int(part["label"].sum()),
        "units_with": counts[0],
        "units_without": counts[1],
    }
    for metric in HEADLINE_OF_GROUPS:
        row[metric] = result.loc[metric, "value"]
        row[f"{metric}_low"], row[f"{metric}_high"] = result.loc[metric, ["low", "high"]]
    if min(count for count in counts if count) < FEWEST_UNITS:  # the group has one file at least
        return row | {"reason": Reason.FEW_PER_CLASS}
    reasons = [reason for reason in result.loc[list(HEADLINE_OF_GROUPS), "reason"] if reason]
    return row | {"reason": reasons[0] if reasons else Reason.NONE}


def worst_errors(predictions: pd.DataFrame, *, threshold: float, count: int = 8) -> pd.DataFrame:
    """The wrongly called files, the most confident mistake first; new column `error` = |probability - label|."""
    called = (predictions["probability"] >= threshold).astype(int)
    wrong = predictions[called != predictions["label"]]
    wrong = wrong.assign(error=(wrong["probability"] - wrong["label"]).abs())
    return wrong.sort_values(["error", "path"], ascending=[False, True]).head(count)


def least_certain(predictions: pd.DataFrame, *, threshold: float, count: int = 8) -> pd.DataFrame:
    """The files nearest to the threshold, right or wrong; new column `distance` = |log-odds - log-odds there|."""
    edge = 1e-7  # probabilities of exactly 0 and 1 have no finite log-odds
    chance, cut = (np.clip(value, edge, 1 - edge) for value in (predictions["probability"], threshold))
    distance = np.abs(np.log(chance / (1 - chance)) - np.log(cut / (1 - cut)))
    found = predictions.assign(distance=distance)
    return found.sort_values(["distance", "path"]).head(count)
