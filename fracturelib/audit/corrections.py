"""What mends a set: sources written into `metadata.csv`, and a clean split as a list; no image is moved or deleted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from fracturelib.audit.result import Audit
from fracturelib.catalog import UNKNOWN, resplit
from fracturelib.catalog.naming import nfc, plain
from fracturelib.catalog.split_list import SPLIT_LIST
from fracturelib.catalog.splits import grouping_column
from fracturelib.errors import CatalogError
from fracturelib.files import check_output, check_replaceable, replaced
from fracturelib.files.csv_text import CsvText, Record
from fracturelib.files.tables import as_text, from_text, safe_table

METADATA = "metadata.csv"
LISTED = ("file", "split", "label", "source_id")
BEFORE = "source_id_before_audit"  # where a source_id that changes is kept


def check_corrections(root: str | Path, *, metadata: bool, clean_split: bool) -> None:
    """Find before the audit what would stop `write_metadata` or `write_clean_split` after it.

    Raises:
        FracturelibError: a file cannot be written, is no plain file, or is a list of splits that no audit made.
    """
    if metadata:
        file = _metadata_of(root)
        check_replaceable(file)
        _read(file)
    if clean_split:
        check_output(Path(root) / SPLIT_LIST, columns=LISTED)


def write_metadata(audit: Audit) -> Path:
    """Write the audit's `source_id` into `<root>/metadata.csv`; returns its path.

    All else stays byte for byte: other columns, rows and their order, quotes, line ends, encoding. Files without a
    row get one at the end. Where another source_id stood before, it is kept in the column "source_id_before_audit".

    Raises:
        CatalogError: the old file cannot be read, or the folder cannot be written to.
    """
    file = _metadata_of(audit.root)
    sources = audit.table.set_index("path")["source_id"]
    text = _read(file)
    if text is None:
        text = CsvText("", ",")
        text.append(["file", "source_id"])
    _edit(text, sources)
    _write(file, lambda partial: partial.write_bytes(str(text).encode(text.encoding)))
    return file


def write_clean_split(audit: Audit, *, seed: int = 0) -> Path:
    """Deal the sources (and patients, where known) anew to train, val and test, 70 : 15 : 15; returns the list's path.

    `read_catalog` then takes the split from `<root>/clean_split.csv`; without that file, from the folders again.

    Raises:
        CatalogError: files without a class, too few sources of a class, or the folder cannot be written to.
    """
    table = audit.table
    if (table["label"] == UNKNOWN).any():
        raise CatalogError(
            "a clean split needs the class of every file",
            file=audit.root,
            cause=f"{int((table['label'] == UNKNOWN).sum())} files lie in no class folder",
            cure="sort the files into folders 'fractured' and 'not fractured'",
        )
    clean = resplit(table, by=grouping_column(table), seed=seed)
    file = Path(audit.root) / SPLIT_LIST
    listed = clean.rename(columns={"path": "file"})[list(LISTED)]
    _write(
        check_output(file, columns=LISTED),
        lambda partial: safe_table(listed).to_csv(partial, index=False, lineterminator="\n"),
    )
    return file


def _metadata_of(root: str | Path) -> Path:
    """The file that is edited: what a link named metadata.csv points to, so that the link stays."""
    return (Path(root) / METADATA).resolve()


def _read(file: Path) -> CsvText | None:
    """Every cell as it was written; None where there is no file.

    Raises:
        CatalogError: it is no text, has no column `file`, or a row has more cells than the header.
    """
    if not file.is_file():
        return None
    try:
        text = CsvText.parse(file.read_bytes())
    except (OSError, ValueError) as error:
        raise CatalogError(
            f"metadata.csv cannot be read ({error})",
            file=file,
            cause="not a table in UTF-8, with commas, semicolons or tabs between its columns",
            cure="save it again as CSV (UTF-8); nothing was written",
        ) from error
    if _place(text, "file") is None:
        raise CatalogError(
            "metadata.csv has no column 'file'", file=file, cure="add it, with paths such as 'train/fractured/1.jpg'"
        )
    width = len(text.records[0].cells)
    for number, record in enumerate(text.records, start=1):
        if any(cell.strip() for cell in record.cells[width:]):
            what = f"row {number} of metadata.csv has {len(record.cells)} cells, the header {width}"
            raise CatalogError(what, file=file, cure="put names with commas into quotes; nothing was written")
    return text


def _place(text: CsvText, column: str) -> int | None:
    """Which column has this name, however it is spelled; None if there is none."""
    names = [plain(name.lstrip("\ufeff")) for name in text.values(text.records[0])] if text.records else []
    return names.index(plain(column)) if plain(column) in names else None


def _edit(text: CsvText, sources: pd.Series) -> None:
    """Put the sources into the rows that name these files, and add rows for the others."""
    file, own = _place(text, "file"), _place(text, "source_id")
    rows = [record for record in text.records[1:] if not record.is_blank]
    paths = [_path(text.values(record), file) for record in rows]
    known = {nfc(path): source for path, source in sources.items()}
    found = [known.get(path) for path in paths]
    before = [from_text(_at(text.values(record), own).strip()) for record in rows]
    changed = [new is not None and new != old for new, old in zip(found, before, strict=True)]
    if own is None:
        own = _append_column(text, "source_id")
    kept = _place(text, BEFORE)
    if kept is None and any(old for old, moved in zip(before, changed, strict=True) if moved):
        kept = _append_column(text, BEFORE)
    for record, new, old, moved in zip(rows, found, before, changed, strict=True):
        if moved and old and kept is not None and not _at(record.cells, kept):
            _put(record, kept, text.cell(as_text(old)))
        if moved:
            _put(record, own, text.cell(as_text(new)))
    width = len(text.records[0].cells)
    named = set(paths)
    for path, source in sources[[nfc(path) not in named for path in sources.index]].items():
        cells = [""] * width
        cells[file or 0], cells[own] = as_text(path), as_text(source)
        text.append(cells)


def _path(values: list[str], place: int | None) -> str:
    """The file that a row names."""
    return nfc(from_text(_at(values, place)).strip().replace("\\", "/").removeprefix("./"))


def _at(cells: list[str], place: int | None) -> str:
    """A cell; empty where the row is too short or the column is missing."""
    return cells[place] if place is not None and place < len(cells) else ""


def _put(record: Record, place: int, cell: str) -> None:
    record.cells += [""] * (place + 1 - len(record.cells))
    record.cells[place] = cell


def _append_column(text: CsvText, name: str) -> int:
    """A last column; returns its place."""
    place = len(text.records[0].cells)
    text.records[0].cells.append(name)
    for record in text.records[1:]:
        if not record.is_blank:
            del record.cells[place:]  # empty cells beyond the header
            _put(record, place, "")
    return place


def _write(file: Path, write: Callable[[Path], object]) -> None:
    """Write beside the final name, then rename; a file that was there gives its mode."""
    try:
        check_replaceable(file)
        with replaced(file) as partial:
            if file.exists():
                shutil.copymode(file, partial)
            write(partial)
    except OSError as error:
        raise CatalogError(
            f"{file.name} cannot be written: {error.strerror or error}",
            file=file.parent,
            cause="the data folder is read-only, or the disk is full",
            cure="copy the folder to where you may write; the report has the same sources in sources.csv",
        ) from error
