"""Detection sets as Roboflow and others export them: YOLO, COCO or VOC boxes beside the pictures.

A picture with a box of a fracture is fractured; one whose annotation has none is not; one without any is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from fracturelib.catalog.labels import EXAMPLE, Classes
from fracturelib.catalog.layouts import boxfiles
from fracturelib.catalog.layouts.contract import (
    Listing,
    counts_of,
    images_below,
    missing_splits,
    rows_for,
    sentence,
)
from fracturelib.catalog.naming import UNKNOWN, split_name
from fracturelib.catalog.options import DataOptions
from fracturelib.catalog.who import who_from_paths
from fracturelib.errors import CatalogError
from fracturelib.images import folders_in, is_visible, visible_files
from fracturelib.writing.words import few

NAME, TITLE = "detection", "a detection set"
_Annotated = dict[str, list[boxfiles.Box]]  # by path; [] for a picture that was looked at and has no box


def fits(top: Path, options: DataOptions) -> bool:
    """Folders `images` and `labels` side by side, or a COCO file in the folder, a split or `annotations`."""
    inside = folders_in(top)
    names = {folder.name.casefold() for folder in inside}
    splits = [folder for folder in inside if split_name(folder.name)]
    if {"images", "labels"} <= names or any((folder / "labels").is_dir() for folder in splits):
        return True
    if any((top / "data.yaml").is_file() and _beside(folder, ".txt") for folder in (top, *splits)):
        return True
    return bool(_coco_files(top, splits)) or any(_beside(folder, ".xml") for folder in splits)


def read(root: Path, top: Path, options: DataOptions) -> Listing:
    """Every picture with the boxes of the one kind of annotation that is there.

    Raises:
        CatalogError: no class of the boxes is known to be a fracture.
    """
    table, classes = rows_for(images_below(root, top)), Classes(options.classes)
    splits = [folder for folder in folders_in(top) if split_name(folder.name)]
    coco = _coco_files(top, splits)
    if coco:
        kind, relative, found = "COCO", False, _from_coco(root, top, coco, table["path"])
    elif any(file.suffix == ".xml" for file in visible_files(top)):
        kind, relative, found = "VOC", False, _beside_pictures(root, table["path"], ".xml", boxfiles.voc_boxes)
    else:
        kind, relative, names = "YOLO", True, _class_names(top)
        found = _beside_pictures(root, table["path"], ".txt", lambda file: boxfiles.yolo_boxes(file, names))
    boxes = boxfiles.raw_boxes(_flat(found, relative), classes.of_box)
    named = sorted(set(boxes["class"]) | (set(_class_names(top)) if relative else set()))
    if not any(map(classes.of_box, named)):
        cause = f"its classes are {few(named) or 'not named'}"
        raise CatalogError("no class of the boxes is known to be a fracture", file=root, cause=cause, cure=EXAMPLE)
    broken = set(boxes.loc[boxes["fracture"].astype(bool), "path"])
    table["label"] = [int(path in broken) if path in found else UNKNOWN for path in table["path"]]
    counted = sorted({name for name in named if classes.of_box(name)})
    said = sentence(
        f"{kind} boxes, {counts_of(table)}",
        f"{len(boxes):,} boxes, of which {int(boxes['fracture'].sum()):,} count as a fracture ({few(counted)})",
        "a picture without an annotation is unknown" if UNKNOWN in set(table["label"]) else "",
        missing_splits(table),
    )
    return Listing(table.join(who_from_paths(table["path"])), said, boxes)


def _flat(found: _Annotated, relative: bool) -> Iterator[tuple[str, boxfiles.Box, bool]]:
    return ((path, box, relative) for path, boxes in found.items() for box in boxes)


def _coco_files(top: Path, splits: list[Path]) -> list[Path]:
    named = [*top.glob("*.json"), *(top / "annotations").glob("*.json")]
    named += [file for folder in splits for file in folder.glob("*.json")]
    return sorted(file for file in named if is_visible(file.name) and boxfiles.is_coco(file))


def _from_coco(root: Path, top: Path, files: list[Path], paths: pd.Series) -> _Annotated:
    """Names in a COCO file are relative to it, to an `images` folder, or bare."""
    found: _Annotated = {}
    for file in files:
        near = file.parent.relative_to(root).as_posix()
        below = [path for path in paths if near in (".", "annotations") or path.startswith(near + "/")]
        below = list(paths) if file.parent.name.casefold() == "annotations" else below
        ends: dict[str, list[str]] = {}
        for path in below:
            parts = path.split("/")
            for start in range(len(parts)):
                ends.setdefault("/".join(parts[start:]), []).append(path)
        for name, boxes in boxfiles.coco_boxes(file).items():
            matches = ends.get(name) or ends.get(PurePosixPath(name).name, [])
            split = split_name(file.stem.split("_")[-1].rstrip("0123456789"))
            nearest = [path for path in matches if split and any(split_name(part) == split for part in path.split("/"))]
            for path in (nearest or matches)[:1]:
                found.setdefault(path, []).extend(boxes)
    return found


def _beside_pictures(root: Path, paths: pd.Series, suffix: str, read_file) -> _Annotated:
    """Each picture's own file: in `labels` where it lies in `images`, or beside it."""
    found: _Annotated = {}
    for path in paths:
        for name in _annotation_names(path, suffix):
            if (root / name).is_file():
                found[path] = read_file(root / name)
                break
    return found


def _annotation_names(path: str, suffix: str) -> list[str]:
    parts = path.split("/")
    parts[-1] = PurePosixPath(path).stem + suffix
    places = [place for place, part in enumerate(parts[:-1]) if part.casefold() == "images"]
    swapped = [[*parts[:place], "labels", *parts[place + 1 :]] for place in reversed(places)]
    swapped += [[*parts[:place], "annotations", *parts[place + 1 :]] for place in reversed(places)]
    return ["/".join(one) for one in [*swapped, parts]]


def _class_names(top: Path) -> list[str]:
    files = [*sorted(top.glob("*.yaml")), *sorted(top.glob("*.yml"))]
    found = next(filter(None, map(boxfiles.yaml_classes, files)), [])
    listed = next((file for file in (top / "classes.txt", top / "labels" / "classes.txt") if file.is_file()), None)
    return found or (listed.read_text(encoding="utf-8-sig").split("\n") if listed else [])


def _beside(folder: Path, suffix: str) -> bool:
    """Whether a file of this kind lies beside a picture of the same name."""
    names = {child.name for child in folder.iterdir() if is_visible(child.name)}
    stems = {PurePosixPath(name).stem for name in names if name.endswith(suffix)}
    return any(PurePosixPath(name).stem in stems and not name.endswith(suffix) for name in names)
