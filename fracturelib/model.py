"""The classifier: a pretrained trunk, frozen, and a small head that is trained."""

from __future__ import annotations

from typing import Self

import torch
from torch import nn

from fracturelib.config import TrainConfig
from fracturelib.errors import ConfigError
from fracturelib.runtime import choose_precision, seeded
from fracturelib.trunks.frozen import cut, frozen_copy, traced
from fracturelib.trunks.weights import WeightsOrigin, load_trunk, requested_weights, state_fingerprint

COLOURS = 3  # channels of an image; the maps at a frozen boundary have more


def make_head(num_features: int, *, hidden_units: int, dropout: float) -> nn.Sequential:
    """The recipe's head: features (B, F) → P(fractured) (B, 1)."""
    return nn.Sequential(
        nn.Linear(num_features, hidden_units),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden_units, 1),
        nn.Sigmoid(),
    )


class FractureClassifier(nn.Module):
    """Trunk and head. ``model(images)`` is P(fractured), a probability, once: never apply a sigmoid to it.

    The trunk starts frozen: its parameters take no gradient **and** it stays in eval mode whatever `train` is told,
    so that its batch-norm statistics do not drift.

    Args:
        trunk: images (B, 3, S, S) → features (B, F).
        head: features (B, F) → probabilities (B, 1), ending in a sigmoid.
        origin: where the trunk's weights came from.
    """

    def __init__(self, trunk: nn.Module, head: nn.Sequential, origin: WeightsOrigin) -> None:
        super().__init__()
        self.trunk, self.head, self.origin = trunk, head, origin
        self.trained_modules: list[str] = []  # names of trunk modules above the frozen boundary
        self.precision = "float32"  # of the frozen part; see `choose_precision`
        self.freeze()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, 3, S, S), or their features (B, F) → P(fractured) (B,)."""
        return self.head(self.features(images)).squeeze(1)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, 3, S, S) → trunk features (B, F).

        What was computed before is taken up where it ends: features (B, F) pass through, and maps (B, C, H, W) of the
        frozen part go through the rest of the trunk. The frozen part builds no graph.
        """
        if images.ndim == 2:
            return images
        if images.shape[1] != COLOURS:
            return self._halves()[1](images)
        return self.features(self.frozen_features(images)) if self.has_frozen_part else self.trunk(images)

    @property
    def has_frozen_part(self) -> bool:
        """Whether the trunk begins with a part that is never trained and can be run by itself."""
        return self._halves() is not None

    @torch.no_grad()
    def frozen_features(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, 3, S, S) → float32 features (B, F), or maps (B, C, H, W) at the frozen boundary.

        Computed in the precision that `precision` means on this device, with batch norm folded into the convolutions.
        """
        fast, dtype = self._fast_frozen_part()
        return fast(images.to(dtype=dtype).contiguous(memory_format=torch.channels_last)).float()

    def frozen_fingerprint(self) -> str:
        """SHA-256 over the tensors of the frozen part."""
        return state_fingerprint(self._halves()[0])

    def _halves(self) -> tuple[nn.Module, nn.Module | None] | None:
        """The trunk below and above the frozen boundary, sharing its modules; None where it cannot be cut."""
        if "_cut" not in self.__dict__:
            stage = self.trained_modules[0] if self.trained_modules else None
            self.__dict__["_cut"] = cut(self.trunk, stage) if stage else (traced(self.trunk), None)
        return self.__dict__["_cut"]

    def _fast_frozen_part(self) -> tuple[nn.Module, torch.dtype]:
        """The copy that `frozen_features` runs; made anew when the tensors were moved or changed."""
        lower, _ = self._halves()
        tensors = [*lower.parameters(), *lower.buffers()]
        state = (self.precision, *((tensor.data_ptr(), tensor._version) for tensor in tensors))
        if self.__dict__.get("_fast", (None,))[0] != state:
            device = tensors[0].device if tensors else torch.device("cpu")
            dtype = getattr(torch, choose_precision(self.precision, device))
            self.__dict__["_fast"] = (state, frozen_copy(lower, dtype), dtype)
        return self.__dict__["_fast"][1:]

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
        """As `nn.Module.train`, except that the frozen part of the trunk stays in eval mode."""
        super().train(mode)
        self.trunk.eval()
        for name in self.trained_modules:
            self.trunk.get_submodule(name).training = mode
        return self

    def freeze(self) -> Self:
        """Freeze the whole trunk: no gradients, eval mode."""
        self.trained_modules = []
        self.__dict__.pop("_cut", None)  # kept as plain entries: these modules are the trunk's own, or copies of them
        self.__dict__.pop("_fast", None)
        self.trunk.requires_grad_(False)
        return self.train(self.training)

    def unfreeze(self, stage: str) -> Self:
        """Train everything from `stage` to the end of the trunk, for example ``layer4``, or ``layer3`` and above.

        Raises:
            ConfigError: the trunk has no module of that name.
        """
        stages = [name for name, _ in self.trunk.named_children()]
        names = [name for name, _ in self.trunk.named_modules() if name]
        if stage not in names:
            raise ConfigError(f"the trunk has no stage '{stage}'", cure=f"choose one of {', '.join(stages)}")
        # Modules are listed in the order in which the image passes them, parents first.
        self.freeze()
        self.trained_modules = names[names.index(stage) :]
        self.__dict__.pop("_cut", None)
        for name in self.trained_modules:
            self.trunk.get_submodule(name).requires_grad_(True)
        return self.train(self.training)

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
        expected = set(self.trained_state())
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


def build_model(config: TrainConfig, *, weights: str | None = None) -> FractureClassifier:
    """The classifier that a configuration describes, on the CPU, in eval mode.

    Args:
        config: the run's settings.
        weights: overrides ``config.weights`` and the environment; used to reload a run exactly.

    Raises:
        WeightsError: the weights cannot be had.
        ConfigError: ``config.unfreeze`` names no stage of the trunk.
    """
    weights = requested_weights(config.weights) if weights is None else weights
    trunk, origin = load_trunk(config.architecture, weights, seed=config.seed)
    with seeded(config.seed, "head"):
        head = make_head(_num_features(trunk), hidden_units=config.hidden_units, dropout=config.dropout)
    # channels-last: the same numbers to rounding, and about a third faster convolutions on CPUs
    model = FractureClassifier(trunk.to(memory_format=torch.channels_last), head, origin)
    model.precision = config.precision
    if config.unfreeze != "head":
        model.unfreeze(config.unfreeze)
    return model.eval()


@torch.inference_mode()
def _num_features(trunk: nn.Module) -> int:
    """Width F of the trunk's output; asked of the trunk itself, so that every architecture answers."""
    trunk.eval()
    return trunk(torch.zeros(1, 3, 64, 64)).shape[1]
