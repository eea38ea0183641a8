"""Predictions → numbers with intervals, thresholds, calibration, and two baselines beside the model."""

from fracturelib.evaluation.baselines import baseline_predictions, file_metadata
from fracturelib.evaluation.calibration import (
    apply_temperature,
    brier_decomposition,
    calibrated,
    calibration_summary,
    calibration_table,
    choose_temperature,
    fit_temperature,
    threshold_on,
)
from fracturelib.evaluation.comparison import compare, comparison_table, drop_table
from fracturelib.evaluation.consequences import (
    cheapest_threshold,
    confusion_at,
    cost_table,
    natural_frequencies,
    rates_at,
)
from fracturelib.evaluation.guarantee import choose_limit, fewest_fractures
from fracturelib.evaluation.intervals import mean_interval, units_of, wilson_interval
from fracturelib.evaluation.metrics import HEADLINE, METRICS, Scored, scores
from fracturelib.evaluation.patients import Combination, choose_combination, combined
from fracturelib.evaluation.prevalence import predictive_value_table, predictive_values
from fracturelib.evaluation.result import Evaluation, evaluate, predict
from fracturelib.evaluation.subgroups import conspicuity_thirds, least_certain, subgroup_table, worst_errors
from fracturelib.evaluation.thresholds import choose_threshold, describe_rule

__all__ = [
    "HEADLINE",
    "METRICS",
    "Combination",
    "Evaluation",
    "Scored",
    "apply_temperature",
    "baseline_predictions",
    "brier_decomposition",
    "calibrated",
    "calibration_summary",
    "calibration_table",
    "cheapest_threshold",
    "choose_combination",
    "choose_limit",
    "choose_temperature",
    "choose_threshold",
    "combined",
    "compare",
    "comparison_table",
    "confusion_at",
    "conspicuity_thirds",
    "cost_table",
    "describe_rule",
    "drop_table",
    "evaluate",
    "fewest_fractures",
    "file_metadata",
    "fit_temperature",
    "least_certain",
    "mean_interval",
    "natural_frequencies",
    "predict",
    "predictive_value_table",
    "predictive_values",
    "rates_at",
    "scores",
    "subgroup_table",
    "threshold_on",
    "units_of",
    "wilson_interval",
    "worst_errors",
]
