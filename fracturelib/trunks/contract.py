"""What a source of trunks offers, and what a trunk says about the pictures that it takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from torch import nn


@dataclass(frozen=True)
class TrunkInputs:
    """The pictures that a network was trained on: side in pixels, and how each channel, in 0…1, was normalised."""

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def channels(self) -> int:
        """Three for colour, one for grey."""
        return len(self.mean)


class Source(Protocol):
    """What a module must offer to be a source of trunks whose weights are chosen apart, by ``--weights``."""

    def names(self) -> list[str]:
        """The networks that it can build."""

    def build(self, name: str) -> nn.Module:
        """The network with random weights and without its classifier: images (B, C, S, S) → features (B, F)."""

    def inputs(self, name: str) -> TrunkInputs:
        """The pictures that it was trained on."""

    def imagenet_file(self, name: str) -> tuple[str, Path]:
        """Address of the network's ImageNet weights, and their place on this machine."""


class Opened(NamedTuple):
    """A network whose weights came with it.

    Attributes:
        network: its own images (B, C, S, S) → features (B, F).
        inputs: the pictures that it was trained on.
        file: what its weights were read from; None where they are random.
        detail: one sentence for the reader.
    """

    network: nn.Module
    inputs: TrunkInputs
    file: Path | None
    detail: str


class OwnSource(Protocol):
    """What a module must offer to be a source of trunks that bring their weights, named ``PREFIX:NAME``."""

    def open(self, name: str, *, pretrained: bool) -> Opened:
        """The network, with its own weights or with random ones.

        Raises:
            WeightsError: it cannot be had; says how.
        """
