"""Which files of a folder are radiographs, by their names, or by their content where a name says nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from fracturelib.errors import ImageError
from fracturelib.images.dicom import is_dicom_file
from fracturelib.images.formats import IMAGE_SUFFIXES

_Identity = tuple[int, int]
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
    """Whether the name ends like that of an image; or it is a folder, which `visible_files` could not search.

    Exports of DICOM name their files IM000001 or 1.2.840.113…: where no suffix speaks, the content does.
    """
    if file.suffix.lower() in IMAGE_SUFFIXES or is_folder(file):
        return True
    return (not file.suffix or file.suffix[1:].isdigit()) and is_dicom_file(file)


def is_folder(path: Path) -> bool:
    """Whether it is a folder that can be seen; where nothing can be seen it is not."""
    try:
        return path.is_dir()
    except OSError:
        return False


def folders_in(folder: Path) -> list[Path]:
    """The visible folders in a folder, sorted; none where it cannot be read."""
    try:
        return sorted(child for child in folder.iterdir() if is_visible(child.name) and is_folder(child))
    except OSError:
        return []


def visible_files(folder: Path) -> list[Path]:
    """All files below a folder, sorted, without what operating systems leave there (`.DS_Store`, `__MACOSX`).

    Links to files and folders are followed. A folder that cannot be read stands here itself, and so does a link to a
    folder that was followed before or that it lies in: reading them as an image says what is wrong with them.
    """
    return sorted(_walk(folder))


def _walk(top: Path) -> Iterator[Path]:
    """What `visible_files` says, folder by folder, sorted within each."""
    start = frozenset(_identity(parent) for real in (top.absolute(), top.resolve()) for parent in real.parents)
    followed: set[_Identity] = set()
    waiting = [(top, start)]
    while waiting:
        folder, above = waiting.pop()
        try:
            above |= {_identity(folder)}
            files, folders = _names(folder)
        except OSError:
            yield folder
            continue
        yield from (folder / name for name in files)
        inside = []
        for path in (folder / name for name in folders):
            if path.is_symlink():
                target = _identity(path)
                if target in above or target in followed:
                    yield path
                    continue
                followed.add(target)
            inside.append((path, above))
        waiting += inside[::-1]


def _names(folder: Path) -> tuple[list[str], list[str]]:
    """The sorted names of the visible files and of the visible folders in a folder."""
    names: tuple[list[str], list[str]] = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_visible(entry.name):
                names[_is_folder(entry)].append(entry.name)
    return sorted(names[0]), sorted(names[1])


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself: whoever reads it says so
        return False


def _identity(folder: Path) -> _Identity:
    """What is the same for a folder and every link to it."""
    found = folder.stat()
    return found.st_dev, found.st_ino


def is_visible(name: str) -> bool:
    """False for the names of hidden files and folders, and of those that systems and file servers make."""
    return not name.startswith((".", "@ea")) and name.lower() not in _SYSTEM_NAMES
