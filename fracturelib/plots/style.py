"""The look that all figures share: colours, font sizes, and how a figure gets its axes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from fracturelib.writing.palette import INK

STYLE: dict[Any, Any] = {
    "figure.figsize": (6.4, 4.6),
    "figure.constrained_layout.use": True,
    "font.size": 12,
    "axes.labelsize": 12,
    "axes.titlesize": 13,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "legend.fontsize": 11,
    "legend.frameon": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def styled(draw: Callable[..., Axes]) -> Callable[..., Axes]:
    """Let callers of `draw` leave out its `ax`, and apply the project's style to any Axes."""

    @functools.wraps(draw)
    def wrapper(*args: Any, ax: Axes | None = None, **options: Any) -> Axes:
        with plt.rc_context(STYLE):
            if ax is None:
                _, ax = plt.subplots()
            ax.tick_params(labelsize=STYLE["xtick.labelsize"])  # an axes from outside has its own sizes
            for label in (ax.xaxis.label, ax.yaxis.label):
                label.set_fontsize(STYLE["axes.labelsize"])
            ax.spines[["top", "right"]].set_visible(False)
            ax.grid(True)
            return draw(*args, ax=ax, **options)

    return wrapper


def legend_above(ax: Axes, *, columns: int = 2, bottom: float = 1.0, **options: Any) -> None:
    """A legend over the axes, where it can hide no data."""
    ax.legend(loc="lower left", bbox_to_anchor=(0, bottom), ncols=columns, borderaxespad=0.2, **options)


def verbatim(text: str) -> str:
    """A name or a value as it is, for any text of a figure: no dollar opens a formula, and no legend leaves it out."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


def say(ax: Axes, text: str) -> Axes:
    """A message in place of data that do not exist."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=INK)
    return ax
