"""Forest plots: scores with their 95 % intervals, of several models or of subgroups of the files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fracturelib.evaluation.metrics import HEADLINE, METRICS
from fracturelib.plots.style import styled, verbatim
from fracturelib.writing.palette import FAINT, INK
from fracturelib.writing.words import shorten, wrap


@styled
def score_forest(
    comparison: pd.DataFrame,
    *,
    metrics: Sequence[str] = tuple(HEADLINE),
    ax: Axes,
) -> Axes:
    """The model beside its baselines, metric by metric, with 95 % intervals; an open marker has no
    interval."""
    models = list(dict.fromkeys(comparison["model"]))
    colours = (INK, "#CC79A7", "#E69F00", "#56B4E9", "#009E73")
    rows = comparison.set_index(["model", "metric"])
    for number, (model, colour) in enumerate(zip(models, colours, strict=False)):
        y = np.arange(len(metrics)) + 0.8 * (number + 0.5) / len(models) - 0.4
        _forest_points(ax, y, rows.loc[model].loc[list(metrics)], colour, "osD^v"[number % 5], verbatim(model))
    ax.set_yticks(range(len(metrics)), [HEADLINE.get(metric, wrap(METRICS[metric], 20)) for metric in metrics])
    ax.set(xlim=(-0.02, 1.02), ylim=(len(metrics) - 0.5, -0.5), xlabel="score (0 to 1), with 95 % interval")
    for line in range(1, len(metrics)):
        ax.axhline(line - 0.5, color=FAINT, linewidth=0.5)
    ax.grid(False, axis="y")
    # to the left, over the names of the metrics, since it may be wider than the axes
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, columnspacing=1.2, borderaxespad=0.2)
    return ax


def _forest_points(
    ax: Axes, y: np.ndarray, rows: pd.DataFrame, colour: str, marker: str, name: str, missing: str = "not estimable"
) -> None:
    value, low, high = (rows[column].to_numpy(dtype=float) for column in ("value", "low", "high"))
    known = ~np.isnan(low)
    ax.hlines(y[known], low[known], high[known], color=colour, linewidth=2)
    for chosen, fill in ((known, colour), (~known & ~np.isnan(value), "white")):
        if chosen.any():  # an empty unclipped line would count as a point in the figure's corner
            ax.plot(value[chosen], y[chosen], marker, color=colour, markerfacecolor=fill, markersize=8, clip_on=False)
    ax.plot([], [], marker, color=colour, markersize=8, label=name)
    for place in y[np.isnan(value)]:
        ax.text(0.0, place, missing, color=colour, fontsize=11, va="center")


@styled
def subgroup_forest(subgroups: pd.DataFrame, *, metric: str = "sensitivity", ax: Axes) -> Axes:
    """One metric for each subgroup with its 95 % interval; an open marker has none, a dash no value."""
    rows = subgroups.rename(columns={metric: "value", f"{metric}_low": "low", f"{metric}_high": "high"})
    _forest_points(ax, np.arange(len(rows)), rows, INK, "o", metric, missing="–")
    names = [
        verbatim(f"{shorten(str(row.column).replace('_', ' '), 16)}: {shorten(str(row.group), 16)}")
        for row in rows.itertuples()
    ]
    labels = [f"{name} ({row.n}/{row.units})" for name, row in zip(names, rows.itertuples(), strict=True)]
    ax.set_yticks(range(len(rows)), labels)
    unit = rows["unit"].iloc[0] if (rows["unit"] == rows["unit"].iloc[0]).all() else "units"
    ax.set(xlim=(-0.02, 1.02), ylim=(len(rows) - 0.5, -0.5), ylabel=f"group (files/{unit})")
    ax.set_xlabel(f"{METRICS[metric]}, with 95 % interval")
    ax.grid(False, axis="y")
    return ax
