"""One figure per function: each takes and returns `Axes`; those that show several pictures fill a figure."""

from fracturelib.plots.curves import (
    class_counts,
    confusion_matrix,
    loss_curves,
    precision_recall_curve,
    probability_histogram,
    reliability_diagram,
    roc_curve,
    validation_curves,
)
from fracturelib.plots.forests import score_forest, subgroup_forest
from fracturelib.plots.galleries import copy_pair, error_gallery, heat_overlay, image_grid
from fracturelib.plots.probes import cost_curve, localisation_points, occlusion_points, robustness_curves
from fracturelib.plots.style import STYLE
from fracturelib.plots.trunks import trunk_costs
from fracturelib.writing.palette import CLASS_COLOURS

__all__ = [
    "CLASS_COLOURS",
    "STYLE",
    "class_counts",
    "confusion_matrix",
    "copy_pair",
    "cost_curve",
    "error_gallery",
    "heat_overlay",
    "image_grid",
    "localisation_points",
    "loss_curves",
    "occlusion_points",
    "precision_recall_curve",
    "probability_histogram",
    "reliability_diagram",
    "robustness_curves",
    "roc_curve",
    "score_forest",
    "subgroup_forest",
    "trunk_costs",
    "validation_curves",
]
