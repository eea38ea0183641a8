"""Figures of radiographs: galleries with their classes and fractures, and the steps from bone to picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fracturelib.catalog import BOX, root_of
from fracturelib.config import CLASS_NAMES
from fracturelib.images import read_radiograph
from fracturelib.plots import image_grid
from fracturelib.plots.style import STYLE
from fracturelib.simulation import SimulatedRadiograph
from fracturelib.writing.palette import CLASS_COLOURS, INK
from fracturelib.writing.words import SPLIT_NAMES

GALLERY_COLUMNS = 4
CLOSE_UP_SIDE = 64  # least side of the close-up in pixels


def gallery(rows: pd.DataFrame, *, boxes: bool = False, blind: bool = False, columns: int = GALLERY_COLUMNS) -> Figure:
    """Up to eight radiographs with source and class, framed in the colour of the class; its label has them in words.

    Args:
        rows: of one table, which knows the folder of its files.
        boxes: mark the fractures.
        blind: only number them, in frames of one colour, so that one can look before one knows.
        columns: pictures side by side.
    """
    images = [read_radiograph(root_of(rows) / path) for path in rows["path"]]
    titles = [
        f"{row.source_id}\n{CLASS_NAMES[row.label]}\n{SPLIT_NAMES[row.split]}" for row in rows.itertuples(index=False)
    ]
    colours = [CLASS_COLOURS[label] for label in rows["label"]]
    if blind:
        titles, colours = [f"{number}" for number in range(1, len(images) + 1)], [INK] * len(images)
    lines = max(1, -(-len(images) // columns))
    figure = plt.figure(figsize=(2.1 * columns, 3.2 * lines), layout="constrained")
    axes = image_grid(
        images,
        titles,
        columns=columns,
        colours=colours,
        figure=figure,
    )
    if boxes and not blind:
        mark_boxes(axes, rows)
    figure.set_label(
        "; ".join(title.replace("\n", ", ") for title in titles) if not blind else f"{len(images)} pictures"
    )
    return figure


def named_pictures(pictures: Mapping[str, np.ndarray], *, columns: int = 4) -> Figure:
    """Named pictures (H, W), 0…255 or 0…1, side by side."""
    lines = -(-len(pictures) // columns)
    figure = plt.figure(figsize=(2.25 * columns, 2.9 * lines), layout="constrained")
    image_grid(list(pictures.values()), list(pictures), columns=columns, figure=figure)
    return figure


def mark_box(ax: Axes, box: tuple[float, float, float, float] | np.ndarray | None) -> None:
    """Outline (x, y, w, h) in pixels; nothing where there is no box."""
    if box is not None and np.isfinite(np.asarray(box, dtype=float)).all():
        x, y, w, h = box
        ax.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor=CLASS_COLOURS[1], linewidth=2))


def mark_boxes(axes: Sequence[Axes] | np.ndarray, rows: pd.DataFrame) -> None:
    """Outline the known fractures of some rows, each in its own axes; nothing if the table knows no boxes."""
    if set(BOX) <= set(rows.columns):
        for ax, box in zip(axes, rows[list(BOX)].to_numpy(float), strict=True):
            mark_box(ax, box)


def picture_steps(radiograph: SimulatedRadiograph, *, place: tuple[int, int, int, int] | None = None) -> Figure:
    """The steps from bone to picture, side by side.

    Args:
        radiograph: from `simulate_one`.
        place: (x, y, w, h) in pixels of the close-up; default the fracture's box, or the middle where there is none.
    """
    height, width = radiograph.picture.shape
    # The open beam is far brighter than the limb: the scale ends with the limb, so that its noise can be seen.
    bright = float(np.quantile(radiograph.counts[radiograph.line_integral > 0.3], 0.95))
    low, high = (float(np.quantile(radiograph.signal, share)) for share in (0.005, 0.995))
    thick = float(radiograph.path_lengths["cortex"].max())
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 3, figsize=(8.4, 2 * (2.7 * height / width + 0.6)), layout="constrained")
        bone, through, counted, signal, picture, close = axes.ravel()
        _show_grey(bone, radiograph.path_lengths["cortex"], (0, thick), f"1 · path in hard bone\n0 to {thick:.0f} mm")
        _show_grey(through, radiograph.transmitted, (0, 1), "2 · share that gets through\n0 to 1")
        _show_grey(counted, radiograph.counts, (0, bright), f"3 · photons counted\n0 to {bright:,.0f} per pixel")
        _show_grey(signal, radiograph.signal, (low, high), f"4 · minus the logarithm\n{low:.1f} to {high:.1f}")
        _show_grey(picture, radiograph.picture, (0, 255), "5 · display window\n0 to 255: the file")
        mark_box(picture, radiograph.bbox)
        x, y, w, h = _close_up(place or radiograph.bbox, radiograph.picture.shape)
        _show_grey(close, radiograph.picture[y : y + h, x : x + w], (0, 255), "close-up\nof the file")
    return figure


def _close_up(box: tuple[int, int, int, int] | None, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """A square (x, y, w, h) inside the picture around the box, or around the middle."""
    height, width = shape
    x, y, w, h = box or (width // 2, height // 2, 0, 0)
    side = min(max(CLOSE_UP_SIDE, round(1.3 * max(w, h))), height, width)
    left = int(np.clip(x + w // 2 - side // 2, 0, width - side))
    top = int(np.clip(y + h // 2 - side // 2, 0, height - side))
    return left, top, side, side


def _show_grey(ax: Axes, values: np.ndarray, limits: tuple[float, float], title: str) -> None:
    """An array in grey, its smallest value black and its largest white, without axes."""
    ax.imshow(values, cmap="gray", vmin=limits[0], vmax=limits[1])
    ax.set_title(title, fontsize=12)
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set(visible=True, color=INK, linewidth=0.5)
