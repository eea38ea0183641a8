"""One figure per function; each draws on `ax` (a new one if it is None) and returns it.

Fractured is orange and not fractured is blue in every figure. The colours are those of Okabe and Ito
(2008), which readers with any common colour vision deficiency can tell apart. `image_grid` and
`error_gallery` fill a figure and return its axes, because one image needs one axes.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from sklearn import metrics as sklearn_metrics

from fracturelib.config import CLASS_NAMES, SPLITS
from fracturelib.evaluation.calibration import calibration_table
from fracturelib.evaluation.metrics import check_predictions, weighted_metrics
from fracturelib.plots.style import legend_above, say, styled, verbatim
from fracturelib.writing.numbers import percent
from fracturelib.writing.palette import CLASS_COLOURS, FAINT, INK, TRAINING, VALIDATION
from fracturelib.writing.words import SPLIT_NAMES


@styled
def loss_curves(history: pd.DataFrame, *, ax: Axes) -> Axes:
    """Training and validation loss per epoch; a dotted line marks the epoch whose weights were kept."""
    ax.plot(history["epoch"], history["train_loss"], "o-", color=TRAINING, label="training")
    ax.plot(history["epoch"], history["val_loss"], "s-", color=VALIDATION, label="validation")
    best = history.loc[history["val_loss"].idxmin(), "epoch"] if history["val_loss"].notna().any() else None
    best = history.attrs.get("best_epoch", best)
    if best is not None:
        ax.axvline(best, color=INK, linestyle=":", label=f"weights kept (epoch {best:g})")
    ax.set_ylabel("loss (binary cross-entropy)")
    _epoch_axis(ax, history)
    legend_above(ax, columns=3, columnspacing=1.2)
    return ax


def _epoch_axis(ax: Axes, history: pd.DataFrame) -> None:
    ax.set(xlabel="epoch", xlim=(history["epoch"].min() - 0.5, history["epoch"].max() + 0.5))
    whole_epochs(ax)


def whole_epochs(ax: Axes) -> None:
    """Ticks of the horizontal axis at whole numbers only, even with a single epoch."""
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))


@styled
def validation_curves(history: pd.DataFrame, *, ax: Axes) -> Axes:
    """Validation AUC and accuracy, and training accuracy, per epoch."""
    ax.plot(history["epoch"], history["train_accuracy"], "o--", color=TRAINING, label="training accuracy")
    ax.plot(history["epoch"], history["val_accuracy"], "s--", color=VALIDATION, label="validation accuracy")
    ax.plot(history["epoch"], history["val_auc"], "D-", color=INK, label="validation AUC")
    ax.set(ylabel="score (0 to 1)", ylim=(min(0.45, ax.get_ylim()[0]), 1.01))
    _epoch_axis(ax, history)
    legend_above(ax)
    return ax


@styled
def confusion_matrix(confusion: pd.DataFrame, *, ax: Axes) -> Axes:
    """Counts and their share of the true class; rows are the truth, columns what the model called."""
    counts = confusion.to_numpy()
    totals = counts.sum(axis=1, keepdims=True)
    text = [[f"{n}\n{percent(n, total)}" for n in row] for row, total in zip(counts, totals[:, 0], strict=True)]
    sns.heatmap(
        counts / np.maximum(totals, 1),
        annot=np.array(text),
        fmt="",
        annot_kws={"size": 16, "color": INK},
        cmap="Greys",
        vmin=0,
        vmax=2.0,  # a full cell is so light a grey that the counts can be read on it (contrast of 4.5 and more)
        cbar=False,
        square=True,
        linewidths=1,
        linecolor=FAINT,  # an empty cell is white, and still a cell
        xticklabels=CLASS_NAMES,
        yticklabels=CLASS_NAMES,
        ax=ax,
    )
    ax.set(xlabel="called by the model", ylabel="truth")
    ax.tick_params(axis="y", rotation=90, length=0)
    ax.tick_params(axis="x", length=0)
    for tick, label in zip([*ax.get_xticklabels(), *ax.get_yticklabels()], (0, 1, 0, 1), strict=True):
        tick.set(color=CLASS_COLOURS[label], fontweight="bold")
    for tick in ax.get_yticklabels():
        tick.set_verticalalignment("center")
    return ax


@styled
def roc_curve(
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    threshold: float | None = None,
    interval: tuple[float, float] | None = None,
    name: str = "model",
    colour: str = INK,
    ax: Axes,
) -> Axes:
    """Sensitivity against the false positive rate, with the point where `threshold` puts the model.

    `interval` is the 95 % interval of the AUC, to be named in the legend. Call it again on the same axes to
    add a curve. With one class there is no curve, and the axes say so.
    """
    truth, chance = check_predictions(labels, probabilities)
    ax.set(xlabel="false positive rate (1 - specificity)", ylabel="sensitivity", aspect="equal")
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    if truth.min() == truth.max():
        return say(ax, "not estimable:\nthe files are of one class only")
    found = weighted_metrics(truth, chance, threshold=0.5 if threshold is None else threshold)
    auc, sensitivity, specificity = (found[key][0] for key in ("auc", "sensitivity", "specificity"))
    ends = "" if interval is None or np.isnan(interval).any() else f" ({interval[0]:.2f} to {interval[1]:.2f})"
    text = f"{verbatim(name)}: AUC {auc:.2f}{ends}"
    false_positives, true_positives, _ = sklearn_metrics.roc_curve(truth, chance)
    ax.plot([0, 1], [0, 1], "--", color=FAINT, linewidth=1, zorder=1)
    ax.plot(false_positives, true_positives, color=colour, linewidth=2, label=text)
    if threshold is not None:
        both = f"sensitivity {percent(sensitivity, 1)}, specificity {percent(specificity, 1)}"
        point = f"threshold {threshold:.2f}:\n{both}"
        ax.plot(
            1 - specificity,
            sensitivity,
            "o",
            markersize=10,
            color=colour,
            markeredgecolor="white",
            label=point,
        )
    ax.legend(loc="lower right")
    return ax


@styled
def precision_recall_curve(
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    threshold: float | None = None,
    name: str = "model",
    colour: str = INK,
    ax: Axes,
) -> Axes:
    """Precision against recall, beside the share of fractured files, which is what guessing reaches."""
    truth, chance = check_predictions(labels, probabilities)
    ax.set(xlabel="recall (sensitivity)", ylabel="precision (positive predictive value)")
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    if truth.min() == truth.max():
        return say(ax, "not estimable:\nthe files are of one class only")
    found = weighted_metrics(truth, chance, threshold=0.5 if threshold is None else threshold)
    precision, recall, _ = sklearn_metrics.precision_recall_curve(truth, chance)
    text = f"{verbatim(name)}: average precision {found['average_precision'][0]:.2f}"
    ax.plot(recall, precision, drawstyle="steps-post", color=colour, linewidth=2, label=text)
    ax.axhline(truth.mean(), linestyle="--", color=FAINT, label=f"guessing: {truth.mean():.2f}")
    if threshold is not None and not np.isnan(found["ppv"][0]):
        place = found["sensitivity"][0], found["ppv"][0]
        ax.plot(
            *place,
            "o",
            markersize=10,
            color=colour,
            markeredgecolor="white",
            label=f"threshold {threshold:.2f}",
        )
    legend_above(ax, columns=1)
    return ax


@styled
def reliability_diagram(labels: ArrayLike, probabilities: ArrayLike, *, ax: Axes) -> Axes:
    """Share of fractured files against predicted probability in ten bins; the counts stand on the upper
    axis."""
    table = calibration_table(labels, probabilities)
    below, above = (
        table["share_fractured"] - table["share_low"],
        table["share_high"] - table["share_fractured"],
    )
    ax.plot([0, 1], [0, 1], "--", color=FAINT, linewidth=1, label="perfect calibration")
    ax.errorbar(
        table["mean_probability"],
        table["share_fractured"],
        yerr=np.clip([below, above], 0, None),
        fmt="o",
        color=INK,
        ecolor=FAINT,
        capsize=3,
        label="model, 95 % Wilson interval",
    )
    ax.set(xlabel="predicted probability of a fracture", ylabel="share that is fractured")
    ax.set(xlim=(0, 1), ylim=(-0.03, 1.03))
    counts = ax.secondary_xaxis("top")
    counts.set_xticks((table["low"] + table["high"]) / 2, table["n"], fontsize=11)
    counts.tick_params(length=0)
    counts.set_xlabel("files in each bin", fontsize=11)
    legend_above(ax, bottom=1.17, columnspacing=1.2)
    return ax


@styled
def probability_histogram(
    labels: ArrayLike, probabilities: ArrayLike, *, threshold: float | None = None, ax: Axes
) -> Axes:
    """How many files of each class get which probability; right of the threshold line all are called
    fractured."""
    truth, chance = check_predictions(labels, probabilities)
    bins = np.linspace(0, 1, 21)
    for label, hatch in ((0, None), (1, "//")):  # the hatch also tells the classes apart in grey print
        name = f"{CLASS_NAMES[label]} ({(truth == label).sum():,})"
        ax.hist(
            chance[truth == label],
            bins.tolist(),
            alpha=0.55,
            color=CLASS_COLOURS[label],
            hatch=hatch,
            edgecolor="white",
            label=name,
        )
    if threshold is not None:
        ax.axvline(threshold, color=INK, linewidth=2, label=f"threshold {threshold:.2f}")
    ax.set(xlabel="predicted probability of a fracture", ylabel="files", xlim=(0, 1))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    legend_above(ax, columns=3, columnspacing=1.0, handlelength=1.4)
    return ax


@styled
def class_counts(table: pd.DataFrame, *, ax: Axes) -> Axes:
    """Files (pale bars) and original images (full bars) of each class in each split."""
    splits = [split for split in SPLITS if (table["split"] == split).any()]
    tallest = table.groupby(["split", "label"]).size().max()
    for label in (0, 1):
        for place, split in enumerate(splits):
            part = table[(table["split"] == split) & (table["label"] == label)]
            x, sources = place + 0.4 * label - 0.2, part["source_id"].nunique()
            ax.bar(x, len(part), 0.36, color=CLASS_COLOURS[label], alpha=0.4)
            ax.bar(x, sources, 0.36, color=CLASS_COLOURS[label])
            text = f"{len(part):,}" if sources == len(part) else f"{len(part):,}\n({sources:,})"
            ax.text(x, len(part) + 0.01 * tallest, text, ha="center", va="bottom", fontsize=11)
    ax.set_xticks(range(len(splits)), [SPLIT_NAMES[split] for split in splits])
    copied = table.groupby(["split", "label"])["source_id"].nunique().sum() < len(table)
    ax.set(ylabel="files (in brackets: original images)" if copied else "files", ylim=(0, 1.18 * tallest))
    ax.grid(False, axis="x")
    handles = [Patch(color=CLASS_COLOURS[label], label=CLASS_NAMES[label]) for label in (0, 1)]
    legend_above(ax, handles=handles)
    return ax
