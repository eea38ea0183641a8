"""A network of another library as a trunk: it gets the channels and the normalisation that it was trained with."""

from __future__ import annotations

import torch
from torch import nn

from fracturelib.config import IMAGENET_MEAN, IMAGENET_STD
from fracturelib.trunks.contract import TrunkInputs


class Adapted(nn.Module):
    """Takes images (B, 3, S, S) that were normalised as everywhere in this project, gives the network its own kind.

    A radiograph is grey, so that a network of one channel gets the first of three equal ones. The change is one
    multiplication and one addition per channel, as torchvision's `transform_input` does it for Inception.

    Args:
        network: its own images (B, C, S, S) → features (B, F).
        inputs: channels, mean and standard deviation that it was trained with.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, network: nn.Module, inputs: TrunkInputs) -> None:
        super().__init__()
        self.network, self.channels = network, inputs.channels
        ours = torch.tensor([IMAGENET_MEAN, IMAGENET_STD])[:, : inputs.channels, None, None]  # (2, C, 1, 1)
        own = torch.tensor([inputs.mean, inputs.std])[:, :, None, None]
        # part of the fingerprint: other pictures give other features
        self.register_buffer("scale", ours[1] / own[1])
        self.register_buffer("shift", (ours[0] - own[0]) / own[1])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images[:, : self.channels] * self.scale + self.shift)


def adapted(network: nn.Module, inputs: TrunkInputs) -> nn.Module:
    """The network itself where it takes pictures as this project makes them, else within `Adapted`."""
    if (inputs.mean, inputs.std) == (IMAGENET_MEAN, IMAGENET_STD):
        return network
    return Adapted(network, inputs)
