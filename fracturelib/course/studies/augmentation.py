"""What augmentation does, in numbers: variants of one radiograph, and how often a crop cuts its fracture away."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from fracturelib.catalog import BOX
from fracturelib.config import TrainConfig
from fracturelib.runtime import seeded
from fracturelib.transforms import denormalize, train_transform

VARIANTS = 6
LEAST_IN_SIGHT = 0.5  # a fracture is mostly cut away if less than this share of its box is in sight


def variants(radiograph: np.ndarray, config: TrainConfig, *, count: int = VARIANTS, seed: int = 0) -> torch.Tensor:
    """What the network would get in `count` epochs: uint8 (H, W) → float32 (count, 3, S, S), normalised."""
    transform = train_transform(config)
    images = []
    for epoch in range(count):
        with seeded(seed, "preview", epoch):
            images.append(transform(radiograph))
    return torch.stack(images)


def displayed(images: torch.Tensor) -> list[np.ndarray]:
    """Normalised images (B, 3, S, S) → greys 0…1, each (S, S); the three channels are equal."""
    return list(denormalize(images)[:, 0].numpy())


def share_in_sight(rows: pd.DataFrame, fraction: float, *, seed: int = 0, draws: int = 20) -> np.ndarray:
    """How much of each fracture's box a random crop keeps.

    The crop is that of `train_transform` without the rotation: a window whose sides are `fraction` of the picture's,
    anywhere inside it with equal chance.

    Args:
        rows: with width, height and the box columns, in pixels.
        fraction: 0…1.
        seed, draws: of the random places, `draws` for each row.

    Returns:
        (rows, draws) shares 0…1 of the box's area.
    """
    rng = np.random.default_rng(seed)
    size = rows[["width", "height"]].to_numpy(float)
    box = rows[list(BOX)].to_numpy(float)
    low, high = box[:, :2] / size, (box[:, :2] + box[:, 2:]) / size  # (rows, 2), as shares of the picture
    corner = rng.uniform(0, 1 - fraction, (len(rows), draws, 2))
    seen = np.minimum(high[:, None], corner + fraction) - np.maximum(low[:, None], corner)
    return np.clip(seen, 0, None).prod(axis=2) / (high - low).prod(axis=1)[:, None]


def crop_losses(rows: pd.DataFrame, fractions: tuple[float, ...], *, seed: int = 0) -> pd.DataFrame:
    """For each crop: the share of crops in which the fracture is mostly cut away, and wholly.

    Columns: fraction, mostly_gone (less than half of the box in sight), gone (nothing of it in sight).
    """
    found = []
    for fraction in fractions:
        seen = share_in_sight(rows, fraction, seed=seed)
        found.append((fraction, (seen < LEAST_IN_SIGHT).mean(), (seen == 0).mean()))
    return pd.DataFrame(found, columns=["fraction", "mostly_gone", "gone"])
