"""Where the radiographs of a drawn figure lie, so that a click on one can open it with all its pixels."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

Box = tuple[float, float, float, float]  # left, top, width, height


@dataclass(frozen=True)
class Openable:
    """One radiograph of a figure.

    Attributes:
        place: where it lies in the figure's file, as shares of its width and height.
        picture: (H, W), uint8, as it was drawn.
        words: its title in one line; a picture without a title is "Radiograph".
        box: the fracture as it is marked in the figure, as shares of the picture; None if none is.
    """

    place: Box
    picture: NDArray[np.uint8]
    words: str
    box: Box | None

    def png(self) -> bytes:
        """The picture as the bytes of a file."""
        buffer = io.BytesIO()
        Image.fromarray(self.picture).save(buffer, format="png")
        return buffer.getvalue()

    def holds(self, x: float, y: float) -> bool:
        """Whether a point of the file, 0…1 from left and top, lies on it."""
        left, top, width, height = self.place
        return left <= x <= left + width and top <= y <= top + height


def openable_radiographs(figure: Figure) -> list[Openable]:
    """The grey pictures of a figure that was drawn by `notebook.encode`, in the order of its axes.

    Of axes with several pictures it is the lowest one: a Grad-CAM map lies over its radiograph. Pictures in colour have
    no grey window and are left out.
    """
    axes = grey_axes(figure)
    if not axes:
        return []
    whole = figure.bbox_inches
    if figure.get_layout_engine() is not None:  # `encode` cuts off the empty rim
        whole = figure.get_tightbbox().padded(plt.rcParams["savefig.pad_inches"])
    return [_openable(ax, figure, whole) for ax in axes]


def grey_axes(figure: Figure) -> list[Axes]:
    """The axes of a figure whose lowest picture is grey."""
    return [ax for ax in figure.get_axes() if ax.images and _is_grey(ax.images[0])]


def _is_grey(image: AxesImage) -> bool:
    values = image.get_array()
    return values is not None and values.ndim == 2 and image.get_cmap().name == "gray"


def _openable(ax: Axes, figure: Figure, whole: Any) -> Openable:
    image = ax.images[0]
    values = np.asarray(image.norm(np.asarray(image.get_array())), dtype=float)
    picture = (255 * np.clip(values, 0, 1)).round().astype(np.uint8)
    drawn = ax.get_window_extent().transformed(figure.dpi_scale_trans.inverted())  # inches from the lower left
    place = (
        (drawn.x0 - whole.x0) / whole.width,
        (whole.y1 - drawn.y1) / whole.height,
        drawn.width / whole.width,
        drawn.height / whole.height,
    )
    height, width = picture.shape
    boxes = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    box = None
    if boxes:
        (x, y), wide, high = boxes[0].get_xy(), boxes[0].get_width(), boxes[0].get_height()
        box = ((x + 0.5) / width, (y + 0.5) / height, wide / width, high / height)  # pixel 0 begins at -0.5
    return Openable(place, picture, ", ".join(ax.get_title().replace("\\$", "$").split("\n")) or "Radiograph", box)
