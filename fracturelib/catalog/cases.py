"""Which radiographs a reader gets: half of them fractured, one of a patient, from easy to hard."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fracturelib.catalog.selecting import rows
from fracturelib.errors import EvaluationError

CASES = 20  # what one reads with care in a quarter of an hour


def choose_cases(table: pd.DataFrame, *, count: int = CASES, seed: int = 0) -> pd.DataFrame:
    """`count` rows, half of them fractured, in random order.

    One file per source, and per patient where patients are known. Within each class the rows are spread evenly over
    the regions, and the fractured ones over three levels of conspicuity, where the table knows these.

    Args:
        table: with label and source_id, and one row per file; patient_id, region and conspicuity are optional.
        count: how many; fewer where a class has not enough sources.
        seed: another seed gives other cases.

    Raises:
        EvaluationError: fewer than two cases are asked for, or a class has no file.
    """
    rng = np.random.default_rng(seed)
    firsts = table.iloc[rng.permutation(len(table))].drop_duplicates("source_id")
    if "patient_id" in firsts:
        firsts = firsts[firsts["patient_id"].isna() | ~firsts["patient_id"].duplicated()]
    parts = [
        _spread(firsts[firsts["label"] == label], share, rng) for label, share in ((0, count // 2), (1, -(-count // 2)))
    ]
    if count < 2 or any(part.empty for part in parts):
        raise EvaluationError(
            "a reading needs cases of both classes",
            cause="the table holds files of one class only, or fewer than two cases were asked for",
            cure="choose a split with fractured and other radiographs",
        )
    chosen = pd.concat(parts)
    return rows(chosen, rng.permutation(len(chosen))).reset_index(drop=True)


def _spread(found: pd.DataFrame, count: int, rng: np.random.Generator) -> pd.DataFrame:
    """`count` rows, one of every stratum in turn."""
    keys = pd.DataFrame(index=found.index)
    if "region" in found:
        keys["region"] = found["region"].astype(str)
    if "conspicuity" in found and found["conspicuity"].notna().any():
        keys["level"] = np.ceil(3 * found["conspicuity"].rank(pct=True))
    if keys.columns.empty:
        return found.head(count)
    turn = keys.groupby(list(keys), dropna=False).cumcount()  # 0 for the first row of each stratum
    order = np.lexsort((rng.random(len(found)), turn))
    return found.iloc[order[:count]]
