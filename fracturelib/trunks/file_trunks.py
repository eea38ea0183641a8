"""A trunk of one's own: a safetensors file, and beside it a small JSON of the same name that says what it holds.

``{"network": "resnet18", "size": 224, "mean": [0.5], "std": [0.25], "output": "layer3"}``: the network is any name
that ``--architecture`` takes; as many means as the network has channels; `output`, which may be left out, is the
module whose maps, averaged over places, are the features; so may `licence`, a word for a table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

from fracturelib.errors import WeightsError
from fracturelib.trunks import hub, torchvision_trunks
from fracturelib.trunks.contract import Opened, TrunkInputs
from fracturelib.trunks.state import load_into, read_state_dict

KEYS = {"network", "size", "mean", "std", "output", "licence"}


def open(name: str, *, pretrained: bool) -> Opened:
    """The network of a file ``NAME.safetensors`` that ``NAME.json`` describes."""
    file = Path(name)
    if file.suffix != ".safetensors" or not file.is_file():
        cause = "there is no such file" if file.suffix == ".safetensors" else "a pickled file can execute code"
        raise WeightsError("file: needs a safetensors file", file=file, cause=cause, cure="name one")
    facts = hub.read_config(file.with_suffix(".json"), name)
    inputs = _inputs(facts, file)
    network = _network(facts["network"], inputs.channels)
    if pretrained:
        load_into(network, read_state_dict(file), file)
    if facts.get("output"):
        network = _until(network, facts["output"], file)
    detail = f"{facts['network']} from the file {file.name}" + ("" if pretrained else ", with random weights")
    return Opened(network, inputs, file if pretrained else None, detail)


def licence(name: str) -> str:
    """What the description of a file says of its licence, empty where it says nothing."""
    return str(hub.read_config(Path(name).with_suffix(".json"), name).get("licence", ""))


def _inputs(facts: dict[str, Any], file: Path) -> TrunkInputs:
    unknown, text = sorted(set(facts) - KEYS), isinstance(facts.get("network"), str)
    try:
        inputs = TrunkInputs(int(facts["size"]), tuple(map(float, facts["mean"])), tuple(map(float, facts["std"])))
    except (KeyError, TypeError, ValueError):
        inputs = TrunkInputs(0, (), ())
    fits = inputs.size >= 32 and inputs.channels in (1, 3) and len(inputs.std) == inputs.channels
    if unknown or not (text and fits and min(inputs.std) > 0 and isinstance(facts.get("output", ""), str)):
        raise WeightsError(
            "the description of a trunk does not say what it must"
            + (f": unknown {', '.join(unknown)}" * bool(unknown)),
            file=file.with_suffix(".json"),
            cause="a name is missing or misspelt, or a value is of another kind",
            cure='for example {"network": "resnet18", "size": 224, "mean": [0.5], "std": [0.25]}',
        )
    return inputs


def _network(name: str, channels: int) -> nn.Module:
    """With random weights, and a first convolution of so many channels."""
    if name.startswith("timm:"):
        timm = hub.needed("timm")
        return timm.create_model(name.removeprefix("timm:"), pretrained=False, num_classes=0, in_chans=channels)
    if name not in torchvision_trunks.names():
        raise WeightsError(f"unknown network '{name}'", cure="a network of torchvision, or timm:NAME")
    network = torchvision_trunks.build(name)
    place, old = next((place, one) for place, one in network.named_modules() if isinstance(one, nn.Conv2d))
    if old.in_channels != channels:
        first: Any = old
        shape = (channels, old.out_channels, first.kernel_size, first.stride, first.padding)
        network.set_submodule(place, nn.Conv2d(*shape, bias=old.bias is not None))
    return network


class MeanOf(nn.Module):
    """The mean over places of one module's maps (B, F, h, w) → (B, F)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.network(images)["output"]
        return found.mean((2, 3)) if found.ndim == 4 else found.flatten(1)


def _until(network: nn.Module, output: str, file: Path) -> nn.Module:
    try:
        return MeanOf(create_feature_extractor(network, {output: "output"}))
    except Exception as error:  # of a name that is none, or a network that cannot be traced
        names = ", ".join(name for name, _ in network.named_children())
        cure = f"one of {names}"
        raise WeightsError(
            f"the network has no output '{output}'", file=file, cause=str(error)[:100], cure=cure
        ) from error
