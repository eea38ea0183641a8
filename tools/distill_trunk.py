"""Distil the bundled ResNet18 trunk from EfficientNet-Lite0: `python -m tools.distill_trunk --help`.

The student sees the same fresh, strongly augmented crop as the teacher ("Knowledge distillation: a good teacher is
patient and consistent", Beyer et al., CVPR 2022) and learns its maps at three strides, its pooled features and its
softened logits. No label is used. The learning rate warms up, stays flat, and falls over the last images, so a run
can be stopped (Ctrl-C or SIGTERM writes a checkpoint) and continued with another length, resolution or mixture.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from fracturelib.runtime import choose_precision
from tools.distillation.export import export_trunk
from tools.distillation.networks import Student, Targets, Teacher, losses
from tools.distillation.pictures import PHOTOGRAPHS, STYLES, load_sources, random_batch
from tools.distillation.state import (
    CHECKPOINT,
    Average,
    append_row,
    claimed,
    load_checkpoint,
    save_checkpoint,
)

LOSS_SHARES = {"stride8": 0.5, "stride16": 1.0, "stride32": 1.0, "final": 1.0, "pooled": 1.5, "logits": 0.1}
LOG_EVERY = 50  # steps
OPTIONS = (
    ("--images", int, 300_000, "crops to see in all, over every run in this state"),
    ("--batch", int, 32, "crops per step"),
    ("--learning-rate", float, 1.5e-3, "at the plateau"),
    ("--weight-decay", float, 0.02, "of AdamW"),
    ("--warmup", int, 6_000, "images until the plateau"),
    ("--decay", int, 60_000, "images at the end over which the rate falls"),
    ("--average", float, 0.998, "decay per step of the average of weights"),
    ("--calibration", int, 64, "batches that standardise the targets at the start"),
    ("--checkpoint-minutes", float, 5.0, "time between two checkpoints"),
    ("--threads", int, None, "CPU threads; all if not given"),
    ("--device", str, "cpu", "cpu or cuda"),
    ("--seed", int, 0, "of weights and crops"),
)
CALIBRATION_STEP = 2**31  # batches that measure the targets: numbered where no training step gets to


class Distiller:
    """Student, teacher, targets, optimiser and average of one run, and the step that moves them."""

    def __init__(self, settings: argparse.Namespace) -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        self.device = torch.device(settings.device)
        self.low_precision = choose_precision("auto", self.device) == "bfloat16"
        self.sources = load_sources(settings.pictures)
        self.teacher = Teacher().to(self.device, memory_format=torch.channels_last)
        self.student = Student().to(self.device, memory_format=torch.channels_last)
        self.targets = Targets().to(self.device)
        self.average = Average(self.student)
        self.optimizer = _optimizer(self.student, settings)
        self.step, self.images = 0, 0

    @property
    def modules(self) -> dict[str, torch.nn.Module]:
        """What a checkpoint holds, by name."""
        return {"student": self.student, "targets": self.targets}

    def prepare(self) -> None:
        """Go on from the checkpoint, or measure the targets of a new run."""
        kept = {"modules": self.modules, "average": self.average, "optimizer": self.optimizer}
        if (self.settings.state / CHECKPOINT).exists():
            progress = load_checkpoint(self.settings.state, **kept)
            self.step, self.images = progress["step"], progress["images"]
            print(f"resumed at {self.images:,} images", flush=True)
            if self.settings.measure_again:
                self.targets.measure_again(self._teacher_maps(), self.student)
        else:
            self.targets.measure(self._teacher_maps())

    @torch.no_grad()
    def _teacher_maps(self) -> list[dict[str, Tensor]]:
        """The teacher's maps on the crops that standardise the targets."""
        side = side_at(self.images, self.settings.stages)
        batches = (self._batch(CALIBRATION_STEP + index, side) for index in range(self.settings.calibration))
        return [self._maps(self.teacher, batch) for batch in batches]

    def _maps(self, network: torch.nn.Module, pixels: Tensor) -> dict[str, Tensor]:
        """Maps of the teacher or the student in float32; in bfloat16 on the way, where the hardware has it."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.low_precision):
            maps = network(pixels)
        return {name: value.float() for name, value in maps.items()}

    def train_step(self, side: int) -> dict[str, float]:
        """One optimiser step on fresh crops of `side` px; returns the parts of the loss."""
        pixels = self._batch(self.step, side)
        with torch.no_grad():
            wanted = self.targets(self._maps(self.teacher, pixels))
        parts = losses(self._maps(self.student.train(), pixels), wanted, self.targets, self.teacher)
        loss = sum(LOSS_SHARES[name] * part for name, part in parts.items())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.images, self.settings)
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), 5.0)
        self.optimizer.step()
        self.step, self.images = self.step + 1, self.images + len(pixels)
        self.average.update(self.student, step=self.step, decay=self.settings.average)
        return {"loss": loss.item()} | {name: part.item() for name, part in parts.items()}

    def save(self) -> None:
        """Write the checkpoint."""
        progress = {"step": self.step, "images": self.images, "seed": self.settings.seed}
        save_checkpoint(
            self.settings.state,
            modules=self.modules,
            average=self.average,
            optimizer=self.optimizer,
            progress=progress,
        )

    def _batch(self, step: int, side: int) -> Tensor:
        """Float pixels 0…255, (B, 3, side, side), channels last."""
        settings = self.settings
        style = STYLES[settings.style]
        crops = random_batch(self.sources, seed=settings.seed, step=step, count=settings.batch, side=side, style=style)
        return torch.from_numpy(crops).to(self.device).permute(0, 3, 1, 2).float()


def _optimizer(student: Student, settings: argparse.Namespace) -> torch.optim.Optimizer:
    """AdamW; biases and batch norm do not decay."""
    matrices = [value for value in student.parameters() if value.ndim > 1]
    vectors = [value for value in student.parameters() if value.ndim == 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), fused=True)


def learning_rate(images: int, settings: argparse.Namespace) -> float:
    """Linear warm-up, flat, then linear decay to a hundredth over the last `decay` images."""
    up = (images + settings.batch) / max(settings.warmup, 1)
    down = (settings.images - images) / max(settings.decay, 1)
    return settings.learning_rate * max(0.01, min(1.0, up, down))


def side_at(images: int, stages: list[tuple[int, int]]) -> int:
    """Side of the crops, px, after so many images: the first stage that has not ended, else the last one."""
    return next((side for side, end in stages if images < end), stages[-1][0])


def distil(settings: argparse.Namespace) -> None:
    """Train until `settings.images` or a signal; checkpoint every few minutes and at the end."""
    settings.state.mkdir(parents=True, exist_ok=True)
    with claimed(settings.state):
        _train(settings)


def _train(settings: argparse.Namespace) -> None:
    distiller = Distiller(settings)
    distiller.prepare()
    stopped = _stop_on_signal()
    saved = started = time.monotonic()
    recent: list[dict[str, float]] = []
    while distiller.images < settings.images and not stopped:
        side = side_at(distiller.images, settings.stages)
        recent.append(distiller.train_step(side))
        now = time.monotonic()
        if distiller.step % LOG_EVERY == 0:
            _log(distiller, side, now - started, recent)
            recent = []
        if now - saved > 60 * settings.checkpoint_minutes:
            distiller.save()
            saved = now
    distiller.save()
    print(f"stopped at {distiller.images:,} images; checkpoint in {settings.state}")


def _log(distiller: Distiller, side: int, seconds: float, recent: list[dict[str, float]]) -> None:
    """Add the mean of the recent steps' losses to `loss.csv`."""
    row = {"step": distiller.step, "images": distiller.images, "side": side}
    row |= {"learning_rate": learning_rate(distiller.images, distiller.settings), "seconds": round(seconds)}
    row |= {name: round(sum(parts[name] for parts in recent) / len(recent), 5) for name in recent[0]}
    append_row(distiller.settings.state / "loss.csv", row)


def _stop_on_signal() -> list[int]:
    """A list that a first SIGTERM or SIGINT makes non-empty, so that the running step can end."""
    received: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, frame: received.append(signum))
    return received


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line as settings."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.distill_trunk",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, kind, default, text in OPTIONS:
        shown = "" if default is None else f" (default: {default})"
        parser.add_argument(name, type=kind, default=default, help=text + shown)
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="folder of checkpoint and logs")
    text = f"folders of radiographs, or the word '{PHOTOGRAPHS}', with their share of the crops"
    parser.add_argument("--pictures", nargs="+", type=_share, required=True, metavar="FOLDER=SHARE", help=text)
    text = "side of the crops in px until so many images were seen (default: 96:180000 128:260000 160:300000)"
    stages = [(96, 180_000), (128, 260_000), (160, 300_000)]
    parser.add_argument("--stages", nargs="+", type=_stage, default=stages, metavar="SIDE:END", help=text)
    text = "how far crops stray from whole radiographs (default: %(default)s)"
    parser.add_argument("--style", choices=list(STYLES), default="wild", help=text)
    text = "when resuming: standardise the targets anew, on crops of this run's style and pictures"
    parser.add_argument("--measure-again", action="store_true", help=text)
    text = "do not train: write the averaged trunk of the state to this file, float16 safetensors"
    parser.add_argument("--export", type=Path, metavar="FILE", help=text)
    settings = parser.parse_args(arguments)
    settings.pictures = dict(settings.pictures)
    return settings


def _share(text: str) -> tuple[str, float]:
    name, _, share = text.rpartition("=")
    try:
        return name, float(share)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not FOLDER=SHARE") from None


def _stage(text: str) -> tuple[int, int]:
    try:
        side, end = (int(part) for part in text.split(":"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not SIDE:END") from None
    if side % 32:
        raise argparse.ArgumentTypeError(f"{side} is not a multiple of 32")
    return side, end


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    settings = parse(arguments)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    if settings.export:
        export_trunk(settings)
    else:
        distil(settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
