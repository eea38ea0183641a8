"""The layouts in which sets of radiographs come, one line each; which one a folder has is found by what is in it."""

from __future__ import annotations

from pathlib import Path

from fracturelib.catalog.layout import check_root
from fracturelib.catalog.layouts import (
    class_folders,
    detection,
    dicom_tree,
    fracatlas,
    grazpedwri,
    mura,
    named_classes,
    own_table,
)
from fracturelib.catalog.layouts.contract import Layout, Listing
from fracturelib.catalog.options import AUTO, DataOptions
from fracturelib.errors import CatalogError
from fracturelib.images import folders_in

LAYOUTS: tuple[Layout, ...] = (  # asked in this order whether they know a folder
    mura,
    fracatlas,
    grazpedwri,
    named_classes,
    class_folders,
    detection,
    own_table,
    dicom_tree,
)
LAYOUT_NAMES = (AUTO, *(layout.NAME for layout in LAYOUTS))
_DEEPEST = 2  # levels that an archive may have added


def choose_layout(root: Path, options: DataOptions) -> tuple[Layout, Path] | None:
    """The layout of a folder and the folder in which it begins, which an archive may have put further down.

    Raises:
        CatalogError: the folder is not there, or `options` names no layout.
    """
    check_root(root)
    layouts = LAYOUTS
    if options.layout != AUTO:
        layouts = tuple(layout for layout in LAYOUTS if options.layout == layout.NAME)
        if not layouts:
            raise CatalogError(f"no layout is named '{options.layout}'", cure=f"use one of {', '.join(LAYOUT_NAMES)}")
    elif options.labels:
        return own_table, root
    for top in _tops(root):
        for layout in layouts:
            if layout.fits(top, options):
                return layout, top
    return (layouts[0], root) if options.layout != AUTO else None


def _tops(root: Path) -> list[Path]:
    """The folder, and the only folder in it, as when an archive was unpacked into a folder of its own name."""
    tops = [root]
    for _ in range(_DEEPEST):
        inside = folders_in(tops[-1])
        if len(inside) != 1:
            break
        tops.append(inside[0])
    return tops


__all__ = ["LAYOUTS", "LAYOUT_NAMES", "Layout", "Listing", "choose_layout"]
