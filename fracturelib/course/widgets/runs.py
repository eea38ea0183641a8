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

    A run has a ``number``, a ``name`` and a ``history``.

    Args:
        make: ``make(report, earlier, number, name, **values)`` makes a run with the controls' values and draws it
            beside the `earlier` ones while it grows.
        same: ``same(run, **values)`` says whether a run was made with these values, and so would come out the same.
        show: runs, the latest of them last → figures, sentences and tables.
        words: control → the short word for it in the name of a run.
    """

    def __init__(
        self,
        make: Callable[..., Any],
        same: Callable[..., bool],
        show: Callable[[list[Any]], list[Any]],
        words: Mapping[str, str],
    ) -> None:
        self.make, self.same, self.show, self.words = make, same, show, words
        self.runs: list[Any] = []
        self.shown: list[Any] = []
        self.first: dict[str, Any] = {}  # what the controls were set to at first
        self.before: dict[str, Any] = {}  # and for the run before

    def __call__(self, report: Report, **values: Any) -> list[Any]:
        """Make a run in the place of one with the same values, and show all; a stopped run leaves no trace."""
        earlier = [run for run in self.runs if not self.same(run, **values)][-(MOST_KEPT - 1) :]
        number = 1 + max((run.number for run in self.runs), default=0)
        self.first, self.before = self.first or values, self.before or values
        name = self.named(number, values)
        report.below = [part for part in self.shown if isinstance(part, pd.DataFrame)]
        self.runs = [*earlier, self.make(report, earlier, number, name, **values)]
        self.before, self.shown = values, self.show(self.runs)
        return self.shown

    def named(self, number: int, values: Mapping[str, Any]) -> str:
        """A run's name in figures: its number and what differs from the first settings.

        There is room for one change, the latest; dots stand for the others.
        """
        changed = [key for key in self.words if values[key] != self.first[key]]
        latest = [key for key in changed if values[key] != self.before[key]] or changed
        named = f"{self.words[latest[0]]} {_short(values[latest[0]])}" if changed else "first settings"
        return f"{number}: {named}{', …' if len(changed) > 1 else ''}"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


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
            runs.shown = runs.show(runs.runs)
            panel.show(runs.shown)

    buttons = [
        button("Train", lambda: panel.update(), tip="Train with these settings", primary=True),
        button("Forget earlier runs", forget, tip="Keep only the latest run"),
    ]
    jobs = LatestJob() if background else AtOnce()
    panel = Panel(runs, controls, title=title, buttons=buttons, jobs=jobs, doing="training")
    return panel.start()


def drawing_epochs(report: Report, epochs: int, earlier: Sequence[Any], name: str) -> Callable[[pd.DataFrame], None]:
    """An `on_epoch` for `fit`: says after each of the `epochs` how far it is, and draws the history so far."""
    others = _histories(earlier)

    def on_epoch(history: pd.DataFrame) -> None:
        def figure() -> list[Figure]:
            return [training_figure(history, epochs=epochs, name=name, others=others, stacked=True)]

        report(len(history), epochs, figure)

    return on_epoch


def runs_figure(runs: Sequence[Any], *, epochs: int) -> Figure:
    """The losses of the latest run in a frame as wide as its `epochs`, and the validation AUC of all."""
    *earlier, latest = runs
    return training_figure(latest.history, epochs=epochs, name=latest.name, others=_histories(earlier), stacked=True)


def runs_table(table: pd.DataFrame) -> pd.DataFrame:
    """A table of runs for a panel, in which the latest run and what came of it are in sight: on top, and in front."""
    results = [heading for heading in table if "kept" in heading]
    first, *settings = table.columns.difference(results, sort=False)
    table = table[[first, *results, *settings]].iloc[::-1]
    return table.rename(columns=lambda heading: heading.removesuffix(" at the kept epoch"))


def _histories(runs: Sequence[Any]) -> dict[str, pd.DataFrame]:
    """The histories of the runs under the names that they have in figures."""
    return {run.name: run.history for run in runs}
