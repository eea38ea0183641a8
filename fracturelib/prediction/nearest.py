"""The training pictures that a picture resembles most, with their labels: what its number rests on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fracturelib.config import TrainConfig
from fracturelib.errors import ImageError
from fracturelib.evaluation.similarity import Reference
from fracturelib.images import read_radiograph
from fracturelib.model import FractureClassifier
from fracturelib.transforms import eval_transform

SIDE = 128  # pixels of a thumbnail's short side, about


class Case(NamedTuple):
    """A training picture: its path, label, similarity (-1…1), and thumbnail (H, W), None where it is not there."""

    path: str
    label: int
    similarity: float
    image: NDArray[np.uint8] | None


def nearest_cases(
    model: FractureClassifier,
    reference: Reference,
    config: TrainConfig,
    files: Sequence[str | Path],
    *,
    count: int = 3,
) -> list[list[Case]]:
    """For each file the most similar training pictures, one per patient or source; `config.data` is where they lie.

    Raises:
        ImageError: one of the files cannot be read.
    """
    if not files:
        return []
    found = reference.nearest(features_of(model, config, files), count=count)
    return [
        [
            Case(row.path, int(row.label), float(row.similarity), thumbnail(Path(config.data) / row.path))
            for row in near.itertuples()
        ]
        for near in found
    ]


def thumbnail(file: Path) -> NDArray[np.uint8] | None:
    """A small picture (H, W); None where the file is gone or cannot be read."""
    try:
        picture = read_radiograph(file, target_side=SIDE)
    except (ImageError, OSError):
        return None
    step = max(1, min(picture.shape) // SIDE)
    return picture[::step, ::step]


@torch.inference_mode()
def features_of(model: FractureClassifier, config: TrainConfig, files: Sequence[str | Path]) -> NDArray[np.float64]:
    """What the trunk gives (n, F) for files, as the model sees them when it predicts; raises ImageError."""
    transform, device, found = eval_transform(config), next(model.parameters()).device, []
    model.eval()
    for start in range(0, len(files), config.batch_size):
        batch = files[start : start + config.batch_size]
        grey = [read_radiograph(file, target_side=config.picture_side, polarity=config.polarity) for file in batch]
        pictures = [transform(picture) for picture in grey]
        found.append(model.features(torch.stack(pictures).to(device)).double().cpu().numpy())
    return np.concatenate(found)
