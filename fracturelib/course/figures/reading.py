"""Figures of a reader study: readers in the plane of the ROC curve, and the cases on which they do not agree."""

from __future__ import annotations

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from fracturelib import plots
from fracturelib.catalog import root_of
from fracturelib.config import CLASS_NAMES
from fracturelib.course.figures.radiographs import GALLERY_COLUMNS, mark_boxes
from fracturelib.course.reader_study.scoring import disagreements
from fracturelib.images import read_radiograph
from fracturelib.plots.curves import roc_curve
from fracturelib.plots.style import legend_above, styled
from fracturelib.writing.palette import CLASS_COLOURS, FAINT, VALIDATION

OWN = "#CC79A7"  # a colour of Okabe and Ito (2008) that stands for no class
MOST_CASES = 8  # most cases of disagreement in the gallery: readers scroll past more


@styled
def readers_against_model(
    readers: pd.DataFrame,
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    threshold: float,
    own: int | None = None,
    who: str = "you",
    ax: Axes,
) -> Axes:
    """The model's ROC curve with its threshold, and every reader as a point; the own one with its 95 % intervals.

    Args:
        readers: rows of `class_scores`.
        labels, probabilities: (n,) of the model, on all the pictures that it was tested on.
        threshold: of the model.
        own: the `reader` to be shown boldly; None shows all alike, and their mean.
        who: what this reader is called.
    """
    roc_curve(labels, probabilities, threshold=threshold, ax=ax)
    others = readers[readers["reader"] != own]
    if len(others):
        name = "reader" if len(others) == 1 else f"{len(others)} readers"
        places = 1 - others["specificity"], others["sensitivity"]
        ax.plot(*places, "^", color=FAINT, markersize=8, markeredgecolor="white", label=name)
    if len(others) > 1:
        mean = others[["sensitivity", "specificity"]].mean()
        ax.plot(1 - mean["specificity"], mean["sensitivity"], "D", color=VALIDATION, markersize=10, label="their mean")
    for row in readers[readers["reader"] == own].itertuples():
        ax.errorbar(
            1 - row.specificity,
            row.sensitivity,
            xerr=[[row.specificity_high - row.specificity], [row.specificity - row.specificity_low]],
            yerr=[[row.sensitivity - row.sensitivity_low], [row.sensitivity_high - row.sensitivity]],
            fmt="s",
            color=OWN,
            markersize=10,
            capsize=4,
            label=f"{who}, {row.n} cases, 95 % intervals",
        )
    legend_above(ax, columns=1)
    return ax


def disagreement_gallery(
    read: pd.DataFrame, *, heat: Callable[[pd.DataFrame], np.ndarray] | None = None, who: str = "you"
) -> Figure | str:
    """The cases on which reader, model and truth do not agree, up to `MOST_CASES`, with the box of the fracture.

    Args:
        read: from `with_model`; it knows the folder of the files.
        heat: rows → Grad-CAM maps (n, S, S), 0…1, laid over the pictures; None shows the pictures alone.
        who: what the reader is called.
    """
    rows = disagreements(read).iloc[:MOST_CASES]
    if rows.empty:
        return f"{who.capitalize()}, the model and the truth agree on every case."
    pictures = [read_radiograph(root_of(read) / path) for path in rows["path"]]
    if heat is not None:
        pictures = [plots.heat_overlay(picture, warm) for picture, warm in zip(pictures, heat(rows), strict=True)]
    titles = [
        f"truth: {CLASS_NAMES[row.label]}\n{who}: {CLASS_NAMES[row.called]}\nmodel: P(fractured) {row.probability:.2f}"
        for row in rows.itertuples()
    ]
    figure = plt.figure(figsize=(2.6 * GALLERY_COLUMNS, 3.9 * -(-len(rows) // GALLERY_COLUMNS)), layout="constrained")
    colours = [CLASS_COLOURS[label] for label in rows["label"]]
    axes = plots.image_grid(pictures, titles, columns=GALLERY_COLUMNS, colours=colours, figure=figure)
    mark_boxes(axes, rows)
    return figure
