"""Any image file on disk → a greyscale radiograph, or an error that names file, cause and cure.

Pillow does the decoding. Its process-wide switches (`LOAD_TRUNCATED_IMAGES`, `MAX_IMAGE_PIXELS`) are never
touched, so that reading is safe in threads and importing this module changes nothing.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from fracturelib.errors import ImageError

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".webp")
MAX_PIXELS = 100_000_000
MAX_FILE_BYTES = 2**30  # 100 megapixels in the widest format that is read here stay below this
MIN_SIDE = 8  # below it there is no anatomy to see: a tracking pixel or a broken export

_SYSTEM_NAMES = ("__macosx", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini")
_JPEG_END = b"\xff\xd9"
_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_PLANAR = 258, 262, 284
_MINISWHITE = 0
_EXIF_ORIENTATION = 0x0112
_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, the weights of Pillow's own conversion


@dataclass(frozen=True)
class ImageFacts:
    """What is known about one file.

    Attributes:
        width, height: pixels, after EXIF orientation; 0 where the file could not be opened.
        mode: Pillow's mode, as stored ("L", "RGB", "I;16", …).
        bit_depth: bits per channel.
        truncated: a JPEG that ends early; it is usable, its missing part is mid-grey.
        sha256: of the file's bytes.
        content: hash of the decoded grey pixels: equal for a PNG copy of a BMP.
        problem: why the file is unusable, in one sentence; None where it is usable.
    """

    width: int = 0
    height: int = 0
    mode: str = ""
    bit_depth: int = 0
    truncated: bool = False
    sha256: str = ""
    content: str = ""
    problem: str | None = None


def read_radiograph(path: str | Path, *, target_side: int | None = None, strict: bool = False) -> np.ndarray:
    """Read one file as a greyscale radiograph, with bright bone as stored.

    EXIF orientation is applied. Integers wider than 8 bits and floats are scaled by their own range:
    smallest value → 0, largest → 255. A TIFF stored "white is zero" is inverted. Colour becomes ITU-R
    BT.601 luminance. Transparent pixels are laid on black, the colour of air in a radiograph; any other
    ground would draw a bright frame. Of a multi-page TIFF the first page is read.

    Args:
        path: JPEG, PNG, TIFF, BMP or WebP.
        target_side: the caller will shrink the image so that its short side is about this many pixels. A
            JPEG may then be decoded at 1/2, 1/4 or 1/8 of its size; the result's short side is still at
            least `target_side`.
        strict: refuse a JPEG that ends early instead of decoding it as far as it goes.

    Returns:
        uint8 array, (H, W).

    Raises:
        ImageError: no such file, not an image, damaged, too large or too small.
    """
    try:
        data = _read_bytes(path)
        image = _open(data)
        _check_header(image)
        pixels, truncated = _decode(image, data, target_side)
    except ImageError as error:
        raise ImageError(error.what, file=path, cause=error.cause, cure=error.cure) from error.__cause__
    if truncated and strict:
        raise ImageError(
            "the JPEG ends early",
            file=path,
            cause="an interrupted copy or download",
            cure="fetch the file again, or read it without the strict setting",
        )
    return pixels


def inspect_image(path: str | Path) -> ImageFacts:
    """The facts of one file, decoded once and wholly; never raises for bad content."""
    facts = ImageFacts()
    try:
        data = _read_bytes(path)
        facts = replace(facts, sha256=hashlib.sha256(data).hexdigest())
        image = _open(data)
        width, height = image.size
        facts = replace(facts, width=width, height=height, mode=image.mode, bit_depth=_bit_depth(image))
        _check_header(image)
        pixels, truncated = _decode(image, data, None)
    except ImageError as error:
        return replace(facts, problem=error.what)
    height, width = pixels.shape
    digest = hashlib.sha256(f"{width}x{height}:".encode() + pixels.tobytes()).hexdigest()
    return replace(facts, width=width, height=height, truncated=truncated, content=digest)


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
    for file in _walk(path):
        if file.suffix.lower() in IMAGE_SUFFIXES:
            found = True
            yield file
    if not found:
        raise ImageError("the folder holds no image", file=path, cure=f"use files named {', '.join(IMAGE_SUFFIXES)}")


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


def _read_bytes(path: str | Path) -> bytes:
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


def _open(data: bytes) -> Image.Image:
    """Read the header. Few formats only: every further decoder is one more door for a malicious file."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large("far ") from error
    except Exception as error:  # Pillow's plugins raise a dozen kinds on damaged headers
        raise ImageError(
            "not an image that can be read",
            cause="the file is damaged, or is no JPEG, PNG, TIFF, BMP or WebP",
            cure="convert it to one of these formats, or leave it out",
        ) from error


def _too_large(size: str) -> ImageError:
    return ImageError(
        f"{size}more than {MAX_PIXELS // 1_000_000} megapixels",
        cause="a damaged header, or a whole-slide scan",
        cure="save it smaller, or leave it out",
    )


def _check_header(image: Image.Image) -> None:
    """Refuse, before anything is decoded, what is too large, too small, or silently misread by Pillow."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _too_large(f"{width}×{height} pixels, ")
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"only {width}×{height} pixels", cause="a placeholder or a broken export", cure="leave it out")
    if image.format == "TIFF" and image.tile:
        compressed = image.tile[0].codec_name == "libtiff"
        planar = image.tag_v2.get(_TIFF_PLANAR) == 2 and _bit_depth(image) == 16
        swapped = compressed and image.tag_v2.prefix == b"MM" and image.mode in ("I", "F")
        if planar or swapped:
            raise ImageError(
                f"a TIFF variant that is not supported ({'planar 16-bit' if planar else 'compressed big-endian'})",
                cure="save it as PNG or as a plain little-endian TIFF",
            )


def _decode(image: Image.Image, data: bytes, target_side: int | None) -> tuple[np.ndarray, bool]:
    """Pixels, uint8 (H, W), and whether the file ended early."""
    try:
        try:
            return _pixels(image, data, target_side), False
        except OSError:
            if image.format not in ("JPEG", "MPO"):
                raise
        # As Pillow does under LOAD_TRUNCATED_IMAGES: once libjpeg sees an end marker, it fills the rest.
        return _pixels(_open(data + _JPEG_END), data, target_side), True
    except Exception as error:  # as in _open: every decoder has its own kinds of error
        raise ImageError(
            f"cannot be decoded ({error or type(error).__name__})",
            cause="the file is damaged or cut short",
            cure="fetch it again, or leave it out",
        ) from error


def _pixels(image: Image.Image, data: bytes, target_side: int | None) -> np.ndarray:
    """Decode, make grey and turn upright."""
    if target_side is not None:
        image.draft("L", (target_side, target_side))  # a no-op for anything but JPEG
    rawmode = _rawmode(image)
    wide = _wide_colour(image, data)
    image.load()
    grey = _grey_from_wide(wide) if wide is not None else _grey(image, rawmode)
    return np.ascontiguousarray(_upright(grey, _orientation(image)))


def _grey(image: Image.Image, rawmode: str) -> np.ndarray:
    """uint8 (H, W) of a loaded image of any mode."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        if rawmode == "I;32N":  # unsigned in the file, but Pillow's mode I is signed
            values = values.view(np.uint32)
        values = values.astype(np.float64)
        # Pillow inverts 1…8-bit "white is zero" TIFFs itself, but neither 16-bit nor float ones.
        return _scale(-values if _white_is_zero(image) else values)
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    if image.mode not in ("1", "L", "RGB"):
        image = image.convert("RGB")
    return np.asarray(image.convert("L"))


def _scale(values: np.ndarray) -> np.ndarray:
    """Own range → 0…255; a constant image becomes black, and so does NaN."""
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    return np.rint((values - low) / (high - low) * 255).astype(np.uint8)


def _white_is_zero(image: Image.Image) -> bool:
    return image.format == "TIFF" and image.tag_v2.get(_TIFF_PHOTOMETRIC) == _MINISWHITE


def _rawmode(image: Image.Image) -> str:
    """How the pixels lie in the file ("RGB;16B", …); known only before they are loaded."""
    args = image.tile[0].args if image.tile else ""
    return str(args if isinstance(args, str) else args[0])


def _bit_depth(image: Image.Image) -> int:
    """Bits per channel as stored; known only before the pixels are loaded."""
    if image.format == "TIFF":
        return image.tag_v2.get(_TIFF_BITS, (1,))[0]
    if image.format == "PNG" and ";16" in _rawmode(image):
        return 16
    return 1 if image.mode == "1" else 8


def _wide_colour(image: Image.Image, data: bytes) -> np.ndarray | None:
    """uint16 (H, W, C) of a 16-bit image with several channels, else None.

    Pillow keeps the high bytes only. Read with the other byte order, the same file gives the low ones.
    """
    rawmode = _rawmode(image)
    if _bit_depth(image) != 16 or image.mode not in ("RGB", "RGBA") or "a;" in rawmode:  # "a": premultiplied
        return None
    other = _open(data)
    if rawmode == "LA;16B":  # has no other byte order; its four bytes per pixel pass for RGBA
        other._mode, other.tile = "RGBA", [other.tile[0]._replace(args="RGBA")]
        pairs = np.asarray(other).astype(np.uint16)
        return pairs[..., 0::2] * 256 + pairs[..., 1::2]
    little = rawmode.endswith("L") or (rawmode.endswith("N") and sys.byteorder == "little")
    swapped = rawmode[:-1] + ("B" if little else "L")
    other.tile = [
        tile._replace(args=swapped if isinstance(tile.args, str) else (swapped, *tile.args[1:])) for tile in other.tile
    ]
    return np.asarray(image).astype(np.uint16) * 256 + np.asarray(other)


def _grey_from_wide(wide: np.ndarray) -> np.ndarray:
    """(H, W, C) with C = 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha) → uint8 (H, W)."""
    colours = wide[..., :3].astype(np.float64) if wide.shape[2] > 2 else wide[..., :1].astype(np.float64)
    grey = colours @ _LUMINANCE if colours.shape[2] == 3 else colours[..., 0]
    if wide.shape[2] in (2, 4):
        grey = grey * (wide[..., -1] / 65535)  # on black
    return _scale(grey)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1…8 of a loaded image; Pillow has turned TIFFs itself by now and removed their tag."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # damaged metadata must not cost the image
        return 1


def _upright(grey: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation (CIPA DC-008, tag 0x0112): first the transposition, then the flips."""
    if orientation in (5, 6, 7, 8):
        grey = grey.T
    if orientation in (2, 3, 6, 7):
        grey = grey[:, ::-1]
    if orientation in (3, 4, 7, 8):
        grey = grey[::-1]
    return grey
