"""Figures of notebook 04's panels: what a threshold means, and what each one costs."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from fracturelib import plots
from fracturelib.evaluation import confusion_at
from fracturelib.plots.style import STYLE, legend_above


def threshold_figure(predictions: pd.DataFrame, threshold: float) -> Figure:
    """The probabilities with the threshold in them, the confusion matrix that follows, the point on the ROC curve."""
    with plt.rc_context(STYLE):
        figure = Figure(figsize=(12, 4.6))
        left, middle, right = figure.subplots(1, 3, width_ratios=(1.2, 1, 1))
        plots.probability_histogram(predictions["label"], predictions["probability"], threshold=threshold, ax=left)
        plots.confusion_matrix(confusion_at(predictions, threshold), ax=middle)
        plots.roc_curve(predictions["label"], predictions["probability"], threshold=threshold, ax=right)
        legend_above(left, columns=1)  # a wider one would squeeze the axes
        if right.get_legend() is not None:  # it could hide the curve, and the table has its numbers
            right.get_legend().remove()
            right.set_title("ROC curve, with the threshold's point")
    return figure


def cost_figure(predictions: pd.DataFrame, *, miss: float, prevalence: float, marks: Mapping[str, float]) -> Figure:
    """The cost of every threshold where a false alarm costs 1 and a miss `miss`; `marks` names some thresholds."""
    with plt.rc_context(STYLE):
        figure = Figure(figsize=(7.5, 4.4))
        plots.cost_curve(
            predictions["label"].to_numpy(),
            predictions["probability"].to_numpy(),
            miss=miss,
            false_alarm=1,
            prevalence=prevalence,
            marks=marks,
            ax=figure.subplots(),
        )
    return figure
