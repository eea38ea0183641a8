"""A table of one's own (CSV, TSV, XLSX) beside any tree of pictures."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fracturelib.catalog.columns import BOXES, CORNERS, WHO, find_columns
from fracturelib.catalog.labels import Classes
from fracturelib.catalog.layouts.contract import (
    RAW_BOXES,
    Listing,
    counts_of,
    images_below,
    missing_splits,
    rows_for,
    sentence,
)
from fracturelib.catalog.layouts.matching import Match, match_rows
from fracturelib.catalog.naming import NO_SPLIT, UNKNOWN, split_name
from fracturelib.catalog.options import DataOptions
from fracturelib.catalog.selecting import BOX
from fracturelib.catalog.spreadsheet import SUFFIXES, read_rows
from fracturelib.catalog.who import filled, who_from_paths, without_other_objects
from fracturelib.errors import CatalogError
from fracturelib.images import is_visible
from fracturelib.writing.words import counted

NAME, TITLE = "table", "a table beside pictures"
_OURS = ("clean_split.csv",)
_TAKEN = (*WHO, "age", "sex", "source_id")


def fits(top: Path, options: DataOptions) -> bool:
    """The user names a table, or one that fits lies in the folder."""
    return bool(options.labels) or _found_in(top, options) is not None


def read(root: Path, top: Path, options: DataOptions) -> Listing:
    """Labels, splits and who is who from the table's rows; a picture without a row is unknown.

    Raises:
        CatalogError: no table, no column of labels or names, under half of the rows match, or rows contradict each
            other.
    """
    file = Path(options.labels) if options.labels else _found_in(top, options)
    if file is None:
        raise CatalogError("there is no table of labels", file=root, cure="name it with --labels FILE")
    rows, how = read_rows(file)
    paths, others = without_other_objects(root, images_below(root, top))
    table = rows_for(paths)
    columns = find_columns(list(rows), options.columns, file)
    if "label" not in columns:
        cause = f"its columns are {', '.join(list(rows)[:20])}"
        raise CatalogError("the table has no column of labels", file=file, cause=cause, cure="--columns label=NAME")
    match = match_rows(table["path"], rows, columns, root=root, file=file)
    labels = Classes(options.classes).of_cells(rows[columns["label"]], column=columns["label"], file=file)
    table = _joined(table, rows.assign(**{columns["label"]: labels}), columns, match, file)
    said = sentence(
        f"{file.name}, by {match.by}" + (f" ({', '.join(how)})" if how else ""),
        f"“{columns['label']}” is the label",
        counts_of(table),
        f"{counted(match.rows_without_a_file, 'row')} of the table without a picture" * bool(match.rows_without_a_file),
        missing_splits(table),
    )
    return Listing(table, said, _boxes(table["path"], rows, columns, match), skipped=tuple(others))


def _joined(table: pd.DataFrame, rows: pd.DataFrame, columns: dict[str, str], match: Match, file: Path) -> pd.DataFrame:
    """One row per picture; several rows of a picture must agree, unless each describes a box."""
    label = rows[columns["label"]].astype(int).iloc[match.row_numbers].reset_index(drop=True)
    by_file = label.groupby(match.file_numbers)
    torn = by_file.min() < by_file.max()
    boxed = set(BOX) <= set(columns) or set(CORNERS) <= set(columns)
    if not boxed and torn.any():
        path = table["path"].iloc[torn.idxmax()]
        cure = "keep one row per picture, or say with --columns what tells the pictures apart"
        raise CatalogError(f"rows of the table give {path} two labels", file=file, cure=cure)
    table = table.assign(label=by_file.max().reindex(table.index, fill_value=UNKNOWN).astype(int))
    first = pd.Series(match.row_numbers).groupby(match.file_numbers).first()
    own = rows.iloc[first.to_numpy()].set_axis(first.index).reindex(table.index)
    if "split" in columns:
        splits = own[columns["split"]].map(lambda name: split_name(name) or NO_SPLIT, na_action="ignore")
        table = table.assign(split=splits.fillna(table["split"]).astype(object))
    table = table.assign(**{name: own[columns[name]].replace("", None) for name in _TAKEN if name in columns})
    if "age" in table:
        table["age"] = pd.to_numeric(table["age"].astype(str).str.rstrip("Yy"), errors="coerce")
    if "source_id" in table and table["source_id"].isna().any():
        table["source_id"] = table["source_id"].fillna(table["path"])
    return filled(table, who_from_paths(table["path"]))


def _boxes(paths: pd.Series, rows: pd.DataFrame, columns: dict[str, str], match: Match) -> pd.DataFrame:
    """Every matched row with a box in pixels; they are taken for fractures where the picture's label says so."""
    if not (set(BOX) <= set(columns) or set(CORNERS) <= set(columns)):
        return pd.DataFrame(columns=list(RAW_BOXES))
    own = rows.iloc[match.row_numbers].reset_index(drop=True)
    number = {name: pd.to_numeric(own[columns[name]], errors="coerce") for name in BOXES if name in columns}
    if set(BOX) <= set(columns):
        x, y, w, h = (number[name] for name in BOX)
    else:
        x, y = number["xmin"], number["ymin"]
        w, h = number["xmax"] - x, number["ymax"] - y
    path = paths.iloc[match.file_numbers].to_numpy()
    boxes = pd.DataFrame({"path": path, "class": "", "fracture": True, "x": x, "y": y, "w": w, "h": h})
    return boxes.assign(relative=False).dropna(subset=["x", "y", "w", "h"]).reset_index(drop=True)


def _found_in(top: Path, options: DataOptions) -> Path | None:
    """The one table in the folder that fits the pictures there; None where there is none or several."""
    candidates = [
        file for file in sorted(top.iterdir())
        if file.suffix.lower() in SUFFIXES and is_visible(file.name) and file.name not in _OURS and file.is_file()
    ]  # fmt: skip
    if not candidates:
        return None
    paths = pd.Series(images_below(top, top))
    fitting = [file for file in candidates if _is_one(file, paths, top, options)]
    return fitting[0] if len(fitting) == 1 else None


def _is_one(file: Path, paths: pd.Series, top: Path, options: DataOptions) -> bool:
    try:
        rows, _ = read_rows(file)
        columns = find_columns(list(rows), options.columns, file)
        if "label" not in columns:
            return False
        match_rows(paths, rows, columns, root=top, file=file)
    except CatalogError:
        return False
    return True
