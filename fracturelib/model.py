"""The classifier: a pretrained trunk, frozen, and a small head that is trained."""

from __future__ import annotations

from typing import Self

import torch
from torch import nn

from fracturelib.config import TrainConfig
from fracturelib.errors import ConfigError
from fracturelib.runtime import seeded
from fracturelib.weights import WeightsOrigin, load_trunk, requested_weights


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
        self.freeze()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, 3, S, S), or their features (B, F) → P(fractured) (B,)."""
        return self.head(self.features(images)).squeeze(1)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, 3, S, S) → trunk features (B, F); features that were computed before pass through.

        No graph is built while the whole trunk is frozen.
        """
        if images.ndim == 2:
            return images
        with torch.set_grad_enabled(torch.is_grad_enabled() and bool(self.trained_modules)):
            return self.trunk(images)

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
    if config.unfreeze != "head":
        model.unfreeze(config.unfreeze)
    return model.eval()


@torch.inference_mode()
def _num_features(trunk: nn.Module) -> int:
    """Width F of the trunk's output; asked of the trunk itself, so that every architecture answers."""
    trunk.eval()
    return trunk(torch.zeros(1, 3, 64, 64)).shape[1]
