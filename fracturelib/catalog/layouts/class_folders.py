"""Class folders: `{train,val,test}/{fractured,not fractured}`, or just the two of them."""

from __future__ import annotations

from pathlib import Path

from fracturelib.catalog.layout import list_files
from fracturelib.catalog.layouts.contract import Listing, counts_of
from fracturelib.catalog.naming import class_label, split_name
from fracturelib.catalog.options import DataOptions
from fracturelib.catalog.who import who_from_paths
from fracturelib.images import folders_in

NAME, TITLE = "folders", "class folders"


def fits(top: Path, options: DataOptions) -> bool:
    """Folders named after both classes, in the folder or in its splits."""
    inside = folders_in(top)
    inside += [inner for folder in inside if split_name(folder.name) for inner in folders_in(folder)]
    return any(class_label(folder.name) is not None for folder in inside)


def read(root: Path, top: Path, options: DataOptions) -> Listing:
    """Split and class from the folders above a file."""
    table = list_files(top)
    if top != root:
        table["path"] = top.relative_to(root).as_posix() + "/" + table["path"]
    return Listing(table.join(who_from_paths(table["path"])), counts_of(table))
