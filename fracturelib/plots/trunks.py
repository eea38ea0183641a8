"""Trunks side by side: how good each is on these pictures, and what it costs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fracturelib.plots.style import styled, verbatim
from fracturelib.writing.palette import FAINT, INK


@styled
def trunk_costs(trunks: pd.DataFrame, *, ax: Axes) -> Axes:
    """AUC with its 95 % interval against the seconds that 100 pictures take, of the rows of `compare_trunks`."""
    tried = trunks[trunks["problem"] == ""]
    for number, row in enumerate(tried.itertuples()):
        ends = np.array([[row.auc - row.low], [row.high - row.auc]]).clip(0)
        ax.errorbar(
            row.seconds,
            row.auc,
            None if np.isnan(ends).any() else ends,
            color=INK,
            marker="osD^v"[number % 5],
            capsize=2,
        )
        ax.annotate(verbatim(row.trunk), (row.seconds, row.auc), (5, 5), textcoords="offset points")
    ax.axhline(0.5, color=FAINT, linewidth=0.8)
    ax.set(xscale="log", xlabel="seconds for 100 pictures (logarithmic)", ylabel="AUC, cross-validated, 95 % interval")
    return ax
