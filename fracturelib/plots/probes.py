"""Figures of what was done to the pictures and of where the model looks, and the cost of a threshold."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from fracturelib.evaluation.metrics import HEADLINE, check_predictions
from fracturelib.evaluation.thresholds import expected_cost, operating_points
from fracturelib.plots.style import legend_above, say, styled, verbatim
from fracturelib.writing.palette import CLASS_COLOURS, FAINT, INK
from fracturelib.writing.words import wrap

CHANCE, CENTRE = "#E69F00", "#56B4E9"


@styled
def robustness_curves(robustness: pd.DataFrame, *, metric: str = "auc", ax: Axes) -> Axes:
    """One metric of the pictures as they are (dashed line) and, per kind of damage, from mild to strong."""
    clean = robustness[robustness["perturbation"] == "none"].iloc[0]
    kinds = list(dict.fromkeys(robustness.loc[robustness["perturbation"] != "none", "perturbation"]))
    if np.isnan(clean[metric]):
        return say(ax, "not estimable:\nthe files are of one class only")
    if not np.isnan(clean[f"{metric}_low"]):
        ax.axhspan(clean[f"{metric}_low"], clean[f"{metric}_high"], color=FAINT, alpha=0.15, zorder=0)
    ax.axhline(clean[metric], linestyle="--", color=FAINT, label=f"as they are: {clean[metric]:.2f}")
    for place, kind in enumerate(kinds):
        rows = robustness[robustness["perturbation"] == kind]
        x = place + np.linspace(-0.25, 0.25, len(rows))
        ax.plot(x, rows[metric], color=INK, linewidth=1)
        for at, size, row in zip(x, np.linspace(5, 10, len(rows)), rows.to_dict("records"), strict=True):
            known = not np.isnan(row[f"{metric}_low"])
            ax.vlines(at, row[f"{metric}_low"], row[f"{metric}_high"], color=INK, linewidth=1.5)
            ax.plot(at, row[metric], "o", markersize=size, color=INK, markerfacecolor=INK if known else "white")
    ax.set_xticks(range(len(kinds)), kinds)
    ax.set(ylabel=HEADLINE[metric], xlabel="damage, from mild (small dot) to strong", ylim=(-0.04, 1.04))
    if metric == "auc":
        ax.axhline(0.5, linestyle=":", color=FAINT, label="guessing: 0.50")
    ax.grid(False, axis="x")
    legend_above(ax)
    return ax


@styled
def localisation_points(localisation: pd.DataFrame, *, ax: Axes) -> Axes:
    """Hit rate and share of heat of the model with 95 % intervals, beside chance and a hill in the middle."""
    for place, row in enumerate(localisation.to_dict("records")):
        ax.hlines(place - 0.2, row["low"], row["high"], color=INK, linewidth=2)
        levels = (
            (row["value"], -0.2, INK, "o", "Grad-CAM of the model"),
            (row["centre"], 0.0, CENTRE, "D", "hill in the middle"),
            (row["chance"], 0.2, CHANCE, "s", "chance"),
        )
        for value, shift, colour, marker, name in levels:
            label = name if place == 0 else None
            ax.plot(value, place + shift, marker, color=colour, markersize=9, label=label, linestyle="none")
    texts = {"hit rate": "hottest place in the box", "share of heat": "share of heat in the box"}
    ax.set_yticks(range(len(localisation)), [wrap(texts[name], 14) for name in localisation["measure"]])
    ax.set(xlim=(-0.02, 1.02), ylim=(len(localisation) - 0.5, -0.5), xlabel="share, with 95 % interval")
    ax.grid(False, axis="y")
    # to the left, over the names of the measures, since it is wider than the axes
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, columnspacing=0.8, handletextpad=0.2)
    return ax


@styled
def occlusion_points(occlusion: pd.DataFrame, *, ax: Axes) -> Axes:
    """Mean change of P(fractured) when the fracture, or an equal box elsewhere, is erased; 95 % intervals."""
    colours = (CLASS_COLOURS[1], FAINT, INK)
    for place, (row, colour) in enumerate(zip(occlusion.to_dict("records"), colours, strict=True)):
        ax.hlines(place, row["low"], row["high"], color=colour, linewidth=2)
        fill = "white" if np.isnan(row["low"]) else colour
        ax.plot(row["value"], place, "o", color=colour, markerfacecolor=fill, markersize=9)
    ax.axvline(0, linestyle="--", color=FAINT)
    ax.set_yticks(range(len(occlusion)), [wrap(name, 14) for name in occlusion["erased"]])
    ends = occlusion[["low", "high", "value"]].abs().max().max()
    reach = 0.05 if np.isnan(ends) else max(0.05, 1.15 * float(ends))
    ax.set(xlim=(-reach, reach), ylim=(len(occlusion) - 0.5, -0.5), xlabel="change of P(fractured) when erased")
    ax.xaxis.set_major_locator(MaxNLocator(4, symmetric=True))
    ax.grid(False, axis="y")
    return ax


@styled
def cost_curve(
    labels: NDArray,
    probabilities: NDArray,
    *,
    miss: float,
    false_alarm: float,
    prevalence: float | None = None,
    marks: dict[str, float] | None = None,
    ax: Axes,
) -> Axes:
    """Expected cost per image against the threshold, for the costs of a miss and of a false alarm.

    `prevalence` is the share of fractures, default that of the data. `marks` are named thresholds, drawn as lines.
    """
    truth, chance = check_predictions(labels, probabilities)
    ax.set(xlabel="threshold", ylabel="cost per image (false alarm = 1)" if false_alarm == 1 else "cost per image")
    if truth.min() == truth.max():
        return say(ax, "not estimable:\nthe files are of one class only")
    share = float(truth.mean()) if prevalence is None else prevalence
    thresholds, sensitivity, specificity = operating_points(truth, chance)
    costs = {"misses": (miss, 0.0, CLASS_COLOURS[1]), "false alarms": (0.0, false_alarm, CLASS_COLOURS[0])}
    for name, (one, other, colour) in costs.items():
        part = expected_cost(sensitivity, specificity, share=share, miss=one, false_alarm=other)
        ax.plot(thresholds, part, color=colour, linewidth=1.5, label=f"of {name}")
    total = expected_cost(sensitivity, specificity, share=share, miss=miss, false_alarm=false_alarm)
    ax.plot(thresholds, total, color=INK, linewidth=2.5, label="total")
    for (name, at), style in zip((marks or {}).items(), ("--", ":", "-."), strict=False):
        ax.axvline(at, linestyle=style, color=INK, linewidth=1.2, label=f"{verbatim(name)}: {at:.2f}")
    ax.set(xlim=(0, 1), ylim=(0, None))
    legend_above(ax, columns=3, columnspacing=1.0, handlelength=1.6)
    return ax
