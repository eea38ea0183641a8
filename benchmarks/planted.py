"""Copies planted among real radiographs, and who else looks for such: `benchmarks.audit` compares them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fracturelib.images import read_radiograph

SIDE = 600  # pixels of the long side, so that the set is quickly written
LEAST_LEFT = 0.6  # share of the area that a crop leaves
MOST_BITS = 20  # of 64 by which two hashes may differ; each opponent gets the number that serves it best


def _rotated(pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    height, width = pixels.shape
    return cv2.warpAffine(
        pixels, cv2.getRotationMatrix2D((width / 2, height / 2), draw.uniform(0, 360), 1), (width, height)
    )


def _mirrored(pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    return np.ascontiguousarray(pixels[:, ::-1])


def _cropped(pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    left = draw.uniform(LEAST_LEFT, 1)  # share of the area
    across = draw.uniform(left, 1)
    height, width = (round(side * share) for side, share in zip(pixels.shape, (left / across, across), strict=True))
    top, start = (draw.integers(0, side - part + 1) for side, part in zip(pixels.shape, (height, width), strict=True))
    return np.ascontiguousarray(pixels[top : top + height, start : start + width])


def _same(pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    return pixels


def _equalised(pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    return cv2.createCLAHE(3.0, (8, 8)).apply(pixels)


def _inverted(pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    return 255 - pixels


def _letterboxed(pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    height, width = pixels.shape
    side = round(1.15 * max(height, width))
    top, left = (side - height) // 2, (side - width) // 2
    return cv2.copyMakeBorder(pixels, top, side - height - top, left, side - width - left, cv2.BORDER_CONSTANT, value=0)


def _marked(pixels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    height, width = pixels.shape
    place = (int(draw.uniform(0.05, 0.75) * width), int(draw.uniform(0.2, 0.95) * height))
    return cv2.putText(pixels.copy(), "R", place, cv2.FONT_HERSHEY_SIMPLEX, height / 180, 255, max(2, height // 60))


CHANGES: dict[str, tuple[Callable[[np.ndarray, np.random.Generator], np.ndarray], int]] = {  # and the JPEG quality
    "rotated": (_rotated, 90),
    "mirrored": (_mirrored, 90),
    "cropped": (_cropped, 90),
    "JPEG 30": (_same, 30),
    "CLAHE": (_equalised, 90),
    "inverted": (_inverted, 90),
    "letterboxed": (_letterboxed, 90),
    "painted marker": (_marked, 90),
}


def plant(files: list[Path], folder: Path, *, copied: int) -> dict[str, tuple[str, str]]:
    """Write the radiographs into a folder, with one copy of every kind of each of the first `copied` of them.

    Returns:
        file name → (name of the original, kind of copy, "" for an original).
    """
    folder.mkdir(parents=True)
    draw, truth = np.random.default_rng(0), {}
    for number, file in enumerate(files):
        pixels = read_radiograph(file, target_side=SIDE)
        scale = SIDE / max(pixels.shape)
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        changes = {"": (_same, 95), **(CHANGES if number < copied else {})}
        for kind, (change, quality) in changes.items():
            name = f"{draw.integers(2**40):012d}.jpg"  # tells nothing
            truth[name] = (file.stem, kind)
            cv2.imwrite(str(folder / name), change(pixels, draw), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return truth


def opponents() -> Iterator[tuple[str, Callable[[list[Path]], np.ndarray]]]:
    """Those that are installed: a name, and files → groups (n,), at the threshold that serves it best."""
    for module, ways in (
        ("imagededup", ("PHash", "DHash", "WHash", "AHash")),
        ("imagehash", ("phash", "dhash_vertical")),
    ):
        try:
            found = importlib.import_module(f"{module}.methods" if module == "imagededup" else module)
        except ImportError:
            print(f"{module}: left out, it is not installed (pip install {module})")
            continue
        for way in ways:
            yield f"{module} {way}", _hashes_of(found, module, way)


def _hashes_of(found: Any, module: str, way: str) -> Callable[[list[Path]], np.ndarray]:
    """Files → bits (n, 64)."""

    def of_imagededup(files: list[Path]) -> np.ndarray:
        encoder = getattr(found, way)(verbose=False)
        return np.array([[int(bit) for bit in f"{int(encoder.encode_image(file), 16):064b}"] for file in files])

    def of_imagehash(files: list[Path]) -> np.ndarray:
        from PIL import Image

        return np.array([getattr(found, way)(Image.open(file)).hash.ravel() for file in files]).astype(int)

    return of_imagededup if module == "imagededup" else of_imagehash


def groups_within(bits: np.ndarray, most: int) -> np.ndarray:
    """Files (n,) whose hashes differ by at most `most` bits are joined, directly or through others."""
    differ = bits @ (1 - bits).T + (1 - bits) @ bits.T
    return connected_components(coo_array(differ <= most), directed=False)[1]
