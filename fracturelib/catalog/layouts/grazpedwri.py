"""GRAZPEDWRI-DX: wrists of children, `0001_1297860395_01_WRI-L1_M014.png`, with dataset.csv and boxes.

Nagy et al., A pediatric wrist trauma X-ray dataset (GRAZPEDWRI-DX) for machine learning, Scientific Data 9, 222 (2022).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from fracturelib.catalog.labels import Classes
from fracturelib.catalog.layouts import boxfiles
from fracturelib.catalog.layouts.contract import Listing, counts_of, images_below, missing_splits, rows_for, sentence
from fracturelib.catalog.naming import UNKNOWN
from fracturelib.catalog.options import DataOptions
from fracturelib.catalog.spreadsheet import read_rows
from fracturelib.catalog.who import GRAZ, filled, who_from_paths

NAME, TITLE = "grazpedwri", "GRAZPEDWRI-DX"
_TABLE = "dataset.csv"
_COLUMNS = {"laterality": "laterality", "projection": "view", "device_manufacturer": "device", "gender": "sex"}
_NUMBERS = ("age", "cast", "metal", "osteopenia", "initial_exam", "pixel_spacing")


def fits(top: Path, options: DataOptions) -> bool:
    """A dataset.csv with the columns `filestem` and `fracture_visible`."""
    try:
        header = (top / _TABLE).read_text(encoding="utf-8-sig").partition("\n")[0].replace(";", ",")
    except (OSError, ValueError):
        return False
    return {"filestem", "fracture_visible"} <= {name.strip() for name in header.split(",")}


def read(root: Path, top: Path, options: DataOptions) -> Listing:
    """Label and who is who from dataset.csv, else from file names; boxes from the YOLO or VOC folder."""
    paths = [path for path in images_below(root, top) if GRAZ.match(PurePosixPath(path).name)] or images_below(
        root, top
    )
    table = rows_for(paths)
    rows = read_rows(top / _TABLE)[0].drop_duplicates("filestem").set_index("filestem")
    rows = rows.reindex(table["path"].map(lambda path: PurePosixPath(path).stem)).set_axis(table.index)
    known = rows["fracture_visible"].notna()
    visible = pd.to_numeric(rows["fracture_visible"], errors="coerce").fillna(0) == 1  # empty means none
    table["label"] = visible.astype(int).where(known, UNKNOWN)
    table = filled(table.join(_who(rows)), who_from_paths(table["path"]))
    boxes = boxfiles.raw_boxes(_boxes(top, table["path"]), Classes(options.classes).of_box)
    unsure = int((pd.to_numeric(rows.get("diagnosis_uncertain"), errors="coerce") == 1).sum())
    said = sentence(
        counts_of(table),
        f"{table['patient_id'].nunique():,} patients, {table['study_id'].nunique():,} studies, {len(boxes):,} boxes",
        f"{unsure} files are marked as uncertain, and keep their label" if unsure else "",
        f"{int((~known).sum())} files have no row in {_TABLE}" if (~known).any() else "",
        missing_splits(table),
    )
    return Listing(table, said, boxes)


def _who(rows: pd.DataFrame) -> pd.DataFrame:
    """Patient, study, view, laterality and device; numbers that describe a picture."""
    found = pd.DataFrame(index=rows.index)
    if "patient_id" in rows:
        found["patient_id"] = rows["patient_id"].map(_padded, na_action="ignore")
        if "study_number" in rows:
            study = rows["study_number"].map(lambda number: _padded(number).lstrip("0"), na_action="ignore")
            found["study_id"] = found["patient_id"] + "_" + study
    for column, name in _COLUMNS.items():
        if column in rows:
            found[name] = rows[column].replace("", None)
    for column in _NUMBERS:
        if column in rows:
            numbers = pd.to_numeric(rows[column], errors="coerce")
            found[column] = (
                numbers if column in ("age", "pixel_spacing") else numbers.fillna(0).where(rows[column].notna())
            )
    return found


def _padded(number: str) -> str:
    """Patient "1" is written "0001" in the names of files."""
    return number.removesuffix(".0").zfill(4)


def _boxes(top: Path, paths: pd.Series) -> Iterator[tuple[str, boxfiles.Box, bool]]:
    by_stem = {PurePosixPath(path).stem: path for path in paths}
    folder = top / "folder_structure"
    yolo, voc = (sorted((folder / name).rglob(f"*.{end}")) for name, end in (("yolov5", "txt"), ("pascalvoc", "xml")))
    names = [boxfiles.yaml_classes(file) for file in sorted((folder / "yolov5").rglob("*.yaml"))]
    classes = next(filter(None, names), [])
    if classes:
        for file in yolo:
            if file.stem in by_stem:
                yield from ((by_stem[file.stem], box, True) for box in boxfiles.yolo_boxes(file, classes))
        return
    for file in voc:
        if file.stem in by_stem:
            yield from ((by_stem[file.stem], box, False) for box in boxfiles.voc_boxes(file))
