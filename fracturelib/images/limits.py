"""How large and how small a radiograph may be, checked before anything is decoded."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from fracturelib.errors import ImageError

MAX_PIXELS = 100_000_000
MAX_FILE_BYTES = 2**30  # 100 megapixels in the widest format that is read here stay below this
MIN_SIDE = 8  # below it there is no anatomy to see: a tracking pixel or a broken export


def read_bytes(path: str | Path) -> bytes:
    """The bytes of a file; raises ImageError where it cannot be read, is empty or is too large for a radiograph.

    Pipes, devices and sockets are never opened: some have no end, others wait for one.
    """
    try:
        found = Path(path).stat()
        _check_kind(Path(path), found.st_mode)
        size, data = found.st_size, b""
        if 0 < size <= MAX_FILE_BYTES:
            with Path(path).open("rb") as file:
                data = file.read(MAX_FILE_BYTES)  # and no more, should it grow
    except OSError as error:
        what = error.strerror or error
        what = "a link to nothing" if isinstance(error, FileNotFoundError) and Path(path).is_symlink() else what
        raise ImageError(f"cannot be read: {what}", cure="check the path and its permissions") from error
    if size > MAX_FILE_BYTES:
        raise ImageError(f"a file of {size / 1e9:.1f} GB is too large for a radiograph", cure="leave it out")
    if not data:
        raise ImageError("the file is empty", cause="an interrupted copy", cure="fetch it again, or leave it out")
    return data


def _check_kind(path: Path, mode: int) -> None:
    """Raise ImageError for anything but a file, and the system's own error for a folder that cannot be searched."""
    if stat.S_ISREG(mode):
        return
    if not stat.S_ISDIR(mode):
        kind = {stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}.get(stat.S_IFMT(mode), "device")
        raise ImageError(f"a {kind}, not a file", cure="leave it out")
    with os.scandir(path) as entries:
        next(entries, None)
    if path.is_symlink():
        raise ImageError("a link to a folder that it lies in, or that was read already: not followed")
    raise ImageError("cannot be read: a folder, not a file", cure="give the files in it")


def check_size(width: int, height: int) -> None:
    """Raise ImageError for a picture that is too large or too small."""
    if width * height > MAX_PIXELS:
        raise too_large(f"{width}×{height} pixels, ")
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"only {width}×{height} pixels", cause="a placeholder or a broken export", cure="leave it out")


def too_large(size: str) -> ImageError:
    """The error for a picture whose header claims too many pixels."""
    return ImageError(
        f"{size}more than {MAX_PIXELS // 1_000_000} megapixels",
        cause="a damaged header, or a whole-slide scan",
        cure="save it smaller, or leave it out",
    )
