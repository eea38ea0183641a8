"""Notebook 07's panel: the window and the polarity of a radiograph as it is stored."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fracturelib.course.figures.hospital import window_figure
from fracturelib.course.studies.hospital import windowed
from fracturelib.course.widgets.common import Panel, choice, slider

MONOCHROME1, MONOCHROME2 = "MONOCHROME1", "MONOCHROME2"


def window_view(
    values: NDArray[Any], *, centre: float, width: float, photometric: str = MONOCHROME2
) -> list[Figure | str]:
    """A radiograph through a window, and a sentence on what the window leaves out.

    Args:
        values: as stored, after the modality LUT (H, W).
        centre, width: of the window, in these values.
        photometric: whether small values are shown dark (MONOCHROME2) or bright (MONOCHROME1).
    """
    greys = windowed(values, centre, width, monochrome1=photometric == MONOCHROME1)
    below, above = (values <= centre - width / 2).mean(), (values >= centre + width / 2).mean()
    ends = ("white", "black") if photometric == MONOCHROME1 else ("black", "white")
    text = (
        f"{below:.0%} of the pixels lie below the window (all {ends[0]}), {above:.0%} above it (all {ends[1]}); "
        f"the picture has {len(np.unique(greys))} different greys."
    )
    return [window_figure(values, greys, centre=centre, width=width), text]


def window_panel(values: NDArray[Any], *, photometric: str = MONOCHROME2) -> Panel:
    """Move centre and width of the window, and turn the polarity."""
    low, high = float(values.min()), float(max(values.max(), values.min() + 1))
    step = (high - low) / 64
    controls = {
        "centre": slider("Centre", (low + high) / 2, low, high, step, form=".0f"),
        "width": slider("Width", high - low, step, high - low, step, form=".0f"),
        "photometric": choice("Polarity", [MONOCHROME1, MONOCHROME2], photometric),
    }
    return Panel(lambda **chosen: window_view(values, **chosen), controls, title="Window and polarity").start()
