"""Every file below a folder → a table, whatever its layout and however bad the files: the audit's way in."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import pandas as pd

from fracturelib.catalog.about import About, Skipped
from fracturelib.catalog.assembling import completed, find_data
from fracturelib.catalog.kept import KeptFacts
from fracturelib.catalog.layout import check_root, layout_error, unusable
from fracturelib.catalog.layouts.contract import counts_of, label_of, split_of
from fracturelib.catalog.naming import NO_SPLIT, class_label
from fracturelib.catalog.options import DEFAULTS, DataOptions
from fracturelib.catalog.split_list import apply_split_list
from fracturelib.catalog.table import COLUMNS as TABLE_COLUMNS
from fracturelib.catalog.table import columns_of, in_order, inspect_files, skipped_files
from fracturelib.config import SPLITS
from fracturelib.errors import DataWarning
from fracturelib.images import Polarity, named_like_an_image, visible_files

_PLACE = TABLE_COLUMNS.index("height") + 1
COLUMNS = (*TABLE_COLUMNS[:_PLACE], "mode", "bit_depth", *TABLE_COLUMNS[_PLACE:])


def survey(
    root: str | Path,
    *,
    polarity: str = Polarity.KEEP,
    options: DataOptions = DEFAULTS,
    kept: KeptFacts | None = None,
) -> pd.DataFrame:
    """Read a folder of images in any layout, whatever its state.

    Unlike `read_catalog`, a missing split or class, an unknown folder or a bad file is no error. The split is that of
    the outermost split folder above a file, the class that of the innermost class folder, unless the folder has another
    layout of `fracturelib.catalog.layouts`: then that says both, and no split is made.

    Args:
        root: any folder; its `metadata.csv` and its list of a clean split are read as by `read_catalog`.
        polarity: "fix" turns pictures that look inverted.
        options: which layout it is, where its labels are, what its classes mean, whether ids are kept.
        kept: as in `read_catalog`.

    Returns:
        one row per usable image, sorted by the folders' split, class and path, with the columns path, split ("all"
        where no folder says), label (-1 where no folder says), source_id, width, height, mode (Pillow's), bit_depth,
        truncated, sha256, grey_mean, grey_std, content and those of metadata.csv; inverted and turned
        as in `read_catalog`. `attrs["root"]` is the root as given, `attrs["skipped"]` a list of {"path", "problem",
        "kind"} of unusable files.

    Raises:
        CatalogError: no such folder, no image in it, or a broken metadata.csv.
    """
    root = Path(root)
    check_root(root)
    found = find_data(root, options, folders=False)  # these may be in a bad state, which is no error here
    listed = _any_files(root) if found is None else found.listing.table
    table = inspect_files(listed, root, polarity=polarity, kept=kept)
    skipped = [] if found is None else list(found.listing.skipped)
    skipped += skipped_files(table)
    table = table[table["problem"].isna()].reset_index(drop=True)
    if table.empty:
        raise unusable("not one file in the data folder is a usable image", root, skipped)
    table = in_order(table, (*SPLITS, NO_SPLIT))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*no row in", DataWarning)  # the audit says that in its own way
        table, boxes = completed(apply_split_list(table, root), columns_of(table, COLUMNS), root, found, options)
    said = About("folders", (f"read as class folders: {counts_of(table)}",)) if found is None else found.about
    table.attrs = {"root": str(root), "skipped": Skipped(skipped), "about": replace(said, boxes=boxes)}
    return table


def _any_files(root: Path) -> pd.DataFrame:
    """Every image below a folder, with what the folders above it say."""
    files = [file.relative_to(root).as_posix() for file in visible_files(root) if _counts(file, root)]
    if not files:
        raise layout_error("the data folder holds no images", root)
    return pd.DataFrame({"path": files, "split": map(split_of, files), "label": map(label_of, files)})


def _counts(file: Path, root: Path) -> bool:
    """Named like an image, or inside a class folder, where any other file is a mistake worth telling."""
    folders = file.relative_to(root).parts[:-1]
    return named_like_an_image(file) or any(class_label(name) is not None for name in folders)
