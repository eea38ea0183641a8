"""Figures of the closing questions. All are made up, so that a question shows one thing and nothing beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from fracturelib.plots.style import STYLE
from fracturelib.writing.palette import CLASS_COLOURS, FAINT, INK, TRAINING, VALIDATION


def _one(**settings: object) -> tuple[Figure, plt.Axes]:
    with plt.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.2), layout="constrained")
        ax = figure.subplots()
    ax.set(**settings)
    return figure, ax


def intervals(rows: Mapping[str, tuple[float, float, float]], *, label: str) -> Figure:
    """Name → value and the ends of its interval, one row each."""
    figure, ax = _one(xlabel=label, xlim=(0, 1))
    for y, (value, low, high) in enumerate(rows.values()):
        ax.plot([low, high], [y, y], color=INK, linewidth=2)
        ax.plot(value, y, "o", color=CLASS_COLOURS[0], markersize=9)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.margins(y=0.4)
    return figure


def bars(values: Mapping[str, float], *, label: str, line: float | None = None, line_name: str = "") -> Figure:
    """One bar for each name; `line` is something to hold them against."""
    figure, ax = _one(ylabel=label)
    ax.bar(list(values), list(values.values()), color=CLASS_COLOURS[0], width=0.5)
    if line is not None:
        ax.axhline(line, color=INK, linestyle="--", label=line_name)
        ax.legend()
    return figure


def losses(training: Sequence[float], validation: Sequence[float]) -> Figure:
    """Two losses over the epochs, from epoch 0 on."""
    figure, ax = _one(xlabel="epoch", ylabel="loss", ylim=(0, 1.2))
    ax.plot(training, "o-", color=TRAINING, label="training")
    ax.plot(validation, "s-", color=VALIDATION, label="validation")
    ax.legend(loc="upper left")
    return figure


def reliability(said: Sequence[float], true: Sequence[float]) -> Figure:
    """What a model said against what was true."""
    figure, ax = _one(xlabel="the model says", ylabel="share that is fractured", xlim=(0, 1), ylim=(0, 1))
    ax.plot([0, 1], [0, 1], "--", color=FAINT, label="calibrated")
    ax.plot(said, true, "o-", color=INK, label="this model")
    ax.legend(loc="upper left")
    return figure


def curves(lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, labels: tuple[str, str]) -> Figure:
    """Named lines over one axis."""
    figure, ax = _one(xlabel=labels[0], ylabel=labels[1])
    for (name, (x, y)), style in zip(lines.items(), ("o-", "s--", "^:"), strict=False):
        ax.plot(x, y, style, color=INK if style == "o-" else CLASS_COLOURS[1], label=name)
    ax.legend()
    return figure


def crops(sides: Sequence[float]) -> Figure:
    """A picture with a small box in it, and crops of these sides."""
    figure, ax = _one(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[], aspect="equal")
    ax.add_patch(plt.Rectangle((0.16, 0.62), 0.12, 0.1, color=CLASS_COLOURS[1]))
    ax.text(0.3, 0.65, "fracture", color=CLASS_COLOURS[1])
    for side, corner in zip(sides, ((0.05, 0.05), (0.45, 0.1)), strict=False):
        frame = plt.Rectangle(corner, side, side, fill=False, color=INK, linestyle="--", linewidth=2)
        ax.add_patch(frame)
        ax.text(corner[0] + 0.02, corner[1] + 0.03, f"side {side:g}")
    return figure


def point_and_curve(point: tuple[float, float], spread: float) -> Figure:
    """A ROC curve and a reader's point with a cross of ± `spread`."""
    figure, ax = _one(xlabel="false alarms (1 − specificity)", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1))
    x = np.linspace(0, 1, 100)
    ax.plot(x, x**0.4, color=INK, label="the model")
    ax.errorbar(*point, xerr=spread, yerr=spread, fmt="^", color=CLASS_COLOURS[1], markersize=10, label="a reader")
    ax.legend(loc="lower right")
    return figure
