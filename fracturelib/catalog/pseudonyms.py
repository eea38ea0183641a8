"""Numbers in place of ids: what is written names nobody."""

from __future__ import annotations

import re

import pandas as pd

from fracturelib.catalog.columns import IDENTIFYING
from fracturelib.catalog.naming import plain

PREFIXES = {"patient_id": "P", "study_id": "S"}


def with_pseudonyms(table: pd.DataFrame, *, keep_ids: bool = False) -> pd.DataFrame:
    """Patients become P0001, P0002 … and studies S0001 …, in the order of their ids; names and dates are left out.

    The same set gives the same numbers. With `keep_ids` only names and dates are left out.
    """
    hidden = [name for name in table if plain(str(name)) in IDENTIFYING]
    table = table.drop(columns=hidden)
    for column, prefix in PREFIXES.items():
        if column in table and not keep_ids:
            table = table.assign(**{column: _numbered(table[column], prefix)})
    return table


def numbered(place: int, prefix: str) -> str:
    """The pseudonym of a place counted from 0: P0001."""
    return f"{prefix}{place + 1:04d}"


def _numbered(ids: pd.Series, prefix: str) -> pd.Series:
    known = sorted(set(ids.dropna().astype(str)), key=_natural)
    names = {name: numbered(place, prefix) for place, name in enumerate(known)}
    return ids.map(lambda one: names[str(one)], na_action="ignore").astype(object)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sorts "patient9" before "patient10"."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]
