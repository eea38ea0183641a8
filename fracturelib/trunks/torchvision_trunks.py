"""torchvision's classification networks as trunks: built by name, with the classifier taken off."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision import models

from fracturelib.errors import WeightsError
from fracturelib.trunks.contract import TrunkInputs

# What a classifier does before it weighs features, and what therefore stays: pooling, flattening, normalising.
PREPARES = (nn.AdaptiveAvgPool2d, nn.Flatten, nn.LayerNorm)
# Both have a second classifier for their own training. torchvision's weights expect pictures that were normalised in
# another way than all other networks'; `transform_input` converts them.
INCEPTIONS = {"aux_logits": False, "transform_input": True, "init_weights": True}


def names() -> list[str]:
    """The networks that torchvision can classify pictures with."""
    return models.list_models(module=models)


def build(name: str) -> nn.Module:
    """A network with random weights: images (B, 3, S, S) → features (B, F)."""
    options = INCEPTIONS if name in ("googlenet", "inception_v3") else {}
    network = models.get_model(name, weights=None, **options)
    for place in ("fc", "classifier", "heads", "head"):
        if hasattr(network, place):
            setattr(network, place, _without_weights(getattr(network, place)))
            return network
    raise WeightsError(f"{name} has no classifier that could be taken off", cure="use resnet18")


def inputs(name: str) -> TrunkInputs:
    """The pictures that a network's first ImageNet weights were trained on."""
    prepared = _weights(name).transforms()
    return TrunkInputs(prepared.crop_size[0], tuple(prepared.mean), tuple(prepared.std))


def imagenet_file(name: str) -> tuple[str, Path]:
    """The address of torchvision's first ImageNet weights of a network, and their place in the hub cache."""
    url = _weights(name).url
    return url, Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]


def _weights(name: str) -> Any:
    enum = models.get_model_weights(name)
    return getattr(enum, "IMAGENET1K_V1", enum.DEFAULT)


def _without_weights(classifier: nn.Module) -> nn.Module:
    """What is left of a classifier when its weights go; the entries keep their names, so that weight files fit."""
    kept = [(name, part) for name, part in classifier.named_children() if isinstance(part, PREPARES)]
    return nn.Sequential(OrderedDict(kept)) if kept else nn.Identity()
