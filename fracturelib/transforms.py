"""From a greyscale radiograph to what the trunk sees: one pipeline for training, one for everything else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch
from torchvision.transforms import InterpolationMode, v2

from fracturelib.config import IMAGENET_MEAN, IMAGENET_STD, TrainConfig


def _to_image(radiograph: np.ndarray) -> torch.Tensor:
    """uint8 (H, W) array → uint8 (1, H, W) tensor; the copy leaves the caller's array alone."""
    return torch.from_numpy(np.array(radiograph, dtype=np.uint8, copy=True))[None]


def _to_three_channels(image: torch.Tensor) -> torch.Tensor:
    """(…, 1, S, S) → (…, 3, S, S): the trunk was trained on colour photographs and expects three channels."""
    return image.expand(*image.shape[:-3], 3, -1, -1)


def train_transform(config: TrainConfig) -> v2.Compose:
    """Resize, random flip, random rotation, random crop, normalisation: uint8 (H, W) → float32 (3, S, S).

    S is ``config.image_size``. The picture is resized a little larger than S, so that the random crop keeps
    ``config.crop_fraction`` of its side.
    """
    resized = round(config.image_size / config.crop_fraction)
    return v2.Compose(
        [
            _to_image,
            v2.Resize((resized, resized), antialias=True),
            v2.RandomHorizontalFlip(config.flip_probability),
            v2.RandomRotation(config.rotation_degrees, interpolation=InterpolationMode.BILINEAR),
            v2.RandomCrop(config.image_size),
            _to_three_channels,
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )


def eval_transform(config: TrainConfig) -> v2.Compose:
    """Resize and normalisation, nothing random: uint8 (H, W) → float32 (3, S, S)."""
    return v2.Compose(
        [
            _to_image,
            v2.Resize((config.image_size, config.image_size), antialias=True),
            _to_three_channels,
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )


def split_transform(transform: Callable) -> tuple[list[Callable], v2.Compose] | None:
    """The steps of `train_transform` or `eval_transform` that work on one grey uint8 image, and those for a batch.

    The second part turns uint8 (B, 1, S, S) into float32 (B, 3, S, S), on any device. None for any other transform.
    """
    steps = list(getattr(transform, "transforms", ()))
    if _to_three_channels not in steps:
        return None
    place = steps.index(_to_three_channels)
    return steps[:place], v2.Compose(steps[place:])


def apply_steps(steps: Sequence[Callable], radiograph: np.ndarray, randomness: AbstractContextManager) -> torch.Tensor:
    """The same as ``with randomness: Compose(steps)(radiograph)``; only the drawing, and not the work, is inside."""
    image, steps = radiograph, list(steps)
    while steps and not is_random(steps[:1]):
        image = steps.pop(0)(image)
    with randomness:
        drawn = [_draw(step, image) for step in steps]
    for step, parameters in zip(steps, drawn, strict=True):
        image = image if parameters is None else step.transform(image, parameters)
    return image


def is_random(steps: Sequence[Callable]) -> bool:
    """Whether one of the steps draws random numbers."""
    return any(type(step).__name__.startswith("Random") for step in steps)


def describe_steps(steps: Sequence[Callable]) -> str:
    """All settings of the steps as text, the same in every process."""
    return " → ".join(getattr(step, "__name__", None) or repr(step) for step in steps)


def _draw(step: v2.Transform, image: torch.Tensor) -> dict | None:
    """What a random step draws for an image, in torchvision's order; None where it leaves the image alone."""
    chance = getattr(step, "p", None)
    if chance is not None and torch.rand(1) >= chance:
        return None
    return step.make_params([image])


def denormalize(images: torch.Tensor) -> torch.Tensor:
    """Undo the ImageNet normalisation for display: (..., 3, H, W) → the same shape, clamped to 0…1."""
    mean = torch.tensor(IMAGENET_MEAN, device=images.device).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=images.device).view(3, 1, 1)
    return (images * std + mean).clamp(0.0, 1.0)
