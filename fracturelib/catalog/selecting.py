"""Rows of the table that keep what the table knows about itself, and the columns of a known fracture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from fracturelib.config import POSITIVE
from fracturelib.errors import CatalogError
from fracturelib.images import Polarity

BOX = ("bbox_x", "bbox_y", "bbox_w", "bbox_h")  # left, top, width, height of a fracture in pixels of the file


def root_of(table: pd.DataFrame, root: str | Path | None = None) -> Path:
    """The folder that the table's paths are relative to: `root` if given, else what the table says.

    Raises:
        CatalogError: the table does not say where its files lie.
    """
    root = table.attrs.get("root") if root is None else root
    if root is None:
        raise CatalogError(
            "the table does not say where its files lie",
            cause="it was not made by read_catalog, or lost its attrs on the way",
            cure="pass root=..., the folder that the paths are relative to",
        )
    return Path(root)


def polarities(table: pd.DataFrame) -> list[Polarity]:
    """How the picture of each row is to be read: as `read_catalog` decided when it made the table."""
    if "turned" not in table:
        return [Polarity.KEEP] * len(table)
    return [Polarity.TURN if turned else Polarity.KEEP for turned in table["turned"]]


def rows(table: pd.DataFrame, selection: Any) -> pd.DataFrame:
    """The rows that a boolean mask or a list of positions selects, as a new table that still knows its root."""
    chosen = table.loc[selection] if pd.api.types.is_bool_dtype(pd.Series(selection)) else table.iloc[selection]
    chosen = chosen.copy()
    chosen.attrs = dict(table.attrs)
    return chosen


def with_boxes(table: pd.DataFrame) -> pd.DataFrame:
    """The fractured rows whose fracture box is known, in the table's order; empty where the table has no boxes."""
    if not set(BOX) <= set(table.columns):
        return rows(table, [])
    return rows(table, table[list(BOX)].notna().all(axis=1) & (table["label"] == POSITIVE))
