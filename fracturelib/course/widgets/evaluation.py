"""Notebook 04's panels: move the threshold and see what a call is worth; set what errors cost and see the threshold."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fracturelib.course.figures.thresholds import cost_figure, threshold_figure
from fracturelib.course.widgets.common import LivingPage
from fracturelib.course.widgets.moving import operating_point_panel
from fracturelib.errors import EvaluationError
from fracturelib.evaluation import choose_threshold
from fracturelib.evaluation.consequences import (
    PATIENTS,
    cheapest_threshold,
    cost_table,
    natural_frequencies,
    rates_at,
)


def threshold_view(
    predictions: pd.DataFrame, *, threshold: float, prevalence: float
) -> list[Figure | pd.DataFrame | str]:
    """All that a threshold means for these predictions: a figure, a table and a story."""
    rates = rates_at(predictions, threshold, prevalence=prevalence)
    shown = {name: "not estimable" if np.isnan(value) else f"{value:.2f}" for name, value in rates.items()}
    story = natural_frequencies(rates["sensitivity"], rates["specificity"], prevalence)
    return [threshold_figure(predictions, threshold), pd.DataFrame([shown]), story]


def threshold_panel(predictions: pd.DataFrame, *, threshold: float, prevalence: float) -> LivingPage:
    """What `threshold_view` shows, under the finger: threshold, prevalence, and what a miss costs."""
    return operating_point_panel(
        predictions,
        partial(threshold_view, predictions, threshold=threshold, prevalence=prevalence),
        title="Move the threshold",
        threshold=threshold,
        prevalence=prevalence,
        parts=["patients", "histogram", "roc"],
    )


def cost_view(predictions: pd.DataFrame, *, miss: float, prevalence: float) -> list[Figure | pd.DataFrame | str]:
    """The costs of every threshold, the cheapest beside Youden's, and both for 1,000 patients."""
    cheapest = cheapest_threshold(predictions, miss=miss, prevalence=prevalence)
    marks = {"cheapest": cheapest, "Youden": choose_threshold(predictions)}
    figure = cost_figure(predictions, miss=miss, prevalence=prevalence, marks=marks)
    table = cost_table(predictions, marks, miss=miss, prevalence=prevalence)
    broken = round(PATIENTS * prevalence)
    story = f"Of {PATIENTS:,} patients, {broken:,} have a fracture. A miss costs as much as {miss:g} false alarms."
    return [figure, table, story]


def cost_panel(predictions: pd.DataFrame, *, miss: float = 10, prevalence: float) -> LivingPage:
    """What `cost_view` shows of validation predictions, under the finger; it begins at Youden's threshold."""
    view = partial(cost_view, predictions, miss=miss, prevalence=prevalence)
    try:
        youden = choose_threshold(predictions)
    except EvaluationError:
        youden = 0.5  # there will be no panel, and `view` says why
    return operating_point_panel(
        predictions,
        view,
        title="Set what errors cost",
        threshold=youden,
        prevalence=prevalence,
        miss=miss,
        parts=["patients", "costs", "reliability"],
        choose=True,
    )
