"""The classifier: a pretrained trunk, frozen, and a small head that is trained."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import nn

from fracturelib.config import TrainConfig
from fracturelib.errors import ConfigError, InputError
from fracturelib.runtime import seeded
from fracturelib.trunks.engine import Engine
from fracturelib.trunks.frozen import FrozenPart, frozen_copy
from fracturelib.trunks.pooling import Tiled, innermost, pooled
from fracturelib.trunks.weights import WeightsOrigin, load_trunk, requested_weights, usual_size

COLOURS = 3  # channels of an image; the maps at a frozen boundary have more
RAW = 50  # no normalised value comes near it; grey values of 0…255 do


class Standardise(nn.Module):
    """Features (B, F) minus a fixed mean, divided by a fixed standard deviation, both (F,); never trained.

    Networks give features of very different size. Brought to one scale, they are learnt from alike, at one learning
    rate and from few images (LeCun et al., "Efficient BackProp", 1998, section 4.3). Until `fit` is called nothing is
    changed.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    @property
    def fitted(self) -> bool:
        """Whether `fit` was called: mean and standard deviation are no longer 0 and 1."""
        return bool(self.mean.any() or (self.std != 1).any())

    def fit(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Take over a mean and a standard deviation, (F,); none counts as smaller than half the median of all.

        In few images some features hardly vary; divided by so little, they would come out huge in other images.
        """
        least = std.median() / 2
        self.mean.copy_(mean)
        self.std.copy_(std.clamp(min=least) if least > 0 else torch.ones_like(std))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return (features - self.mean) / self.std

    def extra_repr(self) -> str:
        return f"{len(self.mean)}"


def build_head(config: TrainConfig, width: int) -> nn.Sequential:
    """The head, features (B, width) → P(fractured) (B, 1); its start weights follow from the seed.

    Standardised features come first. What is trained keeps the numbers that it had before there was such a layer, so
    that the files of older runs fit.
    """
    with seeded(config.seed, "head"):
        if config.head == "recipe":
            trained = [
                nn.Linear(width, config.hidden_units),
                nn.ReLU(),
                nn.Dropout(config.dropout),
                nn.Linear(config.hidden_units, 1),
            ]
        else:  # "linear", and "logistic", which differs in how it is fitted
            trained = [nn.Linear(width, 1)]
    numbered = {str(number): layer for number, layer in enumerate([*trained, nn.Sigmoid()])}
    return nn.Sequential(OrderedDict({"standardise": Standardise(width), **numbered}))


class FractureClassifier(nn.Module):
    """Trunk and head. ``model(images)`` is P(fractured), a probability, once: never apply a sigmoid to it.

    The trunk starts frozen: its parameters take no gradient **and** it stays in eval mode whatever `train` is told,
    so that its batch-norm statistics do not drift.

    Args:
        trunk: images (B, 3, S, S) → features (B, F).
        head: features (B, F) → probabilities (B, 1), ending in a sigmoid.
        origin: where the trunk's weights came from.
        fast: run the frozen part as a copy with its batch norm folded, in `precision`; otherwise as it is.
    """

    def __init__(self, trunk: nn.Module, head: nn.Sequential, origin: WeightsOrigin, *, fast: bool = True) -> None:
        super().__init__()
        self.trunk, self.head, self.origin, self.fast = trunk, head, origin, fast
        self.trained_modules: list[str] = []  # names of trunk modules above the frozen boundary
        self.still_norms = False  # keep batch norm above the boundary in eval mode too: its statistics stay
        self.precision = "float32"  # of the frozen part; see `choose_precision`
        self.engine: Engine | None = None  # computes the frozen part in the place of torch
        self.freeze()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Images (B, 3, S, S), or what was computed of them before (see `features`) → P(fractured) (B,)."""
        return self.head(self.features(inputs)).squeeze(1)  # (B, 1) → (B,)

    def features(self, inputs: torch.Tensor) -> torch.Tensor:
        """Trunk features (B, F) of one of three inputs; the frozen part builds no graph.

        Args:
            inputs: features (B, F), which are returned; or maps (B, C, H, W) at the frozen boundary, which go through
                the rest of the trunk; or normalised images (B, 3, S, S).

        Raises:
            InputError: the tensor is none of these.
        """
        if not isinstance(inputs, torch.Tensor):
            raise InputError(f"the model takes a tensor, and got {type(inputs).__name__}", cure="torch.as_tensor(…)")
        if inputs.ndim == 2:
            _check_width(inputs, self.head)
            return inputs  # (B, F)
        upper = self._frozen.upper
        if upper is not None and _are_maps(inputs):
            return upper(inputs)  # (B, C, H, W) → (B, F)
        _check_images(inputs)
        found = self.frozen_features(inputs)  # (B, 3, S, S) → (B, F), or (B, C, H, W)
        return found if upper is None else upper(found)

    @property
    def has_frozen_part(self) -> bool:
        """Whether the trunk begins with a part that is never trained and can be run by itself."""
        return self._frozen.lower is not None

    def frozen_features(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, 3, S, S) → float32 features (B, F), or maps (B, C, H, W) at the frozen boundary.

        Computed by the `engine`, where there is one; else in the precision that `precision` means on this device, with
        batch norm folded into the convolutions.

        Raises:
            ConfigError: int8 without an engine.
        """
        if self.engine is not None:
            return self.engine(images)
        return self._frozen(images, precision=self.precision)

    def frozen_copy(self) -> nn.Module:
        """A float32 copy of the frozen part on the CPU, batch norm folded, for export; it shares nothing."""
        copied = frozen_copy(self._frozen.lower or nn.Identity(), torch.float32)
        return copied.cpu().to(memory_format=torch.contiguous_format)

    @contextmanager
    def in_float32(self) -> Iterator[None]:
        """For one block torch computes everything in float32, whatever engine and precision are set."""
        usual = self.engine, self.precision
        self.engine, self.precision = None, "float32"
        try:
            yield
        finally:
            self.engine, self.precision = usual

    def frozen_fingerprint(self) -> str:
        """SHA-256 over the tensors of the frozen part."""
        return self._frozen.fingerprint()

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, 3, S, S) → log-odds of a fracture (B,), the number before the sigmoid."""
        return self.head[:-1](self.features(images)).squeeze(1)

    @torch.inference_mode()
    def predict_proba(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, 3, S, S) → P(fractured) (B,) in eval mode (no dropout); the mode is put back afterwards."""
        was_training = self.training
        self.eval()
        try:
            return self(images)
        finally:
            self.train(was_training)

    def train(self, mode: bool = True) -> Self:
        """The same as `nn.Module.train`, except that the frozen part of the trunk stays in eval mode."""
        super().train(mode)
        self.trunk.eval()
        for name in self.trained_modules:
            module = self.trunk.get_submodule(name)
            module.training = mode and not (self.still_norms and isinstance(module, nn.BatchNorm2d))
        return self

    def freeze(self) -> Self:
        """Freeze the whole trunk: no gradients, eval mode."""
        self.trained_modules = []
        self._frozen, self.engine = FrozenPart(self.trunk, None, fast=self.fast), None
        self.trunk.requires_grad_(False)
        return self.train(self.training)

    def unfreeze(self, stage: str) -> Self:
        """Train everything from `stage` to the end of the trunk, for example ``layer4``, or ``layer3`` and above.

        Raises:
            ConfigError: the trunk has no module of that name.
        """
        stages = [name for name, _ in innermost(self.trunk).named_children()]
        names = [name for name, _ in self.trunk.named_modules() if name]
        # within what adapts the network to our pictures, or shows it tiles of them
        stage = next((name for name in names if name.removeprefix("network.").removeprefix("network.") == stage), stage)
        if stage not in names:
            raise ConfigError(f"the trunk has no stage '{stage}'", cure=f"choose one of {', '.join(stages)}")
        # Modules are listed in the order in which the image passes them, parents first.
        self.freeze()
        self.trained_modules = names[names.index(stage) :]
        self._frozen = FrozenPart(self.trunk, stage, fast=self.fast)
        for name in self.trained_modules:
            self.trunk.get_submodule(name).requires_grad_(True)
        return self.train(self.training)

    def _apply(self, function: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        """Whatever moves or converts the tensors (`to`, `cuda`, `half`) comes through here."""
        self._frozen.forget()
        return super()._apply(function, recurse)

    def load_state_dict(self, *arguments: Any, **named: Any) -> Any:
        """The same as `nn.Module.load_state_dict`; the copy of the frozen part is made anew."""
        self._frozen.forget()
        return super().load_state_dict(*arguments, **named)

    def trained_state(self) -> dict[str, torch.Tensor]:
        """Copies of all tensors that training can change: the head's, and those above the frozen boundary."""
        above = tuple(f"trunk.{name}." for name in self.trained_modules)
        return {
            name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, value in self.state_dict().items()
            if name.startswith(("head.", *above))
        }

    def load_trained_state(self, state: dict[str, torch.Tensor]) -> None:
        """The inverse of `trained_state`; raises KeyError or RuntimeError when names or shapes differ."""
        own = self.trained_state()
        # a run of an earlier version took features as they are
        state = {name: value for name, value in own.items() if name.startswith("head.standardise.")} | state
        expected = set(own)
        if set(state) != expected:
            raise KeyError(f"expected the tensors {sorted(expected)}, found {sorted(state)}")
        self.load_state_dict(state, strict=False)

    def __repr__(self) -> str:
        trained = sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)
        frozen = sum(parameter.numel() for parameter in self.parameters() if not parameter.requires_grad)
        return (
            f"FractureClassifier(trunk: {self.origin.detail}; {frozen:,} parameters frozen, {trained:,} trained)\n"
            f"head: {self.head}"
        )


def build_model(config: TrainConfig, *, weights: str | None = None, fast: bool = True) -> FractureClassifier:
    """The classifier that a configuration describes, on the CPU, in eval mode.

    Args:
        config: the run's settings.
        weights: overrides ``config.weights`` and the environment; used to reload a run exactly.
        fast: see `FractureClassifier`.

    Raises:
        WeightsError: the weights cannot be had.
        ConfigError: ``config.unfreeze`` names no stage of the trunk, or the trunk takes no images of
            ``config.image_size``.
    """
    weights = requested_weights(config.weights) if weights is None else weights
    trunk, origin = load_trunk(config.architecture, weights, seed=config.seed)
    if config.pool != "mean":
        trunk = pooled(trunk, config.pool, config.architecture)
    if config.tiles > 1:
        trunk = Tiled(trunk, config.tiles, config.image_size, config.picture_side)
    head = build_head(config, _width(trunk.eval(), config))
    # channels-last: the same numbers to rounding, and about a third faster convolutions on CPUs
    model = FractureClassifier(trunk.to(memory_format=torch.channels_last), head, origin, fast=fast)
    model.precision = "float32" if config.engine == "onnxruntime" and config.precision == "auto" else config.precision
    if config.unfreeze != "head":
        model.unfreeze(config.unfreeze)
    return model.eval()


@torch.inference_mode()
def _width(trunk: nn.Module, config: TrainConfig) -> int:
    """Number F of the trunk's features; asked of the trunk itself, at the size of the run's images."""
    side = config.image_size
    try:
        return trunk(torch.zeros(1, COLOURS, config.picture_side, config.picture_side)).shape[1]  # (1, F)
    except (RuntimeError, AssertionError, ValueError) as error:
        usual = usual_size(config.architecture)
        raise ConfigError(
            f"{config.architecture} cannot take images of {side} × {side} pixels",
            cause=f"it was made for {usual} × {usual} ({str(error).splitlines()[0][:80]})",
            cure=f"use --image-size {usual}, or another --architecture",
        ) from error


def _are_maps(inputs: torch.Tensor) -> bool:
    """Whether a tensor has the shape of maps (B, C, H, H): more channels than an image, which may come last there."""
    return inputs.ndim == 4 and inputs.shape[1] > COLOURS and inputs.shape[2] == inputs.shape[3]


def _check_width(features: torch.Tensor, head: nn.Sequential) -> None:
    """Raise InputError for features (B, F) of another trunk than the head (F → 1) was made for."""
    expected = next((layer.in_features for layer in head if isinstance(layer, nn.Linear)), features.shape[1])
    if features.shape[1] != expected:
        raise InputError(
            f"the head takes features (B, {expected}), and got {tuple(features.shape)}",
            cause="they were computed by another trunk, or pooled otherwise",
            cure="compute them with this model: fracturelib.features.compute_features",
        )


def _check_images(inputs: torch.Tensor) -> None:
    """Raise InputError, in plain words, for a tensor that is not normalised images (B, 3, S, S)."""
    shape, cure = tuple(inputs.shape), "prepare radiographs with fracturelib.transforms.eval_transform"
    if inputs.ndim == 3:
        found, cure = "one image without a batch", "add the batch: images[None]"
    elif inputs.ndim != 4:
        found = "a tensor"
    elif shape[1] == 1:
        found = "grey images"
    elif shape[1] != COLOURS and shape[3] in (1, COLOURS):
        found, cure = "channels that come last", "put them first: images.permute(0, 3, 1, 2)"
    elif shape[1] != COLOURS:
        found = f"{shape[1]} channels"
    elif not inputs.is_floating_point() or (len(inputs) and _are_raw(inputs)):
        found = "grey values that are not normalised"
    else:
        return
    raise InputError(f"the model takes normalised images (B, 3, S, S), and got {found}: {shape}", cure=cure)


def _are_raw(images: torch.Tensor) -> bool:
    """Whether the values (B, 3, S, S) are still grey values, of 0…255 or of 0…1.

    Normalising treats each channel in its own way: after it, the channels of a grey picture differ.
    """
    low, high = images.aminmax()
    same_channels = torch.equal(images[:, 0], images[:, 1]) and torch.equal(images[:, 0], images[:, 2])
    return bool(high > RAW or (low >= 0 and 0 < high <= 1 and same_channels))
