"""What mends a set: sources written into `metadata.csv`, and a clean split as a list; no image is moved or deleted."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from fracturelib.audit.result import Audit
from fracturelib.catalog import UNKNOWN, resplit
from fracturelib.catalog.split_list import SPLIT_LIST
from fracturelib.catalog.splits import grouping_column
from fracturelib.errors import CatalogError
from fracturelib.files import check_output, check_replaceable, replaced
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

    Columns, rows and their order stay; files without a row get one at the end. Where another source_id stood before,
    it is kept in the column "source_id_before_audit". The new file is written beside the old one, compared with it,
    and only then renamed.

    Raises:
        CatalogError: the old file cannot be read, something of it would be lost, or the folder cannot be written to.
    """
    file = _metadata_of(audit.root)
    old = _read(file)
    new = _with_sources(old, audit.table.set_index("path")["source_id"])

    def check(written: Path) -> None:
        if old is None:
            return
        kept, again = old[_kept_columns(old)], _read(written)
        if again is None or not again.iloc[: len(old)][list(kept)].equals(kept):
            raise CatalogError("something of the old metadata.csv would be lost; it was left as it is", file=file)

    # As they were: pandas numbers names that come twice.
    names = [] if old is None else pd.read_csv(file, header=None, nrows=1, dtype=str, encoding="utf-8-sig").iloc[0]
    _write(new, file, check, header=[*names, *new.columns[len(names) :]])
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
    _write(safe_table(listed), check_output(file, columns=LISTED), lambda _: None)
    return file


def _metadata_of(root: str | Path) -> Path:
    """The file that is edited: what a link named metadata.csv points to, so that the link stays."""
    return (Path(root) / METADATA).resolve()


def _read(file: Path) -> pd.DataFrame | None:
    """Every cell as the text it is; None where there is no file."""
    if not file.is_file():
        return None
    try:
        rows = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise CatalogError(
            f"metadata.csv cannot be read ({error})",
            file=file,
            cause="not a comma-separated table in UTF-8",
            cure="save it again as CSV (UTF-8); nothing was written",
        ) from error
    if "file" not in rows:
        raise CatalogError(
            "metadata.csv has no column 'file'", file=file, cure="add it, with paths such as 'train/fractured/1.jpg'"
        )
    return rows


def _with_sources(old: pd.DataFrame | None, sources: pd.Series) -> pd.DataFrame:
    """The old rows with the new source_id, then rows for files that had none."""
    if old is None:
        return safe_table(sources.rename_axis("file").reset_index())
    path = old["file"].map(from_text).str.strip().str.replace("\\", "/").str.removeprefix("./")
    found = path.map(sources)
    new = old.copy()
    if "source_id" in old:
        changed = found.notna() & (old["source_id"] != "") & (found != old["source_id"].map(from_text))
        if changed.any() and BEFORE not in old:
            new[BEFORE] = old["source_id"].where(changed, "")
        elif changed.any():
            new[BEFORE] = old[BEFORE].where((old[BEFORE] != "") | ~changed, old["source_id"])
        found = found.map(as_text).where(changed | (old["source_id"] == ""), old["source_id"])
    else:
        found = found.map(as_text)
    new["source_id"] = found.fillna("")
    rest = safe_table(sources[~sources.index.isin(set(path))].rename_axis("file").reset_index())
    return pd.concat([new, rest], ignore_index=True).fillna("")


def _kept_columns(old: pd.DataFrame) -> list[str]:
    return [column for column in old if column not in ("source_id", BEFORE)]


def _write(
    table: pd.DataFrame, file: Path, check: Callable[[Path], None], *, header: Sequence[str] | bool = True
) -> None:
    """Write beside the final name, check, rename; a file that was there gives its mode."""
    try:
        check_replaceable(file)
        with replaced(file) as partial:
            if file.exists():
                shutil.copymode(file, partial)
            table.to_csv(partial, index=False, header=header, lineterminator="\n")
            check(partial)
    except OSError as error:
        raise CatalogError(
            f"{file.name} cannot be written: {error.strerror or error}",
            file=file.parent,
            cause="the data folder is read-only, or the disk is full",
            cure="copy the folder to where you may write; the report has the same sources in sources.csv",
        ) from error
