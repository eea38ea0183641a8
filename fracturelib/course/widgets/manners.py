"""What every panel does in the page without being asked: names, announcements, steady heights, pictures that open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import anywidget
from matplotlib.figure import Figure

from fracturelib.course.figures.opening import openable_radiographs
from fracturelib.writing.modules import bundle, read_asset


class Result(Protocol):
    """A part of the panel that shows figures."""

    figures: list[Figure]


class Manners(anywidget.AnyWidget):
    """Names the sliders of the panel that it is in, announces results, keeps the panel from jumping, and sends the
    radiograph that was clicked.

    Args:
        results: the panel's own result areas, in their order in the page.
    """

    _esm = bundle("panel_widget.js")
    _css = read_asset("viewer.css") + read_asset("panel.css")

    def __init__(self, results: Sequence[Result] = ()) -> None:
        super().__init__()
        self._results = results
        self.on_msg(lambda _, asked, __: self.send_radiograph(asked))

    def send_radiograph(self, asked: dict[str, Any]) -> None:
        """Send one radiograph: the `number`-th of a figure, or the one at (`x`, `y`); between pictures there is none.

        Args:
            asked: area and image (which figure), and number, or x and y as shares of the figure.
        """
        try:
            shown = openable_radiographs(self._results[asked["area"]].figures[asked["image"]])
        except IndexError:  # the figure was replaced meanwhile
            return
        number = asked.get("number")
        if number is None:
            number = next((n for n, one in enumerate(shown) if one.holds(asked["x"], asked["y"])), None)
        if number is None or number >= len(shown):
            return
        one = shown[number]
        place = {"area": asked["area"], "image": asked["image"], "number": number, "count": len(shown)}
        self.send({**place, "words": one.words, "box": one.box}, [one.png()])
