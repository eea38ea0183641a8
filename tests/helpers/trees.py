"""Tiny data sets of made-up radiographs, in the project's layout."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

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


def state_of(root: Path) -> dict[str, tuple]:
    """Everything below a folder: mode, and the content of files or the target of links, by path."""
    state = {}
    for path in sorted([root, *root.rglob("*")]):
        mode = path.lstat().st_mode
        content = path.readlink() if stat.S_ISLNK(mode) else path.read_bytes() if stat.S_ISREG(mode) else None
        state[str(path)] = (mode, content)
    return state
