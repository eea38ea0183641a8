"""Notebook 03's panel: move a slider, and a head is trained while its curves grow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from fracturelib.config import TrainConfig
from fracturelib.course.figures.learning import training_figure
from fracturelib.course.studies import HeadRun, Workbench, ending, run_table, train_head
from fracturelib.course.widgets.common import slider, steps, whole_number
from fracturelib.course.widgets.live import Report, RunsPanel


def training_controls(config: TrainConfig, *, images: int) -> dict[str, Any]:
    """The panel's controls, set to `config` and to all of the `images`; each scale holds the value it starts with."""
    counts = [count for count in (20, 50, 100, 200, 400, 800) if count < images]
    return {
        "learning_rate": steps(
            "Learning rate",
            scale((1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1), config.learning_rate),
            config.learning_rate,
            tip="How far one step of the optimiser goes",
        ),
        "hidden_units": steps(
            "Head width",
            scale((4, 16, 64, 256, 1024), config.hidden_units),
            config.hidden_units,
            tip="Units in the head's hidden layer",
        ),
        "dropout": slider("Dropout", config.dropout, 0.0, 0.9, 0.1, tip="Share of hidden units dropped in training"),
        "epochs": whole_number("Epochs, at most", config.epochs, 1, 40, tip="Passes over the training images"),
        "batch_size": steps(
            "Batch size", scale((8, 16, 32, 64, 128), config.batch_size), config.batch_size, tip="Images per step"
        ),
        "patience": whole_number("Patience", config.patience, 1, 40, tip="Epochs without improvement before it stops"),
        "images": steps("Training images", scale(counts, images), images, tip="How many of the images are used"),
    }


def scale(values: Sequence[float], start: float) -> dict[str, float]:
    """The options of a slider over uneven values, by their names; `start` is among them."""
    return {f"{value:g}": value for value in sorted({*values, start})}


class TrainingPanel(RunsPanel):
    """Sliders for the recipe; every change trains a head from features and draws the curves while they grow.

    A change during a training stops that training and starts the new one. The latest runs stay side by side.

    Args:
        bench: trunk and features.
        config: the first settings.
        background: as for `LivePanel`.
    """

    def __init__(self, bench: Workbench, config: TrainConfig, *, background: bool = True) -> None:
        self.bench, self.config = bench, replace(config, workers=0)
        controls = training_controls(config, images=len(bench.train))
        super().__init__(controls, title="Train the head yourself", background=background)

    def make_run(self, report: Report, others: list[HeadRun], number: int, *, images: int, **settings: Any) -> HeadRun:
        """Train once, and say after every epoch how it goes."""
        config = replace(self.config, **settings)

        def on_epoch(history: pd.DataFrame) -> None:
            def draw() -> list[Any]:
                return [training_figure(history, epochs=config.epochs, others=named_histories(others))]

            report(len(history), config.epochs, draw)

        return train_head(self.bench, config, images=images, on_epoch=on_epoch, number=number)

    def same_settings(self, run: HeadRun, *, images: int, **settings: Any) -> bool:
        """Whether a run has these settings and so many training images."""
        return (run.config, run.images) == (replace(self.config, **settings), images)

    def shown(self, runs: list[HeadRun]) -> list[Any]:
        """The latest run's curves, the others beside it, and the table of all."""
        *others, run = runs
        name = f"run {run.number}"
        figure = training_figure(run.history, epochs=run.config.epochs, name=name, others=named_histories(others))
        return [figure, ending(run), run_table(runs)]


def named_histories(runs: Sequence[HeadRun]) -> dict[str, pd.DataFrame]:
    """The histories of the runs under the names that they have in figures."""
    return {f"run {run.number}": run.history for run in runs}
