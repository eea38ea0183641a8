"""How a trunk's maps become features: pooled otherwise than the network does, or joined from tiles of the picture."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import nn

from fracturelib.errors import ConfigError

GEM_POWER = 3.0  # Radenović et al., PAMI 41 (2019), 1655–1668, section 3.2
PROBE = 64  # side of the picture that a changed network is tried on


class GlobalPool(nn.Module):
    """Maps (B, C, h, w) → (B, C, 1, 1), or (B, 2 C, 1, 1) of mean and maximum.

    GeM, the generalised mean, lies between mean and maximum: (mean of x³)^⅓ over the places, negative values as 0.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        if self.kind == "gem":
            return maps.clamp_min(1e-6).pow(GEM_POWER).mean((2, 3), keepdim=True).pow(1 / GEM_POWER)
        return torch.cat([maps.mean((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)], 1)

    def extra_repr(self) -> str:
        return self.kind


def pooled(trunk: nn.Module, kind: str, name: str) -> nn.Module:
    """The trunk with its global mean replaced, in place.

    Raises:
        ConfigError: it ends otherwise than in one global mean of maps, as transformers do.
    """
    network = innermost(trunk)
    place = _global_mean(network)
    if place is not None:
        network.set_submodule(place, nn.Sequential(GlobalPool(kind), *_flattened(network.get_submodule(place))))
        try:
            with torch.inference_mode():
                trunk.eval()(torch.zeros(1, 3, PROBE, PROBE))
            return trunk
        except RuntimeError:  # what follows the mean has as many weights as it has channels
            pass
    raise ConfigError(
        f"{name} cannot be pooled by {kind}",
        cause="it does not end in a mean of its maps alone",
        cure="leave --pool at mean, which is the network's own way, or use a ResNet",
    )


def innermost(trunk: nn.Module) -> Any:
    """The network itself, within what adapts it to our pictures or shows it tiles of them."""
    found: Any = trunk
    while isinstance(getattr(found, "network", None), nn.Module):
        found = found.network
    return found


def _global_mean(network: nn.Module) -> str | None:
    """Where a network of torchvision or timm takes the mean over all places."""
    for place in ("avgpool", "global_pool", "head.global_pool"):
        try:
            module: Any = network.get_submodule(place)
        except AttributeError:
            continue
        single = getattr(module, "output_size", None) in (1, (1, 1))
        if single or getattr(module, "pool_type", None) == "avg":
            return place
    return None


def _flattened(module: Any) -> list[nn.Module]:
    """timm's pooling flattens as well."""
    return [nn.Flatten(1)] if hasattr(module, "pool_type") and not isinstance(module.flatten, nn.Identity) else []


class Tiled(nn.Module):
    """A trunk that sees the whole picture small, and N × N overlapping tiles of it at full size.

    Pictures (B, 3, T, T) → features (B, 2 F): the mean and the maximum over whole and tiles.

    Args:
        network: images (B, 3, S, S) → features (B, F).
        tiles: N, at least 2.
        side: S; the picture's side T is `TrainConfig.picture_side`.
    """

    def __init__(self, network: nn.Module, tiles: int, side: int, picture_side: int) -> None:
        super().__init__()
        self.network, self.tiles, self.side, self.picture_side = network, tiles, side, picture_side

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        side = self.side
        starts = [round(n * (self.picture_side - side) / (self.tiles - 1)) for n in range(self.tiles)]
        # in float32: on processors torch has no antialiasing in bfloat16
        whole = nn.functional.interpolate(images.float(), (side, side), mode="bilinear", antialias=True)
        parts = [images[:, :, top : top + side, left : left + side] for top, left in itertools.product(starts, starts)]
        found = torch.stack([self.network(part) for part in (whole.to(images.dtype), *parts)], 1)  # (B, 1 + N², F)
        return torch.cat([found.mean(1), found.amax(1)], 1)

    def extra_repr(self) -> str:
        return f"{self.tiles} × {self.tiles} tiles of {self.side} in {self.picture_side}"
