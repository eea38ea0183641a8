"""What moves under the finger in a notebook: the ES modules of the report and of the page, through anywidget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget
import pandas as pd
import traitlets

from fracturelib.course.widgets.common import LivingPage, ResultArea, as_html
from fracturelib.errors import FracturelibError
from fracturelib.evaluation.consequences import probability_cells
from fracturelib.writing.modules import bundle, read_asset


class OperatingPoint(anywidget.AnyWidget):
    """Sliders and figures that the page draws by itself, without asking the kernel; `content` as `operating_point.js`
    takes it."""

    _esm = bundle("operating_point_widget.js")
    _css = read_asset("live.css")
    content = traitlets.Dict().tag(sync=True)


class Viewer(anywidget.AnyWidget):
    """A radiograph on a black ground, with zoom, pan and grey window.

    Attributes:
        picture: the bytes of a PNG or JPEG file; empty shows nothing.
        words: stand for the picture.
        height: in pixels of the page.
    """

    _esm = bundle("viewer_widget.js")
    _css = read_asset("viewer.css")
    picture = traitlets.Bytes(b"").tag(sync=True)
    words = traitlets.Unicode("").tag(sync=True)
    height = traitlets.Int(460).tag(sync=True)


class MovingPanel(LivingPage):
    """A widget that moves by itself, and for readers without a kernel what it showed at first.

    Args:
        moving: the widget.
        title: stands above the panel.
        words: the settings at first.
        shown: figures, tables and sentences of the still.
    """

    def __init__(self, moving: OperatingPoint, *, title: str, words: str, shown: list[Any]) -> None:
        self.moving, self.words = moving, f"{title}: {words}"
        self._shown = "".join(as_html(part, alt=self.words) for part in shown)
        super().__init__([moving], title=title)

    def still(self) -> str:
        """Title and settings in words, then what is shown at first."""
        return as_html(f"{self.words}. Run the notebook to move the controls.") + self._shown


def operating_point_panel(
    predictions: pd.DataFrame,
    view: Callable[[], list[Any]],
    *,
    title: str,
    threshold: float,
    prevalence: float,
    miss: float = 1,
    parts: list[str],
    choose: bool = False,
) -> LivingPage:
    """Threshold, prevalence and costs under the finger; only what `view` says where a class is missing.

    Args:
        predictions: label and probability of every file; the page gets no more of them than their counts.
        view: gives what the still shows, or raises a `FracturelibError`.
        title: stands above the panel.
        threshold, prevalence, miss: where the sliders stand at first; a miss costs `miss` false alarms. The threshold
            stays marked.
        parts: the figures, of patients, histogram, roc, reliability and costs.
        choose: mark the cheapest threshold; for validation predictions only.
    """
    try:
        shown = view()
    except FracturelibError as error:
        shown = [str(error)]
    if len(shown) == 1 or predictions["label"].nunique() < 2:
        place = ResultArea()
        place.show(*shown, alt=title)
        return LivingPage([place], title=title)
    moving = OperatingPoint(
        content={
            "cells": probability_cells(predictions, threshold=threshold),
            "threshold": threshold,
            "prevalence": prevalence,
            "miss": miss,
            "parts": parts,
            "marks": [{"threshold": threshold}],
            "choose": choose,
        }
    )
    words = f"Threshold {threshold:.2f}, Prevalence {prevalence:.2f}, A miss costs {miss:g} false alarms"
    return MovingPanel(moving, title=title, words=words, shown=shown)
