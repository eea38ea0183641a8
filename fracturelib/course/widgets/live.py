"""Panels whose answer takes a while: it grows before the reader's eyes, and can be stopped or replaced at any time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets

from fracturelib.course.widgets.common import Panel, button
from fracturelib.errors import FracturelibError

SETTLE_SECONDS = 0.1  # a handle that moves on within this time has not arrived yet: no work is begun for it
MOST_KEPT = 6  # runs side by side: more lines than these cannot be told apart
REDRAW_SECONDS = 1.5  # least time between two pictures of work in progress …
REDRAW_TIMES = 2  # … and this many times what drawing took, so that a slow machine still works more than it draws


class Cancelled(Exception):
    """The reader stopped the work, or asked for other work."""


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


class Report:
    """What work in progress calls to say how far it is: moves the panel's bar, and draws now and then.

    Args:
        panel: the panel to show it in.
        doing: what is done, for example "training".
        stop: set when the work is to end.
        alt: alternative text of the figures.
    """

    def __init__(self, panel: LivePanel, doing: str, stop: threading.Event, alt: str) -> None:
        self.panel, self.doing, self.stop, self.alt = panel, doing, stop, alt
        self._due = time.monotonic() + REDRAW_SECONDS  # work that is over by then is drawn once, when it is done

    def __call__(self, done: int, total: int, draw: Callable[[], list[Any]] = list, *, unit: str = "epoch") -> None:
        """Say that `done` of `total` steps are over; `draw` gives what to show so far, and is not always called.

        Raises:
            Cancelled: the work is to end.
        """
        if self.stop.is_set():
            raise Cancelled
        self.panel.progress.advance(done / total, f"{self.doing}: {unit} {done} of at most {total}")
        begun = time.monotonic()
        if begun >= self._due and (contents := draw()):
            self.panel.result.show(*contents, alt=self.alt)
            drawn = time.monotonic()
            self._due = drawn + max(REDRAW_SECONDS, REDRAW_TIMES * (drawn - begun))


class LivePanel(Panel):
    """A `Panel` that works on a thread, shows how far it is, and starts afresh whenever a control moves.

    The work is a function ``work(report, **values)``: it calls ``report(done, total, draw)`` now and then, and returns
    what `Panel` shows. If it is stopped it leaves no trace. It shares torch's random generator with the cells: let it
    end before you run a cell that trains, if you want its numbers to the last digit.

    Args:
        work: plain function.
        controls, title: as for `Panel`.
        doing: what the work is, in a word, for example "training".
        background: False works before the call returns, as the first drawing always does, so that a notebook that is
            run from top to bottom gives the same numbers every time.
    """

    def __init__(
        self,
        work: Callable[..., list[Any]],
        controls: Mapping[str, widgets.Widget],
        *,
        title: str,
        doing: str = "training",
        background: bool = True,
    ) -> None:
        self.jobs, self.doing, self.background = LatestJob(), doing, False
        super().__init__(work, controls, title=title)
        self.background = background

    def update(self) -> None:
        """Work with the present settings; what is going on is stopped."""
        values, alt = self.values, self.alternative_text()
        if self.background:
            self.jobs.start(lambda stop: self._settle_and_work(values, alt, stop))
        else:
            self._work(values, alt, threading.Event())

    def stop(self) -> None:
        """End the work that is going on, if any."""
        self.jobs.stop()

    def _settle_and_work(self, values: dict[str, Any], alt: str, stop: threading.Event) -> None:
        if not stop.wait(SETTLE_SECONDS):
            self._work(values, alt, stop)

    def _work(self, values: dict[str, Any], alt: str, stop: threading.Event) -> None:
        self.progress.begin(f"{self.doing} …", on_cancel=self.stop)
        try:
            self.result.show(*self.draw(Report(self, self.doing, stop, alt), **values), alt=alt)
        except Cancelled:
            return
        except FracturelibError as error:
            self.result.show(str(error))
        finally:
            self.progress.end()


class RunsPanel(LivePanel):
    """A `LivePanel` that keeps its latest runs side by side.

    A run has a ``number``; a subclass says how one is made and how several are shown.
    """

    def __init__(
        self, controls: Mapping[str, widgets.Widget], *, title: str, doing: str = "training", background: bool = True
    ) -> None:
        self.runs: list[Any] = []
        super().__init__(self.run, controls, title=title, doing=doing, background=background)
        again = button("Train", self.update, tip="Train with these settings", primary=True)
        forget = button("Forget earlier runs", self.forget, tip="Keep only the latest run")
        self.children[1].children += (again, forget)

    def make_run(self, report: Report, others: list[Any], number: int, **values: Any) -> Any:
        """One run with these settings; `others` are those to show beside it while it grows."""
        raise NotImplementedError

    def same_settings(self, run: Any, **values: Any) -> bool:
        """Whether a run was made with these settings, and so would come out the same again."""
        raise NotImplementedError

    def shown(self, runs: list[Any]) -> list[Any]:
        """Figures, sentences and tables of the runs, the latest of them last."""
        raise NotImplementedError

    def run(self, report: Report, **values: Any) -> list[Any]:
        """Make a run; it joins the others, in the place of one with the same settings, and all are shown."""
        others = [run for run in self.runs if not self.same_settings(run, **values)][-(MOST_KEPT - 1) :]
        number = 1 + max((run.number for run in self.runs), default=0)
        self.runs = [*others, self.make_run(report, others, number, **values)]
        return self.shown(self.runs)

    def stop(self) -> None:
        """End what is going on; the finished runs are shown."""
        super().stop()
        if self.runs:
            self.result.show(*self.shown(self.runs), alt=self.alternative_text())

    def forget(self) -> None:
        """Keep the latest run only."""
        self.jobs.stop()
        self.runs = self.runs[-1:]
        self.stop()
