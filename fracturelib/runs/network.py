"""A run's network as `predict` uses it, arrays in and arrays out: computed by torch, or by onnxruntime and NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from fracturelib.config import IMAGENET_MEAN, IMAGENET_STD, TrainConfig
from fracturelib.images.squares import framed, resized

if TYPE_CHECKING:
    import torch

    from fracturelib.model import FractureClassifier
    from fracturelib.trunks.engine import Engine

Greys = NDArray[np.uint8]
Numbers = NDArray[np.float32]
STANDARDISED, LAYER = "head.standardise.", "head."  # names of a head's tensors begin so


class Network(Protocol):
    """Pictures → features → P(fractured), not calibrated.

    Attributes:
        device: the kind of device that computes it: "cpu", "cuda" or "mps".
    """

    @property
    def device(self) -> str: ...

    def grey(self, picture: Greys) -> Greys:
        """A picture (H, W) → what the trunk sees of it, (1, S, S)."""

    def features(self, greys: Greys) -> Numbers:
        """Greys (B, 1, S, S) → features (B, F)."""

    def probabilities(self, features: Numbers) -> Numbers:
        """Features (B, F) → P(fractured) (B,)."""


class TorchNetwork:
    """The network of any run, on the device where the model is."""

    def __init__(self, model: FractureClassifier, config: TrainConfig | None = None) -> None:
        from torchvision.transforms import v2

        from fracturelib.transforms import eval_transform, split_transform

        # what comes after the size is the same for all settings
        steps, self._finish = split_transform(eval_transform(config or TrainConfig()))
        self._shrink, self._model = v2.Compose(steps), model

    def grey(self, picture: Greys) -> Greys:
        """See `Network`."""
        return self._shrink(picture).numpy()

    def features(self, greys: Greys) -> Numbers:
        """See `Network`."""
        import torch

        from fracturelib.runtime import on_device

        with torch.inference_mode():
            images = self._finish(on_device(torch.from_numpy(greys), self._device))  # (B, 3, S, S)
            return self._model.features(images).float().cpu().numpy()

    def probabilities(self, features: Numbers) -> Numbers:
        """See `Network`."""
        import torch

        return self._model.predict_proba(torch.from_numpy(features).to(self._device)).float().cpu().numpy()

    @property
    def device(self) -> str:
        """See `Network`."""
        return self._device.type

    @property
    def _device(self) -> torch.device:
        return next(self._model.parameters()).device


class OnnxNetwork:
    """The network of a run whose whole trunk onnxruntime computes; torch is not loaded.

    Greys and images are torch's bit for bit (`images.squares.as_torch_resizes` says where), and so are features; the
    head adds its products in another order, so that probabilities may differ in the last bits of float32.

    Args:
        engine: the trunk.
        head: the tensors that training changed, by name, as the run keeps them.
        config: the run's settings.

    Raises:
        KeyError: a tensor is missing.
        ValueError: the tensors do not fit together.
    """

    device = "cpu"

    def __init__(self, engine: Engine, head: Mapping[str, Numbers], config: TrainConfig) -> None:
        self._engine, self._fit, self._side = engine, config.fit, config.picture_side
        self._mean, self._std = head[f"{STANDARDISED}mean"], head[f"{STANDARDISED}std"]
        numbers = ("0", "3") if config.head == "recipe" else ("0",)  # of the layers in `model.build_head`
        self._layers = [(head[f"{LAYER}{number}.weight"], head[f"{LAYER}{number}.bias"]) for number in numbers]
        shades = np.arange(256, dtype=np.float32) * np.float32(1 / 255)
        mean, std = (np.array(numbers, np.float32)[:, None] for numbers in (IMAGENET_MEAN, IMAGENET_STD))
        self._normalised = (shades - mean) / std  # (3, 256): what each grey becomes in each channel
        if self.probabilities(self._mean[None]).shape != (1,):
            raise ValueError("the head gives more than one number")

    def grey(self, picture: Greys) -> Greys:
        """See `Network`."""
        return resized(framed(picture, self._fit), self._side)[None]

    def features(self, greys: Greys) -> Numbers:
        """See `Network`."""
        return self._engine.run(np.stack([shades[greys[:, 0]] for shades in self._normalised], axis=1))

    def probabilities(self, features: Numbers) -> Numbers:
        """See `Network`."""
        found = (features - self._mean) / self._std
        for number, (weight, bias) in enumerate(self._layers):
            found = (np.maximum(found, 0) if number else found) @ weight.T + bias
        with np.errstate(over="ignore"):  # exp of a large number is infinite, and the probability 0
            return (1 / (1 + np.exp(-found[:, 0]))).astype(np.float32)
