"""Figures of notebook 07: a picture beside its window, its steps, and the two ways to deal."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fracturelib.plots.style import STYLE
from fracturelib.writing.palette import CLASS_COLOURS, INK


def window_figure(values: NDArray[Any], greys: NDArray[np.uint8], *, centre: float, width: float) -> Figure:
    """The picture (H, W), and the histogram of its stored values with the ramp that makes greys of them."""
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(8.4, 3.9), layout="constrained")
        picture, histogram = figure.subplots(1, 2, width_ratios=[1, 1.5])
    picture.imshow(greys, cmap="gray", vmin=0, vmax=255)
    picture.set_axis_off()
    low, high = float(values.min()), float(values.max())
    counts, edges = np.histogram(values, bins=64, range=(low, high + 1))
    histogram.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=CLASS_COLOURS[0], alpha=0.5)
    histogram.set(xlabel="stored value", ylabel="pixels", xlim=(low, high + 1))
    ramp = histogram.twinx()
    order = np.argsort(values, axis=None)[:: max(1, values.size // 2000)]
    ramp.plot(values.ravel()[order], greys.ravel()[order], color=INK, linewidth=2)
    ramp.set(ylabel="grey on the screen", ylim=(-5, 260))
    ramp.grid(False)
    for edge in (centre - width / 2, centre + width / 2):
        if low <= edge <= high:
            histogram.axvline(edge, color=INK, linestyle=":")
    plt.close(figure)
    return figure


def deals_figure(deals: pd.DataFrame, interval: dict[str, Any]) -> Figure:
    """The AUC of each deal by file and by patient, joined by a line, and the mean difference with its interval."""
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(8.4, 3.9), layout="constrained")
        pairs, mean = figure.subplots(1, 2, width_ratios=[1.4, 1])
    for row in deals.itertuples():
        pairs.plot([0, 1], [row.by_file, row.by_patient], "o-", color=CLASS_COLOURS[0])
    pairs.set_xticks([0, 1], ["by file", "by patient"])
    pairs.set(ylabel="AUC", xlim=(-0.3, 1.3), title="Each line is one deal")
    mean.axvline(0, color=INK, linestyle=":")
    mean.plot([interval["low"], interval["high"]], [0, 0], color=INK, linewidth=2)
    mean.plot(interval["value"], 0, "o", color=CLASS_COLOURS[0], markersize=9)
    mean.set(xlabel="AUC by file − by patient", yticks=[], title="Mean, 95 % interval")
    plt.close(figure)
    return figure
