"""Can a probability be taken at its word? Reliability by bins, and temperature scaling fitted on validation.

Temperature scaling: Guo et al., "On calibration of modern neural networks", ICML 2017. The ranking of the
files, and so the AUC, does not change. Decomposition of the Brier score: Murphy, Journal of Applied
Meteorology 12 (1973), 595–600.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from fracturelib.evaluation.intervals import wilson_interval
from fracturelib.evaluation.metrics import CALIBRATION_BINS, calibration_bin, check_predictions
from fracturelib.evaluation.thresholds import validation_arrays

_EDGE = 1e-7  # probabilities of exactly 0 and 1 have no finite logit


def calibration_table(labels: ArrayLike, probabilities: ArrayLike) -> pd.DataFrame:
    """The reliability diagram as rows, one per non-empty bin of equal width.

    Columns: low, high (edges of the bin), n, mean_probability, share_fractured, share_low, share_high (95 %
    Wilson interval, which takes files as independent).
    """
    truth, chance = check_predictions(labels, probabilities)
    bins = calibration_bin(chance)
    rows = []
    for number in np.unique(bins):
        inside = bins == number
        low, high = wilson_interval(truth[inside].sum(), inside.sum())
        rows.append(
            {
                "low": number / CALIBRATION_BINS,
                "high": (number + 1) / CALIBRATION_BINS,
                "n": int(inside.sum()),
                "mean_probability": chance[inside].mean(),
                "share_fractured": truth[inside].mean(),
                "share_low": low,
                "share_high": high,
            }
        )
    return pd.DataFrame(rows)


def apply_temperature(probabilities: ArrayLike, temperature: float) -> np.ndarray:
    """Probabilities with their logits divided by the temperature: above 1 they move towards 0.5."""
    return expit(logit(np.clip(probabilities, _EDGE, 1 - _EDGE)) / temperature)


def fit_temperature(validation: pd.DataFrame) -> float:
    """The temperature in 0.05…20 with the lowest log loss on *validation* predictions (label, probability, split).

    Raises:
        EvaluationError: rows of another split than validation; one class only; see `check_predictions`.
    """
    truth, chance = validation_arrays(validation, "the temperature")
    sign = np.where(truth == 1, -1, 1)
    scaled = sign * logit(np.clip(chance, _EDGE, 1 - _EDGE))

    def log_loss(log_temperature: float) -> float:
        return np.logaddexp(0, scaled / np.exp(log_temperature)).mean()

    found = minimize_scalar(log_loss, bounds=(np.log(0.05), np.log(20)), method="bounded")
    return float(np.exp(found.x))


def brier_decomposition(labels: ArrayLike, probabilities: ArrayLike) -> dict[str, float]:
    """Brier score = reliability - resolution + uncertainty + within_bins, exactly.

    reliability: how far the bins lie from the diagonal (0 is perfect). resolution: how far the shares of the bins lie
    from the overall share (more is better). uncertainty: what guessing the overall share would give. within_bins: the
    small rest, because the probabilities inside a bin are not all equal (Stephenson et al., Weather and Forecasting 23
    (2008), 752–757).
    """
    truth, chance = check_predictions(labels, probabilities)
    table = calibration_table(labels, probabilities)
    weight, overall = table["n"] / len(truth), truth.mean()
    parts = {
        "reliability": float((weight * (table["mean_probability"] - table["share_fractured"]) ** 2).sum()),
        "resolution": float((weight * (table["share_fractured"] - overall) ** 2).sum()),
        "uncertainty": float(overall * (1 - overall)),
    }
    explained = parts["reliability"] - parts["resolution"] + parts["uncertainty"]
    return parts | {"within_bins": float(np.mean((chance - truth) ** 2) - explained)}


def calibration_summary(labels: ArrayLike, probabilities: ArrayLike, *, temperature: float | None) -> pd.DataFrame:
    """Calibration as trained and with a temperature: one row per quantity: quantity, as_trained, with_temperature.

    Quantities: brier, its parts (reliability, resolution, uncertainty, within_bins), ece, log_loss. Without a
    temperature the second column is left out.
    """
    truth, chance = check_predictions(labels, probabilities)
    columns = {"as_trained": chance}
    if temperature is not None:
        columns["with_temperature"] = apply_temperature(chance, temperature)
    found = {name: _quantities(truth, values) for name, values in columns.items()}
    return pd.DataFrame(found).rename_axis("quantity").reset_index()


def _quantities(truth: np.ndarray, chance: np.ndarray) -> dict[str, float]:
    bins = calibration_table(truth, chance)
    safe = np.clip(chance, _EDGE, 1 - _EDGE)
    return {
        "brier": float(np.mean((chance - truth) ** 2)),
        **brier_decomposition(truth, chance),
        "ece": float((bins["n"] * (bins["mean_probability"] - bins["share_fractured"]).abs()).sum() / len(truth)),
        "log_loss": float(-np.mean(np.log(np.where(truth == 1, safe, 1 - safe)))),
    }
