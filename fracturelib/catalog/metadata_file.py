"""The text of a `metadata.csv`, as people and programs write it → one row per file, under the names that are used here.

Names of columns are matched without regard to case, spaces, "_" and "-"; names of files without regard to the two ways
of writing an accented letter (Unicode NFC and NFD).
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from fracturelib.catalog import naming
from fracturelib.catalog.columns import MEANINGS, WHO
from fracturelib.catalog.naming import plain
from fracturelib.catalog.selecting import BOX
from fracturelib.errors import CatalogError
from fracturelib.files.csv_text import opening
from fracturelib.files.tables import from_text

KEYS = ("file", "source_id", "patient_id", "study_id")  # read as text, so that "007" stays "007"
# What the folders and the images themselves say is not overruled by a text file; `label` is compared with the folder.
OWN_COLUMNS = (
    *("path", "split", "label", "width", "height", "mode", "truncated", "sha256", "grey_mean", "grey_std"),
    *("inverted", "turned"),
)
RESERVED = (
    "bit_depth",
    "content",
    "problem",
    "probability",
    "raw",
    "prediction",
    "class",
    "source_by",
)  # of later tables
_KNOWN = {plain(name): name for name in (*KEYS, *OWN_COLUMNS, *RESERVED, *BOX, "view", "region", "conspicuity")}
_KNOWN["patient"] = "patient_id"
_ALIASES = {  # where no column has the name itself
    plain(alias): meaning for meaning in WHO for alias in MEANINGS[meaning].split(", ")
}
MOST_COLUMNS = 200  # further ones are no description of a picture: features that another program measured
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_NOBODY = ("unknown", "none", "n/a", "na", "-", "?", "")  # in a column of ids, these are no id


class MetadataRows(NamedTuple):
    """The rows, indexed by posix path (NFC), and sentences on what was read in a way that the reader should know."""

    rows: pd.DataFrame
    said: list[str]


def read_metadata(file: Path) -> MetadataRows:
    """Read the file; see `join_metadata`.

    Raises:
        CatalogError: it cannot be read, has no column `file` or two of one meaning, or names a file twice.
    """
    try:
        text, separator = read_text(file)
        header = _header(text, separator)
        places, names, said = _columns(header, file)
        rows = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            header=0,
            names=range(len(header)),
            usecols=places,
            dtype=dict.fromkeys((place for place, name in zip(places, names, strict=True) if name in KEYS), str),
            index_col=False,
            skipinitialspace=True,
            low_memory=False,
        ).set_axis(names, axis="columns")
    except (OSError, ValueError, csv.Error) as error:  # pandas' own parser errors and bad encodings are ValueErrors
        raise CatalogError(
            f"metadata.csv cannot be read ({error})",
            file=file,
            cause="not a table in UTF-8, with commas, semicolons or tabs between its columns",
            cure="save it again as CSV (UTF-8), or take it out of the data folder",
        ) from error
    if separator != ",":
        said.insert(0, f"{file.name} is read with {_SEPARATORS[separator]} between its columns")
    for key in set(KEYS) & set(names):
        rows[key] = _ids(rows[key], keep_all=key == "file")
    return MetadataRows(_by_path(rows.dropna(subset="file"), file), said)


def read_text(file: Path) -> tuple[str, str]:
    """The text without a byte order mark and without Excel's line "sep=;", and the separator of its columns."""
    data = file.read_bytes()
    text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    start, separator = opening(text)
    return text[start:], separator


def _header(text: str, separator: str) -> list[str]:
    """The names of the columns; ValueError where there are none, or where a row has more cells than these."""
    lines = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    header = next(lines, [])
    if not header:
        raise ValueError("it is empty")
    for cells in lines:
        if len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :]):
            raise ValueError(f"line {lines.line_num} has {len(cells)} cells, the header {len(header)}")
    return header


def nfc(paths: pd.Series) -> pd.Series:
    """Names as one of the two ways of writing an accented letter writes them."""
    return paths.map(naming.nfc, na_action="ignore")


def _columns(header: list[str], file: Path) -> tuple[list[int], list[str], list[str]]:
    """Places and names of the columns that are read, and what the reader should know about the others."""
    named = {place: _KNOWN.get(plain(name), name.strip()) for place, name in enumerate(header) if name.strip()}
    if "file" not in named.values():
        raise CatalogError(
            "metadata.csv has no column 'file'",
            file=file,
            cause=f"its columns are {', '.join(list(named.values())[:20])}",
            cure="add a column 'file' with paths such as 'train/fractured/1.jpg'",
        )
    for place, name in list(named.items()):
        meaning = _ALIASES.get(plain(name))
        if meaning is not None and meaning not in named.values():
            named[place] = meaning
    for key in KEYS:
        same = [header[place] for place, name in named.items() if name == key]
        if len(same) > 1:
            what = f"metadata.csv has {len(same)} columns for {key}: {', '.join(same)}"
            raise CatalogError(what, file=file, cure="keep one of them")
    said = []
    reserved = sorted(set(named.values()) & set(RESERVED))
    if reserved:
        said.append(f"{file.name}: not read, because these names are used otherwise: {', '.join(reserved)}")
    if len(named) > MOST_COLUMNS:
        named = {place: name for place, name in named.items() if name in _KNOWN.values()}
        verb = "are" if len(named) > 1 else "is"
        said.append(f"{file.name} has {len(header):,} columns; only {', '.join(named.values())} {verb} read")
    first = {name: place for place, name in reversed(named.items()) if name not in RESERVED}
    names = sorted(first, key=lambda name: first[name])
    return [first[name] for name in names], names, said


def _ids(column: pd.Series, *, keep_all: bool) -> pd.Series:
    """Text as it was before it was made safe for spreadsheets, without spaces around it; no id becomes NaN."""
    column = column.map(from_text, na_action="ignore").str.strip()
    return column if keep_all else column.mask(column.str.casefold().isin(_NOBODY))


def _by_path(rows: pd.DataFrame, file: Path) -> pd.DataFrame:
    rows = rows.copy()
    rows.index = pd.Index(nfc(rows.pop("file").str.replace("\\", "/").str.removeprefix("./")))
    twice = rows.index[rows.index.duplicated()]
    if len(twice):
        raise CatalogError(
            f"metadata.csv has more than one row for {twice[0]}", file=file, cure="keep one row per file"
        )
    return rows
