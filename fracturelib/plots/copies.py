"""How it is seen that two files show the same radiograph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import FigureBase

from fracturelib.plots.galleries import image_grid


def copy_pair(
    one: np.ndarray,
    other: np.ndarray,
    laid: np.ndarray,
    titles: Sequence[str] = ("one file", "another file", "laid on each other"),
    *,
    figure: FigureBase | None = None,
) -> np.ndarray:
    """Two radiographs and the chessboard of both, side by side; returns their axes (3,)."""
    return image_grid([one, other, laid], titles, columns=3, figure=figure)
