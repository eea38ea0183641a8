"""Networks from repositories in the form of Hugging Face's hub: of timm or of transformers, from safetensors only.

``hf:ORGANISATION/NAME`` is looked for in the hub's cache on this machine, then on the hub; ``hf:FOLDER`` is such a
repository on disk. Nothing of a repository is executed: its code is never run and its pickles are never opened.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fracturelib.errors import WeightsError
from fracturelib.trunks import timm_trunks
from fracturelib.trunks.contract import Opened, TrunkInputs
from fracturelib.trunks.hub import CONFIG, PREPARED, WEIGHTS, fetch, needed, per_channel, read_config


def open(name: str, *, pretrained: bool) -> Opened:
    """The network of a repository: of timm where its config names an ``architecture`` of timm, else of transformers."""
    config = read_config(fetch(name, CONFIG), name)
    if "architecture" in config:
        return timm_trunks.of_config(config, name, fetch(name, WEIGHTS) if pretrained else None)
    if "model_type" in config:
        return _of_transformers(config, name, pretrained=pretrained)
    raise WeightsError(
        f"{name} is no repository of timm or transformers",
        cause=f"its {CONFIG} names neither an architecture nor a model_type",
        cure="name another repository, or use file:PATH",
    )


class Pooled(nn.Module):
    """A network of transformers: images (B, C, S, S) → features (B, F), in its own way of pooling.

    That is its `pooler_output`; where it has none, or one that was never trained, the class token of (B, N, F), or the
    mean of maps (B, F, h, w).
    """

    def __init__(self, network: nn.Module, *, pooler: bool) -> None:
        super().__init__()
        self.network, self.pooler = network, pooler
        takes = inspect.signature(network.forward).parameters
        self.options = {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in takes else {}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.network(pixel_values=images, **self.options)
        pooled = getattr(found, "pooler_output", None) if self.pooler else None
        if pooled is not None:
            return pooled.flatten(1)
        last = found.last_hidden_state
        return last[:, 0] if last.ndim == 3 else last.mean((2, 3))


def _of_transformers(config: dict[str, Any], name: str, *, pretrained: bool) -> Opened:
    library, file = needed("transformers"), fetch(name, WEIGHTS)
    try:
        if pretrained:
            network, found = library.AutoModel.from_pretrained(
                file.parent,
                trust_remote_code=False,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                dtype=torch.float32,
            )
        else:
            settings = library.AutoConfig.from_pretrained(file.parent, trust_remote_code=False, local_files_only=True)
            network, found = library.AutoModel.from_config(settings, trust_remote_code=False), {"missing_keys": []}
    except Exception as error:  # of a broken config or file; transformers raises a dozen kinds
        raise _broken(name, file, " ".join(str(error).split())[:200]) from error
    untrained = [key for key in found["missing_keys"] if not key.startswith("pooler.")]
    if untrained or found.get("mismatched_keys"):
        raise _broken(name, file, f"{len(untrained)} entries are missing or of another shape")
    pooler = not found["missing_keys"]
    detail = f"{name}, a {config['model_type']} of transformers" + ("" if pretrained else " with random weights")
    return Opened(Pooled(network.eval(), pooler=pooler), _inputs(config, name), file if pretrained else None, detail)


def _broken(name: str, file: Path, cause: str) -> WeightsError:
    return WeightsError(f"the network of {name} cannot be built", file=file, cause=cause, cure="fetch it again")


def _inputs(config: dict[str, Any], name: str) -> TrunkInputs:
    """What a repository's preprocessor says, or its config where there is none."""
    try:
        prepared = read_config(fetch(name, PREPARED), name)
    except WeightsError:
        prepared = {}
    channels = int(config.get("num_channels", 3))
    size = prepared.get("crop_size") or prepared.get("size") or config.get("image_size") or 224
    if isinstance(size, dict):
        size = size.get("height") or size.get("shortest_edge") or 224
    mean, std = (prepared.get(key) or [0.5] * channels for key in ("image_mean", "image_std"))
    return TrunkInputs(int(size), per_channel(mean, channels), per_channel(std, channels))
