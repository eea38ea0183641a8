"""Notebook 05's panel: choose what is trained, how fast and on how many images, and watch what it learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fracturelib.config import TrainConfig
from fracturelib.course.figures.learning import training_figure
from fracturelib.course.studies import DeepBench, Step, StepwiseRun, step_table, train_in_steps
from fracturelib.course.widgets.common import choice, steps, whole_number
from fracturelib.course.widgets.live import Report, RunsPanel
from fracturelib.course.widgets.training import scale

HEAD_EPOCHS, HEAD_RATE = 2, 1e-3  # every run of the panel begins with so much training of the head alone


@dataclass(frozen=True)
class PanelRun:
    """A training with its number and what the controls were set to."""

    number: int
    settings: dict[str, Any]
    run: StepwiseRun

    @property
    def name(self) -> str:
        return f"run {self.number}"


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


class UnfreezingPanel(RunsPanel):
    """Unfreeze part of the trunk; every change trains anew from the maps and shows the runs side by side.

    Args:
        benches: name of a trunk → its bench, all of the same pictures; the first one is chosen at first.
        config: batch size, head and seed.
        images: training images at first.
        background: as for `LivePanel`.
    """

    def __init__(
        self, benches: Mapping[str, DeepBench], config: TrainConfig, *, images: int = 50, background: bool = True
    ) -> None:
        self.benches, self.config = dict(benches), config
        controls = unfreezing_controls(benches, images=images)
        super().__init__(controls, title="Unfreeze it yourself", background=background)

    def make_run(
        self,
        report: Report,
        others: list[PanelRun],
        number: int,
        *,
        stage: str,
        learning_rate: float,
        images: int,
        epochs: int,
        trunk: str,
    ) -> PanelRun:
        """The head alone for a little while, then everything from `stage` up."""
        plan = [Step("head", HEAD_RATE, HEAD_EPOCHS), Step(stage, learning_rate, epochs)]
        total = HEAD_EPOCHS + epochs

        def on_epoch(history: pd.DataFrame) -> None:
            def draw() -> list[Any]:
                return [training_figure(history, epochs=total, others=named_histories(others))]

            report(len(history), total, draw)

        run = train_in_steps(self.benches[trunk], self.config, plan, images=images, on_epoch=on_epoch)
        settings = {"stage": stage, "learning_rate": learning_rate, "images": images, "epochs": epochs, "trunk": trunk}
        return PanelRun(number, settings, run)

    def same_settings(self, run: PanelRun, **values: Any) -> bool:
        """Whether a run was made with these values of the controls."""
        return run.settings == values

    def shown(self, runs: list[PanelRun]) -> list[Any]:
        """The latest run's losses, all runs' AUC, and the table."""
        *others, latest = runs
        history = latest.run.history
        figure = training_figure(history, epochs=len(history), name=latest.name, others=named_histories(others))
        table = step_table({run.name: run.run for run in runs})
        table.insert(1, "trunk", [run.settings["trunk"] for run in runs])
        return [figure, ending(latest), table]


def named_histories(runs: list[PanelRun]) -> dict[str, pd.DataFrame]:
    """The histories of the runs under the names that they have in figures."""
    return {run.name: run.run.history for run in runs}


def ending(run: PanelRun) -> str:
    """In words: which weights were kept, and how far apart the two losses are there and at the end."""
    kept, last = run.run.best, run.run.history.iloc[-1]
    return (
        f"Run {run.number}: the weights of epoch {run.run.history.attrs['best_epoch']} are kept (training loss "
        f"{kept['train_loss']:.2f}, validation loss {kept['val_loss']:.2f}). At the end the two are "
        f"{last['train_loss']:.2f} and {last['val_loss']:.2f}."
    )
