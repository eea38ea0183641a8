"""Work that takes a while: it runs on a thread, shows how far it is, and can be stopped or replaced at any time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

SETTLE_SECONDS = 0.1  # no work begins for a handle that moves on within this time
# Between two pictures of work in progress lie at least so many seconds, and so many times what drawing took: a slow
# machine then still works more than it draws.
REDRAW_SECONDS, REDRAW_TIMES = 1.5, 2


class Cancelled(Exception):
    """The reader stopped the work, or asked for other work."""


class LatestJob:
    """Does one piece of work at a time on a thread of its own; starting the next one stops the one before.

    The work is a function of a `threading.Event`; it looks at the event now and then and ends when it is set. It shares
    torch's random generator with the cells: let it end before you run a cell that trains, if you want that cell's
    numbers to the last digit.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, work: Callable[[threading.Event], None]) -> None:
        """Stop what is running, wait until it has stopped, and start `work` unless it is stopped at once."""
        self.stop()
        self._stop = stop = threading.Event()

        def settle_and_work() -> None:
            if not stop.wait(SETTLE_SECONDS):
                work(stop)

        self._thread = threading.Thread(target=settle_and_work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop what is running, if anything is."""
        self._stop.set()
        self.wait()

    def wait(self) -> None:
        """Return when nothing is running."""
        if self._thread is not None:
            self._thread.join()


class AtOnce(LatestJob):
    """Does the work before `start` returns, for notebooks that are run from top to bottom, and for tests."""

    def start(self, work: Callable[[threading.Event], None]) -> None:
        """Do the work."""
        work(threading.Event())


class Report:
    """What work in progress calls to say how far it is: moves the panel's bar, and draws now and then.

    Args:
        progress: has the bar; gets ``advance(share, text)``.
        result: gets ``show(*contents, alt=...)``.
        doing: what is done, for example "training".
        stop: set when the work is to end.
        alt: alternative text of the figures.

    Attributes:
        below: what stays below a picture of work in progress, for example the table of earlier runs.
    """

    def __init__(self, progress: Any, result: Any, *, doing: str, stop: threading.Event, alt: str) -> None:
        self.progress, self.result, self.doing, self.stop, self.alt = progress, result, doing, stop, alt
        self.below: list[Any] = []
        self._due = time.monotonic() + REDRAW_SECONDS  # work that is over by then is drawn once, when it is done

    def __call__(self, done: int, total: int, draw: Callable[[], list[Any]] = list, *, unit: str = "epoch") -> None:
        """Say that `done` of `total` steps are over; `draw` gives what to show so far, and is not always called.

        Raises:
            Cancelled: the work is to end.
        """
        if self.stop.is_set():
            raise Cancelled
        self.progress.advance(done / total, f"{self.doing}: {unit} {done} of at most {total}")
        begun = time.monotonic()
        if begun >= self._due and (contents := draw()):
            self.result.show(*contents, *self.below, alt=self.alt)
            drawn = time.monotonic()
            self._due = drawn + max(REDRAW_SECONDS, REDRAW_TIMES * (drawn - begun))
