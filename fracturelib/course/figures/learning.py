"""Figures of how trainings went: runs side by side, the search for a learning rate, and what more images bring."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fracturelib.plots.curves import loss_curves, whole_epochs
from fracturelib.plots.style import STYLE, legend_above, say, styled, verbatim
from fracturelib.writing.palette import FAINT, INK, TRAINING, VALIDATION

# Room for three lines of legend above the right, or in a stacked figure the lower, axes.
MARGINS = {"left": 0.08, "right": 0.98, "bottom": 0.13, "top": 0.82, "wspace": 0.22}
STACKED_MARGINS = {"left": 0.13, "right": 0.98, "bottom": 0.125, "top": 0.91, "hspace": 0.7}
GUESSING = 0.4  # a little below the AUC of a coin: here the axis of an AUC begins, so that runs can be compared
# Hues of Okabe and Ito (2008) without the orange of fractures, dark enough for a line on white (3 : 1); the marks
# differ as well.
RUN_COLOURS = ("#0072B2", "#946C00", "#008866", "#B8558C", "#6A51A3")
RUN_MARKS = ("o", "s", "^", "D", "v")


@styled
def overlaid_runs(
    histories: Mapping[str, pd.DataFrame],
    *,
    column: str = "val_loss",
    label: str = "validation loss",
    columns: int = 3,
    ax: Axes,
) -> Axes:
    """One column of several histories over the epochs; the last one is drawn boldly in black.

    `columns` is how many names stand side by side in the legend.
    """
    *earlier, latest = histories
    for name, colour, mark in zip(earlier, itertools.cycle(RUN_COLOURS), itertools.cycle(RUN_MARKS)):
        drawn = histories[name]["epoch"], histories[name][column]
        ax.plot(*drawn, f"{mark}--", color=colour, markersize=4, label=verbatim(name))
    ax.plot(
        histories[latest]["epoch"], histories[latest][column], "o-", color=INK, linewidth=2.5, label=verbatim(latest)
    )
    ax.set(xlabel="epoch", ylabel=label, xlim=(0.5, max(len(history) for history in histories.values()) + 0.5))
    whole_epochs(ax)
    legend_above(ax, columns=columns, columnspacing=1.0, handlelength=1.5)
    return ax


def training_figure(
    history: pd.DataFrame,
    *,
    epochs: int,
    name: str = "this run",
    others: Mapping[str, pd.DataFrame] | None = None,
    stacked: bool = False,
) -> Figure:
    """Left the losses of one run, in a frame as wide as its `epochs`; right its validation AUC among `others`.

    A `stacked` figure has them above each other, and fits beside the controls of a panel.
    The axes of two figures can be compared: the AUC's goes from 0.4 to 1, the loss's from 0 to 1, unless a curve leaves
    them. The figure's label says how it ends, in words.
    """
    # Fixed margins: finding the best ones takes half of the time, and the panels draw this for every slider.
    with plt.rc_context({**STYLE, "figure.constrained_layout.use": False}):
        if stacked:
            figure = Figure(figsize=(5.75, 4.25))
            left, right = figure.subplots(2, 1, gridspec_kw=STACKED_MARGINS)
        else:
            figure = Figure(figsize=(11, 4.6))
            left, right = figure.subplots(1, 2, gridspec_kw=MARGINS)
        loss_curves(history, ax=left)
        first = history["epoch"].min() - 0.5  # a history may begin with epoch 0, the untrained head
        left.set_xlim(first, epochs + 0.5)
        shown = {**(others or {}), name: history}
        overlaid_runs(shown, column="val_auc", label="validation AUC", columns=2, ax=right)
        right.set_xlim(first, max(epochs, right.get_xlim()[1] - 0.5) + 0.5)
        left.set_ylim(0, max(1.0, left.get_ylim()[1]))
        right.set_ylim(min(GUESSING, right.get_ylim()[0]), 1.0)
        if stacked:
            left.set(xlabel="", ylabel="loss")
            left.tick_params(labelbottom=False)  # as below
            legend_above(left, columns=3, columnspacing=1.0, handlelength=1.5)
    last = history.iloc[-1]
    figure.set_label(
        f"After epoch {last['epoch']:g}: training loss {last['train_loss']:.2f}, "
        f"validation loss {last['val_loss']:.2f}, validation AUC {last['val_auc']:.2f}"
    )
    return figure


@styled
def step_curves(history: pd.DataFrame, *, ax: Axes) -> Axes:
    """Training and validation loss of a training in steps; a thin line and a name for each step.

    `history` is that of `fracturelib.course.studies.StepwiseRun`.
    """
    loss_curves(history, ax=ax)
    for _, rows in history.groupby("step"):
        first, last, stage = rows["epoch"].iloc[0], rows["epoch"].iloc[-1], rows["stage"].iloc[0]
        if first > 1:
            ax.axvline(first - 0.5, color=FAINT, linewidth=1)
        text = stage if stage == "head" else f"{stage} and up"
        ax.text(
            (first + last) / 2, 0.98, text, ha="center", va="top", fontsize=11, color=INK,
            transform=ax.get_xaxis_transform(),  # the height in parts of the axes
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip
    ax.margins(y=0.15)
    return ax


@styled
def learning_rate_range_curve(test: pd.DataFrame, *, suggested: float | None = None, ax: Axes) -> Axes:
    """The range test of `learning_rate_range`: loss of each batch and its running mean, against the learning rate.

    `suggested` is marked with a dotted line.
    """
    if test.empty:
        return say(ax, "the loss was infinite at once")
    ax.plot(test["learning_rate"], test["loss"], ".", color=TRAINING, label="loss of one batch")
    ax.plot(test["learning_rate"], test["smoothed"], "-", color=INK, linewidth=2.5, label="running mean")
    if suggested is not None and suggested == suggested:  # not NaN
        ax.axvline(suggested, color=VALIDATION, linestyle=":", linewidth=2.5, label=f"suggested: {suggested:.2g}")
    # The explosion at the end would press the valley flat.
    low, high = test["smoothed"].min(), test["smoothed"].iloc[0]
    ax.set(xscale="log", xlabel="learning rate (logarithmic)", ylabel="training loss")
    ax.set_ylim(max(0.0, low - 0.6 * (high - low) - 0.1), high + 0.6 * (high - low) + 0.2)
    legend_above(ax, columns=3, columnspacing=1.0)
    return ax


@styled
def data_size_curve(curve: pd.DataFrame, summary: pd.DataFrame, *, ax: Axes) -> Axes:
    """Validation AUC against the number of training images: every training, and the mean with its interval.

    Args:
        curve: of `fracturelib.course.studies.learning_curve`.
        summary: its `curve_summary`.
    """
    ax.plot(curve["images"], curve["val_auc"], ".", color=VALIDATION, markersize=9, alpha=0.7, label="one training")
    ax.errorbar(
        summary["images"],
        summary["mean"],
        yerr=[(summary["mean"] - summary["low"]).fillna(0), (summary["high"] - summary["mean"]).fillna(0)],
        fmt="o-",
        color=INK,
        capsize=4,
        linewidth=2,
        label="mean, 95 % interval over repeats",
    )
    ax.axhline(0.5, linestyle="--", color=FAINT, linewidth=1, label="guessing")
    ax.set_xscale("log")
    ax.set_xticks(summary["images"], [f"{count:,}" for count in summary["images"]])
    ax.minorticks_off()
    ax.set(xlabel="training images (logarithmic)", ylabel="validation AUC")
    legend_above(ax, columns=3, columnspacing=1.0)
    return ax
