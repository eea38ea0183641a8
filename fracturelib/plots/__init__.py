"""One figure per function: each takes and returns `Axes`; those that show several pictures fill a figure."""

from fracturelib.plots.curves import (
    class_counts,
    confusion_matrix,
    learning_rate_curve,
    loss_curves,
    precision_recall_curve,
    probability_histogram,
    reliability_diagram,
    roc_curve,
    validation_curves,
)
from fracturelib.plots.forests import score_forest, subgroup_forest
from fracturelib.plots.galleries import error_gallery, image_grid
from fracturelib.plots.style import CLASS_COLOURS, STYLE

__all__ = [
    "CLASS_COLOURS",
    "STYLE",
    "class_counts",
    "confusion_matrix",
    "error_gallery",
    "image_grid",
    "learning_rate_curve",
    "loss_curves",
    "precision_recall_curve",
    "probability_histogram",
    "reliability_diagram",
    "roc_curve",
    "score_forest",
    "subgroup_forest",
    "validation_curves",
]
