"""JPEG, PNG, TIFF, BMP and WebP, decoded by Pillow; 16-bit colour by OpenCV, since Pillow drops its low bytes.

Pillow's process-wide switches (`LOAD_TRUNCATED_IMAGES`, `MAX_IMAGE_PIXELS`) are never touched, so that reading is safe
in threads and importing this module changes nothing.
"""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fracturelib.errors import ImageError
from fracturelib.images.contrast import to_bytes
from fracturelib.images.decoder import Decoder
from fracturelib.images.limits import too_large

# Few formats only: every further decoder is one more door for a malicious file.
NAMES: tuple[str, ...] = ("JPEG", "PNG", "TIFF", "BMP", "WebP")
SUFFIXES: tuple[str, ...] = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".webp")

_JPEG_END = b"\xff\xd9"
_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_PLANAR = 258, 262, 284
_MINISWHITE = 0
_EXIF_ORIENTATION = 0x0112
_REDUCING = ("JPEG", "MPO")
_COLOURED = ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")
_SMALL = 64  # pixels on the side of a picture whose colours are looked at
_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, the weights of Pillow's own conversion


def open_file(data: bytes) -> Decoder | None:
    """The decoder of a file's bytes; None where Pillow finds none of these formats in them."""
    try:
        return _Photograph(data)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_large("far ") from error
    except Exception:  # Pillow's plugins raise a dozen kinds on damaged headers
        return None


class _Photograph:
    """See `Decoder`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        image = _header(data)
        self.size, self.mode, self.bit_depth = image.size, image.mode, _bit_depth(image)
        self.reduces = image.format in _REDUCING
        self._problem = _misread(image)

    def grey(self, target_side: int | None) -> tuple[NDArray[np.uint8], bool]:
        if self._problem:
            cure = "save it as PNG or as a plain little-endian TIFF"
            raise ImageError(f"a TIFF variant that is not supported ({self._problem})", cure=cure)
        try:
            return _decoded(self._data, target_side, "L")[0], False
        except OSError:
            if not self.reduces:
                raise
        # As Pillow does under LOAD_TRUNCATED_IMAGES: once libjpeg sees an end marker, it fills the rest.
        return _decoded(self._data + _JPEG_END, target_side, "L")[0], True

    def grey_and_colour(self, target_side: int | None) -> tuple[NDArray[np.uint8], bool, float]:
        """What `grey` gives, and how far the channels differ (`colour_of`): of one decoding, where that is possible."""
        try:
            if self._problem is None and self.mode in _COLOURED:
                grey, image = _decoded(self._data, target_side, "YCbCr")  # its Y is what L would be
                return grey, False, _colour(image)
        except Exception:  # it ends early, or has no such channels: `grey` deals with that
            pass
        return *self.grey(target_side), colour_of(self._data)


def colour_of(data: bytes) -> float:
    """Mean difference between the largest and the smallest channel of a picture, 0…255; 0 where it is grey."""
    try:
        image = _header(data)
        if image.mode not in _COLOURED:
            return 0.0
        image.draft("RGB", (_SMALL, _SMALL))  # a no-op for anything but JPEG
        return _colour(image)
    except Exception:  # Pillow's plugins raise a dozen kinds; whoever reads the picture says what is wrong with it
        return 0.0


def _colour(image: Any) -> float:
    """`colour_of` a loaded image."""
    if image.mode == "YCbCr":  # small first, since the conversion takes longer
        image = image.resize((_SMALL, _SMALL), Image.Resampling.BOX)
    small = np.asarray(image.convert("RGB").resize((_SMALL, _SMALL), Image.Resampling.BOX), dtype=float)
    return float((small.max(axis=2) - small.min(axis=2)).mean())


def _header(data: bytes) -> Any:
    return Image.open(io.BytesIO(data), formats=[name.upper() for name in NAMES])


def _misread(image: Any) -> str | None:
    """The TIFF variant that Pillow would read as noise, without an error; None for all other files."""
    if image.format != "TIFF" or not image.tile:
        return None
    if image.tag_v2.get(_TIFF_PLANAR) == 2 and _bit_depth(image) == 16:
        return "planar 16-bit"
    swapped = image.tile[0].codec_name == "libtiff" and image.tag_v2.prefix == b"MM" and image.mode in ("I", "F")
    return "compressed big-endian" if swapped else None


def _decoded(data: bytes, target_side: int | None, channels: str) -> tuple[NDArray[np.uint8], Any]:
    """The picture in grey and upright, (H, W), and the image as it was loaded.

    With a `target_side` a colour JPEG may be decoded smaller, to one channel ("L") or three ("YCbCr").
    """
    image = _header(data)
    if target_side is not None:
        image.draft(channels, (target_side, target_side))  # a no-op for anything but JPEG
    rawmode, wide = _rawmode(image), _bit_depth(image) == 16 and image.mode in ("RGB", "RGBA")
    image.load()
    grey = _grey_of_wide_colour(data, premultiplied="a;" in rawmode) if wide else _grey(image, rawmode)
    return np.ascontiguousarray(_upright(grey, _orientation(image))), image


def _grey(image: Any, rawmode: str) -> NDArray[np.uint8]:
    """uint8 (H, W) of a loaded image of any mode but 16-bit colour."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        if rawmode == "I;32N":  # unsigned in the file, but Pillow's mode I is signed
            values = values.view(np.uint32)
        # Pillow inverts 1…8-bit "white is zero" TIFFs itself, but neither 16-bit nor float ones.
        return to_bytes(-values.astype(np.float64) if _white_is_zero(image) else values)
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    if image.mode == "YCbCr" and image.format in _REDUCING:
        return np.asarray(image.getchannel("Y"))
    if image.mode not in ("1", "L", "RGB"):
        image = image.convert("RGB")
    return np.asarray(image.convert("L"))


def _grey_of_wide_colour(data: bytes, *, premultiplied: bool) -> NDArray[np.uint8]:
    """uint8 (H, W) of a 16-bit file with several channels; TIFFs are turned upright by this decoder too."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)  # uint16 (H, W, 3 or 4): B, G, R, alpha
    if pixels is None or pixels.dtype != np.uint16:
        raise OSError("its 16-bit pixels cannot be read")
    grey = pixels[..., 2::-1].astype(np.float64) @ _LUMINANCE
    if pixels.shape[2] == 4 and not premultiplied:
        grey = grey * (pixels[..., 3] / 65535)  # on black
    return to_bytes(grey)


def _white_is_zero(image: Any) -> bool:
    return image.format == "TIFF" and image.tag_v2.get(_TIFF_PHOTOMETRIC) == _MINISWHITE


def _rawmode(image: Any) -> str:
    """How the pixels lie in the file ("RGB;16B", …); known only before they are loaded."""
    args = image.tile[0].args if image.tile else ""
    return str(args if isinstance(args, str) else args[0])


def _bit_depth(image: Any) -> int:
    """Bits per channel as stored; known only before the pixels are loaded."""
    if image.format == "TIFF":
        return image.tag_v2.get(_TIFF_BITS, (1,))[0]
    if image.format == "PNG" and ";16" in _rawmode(image):
        return 16
    return 1 if image.mode == "1" else 8


def _orientation(image: Any) -> int:
    """EXIF orientation 1…8 of a loaded image; Pillow has turned TIFFs itself by now and removed their tag."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # damaged metadata must not cost the image
        return 1


def _upright(grey: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Apply an EXIF orientation (CIPA DC-008, tag 0x0112): first the transposition, then the flips."""
    if orientation in (5, 6, 7, 8):
        grey = grey.T
    if orientation in (2, 3, 6, 7):
        grey = grey[:, ::-1]
    if orientation in (3, 4, 7, 8):
        grey = grey[::-1]
    return grey
