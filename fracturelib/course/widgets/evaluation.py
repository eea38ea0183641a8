"""Notebook 04's panels: move the threshold and see what a call is worth; set what errors cost and see the threshold."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fracturelib.course.figures.thresholds import cost_figure, threshold_figure
from fracturelib.course.widgets.common import Panel, slider, steps
from fracturelib.evaluation import choose_threshold
from fracturelib.evaluation.consequences import (
    PATIENTS,
    cheapest_threshold,
    cost_table,
    natural_frequencies,
    rates_at,
)


def prevalence_slider(prevalence: float) -> Any:
    """The share of patients with a fracture, rounded to the slider's steps."""
    return slider("Prevalence", round(prevalence, 2), 0.01, 0.9, 0.01, tip="Share of patients with a fracture")


def threshold_view(
    predictions: pd.DataFrame, *, threshold: float, prevalence: float
) -> list[Figure | pd.DataFrame | str]:
    """All that a threshold means for these predictions: a figure, a table and a story."""
    rates = rates_at(predictions, threshold, prevalence=prevalence)
    shown = {name: "not estimable" if np.isnan(value) else f"{value:.2f}" for name, value in rates.items()}
    story = natural_frequencies(rates["sensitivity"], rates["specificity"], prevalence)
    return [threshold_figure(predictions, threshold), pd.DataFrame([shown]), story]


def threshold_panel(predictions: pd.DataFrame, *, threshold: float, prevalence: float) -> Panel:
    """`threshold_view` with two sliders; both start values are rounded to the sliders' steps."""
    controls = {
        "threshold": slider("Threshold", round(threshold, 2), 0.0, 1.0, 0.01, tip="Called fractured from here on"),
        "prevalence": prevalence_slider(prevalence),
    }
    return Panel(partial(threshold_view, predictions), controls, title="Move the threshold").start()


def cost_view(predictions: pd.DataFrame, *, miss: float, prevalence: float) -> list[Figure | pd.DataFrame | str]:
    """The costs of every threshold, the cheapest beside Youden's, and both for 1,000 patients."""
    cheapest = cheapest_threshold(predictions, miss=miss, prevalence=prevalence)
    marks = {"cheapest": cheapest, "Youden": choose_threshold(predictions)}
    figure = cost_figure(predictions, miss=miss, prevalence=prevalence, marks=marks)
    table = cost_table(predictions, marks, miss=miss, prevalence=prevalence)
    broken = round(PATIENTS * prevalence)
    story = f"Of {PATIENTS:,} patients, {broken:,} have a fracture. A miss costs as much as {miss:g} false alarms."
    return [figure, table, story]


def cost_panel(predictions: pd.DataFrame, *, miss: float = 10, prevalence: float) -> Panel:
    """`cost_view` of validation predictions, with a slider for the cost of a miss and one for the prevalence."""
    costs = {f"{value:g} alarms": value for value in (0.5, 1, 2, 5, 10, 20, 50, 100)}
    controls = {
        "miss": steps("A miss costs", costs, miss, tip="How many false alarms are as bad as one missed fracture"),
        "prevalence": prevalence_slider(prevalence),
    }
    return Panel(partial(cost_view, predictions), controls, title="Set what errors cost").start()
