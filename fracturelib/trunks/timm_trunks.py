"""Networks of timm as trunks: by name with the weights that timm knows, or of a repository in timm's form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from fracturelib.errors import WeightsError
from fracturelib.trunks import hub
from fracturelib.trunks.contract import Opened, TrunkInputs
from fracturelib.trunks.state import load_into, read_state_dict


def open(name: str, *, pretrained: bool) -> Opened:
    """A network by timm's name, for example ``resnet10t`` or ``resnet10t.c3_in1k``."""
    timm = hub.needed("timm")
    if not timm.is_model(name.split(".")[0]):
        similar = timm.list_models(f"{name[:6]}*")[:6] or ["resnet10t", "convnext_atto"]
        raise WeightsError(f"timm has no network '{name}'", cure=f"for example {', '.join(similar)}")
    known = timm.models.get_pretrained_cfg(name)
    config = {"architecture": name, "pretrained_cfg": known.to_dict() if known is not None else {}}
    if not pretrained:
        return of_config(config, f"timm:{name}", None)
    repository = config["pretrained_cfg"].get("hf_hub_id")
    if not repository:
        cure = f"--weights none, or --weights FILE; with weights: {', '.join(timm.list_pretrained(name + '*')[:4])}"
        raise WeightsError(f"timm knows no weights of '{name}' on the hub", cure=cure)
    return of_config(config, f"timm:{name}", hub.fetch(repository, hub.WEIGHTS))


def of_config(config: dict[str, Any], name: str, weights: Path | None) -> Opened:
    """The network that timm's ``config.json`` describes, with the weights of a safetensors file or random ones."""
    timm = hub.needed("timm")
    facts = {**config, **(config.get("pretrained_cfg") or {})}
    try:
        network = _without_classifier(timm, config["architecture"], config.get("model_args") or {})
        inputs = _inputs(facts, channels=_channels(network))
    except (RuntimeError, TypeError, ValueError, KeyError, IndexError) as error:
        cause = " ".join(str(error).split())[:200]
        raise WeightsError(f"the network of {name} cannot be built", cause=cause, cure="name another") from error
    if weights is not None:
        state = read_state_dict(weights)
        head = str(facts.get("classifier") or "fc")
        load_into(network, {key: value for key, value in state.items() if not key.startswith(f"{head}.")}, weights)
    detail = f"{name} ({config['architecture']} of timm)" + ("" if weights else " with random weights")
    return Opened(network, inputs, weights, detail)


def _without_classifier(timm: Any, architecture: str, options: dict[str, Any]) -> nn.Module:
    options = {key: value for key, value in options.items() if key not in ("num_classes", "pretrained")}
    try:  # positional encodings for pictures of any size, where timm has them
        return timm.create_model(architecture, pretrained=False, num_classes=0, dynamic_img_size=True, **options)
    except TypeError:
        return timm.create_model(architecture, pretrained=False, num_classes=0, **options)


def _channels(network: nn.Module) -> int:
    return next(module.in_channels for module in network.modules() if isinstance(module, nn.Conv2d))


def _inputs(facts: dict[str, Any], *, channels: int) -> TrunkInputs:
    size = facts.get("input_size") or (channels, 224, 224)
    mean, std = (
        facts.get(key) or default for key, default in (("mean", [0.485, 0.456, 0.406]), ("std", [0.229, 0.224, 0.225]))
    )
    return TrunkInputs(int(size[-1]), hub.per_channel(list(mean), channels), hub.per_channel(list(std), channels))
