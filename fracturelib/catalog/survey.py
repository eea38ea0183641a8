"""Every file below a folder → a table, whatever its layout and however bad the files: the audit's way in."""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd

from fracturelib.catalog.layout import check_root, layout_error, unusable
from fracturelib.catalog.metadata import join_metadata
from fracturelib.catalog.naming import NO_SPLIT, UNKNOWN, class_label, source_ids, split_name
from fracturelib.catalog.split_list import apply_split_list
from fracturelib.catalog.table import columns_of, in_order, inspect_files, skipped_files
from fracturelib.config import SPLITS
from fracturelib.errors import DataWarning
from fracturelib.images import Polarity, named_like_an_image, visible_files

COLUMNS = (
    "path",
    "split",
    "label",
    "source_id",
    "width",
    "height",
    "mode",
    "bit_depth",
    "truncated",
    "sha256",
    "grey_mean",
    "grey_std",
    "content",
)


def survey(root: str | Path, *, polarity: str = Polarity.KEEP) -> pd.DataFrame:
    """Read a folder of images in any layout, whatever its state.

    Unlike `read_catalog`, a missing split or class, an unknown folder or a bad file is no error. The split is that of
    the outermost split folder above a file, the class that of the innermost class folder.

    Args:
        root: any folder; its `metadata.csv` and its list of a clean split are read as by `read_catalog`.
        polarity: "fix" turns pictures that look inverted.

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
    files = [file.relative_to(root).as_posix() for file in visible_files(root) if _counts(file, root)]
    if not files:
        raise layout_error("the data folder holds no images", root)
    table = pd.DataFrame({"path": files})
    table["split"] = [_split(path) for path in files]
    table["label"] = [_label(path) for path in files]
    table = inspect_files(table, root, polarity=polarity)
    skipped = skipped_files(table)
    table = table[table["problem"].isna()].reset_index(drop=True)
    if table.empty:
        raise unusable("not one file in the data folder is a usable image", root, skipped)
    table["source_id"] = source_ids(table["path"])
    table = in_order(table, (*SPLITS, NO_SPLIT))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # files without metadata are the audit's own business
        table = apply_split_list(join_metadata(table[columns_of(table, COLUMNS)], root / "metadata.csv"), root)
    table.attrs = {"root": str(root), "skipped": skipped}
    return table


def _counts(file: Path, root: Path) -> bool:
    """Named like an image, or inside a class folder, where any other file is a mistake worth telling."""
    folders = file.relative_to(root).parts[:-1]
    return named_like_an_image(file) or any(class_label(name) is not None for name in folders)


def _split(path: str) -> str:
    named = (split_name(folder) for folder in path.split("/")[:-1])
    return next((split for split in named if split), NO_SPLIT)


def _label(path: str) -> int:
    named = (class_label(folder) for folder in reversed(path.split("/")[:-1]))
    return next((label for label in named if label is not None), UNKNOWN)
