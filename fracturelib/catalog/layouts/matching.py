"""Which row of a table speaks of which picture: by path, by file name, or by accession number, study or patient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import pandas as pd

from fracturelib.catalog.naming import nfc
from fracturelib.catalog.who import tags_of_files, who_from_paths
from fracturelib.errors import CatalogError
from fracturelib.writing.words import counted

FEWEST = 0.5  # share of the rows that must speak of a picture
_WAYS = {"accession": "accession number", "study_id": "study", "patient_id": "patient"}


class Match(NamedTuple):
    """Pairs of a picture and a row.

    Attributes:
        file_numbers, row_numbers: whole numbers (M,): places in the list of paths and in the table.
        by: what they were matched by, for the reader.
        rows_without_a_file: rows that speak of no picture.
    """

    file_numbers: np.ndarray
    row_numbers: np.ndarray
    by: str
    rows_without_a_file: int


def match_rows(paths: pd.Series, rows: pd.DataFrame, columns: dict[str, str], *, root: Path, file: Path) -> Match:
    """The way of matching by which most rows speak of a picture; paths come before names, names before ids.

    Args:
        paths: posix paths relative to `root`, (N,).
        rows: cells as text, (M,).
        columns: meaning → column; "path", "accession", "study_id" and "patient_id" can match.
        root: the data folder.
        file: the table, for messages and because paths in it may be relative to it.

    Raises:
        CatalogError: no row or under half of the rows match by any of them, with the likely cause.
    """
    best: Match | None = None
    share = 0.0
    for match in _matches(paths, rows, columns, root, file):
        found = 1 - match.rows_without_a_file / len(rows)
        if found > share:
            best, share = match, found
        if share == 1:
            break
    if best is None or share < FEWEST:
        raise _no_match(paths, rows, columns, file, matched=len(rows) - best.rows_without_a_file if best else 0)
    return best


def _matches(paths: pd.Series, rows: pd.DataFrame, columns: dict[str, str], root: Path, file: Path) -> Iterator[Match]:
    if "path" in columns:
        cells = rows[columns["path"]].map(_posix)
        for by, of_path, of_cell in _name_keys(root, file):
            yield _match(paths.map(of_path), cells.map(of_cell), f"{by} in “{columns['path']}”", unique=True)
    if not set(_WAYS) & set(columns):
        return
    ids = _ids(root, paths)
    for name, way in _WAYS.items():
        if name in columns and name in ids:
            cells = rows[columns[name]].map(_id)
            yield _match(ids[name], cells, f"{way} in “{columns[name]}”", unique=False)
            yield _match(ids[name].map(_bare), cells.map(_bare), f"{way} in “{columns[name]}”", unique=False)


def _ids(root: Path, paths: pd.Series) -> pd.DataFrame:
    """Accession number, study and patient of each file as stored: from tags, else from paths; "" where unknown."""
    tags = tags_of_files(root, paths)
    found = pd.DataFrame({name: tags.map(lambda one, name=name: getattr(one, name) if one else "") for name in _WAYS})
    named = who_from_paths(paths)
    for name in ("study_id", "patient_id"):
        if name in named:
            found[name] = found[name].where(found[name] != "", named[name].fillna("").astype(str))
    return found.map(_id)


def _name_keys(root: Path, file: Path) -> list[tuple[str, Callable[[str], str], Callable[[str], str]]]:
    """(what it is called, key of a picture's path, key of a cell), strictest first."""
    beside = _posix(_relative(file.parent.resolve(), root.resolve()))

    def from_table(cell: str) -> str:
        return f"{beside}/{cell}" if beside not in ("", ".") else cell

    def tail(text: str) -> str:
        return "/".join(text.split("/")[-2:])

    def name(text: str) -> str:
        return text.rsplit("/", 1)[-1]

    def stem(text: str) -> str:
        base = name(text)
        suffix = PurePosixPath(base).suffix
        return base[: -len(suffix)] if suffix and not suffix[1:].isdigit() else base

    keys: list[tuple[str, Callable[[str], str], Callable[[str], str]]] = [
        ("path", _posix, _posix),
        ("path", _posix, from_table),
        ("path from its last folder on", _end(tail), _end(tail)),
    ]
    keys += [("file name", _end(name), _end(name)), ("file name without ending", _end(stem), _end(stem))]
    return [*keys, ("file name", _folded(stem), _folded(stem))]


def _end(part: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: part(_posix(text))


def _folded(part: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: part(_posix(text)).casefold()


def _match(of_files: pd.Series, of_rows: pd.Series, by: str, *, unique: bool) -> Match:
    """All pairs with the same key; with `unique`, a key that several pictures have matches none of them."""
    files = pd.DataFrame({"key": of_files.to_numpy(), "file": np.arange(len(of_files))})
    files = files[files["key"] != ""]
    if unique:
        files = files[~files["key"].duplicated(keep=False)]
    rows = pd.DataFrame({"key": of_rows.to_numpy(), "row": np.arange(len(of_rows))})
    pairs = files.merge(rows[rows["key"] != ""], on="key")
    without = len(of_rows) - pairs["row"].nunique()
    return Match(pairs["file"].to_numpy(int), pairs["row"].to_numpy(int), by, without)


def _posix(text: str) -> str:
    """A path as it is compared: NFC, "/" between folders, without "./" or a web address's or drive's beginning."""
    return nfc(text).strip().replace("\\", "/").removeprefix("./").rstrip("/")


def _id(text: object) -> str:
    """An id as a cell or a tag writes it; a spreadsheet's 123.0 is 123."""
    return nfc(str(text or "")).strip().removesuffix(".0")


def _bare(text: str) -> str:
    """An id without the zeros that a spreadsheet takes away, and without case."""
    return text.casefold().lstrip("0")


def _relative(inner: Path, outer: Path) -> str:
    return inner.relative_to(outer).as_posix() if inner.is_relative_to(outer) else ""


def _no_match(
    paths: pd.Series, rows: pd.DataFrame, columns: dict[str, str], file: Path, *, matched: int
) -> CatalogError:
    """The likely cause; names of files may be shown, ids may not."""
    what = f"{matched} of {counted(len(rows), 'row')} of the table speak of a picture in this folder"
    if not {"path", *_WAYS} & set(columns):
        cause = f"no column is known to name pictures, studies or patients: {', '.join(list(rows)[:20])}"
        return CatalogError(what, file=file, cause=cause, cure="say which one does, as --columns path=Image")
    if "path" in columns:
        names = paths.map(lambda path: path.rsplit("/", 1)[-1])
        first = rows[columns["path"]].iloc[0]
        cause = f"its column “{columns['path']}” says '{first}' where the folder holds '{paths.iloc[0]}'"
        if names.duplicated().mean() > FEWEST:
            cause = "file names are not unique in this folder, and the table names no folders"
        cure = "write paths relative to the data folder, or say which column names pictures: --columns path=NAME"
        return CatalogError(what, file=file, cause=cause, cure=cure)
    named = ", ".join(f"“{columns[name]}”" for name in _WAYS if name in columns)
    cause = f"the ids in {named} are those of other files, or the files have no such tag"
    return CatalogError(what, file=file, cause=cause, cure="give the table that belongs to this export, or --columns")
