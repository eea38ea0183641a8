"""Notebook 03's panel: move a slider, and a head is trained while its curves grow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from fracturelib.config import TrainConfig
from fracturelib.errors import FracturelibError
from fracturelib.widgets.common import Panel, button, slider, steps, whole_number
from fracturelib.widgets.heads import HeadRun, Workbench, ending, run_table, train_head, training_figure

MOST_KEPT = 6  # runs side by side: more lines than these cannot be told apart
REDRAW_SECONDS = 0.25  # least time between two pictures of a training …
REDRAW_TIMES = 2  # … and this many times what drawing took, so that a slow machine still trains more than it draws


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
        self.bench, self.config, self.background = bench, replace(config, workers=0), False
        self.runs: list[HeadRun] = []
        self.jobs = LatestJob()
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
        number, due = 1 + max((run.number for run in self.runs), default=0), 0.0

        def on_epoch(history: pd.DataFrame) -> None:
            nonlocal due
            if stop.is_set():
                raise Cancelled
            begun = time.monotonic()
            if begun >= due:
                figure = training_figure(history, epochs=config.epochs, others=others)
                self.result.show(figure, f"training: epoch {len(history)} of at most {config.epochs}", alt=alt)
                drawn = time.monotonic()
                due = drawn + max(REDRAW_SECONDS, REDRAW_TIMES * (drawn - begun))

        try:
            run = train_head(self.bench, config, images=images, on_epoch=on_epoch, number=number)
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
