"""Figures of a reader study: readers in the plane of the ROC curve, and the cases on which they do not agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
from fracturelib.writing.palette import CLASS_COLOURS, FAINT, INK, VALIDATION

OWN = "#CC79A7"  # a colour of Okabe and Ito (2008) that stands for no class
MARKER, APART = 8, 0.026  # size of a reader's point, and how far apart equal ones are drawn (1 is the whole axis)
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
    classes: pd.DataFrame | None = None,
    ax: Axes,
) -> Axes:
    """The model's ROC curve with its threshold, and every reader as a point; the own one with its 95 % intervals.

    Equal results lie side by side, around their place. Second readings and the classes of earlier days are hollow.

    Args:
        readers: rows of `class_scores`.
        labels, probabilities: (n,) of the model, on all the pictures that it was tested on.
        threshold: of the model.
        own: the `reader` to be shown boldly; None shows all alike.
        who: what this reader is called.
        classes: rows of `class_table`; each adds the mean of a class.
    """
    roc_curve(labels, probabilities, threshold=threshold, ax=ax)
    _other_readers(ax, readers[readers["reader"] != own])
    means = pd.DataFrame() if classes is None else classes
    for row in means.itertuples():
        name = "their mean" if len(means) == 1 else f"mean of {row.day}"
        _point_with_ends(ax, row, "D", VALIDATION, f"{name}, 95 % intervals over readers and cases")
    for row in readers[readers["reader"] == own].itertuples():
        _point_with_ends(ax, row, "s", OWN, f"{who}, {row.n} cases, 95 % intervals")
    legend_above(ax, columns=1)
    return ax


@styled
def readers_by_modality(aucs: pd.DataFrame, means: pd.DataFrame, *, ax: Axes) -> Axes:
    """Every reader as a line from modality to modality, and the mean of all with its 95 % intervals.

    Args:
        aucs: one row per reader, one column per modality, from `multireader_analysis`.
        means: its table of means.
    """
    places = np.arange(len(means))
    for number, own in enumerate(aucs.to_numpy()):
        name = f"{len(aucs)} readers" if number == 0 else None
        ax.plot(places, own, "^-", color=FAINT, markeredgecolor="white", markersize=MARKER, linewidth=1.2, label=name)
    ends = np.abs(means[["low", "high"]].sub(means["auc"], axis=0)).fillna(0).to_numpy().T
    ax.errorbar(
        places, means["auc"], yerr=ends, fmt="D-", color=VALIDATION, markersize=10, capsize=6, linewidth=2.5,
        label="their mean, 95 % intervals over readers and cases",
    )  # fmt: skip
    ax.set(xlim=(-0.35, len(means) - 0.65), ylabel="AUC")
    ax.set_xticks(places, list(means["modality"]))
    legend_above(ax, columns=1)
    return ax


def _other_readers(ax: Axes, readers: pd.DataFrame) -> None:
    """Readers as points: of the newest class, of each earlier day, and second readings."""
    places = _side_by_side(1 - readers["specificity"].to_numpy(), readers["sensitivity"].to_numpy())
    first, newest = ~readers["again"], readers["day"].max()
    groups = [("^", FAINT, ("reader", "readers"), first & (readers["day"] == newest))]
    earlier = sorted(set(readers["day"]) - {newest}, reverse=True)
    for marker, days in zip("<>vp*", [*([day] for day in earlier[:4]), earlier[4:]], strict=False):
        of = days[0] if len(days) == 1 else "earlier days"
        chosen = first & readers["day"].isin(days)
        groups.append((marker, "none", (f"reader of {of}", f"readers of {of}"), chosen))
    groups.append(("X", "none", ("second reading", "second readings"), readers["again"]))
    for marker, colour, (one, many), chosen in groups:
        points = places[chosen.to_numpy(dtype=bool)]
        label = one if len(points) == 1 else f"{len(points)} {many}"
        edge = "white" if colour == FAINT else INK
        if len(points):
            ax.plot(
                *points.T, marker, color=colour, markeredgecolor=edge, markersize=MARKER, clip_on=False, label=label
            )


def _side_by_side(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Places (n, 2) of points at x, y (n,): equal ones on a ring around their place, so that each can be seen."""
    places = np.column_stack([x, y]).astype(float)
    _, which, counts = np.unique(places.round(9), axis=0, return_inverse=True, return_counts=True)
    for group in np.flatnonzero(counts > 1):
        angles = 2 * np.pi * np.arange(counts[group]) / counts[group]
        radius = APART / (2 * np.sin(np.pi / counts[group]))  # neighbours on the ring are `APART` from each other
        places[which == group] += radius * np.column_stack([np.cos(angles), np.sin(angles)])
    return places


def _point_with_ends(ax: Axes, row: Any, marker: str, colour: str, label: str) -> None:
    """Sensitivity and specificity as a point with the ends of their intervals, where these are known."""
    ends = [
        [[value - low], [high - value]] if low <= value <= high else None
        for value, low, high in (
            (1 - row.specificity, 1 - row.specificity_high, 1 - row.specificity_low),
            (row.sensitivity, row.sensitivity_low, row.sensitivity_high),
        )
    ]
    ax.errorbar(
        1 - row.specificity,
        row.sensitivity,
        xerr=ends[0],
        yerr=ends[1],
        fmt=marker,
        color=colour,
        markersize=10,
        capsize=4,
        label=label,
    )


def disagreement_gallery(
    read: pd.DataFrame, *, heat: Callable[[pd.DataFrame], np.ndarray] | None = None, who: str = "you"
) -> Figure | str:
    """The cases on which reader, model and truth do not agree, up to `MOST_CASES`, with the box of the fracture.

    Args:
        read: from `with_model`; it knows the folder of the files.
        heat: rows → Grad-CAM maps (n, S, S), 0…1, laid over the pictures; None shows the pictures alone.
        who: what the reader is called.

    Returns:
        the figure, whose label has the titles in words; a sentence where there is no such case.
    """
    rows = disagreements(read).iloc[:MOST_CASES]
    if rows.empty:
        return f"{who.capitalize()}, the model and the truth agree on every case."
    pictures = [read_radiograph(root_of(read) / path) for path in rows["path"]]
    titles = [
        f"truth: {CLASS_NAMES[row.label]}\n{who}: {CLASS_NAMES[row.called]}\nmodel: P(fractured) {row.probability:.2f}"
        for row in rows.itertuples()
    ]
    figure = plt.figure(figsize=(2.6 * GALLERY_COLUMNS, 3.9 * -(-len(rows) // GALLERY_COLUMNS)), layout="constrained")
    colours = [CLASS_COLOURS[label] for label in rows["label"]]
    axes = plots.image_grid(pictures, titles, columns=GALLERY_COLUMNS, colours=colours, figure=figure)
    if heat is not None:  # over the picture, which stays below: a click opens that one
        for ax, picture, warm in zip(axes, pictures, heat(rows), strict=True):
            ax.imshow(plots.heat_overlay(picture, warm))
    mark_boxes(axes, rows)
    figure.set_label("; ".join(title.replace("\n", ", ") for title in titles))
    return figure
