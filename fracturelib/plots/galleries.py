"""Images side by side: any grid of radiographs, the gallery of a model's errors, and heat laid over a picture."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import to_rgba
from matplotlib.figure import FigureBase
from PIL import Image

from fracturelib.config import CLASS_NAMES
from fracturelib.plots.style import STYLE, verbatim
from fracturelib.writing.palette import CLASS_COLOURS, INK
from fracturelib.writing.words import shorten

TINT = 0.35  # how strongly every other field of a chessboard is tinted


def image_grid(
    images: Sequence[np.ndarray],
    titles: Sequence[str] | None = None,
    *,
    columns: int = 4,
    colours: Sequence[str] | None = None,
    figure: FigureBase | None = None,
) -> np.ndarray:
    """Images (H, W) or (H, W, 3), 0…255 or 0…1, in rows of `columns`; returns their axes (n,).

    `figure` is an empty figure or subfigure to fill; its size is the caller's. `colours` frames each image.
    Long titles lose their middle.
    """
    columns = max(1, min(columns, len(images)))
    rows = max(1, -(-len(images) // columns))
    with plt.rc_context(STYLE):
        if figure is None:
            figure = plt.figure(figsize=(2.4 * columns, 2.9 * rows))
        grid = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
        for ax in grid[len(images) :]:
            ax.remove()
        for number, (ax, image) in enumerate(zip(grid, images, strict=False)):
            ax.imshow(
                image,
                cmap="gray",
                vmin=0,
                vmax=1 if np.issubdtype(np.asarray(image).dtype, np.floating) else 255,
            )
            ax.set(xticks=[], yticks=[], anchor="N")
            ax.grid(False)
            if titles is not None:
                ax.set_title("\n".join(verbatim(shorten(line, 24)) for line in titles[number].split("\n")), fontsize=11)
            frame = colours[number] if colours is not None else INK
            for spine in ax.spines.values():
                spine.set(visible=True, color=frame, linewidth=3 if colours is not None else 0.5)
    return grid[: len(images)]


def heat_overlay(image: np.ndarray, heat: np.ndarray, *, strength: float = 0.55) -> np.ndarray:
    """A radiograph (H, W), uint8, as colour (H, W, 3), uint8, with a heat map (S, S), 0…1, glowing over it.

    The hotter, the more of the colour (from yellow to white) and the less of the picture; without heat it stays grey.
    """
    height, width = image.shape[:2]
    scaled = Image.fromarray((255 * np.clip(heat, 0, 1)).astype(np.uint8)).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    amount = np.asarray(scaled, dtype=float)[..., None] / 255
    glow = 255 * plt.get_cmap("inferno")(amount[..., 0])[..., :3]
    grey = np.repeat(image[..., None].astype(float), 3, axis=2)
    weight = strength * np.sqrt(amount)
    return np.clip(np.rint((1 - weight) * grey + weight * glow), 0, 255).astype(np.uint8)


def error_gallery(
    errors: pd.DataFrame, images: Sequence[np.ndarray], *, columns: int = 4, figure: FigureBase | None = None
) -> np.ndarray:
    """Rows of `worst_errors` or `least_certain` with their images; the frame has the colour of the true class."""
    rows = list(errors.itertuples())
    names = [row.path.rsplit("/", 1)[-1] for row in rows]
    titles = [
        f"truth: {CLASS_NAMES[row.label]}\nP(fractured) = {row.probability:.2f}\n{name}"
        for row, name in zip(rows, names, strict=True)
    ]
    colours = [CLASS_COLOURS[row.label] for row in rows]
    return image_grid(images, titles, columns=columns, colours=colours, figure=figure)


def copy_pair(
    one: np.ndarray,
    other: np.ndarray,
    laid: np.ndarray,
    titles: Sequence[str] = ("one file", "another file", "laid on each other"),
    *,
    cells: int = 6,
    figure: FigureBase | None = None,
) -> np.ndarray:
    """Two radiographs and the chessboard of both, side by side; returns their axes (3,).

    `laid` has so many `cells` along its long side. Those of the second file are tinted blue: two files that are equal
    in grey would show no chessboard.
    """
    axes = image_grid([one, other, laid], titles, columns=3, figure=figure)
    rows, columns = np.indices(laid.shape) // (max(laid.shape) / cells)
    tint = np.full((*laid.shape, 4), to_rgba(CLASS_COLOURS[0], 0.0))
    tint[..., 3] = np.where((rows + columns) % 2 == 1, TINT, 0.0)
    axes[2].imshow(tint)
    return axes
