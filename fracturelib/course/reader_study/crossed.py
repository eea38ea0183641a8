"""A table of readings as one crossed design: every reader reads every case in every modality, or it is refused."""

from __future__ import annotations

import warnings
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fracturelib.errors import DataWarning, EvaluationError

COLUMNS = ["reader", "modality", "case", "truth", "confidence"]


class Random(StrEnum):
    """What was drawn at random from many, and so what the result is about."""

    BOTH = "readers and cases"  # other readers like these, other cases like these
    CASES = "cases"  # these readers, other cases
    READERS = "readers"  # other readers, these cases


class Crossed(NamedTuple):
    """A whole table of readings: scores (modalities, readers, cases), truth (cases,), the names, what is left out."""

    scores: NDArray[Any]
    truth: NDArray[Any]
    modalities: pd.Index
    readers: pd.Index
    left_out: int


def crossed_study(readings: pd.DataFrame, *, random: Random, complete_cases: bool) -> Crossed:
    """The readings of `multireader_analysis`, checked; its arguments, errors and warnings."""
    table = _usable(readings)
    known = table[table["truth"] != -1]
    modalities, readers, cases = (pd.Index(known[name].unique(), name=name) for name in ("modality", "reader", "case"))
    every = pd.MultiIndex.from_product([modalities, readers, cases])
    found = known.set_index(every.names)["confidence"].reindex(every).to_numpy(float)
    scores = found.reshape(len(modalities), len(readers), len(cases))
    whole = ~np.isnan(scores).any(axis=(0, 1))
    if not (complete_cases or whole.all()):
        raise _missing(scores, modalities, readers)
    truth = known.drop_duplicates("case")["truth"].to_numpy(int)[whole]
    left_out = table["case"].nunique() - len(truth)
    _enough(len(modalities), len(readers), truth, random, left_out)
    if left_out:
        warnings.warn(
            f"{left_out} of {table['case'].nunique()} cases are left out: {(~whole).sum()} are not read by everybody "
            f"in every modality, {left_out - (~whole).sum()} have no known truth",
            DataWarning,
            stacklevel=3,
        )
    return Crossed(scores[..., whole], truth, modalities, readers, left_out)


def _usable(readings: pd.DataFrame) -> pd.DataFrame:
    """The five columns, checked row by row; a confidence may be missing."""
    absent = [name for name in COLUMNS if name not in readings]
    if absent:
        raise EvaluationError(
            f"the readings lack the column {', '.join(absent)}", cure=f"give each reading {', '.join(COLUMNS)}"
        )
    table = readings[COLUMNS].copy()
    table["confidence"] = pd.to_numeric(table["confidence"], errors="coerce")
    words = int((table["confidence"].isna() & readings["confidence"].notna()).sum())
    if words:
        raise EvaluationError(f"{words} confidences are no numbers", cure="give 1 to 5, or 0 to 1, for each reading")
    if table[["reader", "modality", "case"]].isna().to_numpy().any():
        raise EvaluationError("a reading without a reader, modality or case", cure="name all three, or drop the row")
    if not table["truth"].isin([-1, 0, 1]).all():
        raise EvaluationError("the truth of a case is neither 0 nor 1", cure="1 is fractured, 0 is not, -1 is unknown")
    twice = int(table.duplicated(["reader", "modality", "case"]).sum())
    if twice:
        raise EvaluationError(
            f"{twice} readings are there twice: one reader, one modality, one case",
            cause="second readings are among them, or two tables were joined",
            cure="keep one reading of each; a second reading under other conditions is a modality of its own",
        )
    if table.drop_duplicates(["case", "truth"])["case"].duplicated().any():
        raise EvaluationError("a case is fractured in one row and not in another", cure="give each case one truth")
    return table


def _missing(scores: NDArray[Any], modalities: pd.Index, readers: pd.Index) -> EvaluationError:
    """The refusal of a table with holes: how many, and who never read in some modality."""
    holes = np.isnan(scores)
    absent = [f"reader {readers[j]} has none of “{modalities[i]}”" for i, j in np.argwhere(holes.all(axis=2))]
    return EvaluationError(
        f"{holes.sum()} of {holes.size} readings are missing, of {holes.any(axis=(0, 1)).sum()} of {holes.shape[2]} "
        "cases",
        cause="; ".join(absent[:5]) or "not everybody read every case in every modality",
        cure="leave those readers out"
        if absent
        else "read them, leave the readers out, or use complete_cases=True, which leaves out these cases",
    )


def _enough(modalities: int, readers: int, truth: NDArray[Any], random: Random, left_out: int) -> None:
    """Refuse what no comparison can be made of."""
    if modalities < 2:
        raise EvaluationError(
            f"there is nothing to compare: {modalities} modality",
            cure="add readings of the same cases in another one, for example with the model",
        )
    if readers < 2 and random != Random.CASES:
        raise EvaluationError(
            f"{readers} reader tells nothing about other readers",
            cause="how much readers differ cannot be seen in one",
            cure="ask more readers; or use random=Random.CASES, whose result is about this reader alone",
        )
    if min((truth == 1).sum(), (truth == 0).sum()) < 2:
        raise EvaluationError(
            f"{(truth == 1).sum()} fractured and {(truth == 0).sum()} other cases are too few",
            cause=f"{left_out} cases are left out" if left_out else "",
            cure="an AUC with its error needs two cases of each class at the very least",
        )
