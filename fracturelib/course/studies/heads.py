"""Heads trained on features that were computed once: one training, and several side by side in a table."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.errors import ConfigError
from fracturelib.evaluation import predict
from fracturelib.features import FeatureDataset, compute_features
from fracturelib.loaders import RadiographDataset, make_loader, make_loaders
from fracturelib.model import FractureClassifier, build_head, build_model
from fracturelib.runtime import choose_device, derive_seed
from fracturelib.training import fit, validate
from fracturelib.transforms import eval_transform
from fracturelib.trunks.weights import WeightsOrigin


@dataclass(frozen=True)
class Workbench:
    """A frozen trunk, and its features of the training and validation images. No test image is in it."""

    trunk: torch.nn.Module
    origin: WeightsOrigin
    train: FeatureDataset
    val: FeatureDataset


def open_workbench(config: TrainConfig) -> Workbench:
    """The workbench of a configuration: reads its data and sends training and validation images through its trunk.

    Raises:
        FracturelibError: as `read_catalog`, `build_model` and `compute_features`.
    """
    loaders, model = make_loaders(read_catalog(config.data), config), build_model(config)
    train, val = loaders.train.dataset, loaders.val.dataset
    return Workbench(
        trunk=model.trunk,
        origin=model.origin,
        train=FeatureDataset(train.table, compute_features(model, train, config, views=config.views)),
        val=FeatureDataset(val.table, compute_features(model, val, config)),
    )


@dataclass(frozen=True)
class HeadRun:
    """One training of a head: its settings, the number of training images, the model and how it went.

    `name` is what a panel calls it in figures.
    """

    number: int
    config: TrainConfig
    images: int
    model: FractureClassifier
    history: pd.DataFrame
    seconds: float
    name: str = ""

    @property
    def best(self) -> pd.Series:
        """The row of the epoch whose weights were kept; NaN throughout where no epoch had a usable loss."""
        return kept_epoch(self.history)


def kept_epoch(history: pd.DataFrame) -> pd.Series:
    """The row of the epoch whose weights were kept; NaN throughout where no epoch had a usable loss."""
    return history.set_index("epoch").reindex([history.attrs["best_epoch"]]).iloc[0]


def choose_rows(table: pd.DataFrame, count: int, *, seed: int = 0) -> np.ndarray:
    """Row numbers of `count` images, with the table's share of fractures; a larger choice contains the smaller ones."""
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise ConfigError(f"{count!r} images cannot be chosen", cure="give a whole number of at least 1")
    labels = table["label"].to_numpy()
    generator = np.random.default_rng(derive_seed(seed, "choose images"))
    place = np.empty(len(labels))
    for label in (0, 1):
        rows = generator.permutation(np.flatnonzero(labels == label))
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)  # both classes spread evenly over 0…1
    return np.sort(np.argsort(place, kind="stable")[:count])


def choose_images(dataset: FeatureDataset, count: int, *, seed: int = 0) -> FeatureDataset:
    """The images of `choose_rows` with their features."""
    rows = choose_rows(dataset.table, count, seed=seed)
    return FeatureDataset(dataset.table.iloc[rows].reset_index(drop=True), dataset.features[:, rows])


def new_head_model(bench: Workbench, config: TrainConfig) -> FractureClassifier:
    """The bench's trunk with a new head; the start weights are those of `build_model(config)`."""
    head = build_head(config, bench.train.features.shape[2])
    model = FractureClassifier(bench.trunk, head, bench.origin)
    model.precision = config.precision  # images must reach the head as the bench's features did
    return model


def train_head(
    bench: Workbench,
    config: TrainConfig,
    *,
    images: int | None = None,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
    number: int = 1,
) -> HeadRun:
    """Train a new head on features with `fit`; the start weights are those of `build_model(config)`.

    Args:
        bench: trunk and features.
        config: settings; its data and image size are those that the features were made with.
        images: use only so many training images; None for all.
        on_epoch: called after every epoch with the history so far.
        number: the run's number in tables and figures.

    Raises:
        TrainingError: the loss is not finite.
    """
    train = bench.train if images is None else choose_images(bench.train, images, seed=config.seed)
    config = replace(config, workers=0)
    model = new_head_model(bench, config)
    started = time.perf_counter()
    history = fit(
        model,
        make_loader(train, config, shuffle=True),
        make_loader(bench.val, config, shuffle=False),
        config,
        on_epoch=on_epoch,
    )
    return HeadRun(number, config, len(train), model, history, time.perf_counter() - started)


def with_epoch_zero(bench: Workbench, config: TrainConfig, history: pd.DataFrame) -> pd.DataFrame:
    """The history with a row for epoch 0, the head before any step: both losses are near ln 2 there."""
    device = choose_device(config.device)
    model = new_head_model(bench, replace(config, workers=0)).to(device)
    train, val = (
        validate(model, make_loader(data, replace(config, workers=0), shuffle=False), device)
        for data in (bench.train, bench.val)
    )
    start = dict.fromkeys(history, math.nan) | val | {"epoch": 0, "train_loss": train["val_loss"]}
    whole = pd.concat([pd.DataFrame([start])[list(history)], history], ignore_index=True)
    whole.attrs = history.attrs
    return whole


SURE = 0.9  # a model that says more than this, or less than 1 - this, is called sure


def sure_and_wrong(predictions: pd.DataFrame) -> pd.Series:
    """How well a model ranks, and its certainty: AUC, loss, the share of sure answers, and of these the wrong ones.

    The share that is wrong is NaN where no answer is sure.
    """
    label, said = predictions["label"].to_numpy(), predictions["probability"].to_numpy(float)
    given = np.clip(np.where(label == 1, said, 1 - said), 1e-7, 1)  # to what turned out to be true
    sure = (said > SURE) | (said < 1 - SURE)
    return pd.Series(
        {
            "AUC": float(roc_auc_score(label, said)),
            "loss": float(-np.log(given).mean()),
            "sure": float(sure.mean()),
            "wrong when sure": float((given[sure] < 0.5).mean()) if sure.any() else math.nan,
        }
    )


def run_table(runs: Sequence[HeadRun]) -> pd.DataFrame:
    """The runs side by side: settings, then what the validation images say about the weights that were kept."""
    return pd.DataFrame(
        [
            {
                "run": run.number,
                "learning rate": f"{run.config.learning_rate:g}",
                "hidden units": run.config.hidden_units,
                "dropout": f"{run.config.dropout:g}",
                "batch size": run.config.batch_size,
                "patience": run.config.patience,
                "images": run.images,
                "epochs run": len(run.history),
                **at_the_kept_epoch(run.history),
                "seconds": f"{run.seconds:.1f}",
            }
            for run in runs
        ]
    )


def at_the_kept_epoch(history: pd.DataFrame) -> dict[str, int | str]:
    """Columns of a table of runs: the epoch whose weights were kept, and the losses and the AUC of that epoch."""
    best = kept_epoch(history)
    names = {"train_loss": "training loss", "val_loss": "validation loss", "val_auc": "validation AUC"}
    return {"epoch kept": history.attrs["best_epoch"]} | {
        f"{name} at the kept epoch": f"{best[column]:.3f}" for column, name in names.items()
    }


def ending(run: HeadRun) -> str:
    """In words: how long a run went on, why it ended, and which weights were kept."""
    ran, best = len(run.history), run.history.attrs["best_epoch"]
    early = run.history.attrs["stopped_early"]
    reason = (
        f"stopped early: the validation loss had risen for {run.config.patience} epochs"
        if early
        else "went on to the end"
    )
    dead = run.history["val_auc"].iloc[-1] == 0.5  # exactly: every pair is tied
    said = " At the end the head is dead: it gives everybody the same answer." if dead else ""
    return f"Run {run.number} {reason} (epoch {ran}). It keeps the weights of epoch {best}.{said}"


@dataclass(frozen=True)
class SmallWorkbench(Workbench):
    """A workbench of few pictures, which can read further ones."""

    config: TrainConfig

    def read(self, model: FractureClassifier, rows: pd.DataFrame) -> pd.DataFrame:
        """What `predict` says of each row, which is read from its file."""
        data = RadiographDataset(rows, eval_transform(self.config))
        return predict(model, make_loader(data, self.config, shuffle=False))

    def probability_of(self, model: FractureClassifier, rows: pd.DataFrame) -> np.ndarray:
        """P(fractured) of each row, in the table's order: (rows,)."""
        return self.read(model, rows).set_index("path").loc[rows["path"], "probability"].to_numpy()


def open_small_workbench(
    config: TrainConfig, table: pd.DataFrame, *, examples: pd.DataFrame, count: int
) -> SmallWorkbench:
    """A workbench of these training images and of `count` validation images, in the share of the validation split.

    Raises:
        FracturelibError: as `build_model` and `compute_features`.
    """
    model = build_model(config)
    validation = table[table["split"] == "val"]
    validation = validation.iloc[choose_rows(validation, count, seed=config.seed)]
    parts = []
    for part in (examples, validation):
        rows = part.reset_index(drop=True)
        rows.attrs = table.attrs
        data = RadiographDataset(rows, eval_transform(config))
        parts.append(FeatureDataset(rows, compute_features(model, data, config)))
    return SmallWorkbench(model.trunk, model.origin, train=parts[0], val=parts[1], config=config)
