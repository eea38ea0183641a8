"""Which files of a folder are radiographs, by their names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from fracturelib.errors import ImageError
from fracturelib.images.formats import IMAGE_SUFFIXES

_SYSTEM_NAMES = ("__macosx", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini")


def iterate_images(path: str | Path) -> Iterator[Path]:
    """The files below a folder that are named like images, folder by folder, sorted within each; a file is itself.

    Only the names of one folder are in memory at a time.

    Raises:
        ImageError: the path does not exist, or the folder holds no image.
    """
    path, found = Path(path), False
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise ImageError("no such file or folder", file=path, cure="check the spelling of the path")
    for file in filter(named_like_an_image, _walk(path)):
        found = True
        yield file
    if not found:
        raise ImageError("the folder holds no image", file=path, cure=f"use files named {', '.join(IMAGE_SUFFIXES)}")


def named_like_an_image(file: Path) -> bool:
    """Whether the name ends like that of an image."""
    return file.suffix.lower() in IMAGE_SUFFIXES


def visible_files(folder: Path) -> list[Path]:
    """All files below a folder, sorted, without what operating systems leave there (`.DS_Store`, `__MACOSX`)."""
    return sorted(_walk(folder))


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if is_visible(name))
        yield from (Path(parent, name) for name in sorted(names) if is_visible(name))


def is_visible(name: str) -> bool:
    """False for the names of hidden files and folders, and of those that systems and file servers make."""
    return not name.startswith((".", "@ea")) and name.lower() not in _SYSTEM_NAMES
