"""How large and how small a radiograph may be, checked before anything is decoded."""

from __future__ import annotations

from pathlib import Path

from fracturelib.errors import ImageError

MAX_PIXELS = 100_000_000
MAX_FILE_BYTES = 2**30  # 100 megapixels in the widest format that is read here stay below this
MIN_SIDE = 8  # below it there is no anatomy to see: a tracking pixel or a broken export


def read_bytes(path: str | Path) -> bytes:
    """The bytes of a file; raises ImageError where it cannot be read, is empty or is too large for a radiograph."""
    try:
        size = Path(path).stat().st_size
        data = Path(path).read_bytes() if size <= MAX_FILE_BYTES else b""
    except OSError as error:
        cure = "check the path and its permissions"
        raise ImageError(f"cannot be read: {error.strerror or error}", cure=cure) from error
    if size > MAX_FILE_BYTES:
        raise ImageError(f"a file of {size / 1e9:.1f} GB is too large for a radiograph", cure="leave it out")
    if not data:
        raise ImageError("the file is empty", cause="an interrupted copy", cure="fetch it again, or leave it out")
    return data


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
