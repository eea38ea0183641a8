"""Notebook 03's panel: train heads on features that were computed once, watch the curves grow, keep runs side by side."""

from __future__ import annotations

import itertools
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fracturelib import plots
from fracturelib.config import TrainConfig
from fracturelib.errors import FracturelibError, RunError
from fracturelib.features import FeatureDataset
from fracturelib.loaders import make_loader
from fracturelib.model import FractureClassifier, make_head
from fracturelib.pipeline import train_run
from fracturelib.plotstyle import INK, STYLE, legend_above, styled
from fracturelib.runs import Run, read_record
from fracturelib.runtime import derive_seed, seeded
from fracturelib.training import fit
from fracturelib.weights import WeightsOrigin
from fracturelib.widgets.common import Panel, button, slider, steps, whole_number

MOST_KEPT = 6  # runs side by side: more lines than these cannot be told apart
REDRAW_SECONDS = 0.25  # a picture takes about 0.1 s to draw; more of them would slow the training down
RUN_STYLES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")  # Okabe and Ito (2008)


@dataclass(frozen=True)
class Workbench:
    """A frozen trunk, and its features of the training and validation images. No test image is in it."""

    trunk: torch.nn.Module
    origin: WeightsOrigin
    train: FeatureDataset
    val: FeatureDataset


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
    histories: dict[str, pd.DataFrame],
    *,
    column: str = "val_loss",
    label: str = "validation loss",
    ax: Axes | None = None,
) -> Axes:
    """One column of several histories over the epochs; the last one is drawn boldly in black."""
    *earlier, latest = histories
    for name, colour in zip(earlier, itertools.cycle(RUN_STYLES)):
        ax.plot(histories[name]["epoch"], histories[name][column], ".--", color=colour, label=name)
    ax.plot(histories[latest]["epoch"], histories[latest][column], "o-", color=INK, linewidth=2.5, label=latest)
    ax.set(xlabel="epoch", ylabel=label, xlim=(0.5, max(len(history) for history in histories.values()) + 0.5))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    legend_above(ax, columns=3, columnspacing=1.0)
    return ax


def training_figure(
    history: pd.DataFrame, *, epochs: int, name: str = "this run", others: Sequence[HeadRun] = ()
) -> Figure:
    """Left the losses of one run, in a frame that is as wide as its `epochs`; right its validation AUC over the others'."""
    with plt.rc_context(STYLE):
        figure = Figure(figsize=(11, 4.4))
        left, right = figure.subplots(1, 2)
        plots.loss_curves(history, ax=left)
        left.set_xlim(0.5, epochs + 0.5)
        histories = {f"run {run.number}": run.history for run in others} | {name: history}
        overlaid_runs(histories, column="val_auc", label="validation AUC", ax=right)
        right.set_xlim(0.5, max(epochs, right.get_xlim()[1] - 0.5) + 0.5)
    return figure


class Cancelled(Exception):
    """A newer training was asked for."""


class LatestJob:
    """Does one piece of work at a time on a thread of its own; starting the next one stops the one before.

    The work is a function of a `threading.Event`; it looks at the event now and then and ends when it is set.
    """

    def __init__(self) -> None:
        self._stop, self._thread = threading.Event(), None

    def start(self, work: Callable[[threading.Event], None]) -> None:
        """Stop what is running, wait until it has stopped, and start `work`."""
        self.stop()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=work, args=(self._stop,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop what is running, if anything is."""
        self._stop.set()
        self.wait()

    def wait(self) -> None:
        """Return when nothing is running."""
        if self._thread is not None:
            self._thread.join()


def training_controls(config: TrainConfig, *, images: int) -> dict[str, Any]:
    """The panel's controls, set to `config` and to all of the `images`; each scale holds the value it starts with."""

    def scale(values: Sequence[float], start: float) -> dict[str, float]:
        return {f"{value:g}": value for value in sorted({*values, start})}

    counts = [count for count in (20, 50, 100, 200, 400, 800) if count < images]
    return {
        "learning_rate": steps(
            "learning rate",
            scale((1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1), config.learning_rate),
            config.learning_rate,
            tip="How far one step of the optimiser goes",
        ),
        "hidden_units": steps(
            "head width",
            scale((4, 16, 64, 256, 1024), config.hidden_units),
            config.hidden_units,
            tip="Units in the head's hidden layer",
        ),
        "dropout": slider("dropout", config.dropout, 0.0, 0.9, 0.1, tip="Share of hidden units dropped in training"),
        "epochs": whole_number("epochs, at most", config.epochs, 1, 40, tip="Passes over the training images"),
        "batch_size": steps(
            "batch size", scale((8, 16, 32, 64, 128), config.batch_size), config.batch_size, tip="Images per step"
        ),
        "patience": whole_number("patience", config.patience, 1, 40, tip="Epochs without improvement before it stops"),
        "images": steps("training images", scale(counts, images), images, tip="How many of the images are used"),
    }


class TrainingPanel(Panel):
    """Sliders for the recipe; every change trains a head from features and draws the curves while they grow.

    A change during a training stops that training and starts the new one. The last `MOST_KEPT` runs stay side by side.
    Training happens on a thread, and shares torch's random generator with the cells: let it end before you run one that
    trains, if you want its numbers to the last digit.

    Args:
        bench: trunk and features.
        config: the first settings.
        background: False trains before the call returns, as the first training always does.
    """

    def __init__(self, bench: Workbench, config: TrainConfig, *, background: bool = True) -> None:
        self.bench, self.config, self.background = bench, config, False
        self.runs: list[HeadRun] = []
        self.jobs, self._numbers = LatestJob(), itertools.count(1)
        controls = training_controls(config, images=len(bench.train))
        super().__init__(self.train, controls, title="Train the head yourself")
        self.background = background
        again = button("Train", self.update, tip="Train with these settings", primary=True)
        forget = button("Forget earlier runs", self.forget, tip="Keep only the latest run")
        self.children[1].children += (again, forget)

    def update(self) -> None:
        """Train with the present settings; a training that is running is stopped."""
        values, alt = self.values, self.alternative_text()
        if self.background:
            self.jobs.start(lambda stop: self.train(**values, stop=stop, alt=alt))
        else:
            self.train(**values, stop=threading.Event(), alt=alt)

    def train(self, *, images: int, stop: threading.Event, alt: str = "", **settings: Any) -> None:
        """Train once and show it; ends early, leaving no trace, when `stop` is set."""
        config = replace(self.config, **settings)
        # The same settings again give the same run: it takes the place of the first one.
        others = [run for run in self.runs if (run.config, run.images) != (config, images)][-(MOST_KEPT - 1) :]
        drawn = 0.0

        def on_epoch(history: pd.DataFrame) -> None:
            nonlocal drawn
            if stop.is_set():
                raise Cancelled
            if time.monotonic() - drawn > REDRAW_SECONDS:
                figure = training_figure(history, epochs=config.epochs, others=others)
                self.result.show(figure, f"training: epoch {len(history)} of at most {config.epochs}", alt=alt)
                drawn = time.monotonic()

        try:
            run = train_head(self.bench, config, images=images, on_epoch=on_epoch, number=next(self._numbers))
        except Cancelled:
            return
        except FracturelibError as error:
            self.result.show(str(error))
            return
        self.runs = [*others, run]
        self._show_runs(alt)

    def forget(self) -> None:
        """Keep the latest run only."""
        self.jobs.stop()
        self.runs = self.runs[-1:]
        if self.runs:
            self._show_runs(self.alternative_text())

    def _show_runs(self, alt: str) -> None:
        *others, run = self.runs
        figure = training_figure(run.history, epochs=run.config.epochs, name=f"run {run.number}", others=others)
        self.result.show(figure, ending(run), run_table(self.runs), alt=alt)


def ending(run: HeadRun) -> str:
    """In words: how long a run went on, why it ended, and which weights were kept."""
    ran, best = len(run.history), run.history.attrs["best_epoch"]
    early = run.history.attrs["stopped_early"]
    reason = (
        f"stopped early: {run.config.patience} epochs brought nothing better" if early else "went through all epochs"
    )
    return f"Run {run.number} {reason} (epoch {ran}). It keeps the weights of epoch {best}."


def notebook_run(config: TrainConfig, folder: str | Path) -> Run:
    """The finished run in `folder`, if it was made with these settings, data and weights; otherwise it is (re)made.

    Raises:
        RunError: the folder holds something other than a run; it is left alone.
        FracturelibError: as `train_run`.
    """
    folder = Path(folder)
    try:
        return train_run(config, folder=folder, resume=True)
    except RunError as reason:
        read_record(folder)  # raises for a folder that is no run
        print(f"The run in runs/{folder.name} does not fit any more ({reason.what}). It is trained anew.")
    shutil.rmtree(folder)
    return train_run(config, folder=folder)
