"""From a checkpoint to the file that ships: the averaged trunk, its batch norm measured anew, in float16."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import nn

from tools.distillation.networks import student_input
from tools.distillation.pictures import PHOTOGRAPHS, STYLES, Source, load_sources, random_batch
from tools.distillation.state import CHECKPOINT, read_tensors, write_tensors

FEATURE_SCALE = 8.0  # see rescale_features
SIDE = 224  # what the trunk sees in use, px
BATCHES, BATCH = 16, 32  # crops that measure the batch-norm statistics


def averaged_trunk(state: Path) -> tuple[nn.Module, dict]:
    """The averaged ResNet18 trunk of a checkpoint, and the progress at that moment."""
    tensors, header = read_tensors(state / CHECKPOINT)
    trunk = torchvision.models.resnet18()
    trunk.fc = nn.Identity()
    prefix = "average/trunk."
    trunk.load_state_dict(
        {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    )
    return trunk.eval(), json.loads(header["progress"])


@torch.no_grad()
def measure_batch_norm(trunk: nn.Module, sources: list[Source], *, seed: int, side: int) -> None:
    """Replace the batch-norm statistics by plain means over gentle crops at the size of use.

    Training saw smaller and wilder crops, and an average of weights fits no statistics that were seen on the way
    (Izmailov et al., "Averaging weights leads to wider optima", UAI 2018).
    """
    for module in trunk.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a cumulative mean
    trunk.train()
    for step in range(BATCHES):
        crops = random_batch(sources, seed=seed + 1, step=step, count=BATCH, side=side, style=STYLES["gentle"])
        trunk(student_input(torch.from_numpy(np.moveaxis(crops, 3, 1).copy()).float()))
    trunk.eval()


@torch.no_grad()
def rescale_features(trunk: nn.Module, factor: float) -> None:
    """Multiply the trunk's output by `factor` and leave all else as it is.

    The teacher's features are a tenth as large as those of torchvision's ResNet18; a head with the recipe's learning
    rate expects the latter. Both blocks of the last stage grow by the factor (ReLU keeps it), and the batch norm after
    the first convolution that reads them takes it back out.
    """
    first, last = trunk.layer4
    for norm in (first.bn2, first.downsample[1], last.bn2):
        norm.weight.mul_(factor)
        norm.bias.mul_(factor)
    last.bn1.running_mean.mul_(factor)
    last.bn1.running_var.mul_(factor**2)


def export_trunk(settings: argparse.Namespace) -> None:
    """Write `settings.export` from the checkpoint in `settings.state`, with torchvision's names, no classifier."""
    trunk, progress = averaged_trunk(settings.state)
    radiographs = {name: share for name, share in settings.pictures.items() if name != PHOTOGRAPHS}
    measure_batch_norm(trunk, load_sources(radiographs or settings.pictures), seed=settings.seed, side=SIDE)
    rescale_features(trunk, FEATURE_SCALE)
    header = {
        "architecture": "resnet18",
        "teacher": "EfficientNet-Lite0, ImageNet (Apache-2.0)",
        "licence": "Apache-2.0",
        "input": "RGB, ImageNet mean and standard deviation",
        "made_by": "tools/distill_trunk.py",
        "images_seen": str(progress["images"]),
    }
    tensors = {name: value.half() if value.is_floating_point() else value for name, value in trunk.state_dict().items()}
    if not all(value.isfinite().all() for value in tensors.values()):
        raise SystemExit("a weight does not fit into float16: nothing written")
    settings.export.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(settings.export, tensors, header)
    print(f"wrote {settings.export} after {progress['images']:,} images")
