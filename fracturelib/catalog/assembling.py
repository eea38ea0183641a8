"""From a folder to rows, and from rows to the table: what `read_catalog` and `survey` have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from fracturelib.catalog.about import About, no_boxes
from fracturelib.catalog.layouts import choose_layout, class_folders, own_table
from fracturelib.catalog.layouts.contract import Listing, split_of
from fracturelib.catalog.metadata import join_metadata
from fracturelib.catalog.naming import NO_SPLIT, source_ids, split_name
from fracturelib.catalog.options import DataOptions
from fracturelib.catalog.pseudonyms import with_pseudonyms
from fracturelib.catalog.selecting import BOX
from fracturelib.catalog.splits import join_equal_pixels
from fracturelib.catalog.who import filled, tags_of_files, who_from_paths, who_from_tags

METADATA = "metadata.csv"


class Found(NamedTuple):
    """A folder that was listed, and how; `top` is where the data set begins."""

    listing: Listing
    about: About
    top: Path

    @property
    def is_folders(self) -> bool:
        """Whether folders alone say split and class."""
        return self.about.layout == class_folders.NAME


def find_data(root: Path, options: DataOptions, *, folders: bool = True) -> Found | None:
    """The files of a folder in the layout that fits; None where none does.

    With `folders` False it is None for class folders too, whose files are not looked for then.

    Raises:
        CatalogError: as the layout says.
    """
    chosen = choose_layout(root, options)
    if chosen is None:
        return None
    layout, top = chosen
    if not folders and layout is class_folders:
        return None
    listing = layout.read(root, top, options)
    inside = "" if top == root else f", in its folder {top.relative_to(root).as_posix()}"
    said = [f"read as {layout.TITLE}{inside}: {listing.said}"]
    said += [f"--{name} “{value}”" for name in ("columns", "classes") if (value := getattr(options, name))]
    about = About(layout.NAME, tuple(said), listing.meaning)
    return Found(listing, about, top)


def completed(
    table: pd.DataFrame, columns: Sequence[str], root: Path, found: Found | None, options: DataOptions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table with sources, people and boxes, and the second table, of all boxes.

    Args:
        table: rows of a listing with the facts of their files.
        columns: of these facts, those that stay.
        root, found, options: as they were listed.
    """
    listed = [] if found is None else [name for name in found.listing.table if name not in ("path", "split", "label")]
    known = table[listed]
    depth = 0 if found is None else len(found.top.relative_to(root).parts)
    sources = source_ids(_below(path, depth) for path in table["path"])
    table = table.assign(source_id=known.get("source_id", sources))[list(columns)]
    if not _labels_are_metadata(root, found, options):
        table = join_metadata(table, root / METADATA)
    table = filled(table, known.drop(columns="source_id", errors="ignore"))
    if found is None:
        table = filled(table, who_from_paths(table["path"]))
    table = filled(table, who_from_tags(tags_of_files(root, table["path"])))
    boxes = no_boxes() if found is None else _in_pixels(found.listing.boxes, table)
    table = with_pseudonyms(_with_largest_box(table, boxes), keep_ids=options.keep_ids)
    return join_equal_pixels(table), boxes


def _labels_are_metadata(root: Path, found: Found | None, options: DataOptions) -> bool:
    """Whether the table of labels is the metadata.csv itself, which was read already."""
    if found is None or found.about.layout != own_table.NAME:
        return False
    return Path(options.labels).name == METADATA or f": {METADATA}," in found.about.said[0]


def _below(path: str, depth: int) -> str:
    """A path as names of sources are made from it: below the top of the set, with its split folder first.

    `depth` folders lie between the data folder and the top.
    """
    parts = path.split("/")[depth:]
    split = split_of("/".join(parts))
    if split == NO_SPLIT:
        return "/".join(parts)
    place = next(place for place, part in enumerate(parts) if split_name(part) == split)
    return "/".join([parts[place], *parts[:place], *parts[place + 1 :]])


def _in_pixels(raw: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """`RAW_BOXES` → left, top, width, height in pixels, cut to the picture; boxes that lie in none are left out."""
    if raw.empty:
        return no_boxes()
    boxes = raw.merge(
        table[["path", "width", "height"]].rename(columns={"width": "across", "height": "down"}), on="path"
    )
    relative = boxes["relative"].astype(bool)
    x = boxes["x"].where(~relative, (boxes["x"] - boxes["w"] / 2) * boxes["across"])
    y = boxes["y"].where(~relative, (boxes["y"] - boxes["h"] / 2) * boxes["down"])
    right = x + boxes["w"].where(~relative, boxes["w"] * boxes["across"])
    low = y + boxes["h"].where(~relative, boxes["h"] * boxes["down"])
    left, top = x.clip(lower=0), y.clip(lower=0)
    sizes = (right.clip(upper=boxes["across"]) - left, low.clip(upper=boxes["down"]) - top)
    found = boxes[["path", "class", "fracture"]].assign(**dict(zip(BOX, (left, top, *sizes), strict=True)))
    return found[(found["bbox_w"] > 0) & (found["bbox_h"] > 0)].reset_index(drop=True)


def _with_largest_box(table: pd.DataFrame, boxes: pd.DataFrame) -> pd.DataFrame:
    """The largest box of a fracture of each picture in the table's own box columns."""
    broken = boxes[boxes["fracture"].astype(bool)]
    if broken.empty or set(BOX) <= set(table):
        return table
    area = (broken["bbox_w"] * broken["bbox_h"]).sort_values(ascending=False)
    largest = broken.loc[area.index].drop_duplicates("path").set_index("path")[list(BOX)]
    return table.join(largest.astype(float), on="path")
