"""Notebook 05's panel: choose what is trained, how fast and on how many images, and watch what it learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fracturelib.config import TrainConfig
from fracturelib.course.studies import DeepBench, Step, StepwiseRun, step_table, train_in_steps
from fracturelib.course.widgets.common import Panel, choice, steps, whole_number
from fracturelib.course.widgets.live import Report
from fracturelib.course.widgets.runs import KeptRuns, drawing_epochs, runs_figure, runs_panel, runs_table
from fracturelib.course.widgets.training import scale

HEAD_EPOCHS, HEAD_RATE = 2, 1e-3  # every run of the panel begins with so much training of the head alone

# What each control is called in the name of a run.
WORDS = {"stage": "trained", "learning_rate": "rate", "images": "images", "epochs": "epochs", "trunk": "trunk"}


@dataclass(frozen=True)
class PanelRun:
    """A training with its number, its name in figures, and what the controls were set to."""

    number: int
    name: str
    settings: dict[str, Any]
    run: StepwiseRun

    @property
    def history(self) -> pd.DataFrame:
        return self.run.history


def unfreezing_controls(benches: Mapping[str, DeepBench], *, images: int) -> dict[str, Any]:
    """The panel's controls: what is trained, the learning rate, the number of images, the epochs, the trunk."""
    first = next(iter(benches.values()))
    stages = {stage if stage == "head" else f"{stage} and up": stage for stage in first.stages}
    total = len(first.train)
    counts = [count for count in (25, 50, 100, 200) if count < total]
    return {
        "stage": choice("Trained", stages, first.stages[min(1, len(first.stages) - 1)], tip="The rest stays frozen"),
        "learning_rate": steps(
            "Learning rate",
            scale((1e-6, 1e-5, 1e-4, 1e-3, 1e-2), 1e-4),
            1e-4,
            tip="The same for all parts that are trained",
        ),
        "images": steps(
            "Training images", scale((*counts, total), min(images, total)), min(images, total), tip="How many are used"
        ),
        "epochs": whole_number("Epochs", 3, 1, 10, tip="Passes over these images, after the head's own"),
        "trunk": choice("Trunk", list(benches), next(iter(benches)), tip="Where the trunk's first weights come from"),
    }


def unfreezing_panel(
    benches: Mapping[str, DeepBench], config: TrainConfig, *, images: int = 50, background: bool = True
) -> Panel:
    """Unfreeze part of the trunk; every change trains anew from the maps and shows the runs side by side.

    Args:
        benches: name of a trunk → its bench, all of the same pictures; the first one is chosen at first.
        config: batch size, head and seed.
        images: training images at first.
        background: as for `runs_panel`.
    """

    def make(report: Report, earlier: list[PanelRun], number: int, name: str, **settings: Any) -> PanelRun:
        """Train the head alone for a little while, then everything from the chosen stage up."""
        last = Step(settings["stage"], settings["learning_rate"], settings["epochs"])
        run = train_in_steps(
            benches[settings["trunk"]],
            config,
            [Step("head", HEAD_RATE, HEAD_EPOCHS), last],
            images=settings["images"],
            on_epoch=drawing_epochs(report, HEAD_EPOCHS + last.epochs, earlier, name),
        )
        return PanelRun(number, name, settings, run)

    runs = KeptRuns(make, lambda run, **settings: run.settings == settings, show_runs, WORDS)
    controls = unfreezing_controls(benches, images=images)
    return runs_panel(runs, controls, title="Unfreeze it yourself", background=background)


def show_runs(runs: list[PanelRun]) -> list[Any]:
    """The latest run's losses, all runs' AUC, and the table."""
    latest = runs[-1]
    table = step_table({f"run {run.number}": run.run for run in runs})
    table.insert(1, "trunk", [run.settings["trunk"] for run in runs])
    return [runs_figure(runs, epochs=len(latest.history)), kept_losses(latest), runs_table(table)]


def kept_losses(run: PanelRun) -> str:
    """In words: which weights were kept, and how far apart the two losses are there and at the end."""
    kept, last = run.run.best, run.history.iloc[-1]
    return (
        f"Run {run.number}: the weights of epoch {run.history.attrs['best_epoch']} are kept (training loss "
        f"{kept['train_loss']:.2f}, validation loss {kept['val_loss']:.2f}). At the end the two are "
        f"{last['train_loss']:.2f} and {last['val_loss']:.2f}."
    )
