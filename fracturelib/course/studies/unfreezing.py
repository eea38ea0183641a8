"""Training beyond the head: the trunk's last stages join in, one after the other, at smaller learning rates.

What lies below the deepest stage that is ever trained stays frozen. So its outputs, the *maps*, are computed once for
each picture, as notebook 03 does with features, and only the stages above are run again and again.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import nn

from fracturelib.config import TrainConfig
from fracturelib.course.studies.heads import at_the_kept_epoch, choose_images, choose_rows, kept_epoch
from fracturelib.errors import ConfigError
from fracturelib.features import FeatureDataset, compute_features
from fracturelib.loaders import Loaders, make_loader, training_dataset
from fracturelib.model import FractureClassifier, build_head
from fracturelib.runtime import choose_device
from fracturelib.training import fit
from fracturelib.trunks.frozen import cut

HEAD = "head"


@dataclass(frozen=True)
class DeepBench:
    """A model, and maps from below its stage `deepest` of the training and validation images. No test image is in it.

    Attributes:
        model: never trained itself; every training begins with a copy of its trunk.
        deepest: the lowest stage that can be trained here.
        train, val: maps (V, N, C, H, W) in place of images.
    """

    model: FractureClassifier
    deepest: str
    train: FeatureDataset
    val: FeatureDataset

    @property
    def stages(self) -> list[str]:
        """What can be trained: the head first, then the trunk's stages from the top down."""
        names = [name for name, part in self.model.trunk.named_children() if list(part.parameters())]
        return [HEAD, *reversed(names[names.index(self.deepest) :])]


def open_deep_bench(
    model: FractureClassifier,
    loaders: Loaders,
    config: TrainConfig,
    *,
    deepest: str = "layer3",
    images: int | None = None,
) -> DeepBench:
    """Send training and validation images through what lies below a stage, once.

    Args:
        model: from `build_model`; its frozen boundary is moved to `deepest`, and its head is not used.
        loaders: over images, from `make_loaders`.
        config: settings; ``config.views`` views of every training image are made.
        deepest: the lowest stage that can be trained on this bench.
        images: use only so many training images; None for all.

    Raises:
        ConfigError: the trunk has no such stage, or cannot be divided there.
    """
    model.unfreeze(deepest)
    if not model.has_frozen_part:
        raise ConfigError(
            f"the trunk cannot be divided at '{deepest}'", cause="nothing, or no single map, comes before it"
        )
    train, val = loaders.train.dataset, loaders.val.dataset
    if images is not None:
        rows = train.table.iloc[choose_rows(train.table, images, seed=config.seed)]
        train = training_dataset(rows, config, root=train.root)
    views = max(1, config.views)
    maps = compute_features(model, train, config, views=views)  # (V, N, C, H, W)
    val_maps = compute_features(model, val, config)
    return DeepBench(model, deepest, FeatureDataset(train.table, maps), FeatureDataset(val.table, val_maps))


@dataclass(frozen=True)
class Step:
    """One step of an unfreezing: train the head and the trunk from `stage` up, at one learning rate."""

    stage: str
    learning_rate: float
    epochs: int


def steps_down(stages: Sequence[str], *, epochs: int, learning_rate: float = 1e-3, shrink: float = 10.0) -> list[Step]:
    """The same number of epochs for each stage in turn; each one's learning rate is `shrink` times smaller."""
    return [Step(stage, learning_rate / shrink**place, epochs) for place, stage in enumerate(stages)]


@dataclass(frozen=True)
class StepwiseRun:
    """A training in steps: its model, and how it went.

    Attributes:
        model: takes images, and maps from below the bench's deepest stage.
        history: the rows of `fit`, epochs counted on, with the columns step (from 1) and stage. ``attrs`` has
            best_epoch, the one whose weights the model keeps, and stage, what was trained then.
    """

    steps: tuple[Step, ...]
    images: int
    model: FractureClassifier
    history: pd.DataFrame
    seconds: float

    @property
    def best(self) -> pd.Series:
        """The row of the epoch whose weights were kept."""
        return kept_epoch(self.history)


def train_in_steps(
    bench: DeepBench,
    config: TrainConfig,
    steps: Sequence[Step],
    *,
    images: int | None = None,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
) -> StepwiseRun:
    """Train a new head, then the stages below it step by step; each step goes on from the best weights so far.

    Unfreezing from the top down with shrinking rates is the recipe of Howard & Ruder (2018), "Universal language model
    fine-tuning for text classification", doi:10.18653/v1/P18-1031. Nothing stops early, so that trainings with the same
    number of epochs have had the same budget; the weights of the lowest validation loss of all steps are kept.

    Args:
        bench: the model with its maps.
        config: batch size, head, schedule and seed; rate and epochs come from the steps.
        steps: in order.
        images: use only so many of the training images; None for all.
        on_epoch: called after every epoch with the history so far.

    Raises:
        ConfigError: a step names a stage that this bench cannot train.
        TrainingError: the loss is not finite.
    """
    for step in steps:
        _check_stage(bench, step.stage)
    train = bench.train if images is None else choose_images(bench.train, images, seed=config.seed)
    config = replace(config, workers=0)
    model, started = new_deep_model(bench, config), time.perf_counter()
    history, best = pd.DataFrame(), _Best()
    for number, step in enumerate(steps, start=1):
        train_here, val_here = _moved_up(model, bench.deepest, step.stage, train, bench.val)
        settings = replace(
            config, learning_rate=step.learning_rate, epochs=step.epochs, patience=step.epochs, min_delta=0.0
        )  # each step ends with its best weights
        so_far = partial(_appended, history, step=number, stage=step.stage)
        latest = fit(
            _freed(model, step.stage),
            make_loader(train_here, config, shuffle=True),
            make_loader(val_here, config, shuffle=False),
            settings,
            on_epoch=None if on_epoch is None else partial(_tell, on_epoch, so_far),
        )
        best.keep_if_better(model, latest, step.stage, epochs_before=len(history))
        history = so_far(latest)
    history.attrs.update(best_epoch=best.epoch, stage=best.stage)
    _freed(model, bench.deepest)  # so that it takes the bench's maps
    return StepwiseRun(tuple(steps), len(train), model.eval(), history, time.perf_counter() - started)


def _tell(on_epoch: Callable, so_far: Callable, latest: pd.DataFrame) -> None:
    on_epoch(so_far(latest))


def new_deep_model(bench: DeepBench, config: TrainConfig) -> FractureClassifier:
    """A copy of the bench's trunk with a new head; the start weights are those of `build_model(config)`."""
    standardise: Any = bench.model.head[0]
    head = build_head(config, len(standardise.mean))
    model = FractureClassifier(copy.deepcopy(bench.model.trunk), head, bench.model.origin)
    model.precision = bench.model.precision
    return model.to(choose_device(config.device))


def _freed(model: FractureClassifier, stage: str) -> FractureClassifier:
    return model.freeze() if stage == HEAD else model.unfreeze(stage)


def _halves(network: nn.Module, stage: str) -> tuple[nn.Module, nn.Module]:
    halves = cut(network, stage)
    if halves is None:
        raise ConfigError(f"the trunk cannot be divided at '{stage}'", cause="no single map comes before it")
    return halves


@torch.no_grad()
def _moved_up(model: FractureClassifier, deepest: str, stage: str, *data: FeatureDataset) -> list[FeatureDataset]:
    """Maps from below `deepest` → maps from below `stage`, or features for the head, by the frozen part between."""
    if stage == deepest:
        return list(data)
    _, above = _halves(model.trunk, deepest)
    between = (above if stage == HEAD else _halves(above, stage)[0]).eval()
    device = next(model.parameters()).device

    def moved(maps: FeatureDataset) -> FeatureDataset:
        views = [torch.cat([between(part.to(device)).cpu() for part in view.split(64)]) for view in maps.features]
        return FeatureDataset(maps.table, torch.stack(views))

    return [moved(maps) for maps in data]


def _appended(before: pd.DataFrame, history: pd.DataFrame, *, step: int, stage: str) -> pd.DataFrame:
    """The history of all steps so far; the epochs are counted on."""
    rows = history.assign(epoch=history["epoch"] + len(before), step=step, stage=stage)
    return rows if before.empty else pd.concat([before, rows], ignore_index=True)


@dataclass
class _Best:
    """The weights of the lowest validation loss of all steps, as copies."""

    loss: float = float("inf")
    epoch: int = 1
    stage: str = HEAD
    weights: dict[str, torch.Tensor] = field(default_factory=dict)

    def keep_if_better(self, model: nn.Module, history: pd.DataFrame, stage: str, *, epochs_before: int) -> None:
        """Take over a step's best epoch if it beats all earlier ones; the model gets the best weights either way."""
        epoch = history.attrs["best_epoch"]
        loss = float(history["val_loss"].iloc[epoch - 1])
        if loss < self.loss:
            self.loss, self.epoch, self.stage = loss, epochs_before + epoch, stage
            self.weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        else:
            model.load_state_dict(self.weights)


def _check_stage(bench: DeepBench, stage: str) -> None:
    if stage not in bench.stages:
        raise ConfigError(
            f"'{stage}' cannot be trained on this bench",
            cause=f"its maps come from below {bench.deepest}, or the trunk has no such stage",
            cure=f"choose one of {', '.join(bench.stages)}",
        )


def step_table(runs: Mapping[str, StepwiseRun]) -> pd.DataFrame:
    """Named trainings side by side: what was trained, the kept epoch, and what the validation images say about it."""
    return pd.DataFrame(
        [
            {
                "training": name,
                "trained in turn": " → ".join(dict.fromkeys(step.stage for step in run.steps)),
                "images": run.images,
                "epochs": len(run.history),
                **at_the_kept_epoch(run.history),
                "seconds": f"{run.seconds:.0f}",
            }
            for name, run in runs.items()
        ]
    )
