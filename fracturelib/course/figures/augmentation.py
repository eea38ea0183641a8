"""Figures of notebook 02: variants of one radiograph, and what cropping does to its fracture."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fracturelib.config import TrainConfig
from fracturelib.course.figures.radiographs import mark_box
from fracturelib.course.studies.augmentation import VARIANTS, displayed, variants
from fracturelib.plots import image_grid
from fracturelib.plots.style import STYLE, legend_above, styled
from fracturelib.transforms import eval_transform
from fracturelib.writing.palette import CLASS_COLOURS, INK


def six_variants(
    radiograph: np.ndarray,
    *,
    rotation: float = 10.0,
    flip: float = 0.5,
    crop: float = 0.9,
    image_size: int = 224,
    seed: int = 0,
) -> Figure:
    """The radiograph as validation sees it, beside six variants as training sees it.

    Args:
        radiograph: uint8 (H, W).
        rotation: largest rotation in degrees.
        flip: chance of a left-right flip.
        crop: side of the crop as a share of the side of the picture.
        image_size: side of the result in pixels.
        seed: another seed gives six others.
    """
    config = replace(
        TrainConfig(), rotation_degrees=rotation, flip_probability=flip, crop_fraction=crop, image_size=image_size
    )
    images = displayed(torch.cat([eval_transform(config)(radiograph)[None], variants(radiograph, config, seed=seed)]))
    titles = ["validation:\nnever changed", *(f"training,\nepoch {epoch + 1}" for epoch in range(VARIANTS))]
    figure = plt.figure(figsize=(9, 5.4), layout="constrained")
    image_grid(images, titles, columns=4, figure=figure)
    return figure


def crop_figure(picture: np.ndarray, box: np.ndarray, window: tuple[float, float, float, float]) -> Figure:
    """A radiograph with its fracture and a crop outlined, beside what the crop leaves.

    Args:
        picture: uint8 (H, W).
        box: left, top, width and height of the fracture in pixels.
        window: left, top, width and height of the crop in pixels.
    """
    left, top, width, height = window
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(7, 4), layout="constrained")
        for ax, title in zip(axes, ("the file, with the crop", "what training sees"), strict=True):
            ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
            ax.set(title=title, xticks=[], yticks=[])
            ax.grid(False)
            mark_box(ax, box)
        crop = Rectangle((left, top), width, height, fill=False, edgecolor="white", linestyle="--", linewidth=2)
        axes[0].add_patch(crop)
        axes[1].set(xlim=(left, left + width), ylim=(top + height, top))
    return figure


@styled
def crop_loss_curve(losses: pd.DataFrame, *, marked: float | None = None, ax: Axes) -> Axes:
    """Wrong labels made by cropping, against the side of the crop; `marked` is the setting in use."""
    ax.plot(losses["fraction"], losses["mostly_gone"], "o-", color=CLASS_COLOURS[1], label="mostly cut away")
    ax.plot(losses["fraction"], losses["gone"], "s--", color=INK, label="nothing left of it")
    if marked is not None:
        ax.axvline(marked, color=CLASS_COLOURS[0], linestyle=":", linewidth=2, label=f"the recipe: {marked:g}")
    ax.set(xlabel="side of the crop, as a share of the picture's side", ylabel="share of crops of fractured bones")
    ax.set_ylim(bottom=-0.01)
    legend_above(ax, columns=3, columnspacing=1.2)
    return ax
