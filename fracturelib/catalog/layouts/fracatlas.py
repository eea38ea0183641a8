"""FracAtlas: `images/{Fractured,Non_fractured}`, dataset.csv, split lists of the fractured pictures, boxes thrice.

Abedeen et al., Scientific Data 10, 521 (2023).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from fracturelib.catalog.layouts import boxfiles
from fracturelib.catalog.layouts.contract import Listing, counts_of, images_below, label_of, rows_for, sentence
from fracturelib.catalog.naming import NO_SPLIT, UNKNOWN, split_name
from fracturelib.catalog.options import DataOptions
from fracturelib.catalog.spreadsheet import read_rows
from fracturelib.config import SPLITS
from fracturelib.writing.words import counted

NAME, TITLE = "fracatlas", "FracAtlas"
_TABLE = "dataset.csv"
_NEEDED = {"image_id", "fractured"}
_REGIONS, _VIEWS = ("hand", "leg", "hip", "shoulder"), ("frontal", "lateral", "oblique")
_FACTS = ("hardware", "multiscan")  # fracture_count would state the answer


def fits(top: Path, options: DataOptions) -> bool:
    """A dataset.csv of FracAtlas' own columns."""
    try:
        header = (top / _TABLE).read_text(encoding="utf-8-sig").partition("\n")[0]
    except (OSError, ValueError):
        return False
    names = {name.strip() for name in header.split(",")}
    return names >= _NEEDED and bool(names & {"fracture_count", *_VIEWS})


def read(root: Path, top: Path, options: DataOptions) -> Listing:
    """Label, view and region from dataset.csv, the split of fractured pictures from the lists, boxes from COCO,
    VOC or YOLO, whichever is there."""
    table = rows_for(images_below(root, top))
    table["split"] = _splits(top, table["path"])
    folder = table["path"].map(label_of)
    rows = read_rows(top / _TABLE)[0]
    rows = rows.set_index(rows["image_id"].map(lambda name: PurePosixPath(name).stem)).loc[
        lambda f: ~f.index.duplicated()
    ]
    rows = rows.reindex(table["path"].map(lambda path: PurePosixPath(path).stem)).set_axis(table.index)
    given = pd.to_numeric(rows["fractured"], errors="coerce").fillna(UNKNOWN).astype(int)
    table["label"] = given.where(given != UNKNOWN, folder)
    differ = (given != folder) & (given != UNKNOWN) & (folder != UNKNOWN)
    for column, names in (("view", _VIEWS), ("region", _REGIONS)):
        table[column] = _joined(rows, names)
    facts = rows.reindex(columns=[*_FACTS]).apply(pd.to_numeric, errors="coerce").dropna(axis="columns", how="all")
    table = table.join(facts)
    boxes = boxfiles.raw_boxes(_boxes(top, table["path"]), lambda name: True)
    absent = int((given == UNKNOWN).sum())
    said = sentence(
        counts_of(table),
        counted(len(boxes), "box").replace("boxs", "boxes"),
        "its lists give the split of fractured files only" if (table["split"] == NO_SPLIT).any() else "",
        f"{int(differ.sum())} lie in the folder of the other class than {_TABLE} says, which counts"
        * bool(differ.sum()),
        f"{absent} have no row in {_TABLE}, and the label of their folder" if absent else "",
    )
    return Listing(table, said, boxes)


def _splits(top: Path, paths: pd.Series) -> list[str]:
    """From `Utilities/Fracture Split/{train,valid,test}.csv`."""
    listed: dict[str, str] = {}
    for file in sorted((top / "Utilities" / "Fracture Split").glob("*.csv")):
        split = split_name(file.stem)
        if split in SPLITS:
            names = read_rows(file)[0].iloc[:, 0]
            listed |= {PurePosixPath(name).stem: split for name in names}
    return [listed.get(PurePosixPath(path).stem, NO_SPLIT) for path in paths]


def _joined(rows: pd.DataFrame, names: tuple[str, ...]) -> pd.Series:
    """The names of the columns that hold 1, with "+" between them; None where none does."""
    marked = rows.reindex(columns=[*names]).apply(pd.to_numeric, errors="coerce").eq(1)
    said = ["+".join(name for name, yes in zip(names, row, strict=True) if yes) for row in marked.to_numpy()]
    return pd.Series([text or None for text in said], index=rows.index, dtype=object)


def _boxes(top: Path, paths: pd.Series) -> Iterator[tuple[str, boxfiles.Box, bool]]:
    by_stem = {PurePosixPath(path).stem: path for path in paths}
    folder = top / "Annotations"
    for file in sorted((folder / "COCO JSON").glob("*.json")):
        for name, boxes in boxfiles.coco_boxes(file).items():
            path = by_stem.get(PurePosixPath(name).stem)
            yield from ((path, box, False) for box in boxes if path)
        return
    for file in sorted((folder / "PASCAL VOC").glob("*.xml")):
        if file.stem in by_stem:
            yield from ((by_stem[file.stem], box, False) for box in boxfiles.voc_boxes(file))
    if (folder / "PASCAL VOC").is_dir():
        return
    for file in sorted((folder / "YOLO").glob("*.txt")):
        if file.stem in by_stem:
            yield from ((by_stem[file.stem], box, True) for box in boxfiles.yolo_boxes(file, ["fractured"]))
