"""A `clean_split.csv` beside the folders: which split each file belongs to, whatever folder it lies in.

The audit writes it, so that a clean split needs no file to be moved; taking it away restores the split of the folders.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd

from fracturelib.config import SPLITS
from fracturelib.errors import CatalogError, DataWarning
from fracturelib.files.tables import from_text

SPLIT_LIST = "clean_split.csv"


def apply_split_list(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    """A new table with the splits of the list; the table itself where there is none. Warns with DataWarning.

    The list has the columns `file` (posix path relative to the root) and `split`. Rows of absent files are ignored;
    files without a row keep the split of their folder, with their number in the warning.

    Raises:
        CatalogError: the list cannot be read, lacks a column, names a file twice or an unknown split.
    """
    file = root / SPLIT_LIST
    if not file.is_file():
        return table
    listed = _read(file)
    given = table["path"].map(listed)
    text = f"the splits are those of {file.name}, not those of the folders"
    if given.isna().any():
        text += f"; {int(given.isna().sum())} of {len(table)} files are not in it and keep the split of their folder"
    warnings.warn(text, DataWarning, stacklevel=3)
    return table.assign(split=given.fillna(table["split"]).astype(object))


def _read(file: Path) -> pd.Series:
    """Split by posix path."""
    cure = "run `fracturelib audit DIR --clean-split` again, or delete the file: the folders then say the split"
    try:
        rows = pd.read_csv(file, dtype=str, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise CatalogError(f"{file.name} cannot be read ({error})", file=file, cure=cure) from error
    missing = [column for column in ("file", "split") if column not in rows]
    if missing:
        raise CatalogError(f"{file.name} has no column '{missing[0]}'", file=file, cure=cure)
    unknown = rows.loc[~rows["split"].isin(SPLITS), "split"]
    if len(unknown):
        raise CatalogError(f"{file.name} has an unknown split: {unknown.iloc[0]}", file=file, cure=cure)
    listed = rows.set_index(rows["file"].map(from_text))["split"]
    twice = listed.index[listed.index.duplicated()]
    if len(twice):
        raise CatalogError(f"{file.name} has more than one row for {twice[0]}", file=file, cure=cure)
    return listed
