"""From a greyscale radiograph to what the trunk sees: one pipeline for training, one for everything else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torchvision.transforms import InterpolationMode, v2

from fracturelib.config import IMAGENET_MEAN, IMAGENET_STD, TrainConfig
from fracturelib.errors import ImageError
from fracturelib.images.squares import framed


def _to_image(radiograph: np.ndarray) -> torch.Tensor:
    """uint8 (H, W) array → uint8 (1, H, W) tensor; floats of 0…1 are scaled. The copy leaves the caller's array alone.

    Raises:
        ImageError: the array is no grey picture, or its values are neither 0…255 nor floats of 0…1.
    """
    values = np.asarray(radiograph)
    if values.dtype.kind in "bf":
        values = np.rint(values.astype(np.float64) * 255)
    # Written as "not inside", so that NaN fails as well.
    if values.ndim != 2 or (values.dtype != np.uint8 and not (values.min() >= 0 and values.max() <= 255)):
        raise ImageError(
            f"a grey picture is needed, not {np.asarray(radiograph).dtype} of shape {values.shape}",
            cause="it has more than one channel, or its values are neither whole numbers of 0…255 nor floats of 0…1",
            cure="read the file with read_radiograph, or scale the array to 0…255 first",
        )
    return torch.from_numpy(np.array(values, dtype=np.uint8, copy=True))[None]


def _to_three_channels(image: torch.Tensor) -> torch.Tensor:
    """(…, 1, S, S) → (…, 3, S, S): the trunk was trained on colour photographs and expects three channels."""
    return image.expand(*image.shape[:-3], 3, -1, -1)


class Window:
    """The part of a picture (1, H, W) that becomes the model's square; see `images.squares.window`."""

    def __init__(self, fit: str) -> None:
        self.fit = fit

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(framed(image[0].numpy(), self.fit))[None]

    def __repr__(self) -> str:
        return f"Window({self.fit})"


def _fitted(config: TrainConfig) -> list[Callable]:
    """The step before resizing, where there is one."""
    return [] if config.fit == "square" else [Window(config.fit)]


_STILL_STEPS = (v2.Resize, v2.ToDtype, v2.Normalize, Window)  # known to draw nothing
_DRAWN_STEPS = (v2.RandomHorizontalFlip, v2.RandomRotation, v2.RandomCrop)  # draw first, then work: the recipe's own


def train_transform(config: TrainConfig) -> v2.Compose:
    """Resize, random flip, random rotation, random crop, normalisation: uint8 (H, W) → float32 (3, S, S).

    S is ``config.picture_side``. The picture is resized a little larger than S, so that the random crop keeps
    ``config.crop_fraction`` of its side.
    """
    resized = round(config.picture_side / config.crop_fraction)
    return v2.Compose(
        [
            _to_image,
            *_fitted(config),
            v2.Resize((resized, resized), antialias=True),
            v2.RandomHorizontalFlip(config.flip_probability),
            v2.RandomRotation(config.rotation_degrees, interpolation=InterpolationMode.BILINEAR),
            v2.RandomCrop(config.picture_side),
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
            *_fitted(config),
            v2.Resize((config.picture_side, config.picture_side), antialias=True),
            _to_three_channels,
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )


def split_transform(transform: Callable) -> tuple[list[Callable], Callable]:
    """The steps of a transform that work on one image, and what is left to do for a batch on any device.

    Of `train_transform` and `eval_transform` the first part gives uint8 (1, S, S), and the second turns uint8
    (B, 1, S, S) into float32 (B, 3, S, S). Of any other transform the first part is all.
    """
    steps = list(getattr(transform, "transforms", ()))
    if _to_three_channels not in steps:
        return [transform], torch.nn.Identity()
    place = steps.index(_to_three_channels)
    still, rest = steps[:place], steps[place + 1 :]
    if rest and type(rest[0]) is v2.ToDtype:  # the same numbers for less work: bytes become floats once, not thrice
        return still, v2.Compose([rest[0], _to_three_channels, *rest[1:]])
    return still, v2.Compose([_to_three_channels, *rest])


def apply_steps(steps: Sequence[Callable], radiograph: np.ndarray, randomness: AbstractContextManager) -> torch.Tensor:
    """The same as ``with randomness: Compose(steps)(radiograph)``, with as much as possible outside of it.

    Threads take turns inside `randomness`. Of the recipe's own steps only the drawing happens there; a random step
    that is not known here runs in it as a whole.
    """
    image: Any = radiograph
    steps = list(steps)
    while steps and not is_random(steps[:1]):
        image = steps.pop(0)(image)
    apart = _can_draw_apart(steps)
    with randomness:
        drawn = [_draw(step, image) for step in steps] if apart else []
        image = image if apart else v2.Compose(steps)(image)
    work: Any
    for work, parameters in zip(steps, drawn, strict=False):  # none drawn: all is done
        image = image if parameters is None else work.transform(image, parameters)
    return image


def is_random(steps: Sequence[Callable]) -> bool:
    """Whether one of the steps may draw random numbers: all but the few that are known not to."""
    return not all(type(step) in _STILL_STEPS or step in (_to_image, _to_three_channels) for step in steps)


def is_described(transform: Callable) -> bool:
    """Whether `describe_transform` tells its steps from all others; a reader's own function has only its name."""
    ours, steps = (_to_image, _to_three_channels), getattr(transform, "transforms", [transform])
    return all(
        step in ours or type(step) is Window or type(step).__module__.startswith("torchvision.transforms.v2.")
        for step in steps
    )


def _can_draw_apart(steps: Sequence[Callable]) -> bool:
    """Whether each step's draws depend on the first picture's size alone, so that all can be drawn beforehand."""
    fixed_size = all(type(step) in _DRAWN_STEPS and not getattr(step, "expand", False) for step in steps)
    return fixed_size and not any(isinstance(step, v2.RandomCrop) for step in steps[:-1])


def describe_transform(transform: Callable) -> str:
    """All settings of a transform's steps as text, the same in every process."""
    steps = getattr(transform, "transforms", [transform])
    return " → ".join(getattr(step, "__name__", None) or repr(step) for step in steps)


def _draw(step: Any, image: torch.Tensor) -> dict | None:
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
