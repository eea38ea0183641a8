"""A `metadata.csv` beside the folders → further columns of the table."""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd

from fracturelib.catalog.metadata_file import OWN_COLUMNS, nfc, read_metadata
from fracturelib.catalog.naming import class_label
from fracturelib.catalog.selecting import BOX
from fracturelib.config import CLASS_NAMES
from fracturelib.errors import CatalogError, DataWarning
from fracturelib.writing.words import counted


def join_metadata(table: pd.DataFrame, file: Path) -> pd.DataFrame:
    """A new table with the columns of `metadata.csv`; the table itself where there is no such file.

    The column `file` (posix path relative to the root) joins. A `source_id` there overrides the one from
    the file name. Columns that the folders and images answer themselves are not taken over; a `label` that
    disagrees with the folder is warned about, and so are boxes that lie in no picture, which become NaN. Rows of
    absent files are ignored; files without a row get NaN, with one warning.

    Raises:
        CatalogError: the file cannot be read, has no column `file`, names a file twice, or fits other files.
    """
    if not file.is_file():
        return table
    rows, said = read_metadata(file)
    paths = nfc(table["path"])
    _check_fit(rows, paths, file)
    without = int((~paths.isin(rows.index)).sum())
    if without:
        said.append(f"{without} of {len(table)} files have no row in {file.name}")
    rows = rows.reindex(paths).set_axis(table.index)  # one row per image, in the table's order
    said += _compare_labels(table, rows, file)
    if set(BOX) <= set(rows):
        boxes = _boxes(table, rows)
        bad = rows[list(BOX)].notna().any(axis=1) & boxes.isna().any(axis=1)
        rows[list(BOX)] = boxes
        if bad.any():
            first = table["path"][bad].iloc[0]
            rest = f"with a box that lies in no picture, ignored (first: {first})"
            said.append(f"{file.name}: {counted(int(bad.sum()), 'row')} {rest}")
    if "source_id" in rows:
        table = table.assign(source_id=_override(table["source_id"], rows["source_id"]))
    brought = [column for column in rows if column not in (*OWN_COLUMNS, "source_id")]
    known = [column for column in brought if column in table]  # from names, which the file outranks
    joined = table.drop(columns=known).join(rows[brought].fillna(table[known]))
    joined.attrs = dict(table.attrs)  # not every version of pandas keeps them
    for sentence in said:
        warnings.warn(sentence, DataWarning, stacklevel=4)
    return joined


def _check_fit(rows: pd.DataFrame, paths: pd.Series, file: Path) -> None:
    """A table that is about other files, or names these in another way, would lose its patients in silence."""
    if rows.empty or rows.index.isin(paths).mean() >= 0.5 or paths.isin(rows.index).mean() >= 0.5:
        return
    raise CatalogError(
        f"{int(rows.index.isin(paths).sum())} of {len(rows)} rows of {file.name} name a file of this folder",
        file=file,
        cause=f"it names '{rows.index[0]}' where the folder holds '{paths.iloc[0]}'",
        cure="write paths relative to the data folder, with folders and ending, into the column 'file'",
    )


def _boxes(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The box columns as numbers (N, 4); NaN in all four where they are no box within the picture."""
    boxes = rows[list(BOX)].apply(pd.to_numeric, errors="coerce").astype(float)
    x, y, width, height = (boxes[name] for name in BOX)
    inside = (x > -1) & (y > -1) & (x + width < table["width"] + 1) & (y + height < table["height"] + 1)
    return boxes.where(inside & (width > 0) & (height > 0))


def _override(from_name: pd.Series, given: pd.Series) -> pd.Series:
    """Given sources where there are any; a copy without a row takes the source of its original."""
    followed = from_name.map(given.groupby(from_name).first())
    return given.fillna(followed).fillna(from_name)


def _compare_labels(table: pd.DataFrame, rows: pd.DataFrame, file: Path) -> list[str]:
    """One sentence where labels contradict the folders."""
    if "label" not in rows:
        return []
    given = pd.to_numeric(rows["label"], errors="coerce")
    given = given.fillna(rows["label"].map(lambda name: class_label(name) if isinstance(name, str) else None))
    wrong = given.notna() & (given != table["label"])
    if not wrong.any():
        return []
    first = table["path"][wrong].iloc[0]
    folder = CLASS_NAMES[table["label"][wrong].iloc[0]]
    return [
        f"{file.name} contradicts the folders on the class of {int(wrong.sum())} of {len(table)} files; the "
        f"folder counts (first: {first}, in a folder for '{folder}')"
    ]
