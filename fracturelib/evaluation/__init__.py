"""Predictions → numbers with intervals, thresholds, calibration, and two baselines beside the model."""

from fracturelib.evaluation.baselines import Scored, baseline_predictions, file_metadata
from fracturelib.evaluation.calibration import calibration_table
from fracturelib.evaluation.comparison import compare, comparison_table, subgroup_table
from fracturelib.evaluation.metrics import choose_threshold, scores, wilson_interval
from fracturelib.evaluation.result import Evaluation, evaluate, predict, predictive_values, worst_errors

__all__ = [
    "Evaluation",
    "Scored",
    "baseline_predictions",
    "calibration_table",
    "choose_threshold",
    "compare",
    "comparison_table",
    "evaluate",
    "file_metadata",
    "predict",
    "predictive_values",
    "scores",
    "subgroup_table",
    "wilson_interval",
    "worst_errors",
]
