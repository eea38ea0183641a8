"""Some rows of a table, chosen so that they stand for all."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fracturelib import catalog
from fracturelib.errors import EvaluationError
from fracturelib.evaluation.intervals import units_of


def subset(table: pd.DataFrame, *, count: int, seed: int) -> pd.DataFrame:
    """At most `count` rows with the table's share of fractures, from as many units as possible.

    Raises:
        EvaluationError: the table is empty.
    """
    if table.empty:
        raise EvaluationError("there are no images to test", cure="check that the split holds files")
    order = np.random.default_rng(seed).permutation(len(table))
    shuffled = table[["label"]].iloc[order].assign(_place=order, _unit=units_of(table).codes[order])
    shuffled = shuffled.assign(_rank=shuffled.groupby("_unit").cumcount()).sort_values("_rank", kind="stable")
    share = min(1.0, count / len(table))
    chosen = [
        part["_place"].iloc[: max(1, round(share * len(part)))] for _, part in shuffled.groupby("label")
    ]  # one file of every unit comes before the second file of any
    return catalog.rows(table, np.sort(np.concatenate(chosen)))
