"""Heads trained on features that were computed once: one training, and several side by side in tables and figures."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fracturelib import plots
from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.features import FeatureDataset, compute_features
from fracturelib.loaders import make_loader, make_loaders
from fracturelib.model import FractureClassifier, build_model, make_head
from fracturelib.plots.style import INK, STYLE, legend_above, styled
from fracturelib.runtime import derive_seed, seeded
from fracturelib.training import fit
from fracturelib.weights import WeightsOrigin

RUN_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")  # Okabe and Ito (2008), less vermillion


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
    """One training of a head: its settings, the number of training images, the model and how it went."""

    number: int
    config: TrainConfig
    images: int
    model: FractureClassifier
    history: pd.DataFrame
    seconds: float

    @property
    def best(self) -> pd.Series:
        """The row of the epoch whose weights were kept; NaN throughout where no epoch had a usable loss."""
        return self.history.set_index("epoch").reindex([self.history.attrs["best_epoch"]]).iloc[0]


def choose_images(dataset: FeatureDataset, count: int, *, seed: int = 0) -> FeatureDataset:
    """`count` images of a data set, with its share of fractures; a larger choice contains the smaller ones."""
    labels = dataset.table["label"].to_numpy()
    generator = np.random.default_rng(derive_seed(seed, "choose images"))
    place = np.empty(len(labels))
    for label in (0, 1):
        rows = generator.permutation(np.flatnonzero(labels == label))
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)  # both classes spread evenly over 0…1
    rows = np.sort(np.argsort(place, kind="stable")[:count])
    return FeatureDataset(dataset.table.iloc[rows].reset_index(drop=True), dataset.features[:, rows])


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
    with seeded(config.seed, "head"):
        head = make_head(train.features.shape[2], hidden_units=config.hidden_units, dropout=config.dropout)
    model = FractureClassifier(bench.trunk, head, bench.origin)
    started = time.perf_counter()
    history = fit(
        model,
        make_loader(train, config, shuffle=True),
        make_loader(bench.val, config, shuffle=False),
        config,
        on_epoch=on_epoch,
    )
    return HeadRun(number, config, len(train), model, history, time.perf_counter() - started)


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
                "images": run.images,
                "epochs run": len(run.history),
                "epoch kept": run.history.attrs["best_epoch"],
                "training loss": f"{run.best['train_loss']:.3f}",
                "validation loss": f"{run.best['val_loss']:.3f}",
                "validation AUC": f"{run.best['val_auc']:.3f}",
                "seconds": f"{run.seconds:.1f}",
            }
            for run in runs
        ]
    )


@styled
def overlaid_runs(
    histories: Mapping[str, pd.DataFrame],
    *,
    column: str = "val_loss",
    label: str = "validation loss",
    ax: Axes | None = None,
) -> Axes:
    """One column of several histories over the epochs; the last one is drawn boldly in black."""
    *earlier, latest = histories
    for name, colour in zip(earlier, itertools.cycle(RUN_COLOURS)):
        ax.plot(histories[name]["epoch"], histories[name][column], ".--", color=colour, label=name)
    ax.plot(histories[latest]["epoch"], histories[latest][column], "o-", color=INK, linewidth=2.5, label=latest)
    ax.set(xlabel="epoch", ylabel=label, xlim=(0.5, max(len(history) for history in histories.values()) + 0.5))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    legend_above(ax, columns=3, columnspacing=1.0)
    return ax


def training_figure(
    history: pd.DataFrame, *, epochs: int, name: str = "this run", others: Sequence[HeadRun] = ()
) -> Figure:
    """Left the losses of one run, in a frame as wide as its `epochs`; right its validation AUC among `others`."""
    with plt.rc_context(STYLE):
        figure = Figure(figsize=(11, 4.4))
        left, right = figure.subplots(1, 2)
        plots.loss_curves(history, ax=left)
        left.set_xlim(0.5, epochs + 0.5)
        histories = {f"run {run.number}": run.history for run in others} | {name: history}
        overlaid_runs(histories, column="val_auc", label="validation AUC", ax=right)
        right.set_xlim(0.5, max(epochs, right.get_xlim()[1] - 0.5) + 0.5)
    return figure


def ending(run: HeadRun) -> str:
    """In words: how long a run went on, why it ended, and which weights were kept."""
    ran, best = len(run.history), run.history.attrs["best_epoch"]
    early = run.history.attrs["stopped_early"]
    reason = (
        f"stopped early, since {run.config.patience} epochs brought nothing better" if early else "went on to the end"
    )
    return f"Run {run.number} {reason} (epoch {ran}). It keeps the weights of epoch {best}."
