"""Readers in the plane of the ROC curve: each is a point, the model is a curve."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from fracturelib.plots.curves import roc_curve
from fracturelib.plots.style import legend_above, styled
from fracturelib.writing.palette import FAINT, VALIDATION

OWN = "#CC79A7"  # of Okabe and Ito (2008), not used for a class


@styled
def readers_against_model(
    readers: pd.DataFrame,
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    threshold: float,
    own: int | None = None,
    ax: Axes,
) -> Axes:
    """The model's ROC curve with its threshold, and every reader as a point; the own one with its 95 % intervals.

    Args:
        readers: rows of `reading.class_scores`.
        labels, probabilities: (n,) of the model, on all the pictures that it was tested on.
        threshold: of the model.
        own: the `reader` to be shown boldly; None shows all alike, and their mean.
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
            label=f"you, {row.n} cases, 95 % intervals",
        )
    legend_above(ax, columns=1)
    return ax
