"""Panels that train: each change of a control makes a run, and the latest runs stay side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from fracturelib.course.figures.learning import training_figure
from fracturelib.course.widgets.common import Panel, button
from fracturelib.course.widgets.live import AtOnce, LatestJob, Report

MOST_KEPT = 6  # more lines than these cannot be told apart in one figure


class KeptRuns:
    """The latest runs of a panel; calling it makes one more.

    A run has a ``number`` and a ``history``.

    Args:
        make: ``make(report, earlier, number, **values)`` makes a run with the controls' values and draws it beside the
            `earlier` ones while it grows.
        same: ``same(run, **values)`` says whether a run was made with these values, and so would come out the same.
        show: runs, the latest of them last → figures, sentences and tables.
    """

    def __init__(
        self, make: Callable[..., Any], same: Callable[..., bool], show: Callable[[list[Any]], list[Any]]
    ) -> None:
        self.make, self.same, self.show = make, same, show
        self.runs: list[Any] = []

    def __call__(self, report: Report, **values: Any) -> list[Any]:
        """Make a run in the place of one with the same values, and show all; a stopped run leaves no trace."""
        earlier = [run for run in self.runs if not self.same(run, **values)][-(MOST_KEPT - 1) :]
        number = 1 + max((run.number for run in self.runs), default=0)
        self.runs = [*earlier, self.make(report, earlier, number, **values)]
        return self.show(self.runs)


def runs_panel(runs: KeptRuns, controls: Mapping[str, Any], *, title: str, background: bool = True) -> Panel:
    """A panel that trains whenever a control moves; the first run is made before this returns.

    Args:
        runs: makes, keeps and shows the runs; it is the panel's `draw`.
        controls, title: as for `Panel`.
        background: False trains while the page waits, for tests.
    """

    def forget() -> None:
        panel.stop()
        if runs.runs:
            runs.runs = runs.runs[-1:]
            panel.show(runs.show(runs.runs))

    buttons = [
        button("Train", lambda: panel.update(), tip="Train with these settings", primary=True),
        button("Forget earlier runs", forget, tip="Keep only the latest run"),
    ]
    jobs = LatestJob() if background else AtOnce()
    panel = Panel(runs, controls, title=title, buttons=buttons, jobs=jobs, doing="training")
    return panel.start()


def drawing_epochs(report: Report, epochs: int, earlier: Sequence[Any]) -> Callable[[pd.DataFrame], None]:
    """An `on_epoch` for `fit`: says after each of the `epochs` how far it is, and draws the history so far."""

    def on_epoch(history: pd.DataFrame) -> None:
        report(len(history), epochs, lambda: [training_figure(history, epochs=epochs, others=_histories(earlier))])

    return on_epoch


def runs_figure(runs: Sequence[Any], *, epochs: int) -> Figure:
    """The losses of the latest run in a frame as wide as its `epochs`, and the validation AUC of all."""
    *earlier, latest = runs
    name = f"run {latest.number}"
    return training_figure(latest.history, epochs=epochs, name=name, others=_histories(earlier))


def _histories(runs: Sequence[Any]) -> dict[str, pd.DataFrame]:
    """The histories of the runs under the names that they have in figures."""
    return {f"run {run.number}": run.history for run in runs}
