"""A grey picture of any shape → the model's square: which part of it, and its greys there, by NumPy alone."""

from __future__ import annotations

import os

import cv2
import numpy as np
from numpy.typing import NDArray

TOGETHER = 16  # columns of the square in one matrix product
AVX2 = 11  # CV_CPU_AVX2 of OpenCV
LARGEST_WEIGHT, MOST_BITS = 1 << 15, 22  # of torch's weights, which are 16 bits wide


def window(picture: np.ndarray, fit: str) -> tuple[int, int, int, int]:
    """What of a picture (H, W) becomes the model's square: left, top, width, height in its pixels.

    "square" takes all of it, so that it is squeezed; "pad" a square that it fits into, with margins of the anatomy's
    mean grey; "crop" a square of its short side, with the anatomy's centre of mass as near to the middle as may be.
    """
    height, width = picture.shape
    if fit == "square" or height == width:
        return 0, 0, width, height
    if fit == "pad":
        side = max(height, width)
        return -((side - width) // 2), -((side - height) // 2), side, side
    side, inside = min(height, width), _anatomy(picture)
    middle = float(np.argwhere(inside)[:, int(width > height)].mean()) + 0.5
    start = min(max(0, round(middle - side / 2)), max(height, width) - side)
    return (start, 0, side, side) if width > height else (0, start, side, side)


def framed(picture: NDArray[np.uint8], fit: str) -> NDArray[np.uint8]:
    """The pixels (h, w) of a picture's `window`, margins included."""
    left, top, width, height = window(picture, fit)
    if fit != "pad":
        return picture[top : top + height, left : left + width]
    margins = (-top, height - picture.shape[0] + top), (-left, width - picture.shape[1] + left)
    return np.pad(picture, margins, constant_values=round(float(picture[_anatomy(picture)].mean())))


def _anatomy(picture: np.ndarray) -> np.ndarray:
    """Mask (H, W) of what is brighter than the ground, by Otsu's threshold; all of an even picture."""
    level, _ = cv2.threshold(np.ascontiguousarray(picture), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    inside = picture > level
    return inside if inside.any() else np.ones_like(inside)


def resized(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A picture (H, W) → (side, side), bit for bit as torch does it (bilinear, antialiased) where `as_torch_resizes`.

    torch weighs pixels in whole numbers, rounded as in `_weights`, first along rows, and rounds after each direction
    (``UpSampleKernel.cpp``, after Pillow-SIMD). Sums of such products are exact in float64, whose matrix product is
    fast. For a few pictures: torch itself, once it is loaded, is several times as fast.
    """
    for _ in range(2):  # along the rows; then, turned, along the columns
        picture = (picture if picture.shape[1] == side else _along_rows(picture, side)).T
    return np.ascontiguousarray(picture)


def as_torch_resizes() -> bool:
    """Whether torch on this processor resizes in the whole numbers of `resized`: x86 with AVX2, as far as was tried."""
    asked = os.environ.get("ATEN_CPU_CAPABILITY", "avx2")  # torch reads it as well
    return cv2.checkHardwareSupport(AVX2) and asked in ("avx2", "avx512")


def _along_rows(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """uint8 (H, W) → (H, side)."""
    weights, bits = _weights(picture.shape[1], side)
    parts = []
    for group in np.array_split(np.arange(side), -(-side // TOGETHER)):
        seen = np.flatnonzero(weights[:, group].any(axis=1))  # neighbours see few pixels, so that little is multiplied
        part = slice(seen[0], seen[-1] + 1)
        parts.append(picture[:, part].astype(np.float64) @ weights[part, group])
    sums = np.concatenate(parts, axis=1)  # (H, side), whole numbers
    return np.clip(np.floor((sums + (1 << bits - 1)) / (1 << bits)), 0, 255).astype(np.uint8)


def _weights(old: int, new: int) -> tuple[NDArray[np.float64], int]:
    """Whole weights (old, new) of pixels in those that replace them, and by how many bits they are too large.

    A triangle as wide as two of the new pixels, or of the old ones where these are wider.
    """
    scale = old / new
    support = max(scale, 1.0)
    centres = scale * (np.arange(new) + 0.5)
    first = np.maximum((centres - support + 0.5).astype(int), 0)
    end = np.minimum((centres + support + 0.5).astype(int), old)
    pixels = np.arange(old)[:, None]
    weights = np.maximum(1 - np.abs((pixels - centres + 0.5) / support), 0)
    weights *= (pixels >= first) & (pixels < end)
    weights /= weights.sum(axis=0)
    too_many = (n for n in range(MOST_BITS) if int(0.5 + weights.max() * 2 ** (n + 1)) >= LARGEST_WEIGHT)
    bits = next(too_many, MOST_BITS)
    return np.floor(0.5 + weights * 2**bits), bits
