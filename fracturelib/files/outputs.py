"""May this file be written? Asked before any work, for every output that a user names.

Nothing that is there is overwritten unless this program made it: its pages and pictures bear a mark, and its tables
are known by their header.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from fracturelib.errors import FracturelibError

MARK = "made by fracturelib"  # in the first kilobyte of every page and picture of ours
BEGINNING = 1024  # bytes
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


def check_output(path: str | Path, *, columns: Sequence[str] = (), outside: Iterable[str | Path] = ()) -> Path:
    """The path of a file that a user named for output, once it is known that it may be written.

    Args:
        path: absent, or a file of our own making, in a folder that exists.
        columns: what the header of a table begins with; without them it is a page or picture, known by its mark.
        outside: folders that the same command reads, in which nothing may change.

    Raises:
        FracturelibError: something else is there, or the place cannot be written to.
    """
    path = Path(path)
    check_replaceable(path)
    _check_outside(path, outside)
    if path.exists() and not _is_ours(path, columns):
        raise _refused("this file is there already, and was not made by this command", path)
    return path


def check_replaceable(path: Path) -> None:
    """Raise FracturelibError unless `path` is absent or a plain file, in a folder that can be written to."""
    if not path.parent.is_dir():
        raise FracturelibError("the folder for the output does not exist", file=path.parent, cure="make it first")
    try:
        kind = stat.S_IFMT(path.lstat().st_mode)
    except FileNotFoundError:
        kind = stat.S_IFREG
    except ValueError as error:  # a zero byte, or letters that the system's encoding lacks
        raise _refused(f"the name cannot be written on this system ({error})", ascii(str(path))) from error
    if kind != stat.S_IFREG:
        raise _refused(f"{_KINDS.get(kind, 'something else')} stands where the output belongs", path)
    _check_writable(path.parent)


def check_output_folder(
    folder: str | Path, files: Mapping[str, Sequence[str]], *, outside: Iterable[str | Path] = ()
) -> Path:
    """The path of a folder that a user named for output, once it is known that it can be made and filled.

    Args:
        folder: absent or a folder; nothing is made here.
        files: names of what will be written there (`figures/roc.png`); the first columns of tables, () for pages.
        outside: as in `check_output`.

    Raises:
        FracturelibError: the folder cannot be made or written to, or a file there is not of our own making.
    """
    folder = Path(folder)
    _check_outside(folder, outside)
    for place in dict.fromkeys([folder, *((folder / name).parent for name in files)]):
        with suppress(FileNotFoundError, NotADirectoryError):
            place.lstat()  # raises where no such name is possible
        there = next(one for one in (place, *place.parents) if os.path.lexists(one) or one == one.parent)
        if not there.is_dir():
            raise _refused("something stands where a folder is needed", there)
        _check_writable(there)
    for name, columns in files.items():
        if (folder / name).parent.is_dir():
            check_output(folder / name, columns=columns)
    return folder


def _check_outside(path: Path, folders: Iterable[str | Path]) -> None:
    for folder in folders:
        if path.resolve().is_relative_to(Path(folder).resolve()):
            raise _refused(f"the output would lie in {folder}, which is only read", path)


def _check_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        cure = "choose a place that can be written to"
        raise FracturelibError("no permission to write here", file=folder, cure=cure)


def _is_ours(path: Path, columns: Sequence[str]) -> bool:
    with path.open("rb") as file:
        beginning = file.read(BEGINNING)
    if not columns:
        return MARK.encode() in beginning
    header = ",".join(columns).encode()
    return beginning.startswith((header + b",", header + b"\n", header + b"\r\n"))


def _refused(what: str, file: str | Path) -> FracturelibError:
    return FracturelibError(what, file=file, cure="name another place, or move what is there away")
