"""Fixtures shared by the whole suite: tiny generated data sets, and the real radiographs where there are any."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PROJECT = Path(__file__).resolve().parents[1]
TINY_COUNTS = {"train": 8, "val": 4, "test": 4}  # images of each class


def tiny_radiograph(rng: np.random.Generator, *, fractured: bool, height: int = 64, width: int = 48) -> np.ndarray:
    """A bright shaft on a dark, noisy ground, uint8 (H, W); a fracture is a dark gap across it."""
    image = rng.normal(40, 8, (height, width))
    left = int(rng.integers(width // 4, width // 2))
    image[:, left : left + width // 4] += 140
    if fractured:
        gap = int(rng.integers(height // 4, 3 * height // 4))
        image[gap : gap + height // 8] = rng.normal(40, 8, image[gap : gap + height // 8].shape)
    return image.clip(0, 255).astype(np.uint8)


def write_tree(root: Path, counts: Mapping[str, int] = TINY_COUNTS, *, seed: int = 0, suffix: str = ".png") -> Path:
    """A data set in the project's layout; every file is another original, named s0001, s0002, …"""
    rng = np.random.default_rng(seed)
    number = 0
    for split, per_class in counts.items():
        for label, name in enumerate(("not fractured", "fractured")):
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for _ in range(per_class):
                number += 1
                pixels = tiny_radiograph(rng, fractured=label == 1)
                Image.fromarray(pixels).save(folder / f"s{number:04d}{suffix}")
    return root


@pytest.fixture(scope="module", autouse=True)
def weights_as_configured() -> Iterator[None]:
    """`make test` overrides the weights for the notebooks; the tests here mean what their settings say."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("FRACTURELIB_WEIGHTS", raising=False)
        yield


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[..., Path]:
    """A function (counts, seed=…, suffix=…) → root of a new data set that the test may change."""
    made = iter(range(1000))
    return lambda *args, **kwargs: write_tree(tmp_path / f"data{next(made)}", *args, **kwargs)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a data set of 32 images, made once; read-only by agreement."""
    return write_tree(tmp_path_factory.mktemp("tiny") / "data")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real sets `fracatlas_slice` and `wrist_rotated`, named by FRACTURELIB_REAL_DATA."""
    named = os.environ.get("FRACTURELIB_REAL_DATA")
    folder = Path(named) if named else PROJECT / "../shared/data"
    if not (folder / "fracatlas_slice").is_dir():
        pytest.skip(f"no real radiographs in {named or '../shared/data'} (set FRACTURELIB_REAL_DATA; see the README)")
    return folder.resolve()
