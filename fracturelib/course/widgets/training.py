"""Notebook 03's panel: move a slider, and a head is trained while its curves grow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fracturelib.config import TrainConfig
from fracturelib.course.studies import HeadRun, Workbench, ending, run_table, train_head
from fracturelib.course.widgets.common import Panel, slider, steps, whole_number
from fracturelib.course.widgets.live import Report
from fracturelib.course.widgets.runs import KeptRuns, drawing_epochs, runs_figure, runs_panel, runs_table

# What each control is called in the name of a run.
WORDS = {
    "learning_rate": "rate", "hidden_units": "width", "dropout": "dropout", "epochs": "epochs", "batch_size": "batch",
    "patience": "patience", "images": "images",
}  # fmt: skip


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
        "patience": whole_number(
            "Patience", config.patience, 1, 40, tip="Epochs with a risen validation loss before it stops"
        ),
        "images": steps("Training images", scale(counts, images), images, tip="How many of the images are used"),
    }


def scale(values: Sequence[float], start: float) -> dict[str, float]:
    """The options of a slider over uneven values, by their names; `start` is among them."""
    return {f"{value:g}": value for value in sorted({*values, start})}


def training_panel(bench: Workbench, config: TrainConfig, *, background: bool = True) -> Panel:
    """Sliders for the recipe; every change trains a head from features and draws the curves while they grow.

    A change during a training stops that training and starts the new one. The latest runs stay side by side.

    Args:
        bench: trunk and features.
        config: the first settings.
        background: as for `runs_panel`.
    """
    config = replace(config, workers=0)

    def make(
        report: Report, earlier: list[HeadRun], number: int, name: str, *, images: int, **settings: Any
    ) -> HeadRun:
        chosen = replace(config, **settings)
        on_epoch = drawing_epochs(report, chosen.epochs, earlier, name)
        return replace(train_head(bench, chosen, images=images, on_epoch=on_epoch, number=number), name=name)

    def same(run: HeadRun, *, images: int, **settings: Any) -> bool:
        return (run.config, run.images) == (replace(config, **settings), images)

    controls = training_controls(config, images=len(bench.train))
    runs = KeptRuns(make, same, show_runs, WORDS)
    return runs_panel(runs, controls, title="Train the head yourself", background=background)


def show_runs(runs: list[HeadRun]) -> list[Any]:
    """The latest run's curves, the others beside it, and the table of all."""
    latest = runs[-1]
    return [runs_figure(runs, epochs=latest.config.epochs), ending(latest), runs_table(run_table(runs))]
