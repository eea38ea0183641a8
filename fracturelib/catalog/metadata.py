"""A `metadata.csv` beside the folders → further columns of the table."""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd

from fracturelib.catalog.naming import class_label
from fracturelib.config import CLASS_NAMES
from fracturelib.errors import CatalogError, DataWarning
from fracturelib.files.tables import from_text

# What the folders and the images themselves say is not overruled by a text file.
OWN_COLUMNS = ("path", "split", "label", "width", "height", "mode", "truncated", "sha256", "grey_mean", "grey_std")
_KEYS = {"file": str, "source_id": str, "patient_id": str}  # as text, so that "007" stays "007"


def join_metadata(table: pd.DataFrame, file: Path) -> pd.DataFrame:
    """A new table with the columns of `metadata.csv`; the table itself where there is no such file.

    The column `file` (posix path relative to the root) joins. A `source_id` there overrides the one from
    the file name. Columns that the folders and images answer themselves are not taken over; a `label` that
    disagrees with the folder is warned about. Rows of absent files are ignored; files without a row get
    NaN, with one warning.

    Raises:
        CatalogError: the file cannot be read, has no column `file`, or names a file twice.
    """
    if not file.is_file():
        return table
    rows = _read(file)
    without = int((~table["path"].isin(rows.index)).sum())
    if without:
        warnings.warn(f"{without} of {len(table)} files have no row in {file.name}", DataWarning, stacklevel=3)
    rows = rows.reindex(table["path"]).set_axis(table.index)  # one row per image, in the table's order
    _compare_labels(table, rows, file)
    if "source_id" in rows:
        table = table.assign(source_id=_override(table["source_id"], rows["source_id"].map(from_text)))
    extra = [column for column in rows if column not in (*OWN_COLUMNS, "source_id")]
    joined = table.join(rows[extra])
    joined.attrs = dict(table.attrs)  # not every version of pandas keeps them
    return joined


def _read(file: Path) -> pd.DataFrame:
    """The CSV, indexed by posix path."""
    try:
        rows = pd.read_csv(file, dtype=_KEYS, encoding="utf-8-sig")
    except (OSError, ValueError) as error:  # pandas' own parser errors and bad encodings are ValueErrors
        raise CatalogError(
            f"metadata.csv cannot be read ({error})",
            file=file,
            cause="not a comma-separated table in UTF-8",
            cure="save it again as CSV (UTF-8), or take it out of the data folder",
        ) from error
    if "file" not in rows:
        raise CatalogError(
            "metadata.csv has no column 'file'",
            file=file,
            cause=f"its columns are {', '.join(map(str, rows.columns))}; perhaps it is separated by semicolons or tabs",
            cure="add a column 'file' with paths such as 'train/fractured/1.jpg'",
        )
    rows = rows.dropna(subset="file")
    rows.index = rows.pop("file").map(from_text).str.strip().str.replace("\\", "/").str.removeprefix("./")
    twice = rows.index[rows.index.duplicated()]
    if len(twice):
        raise CatalogError(
            f"metadata.csv has more than one row for {twice[0]}", file=file, cure="keep one row per file"
        )
    return rows


def _override(from_name: pd.Series, given: pd.Series) -> pd.Series:
    """Given sources where there are any; a copy without a row takes the source of its original."""
    followed = from_name.map(given.groupby(from_name).first())
    return given.fillna(followed).fillna(from_name)


def _compare_labels(table: pd.DataFrame, rows: pd.DataFrame, file: Path) -> None:
    if "label" not in rows:
        return
    given = pd.to_numeric(rows["label"], errors="coerce")
    given = given.fillna(rows["label"].map(lambda name: class_label(name) if isinstance(name, str) else None))
    wrong = given.notna() & (given != table["label"])
    if wrong.any():
        first = table["path"][wrong].iloc[0]
        folder = CLASS_NAMES[table["label"][wrong].iloc[0]]
        warnings.warn(
            f"{file.name} contradicts the folders on the class of {int(wrong.sum())} of {len(table)} files; the "
            f"folder counts (first: {first}, in a folder for '{folder}')",
            DataWarning,
            stacklevel=4,
        )
