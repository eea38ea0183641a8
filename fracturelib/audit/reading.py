"""Each file read once: what the search for copies and the search for shortcuts need of it."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from fracturelib.audit.identity import letters_in_corners
from fracturelib.audit.pictures import SIDE, Picture, describe_picture, shrink
from fracturelib.errors import ImageError
from fracturelib.images import Polarity, read_radiograph
from fracturelib.runtime.pool import ordered, workers

FILES_AT_ONCE = 16  # that one of several processes reads, at least
TOGETHER = 4  # of these that a worker is given at once
LEVELS = 16  # bins of the histogram
RING_SIDE, BLUR_SIDE = 10, 8  # cells along a side, for the border and for the blurred thumbnail
NEARLY_SQUARE = 1.05  # aspect ratio
LETTERS = "corners: letters in a row"  # in the table of appearances; no sign of the label
PLACES = ("top", "bottom", "left", "right")


class Read(NamedTuple):
    """What was kept of one file; `picture` is None and `problem` a sentence where it cannot be read.

    `square` is the picture squeezed into a square, as many training sets are, where it is not square itself.
    """

    picture: Picture | None
    square: Picture | None
    appearance: dict[str, float]
    pixels_sha256: str
    problem: str | None = None


def read_all(files: Sequence[tuple[Path, str]]) -> Iterator[Read]:
    """`read_one` of every file, each with its polarity, in order; Pillow's own warnings are not passed on."""
    with warnings.catch_warnings(), workers(len(files)) as pool:
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield from ordered(pool, _read_some, files, together=TOGETHER)


def _read_some(files: Sequence[tuple[Path, str]]) -> list[Read]:
    return [read_one(file, polarity) for file, polarity in files]


def read_one(file: Path, polarity: str = Polarity.KEEP) -> Read:
    """Keypoints, appearance and a hash of the pixels of one file."""
    try:
        pixels = read_radiograph(file, target_side=SIDE, polarity=polarity)
    except ImageError as error:
        return Read(None, None, {}, "", error.what)
    digest = hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()
    square = (
        describe_picture(cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)) if _oblong(pixels) else None
    )
    appearance = measure_appearance(pixels) | {LETTERS: float(letters_in_corners(pixels))}
    return Read(describe_picture(pixels), square, appearance, digest)


def _oblong(pixels: np.ndarray) -> bool:
    return max(pixels.shape) > NEARLY_SQUARE * min(pixels.shape)


def measure_appearance(pixels: np.ndarray) -> dict[str, float]:
    """How a picture looks without its bones: grey values, border and a thumbnail too blurred for any fracture.

    Names begin with the kind: "brightness: …", "border: …" (outer tenth of the picture), "blurred: …" (8 × 8 cells).
    """
    greys = shrink(pixels, 128)
    small = greys.astype(np.float32) / 255
    found = {"brightness: mean grey value": float(small.mean()), "brightness: contrast": float(small.std())}
    shares = (1, 10, 50, 90, 99)
    for share, value in zip(shares, np.percentile(small, shares), strict=True):
        found[f"brightness: percentile {share}"] = float(value)
    histogram = np.bincount(greys.ravel(), minlength=256).reshape(LEVELS, -1).sum(axis=1) / greys.size
    for level, part in enumerate(histogram):
        found[f"brightness: share of grey values {level / LEVELS:.2f} to {(level + 1) / LEVELS:.2f}"] = float(part)
    for name, cell in _ring(small).items():
        found[f"border: {name}"] = cell
    blurred = cv2.resize(small, (BLUR_SIDE, BLUR_SIDE), interpolation=cv2.INTER_AREA)
    for (row, column), grey in np.ndenumerate(blurred):
        found[f"blurred: cell {row + 1} from the top, {column + 1} from the left"] = float(grey)
    return found


@cache
def appearance_names() -> tuple[str, ...]:
    """What `Read.appearance` holds of every file, in order."""
    return (*measure_appearance(np.zeros((64, 64), np.uint8)), LETTERS)


def _ring(small: np.ndarray) -> dict[str, float]:
    """Mean grey values of the cells along the border, and the spread of grey values in the corners."""
    cells = cv2.resize(small, (RING_SIDE, RING_SIDE), interpolation=cv2.INTER_AREA)
    sides = dict(zip(PLACES, (cells[0], cells[-1], cells[1:-1, 0], cells[1:-1, -1]), strict=True))
    found = {f"{place}, cell {n + 1}": float(cell) for place, side in sides.items() for n, cell in enumerate(side)}
    height, width = (max(1, length // RING_SIDE) for length in small.shape)
    corners = (small[:height, :width], small[:height, -width:], small[-height:, :width], small[-height:, -width:])
    names = ("top left", "top right", "bottom left", "bottom right")
    return found | {f"spread in the {name} corner": float(c.std()) for name, c in zip(names, corners, strict=True)}
