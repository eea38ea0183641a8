"""Can a probability be taken at its word? Reliability by bins, and temperature scaling fitted on validation.

Tables of predictions have one scale: `probability` is the calibrated number, `raw` what the network gave; `calibrated`
makes the one from the other, and `threshold_on` moves a threshold along, so that every call stays what it was.

Temperature scaling: Guo et al., "On calibration of modern neural networks", ICML 2017. The ranking of the
files, and so the AUC, does not change. Decomposition of the Brier score: Murphy, Journal of Applied
Meteorology 12 (1973), 595–600.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from fracturelib.evaluation.intervals import units_of, wilson_interval
from fracturelib.evaluation.metrics import CALIBRATION_BINS, calibration_bin, check_predictions
from fracturelib.evaluation.thresholds import validation_arrays

_EDGE = 1e-7  # probabilities of exactly 0 and 1 have no finite logit
_LARGEST_LOGIT = 30  # beyond it, probabilities that differ would round to the same number, and calls could change
FOLDS = 10


class NoTemperature(StrEnum):
    """Why a run's probabilities are left as the network gave them; NONE where they are not."""

    NONE = ""
    ONE_CLASS = "validation files of one class only"
    NO_HELP = "no better on validation"


@dataclass(frozen=True)
class Calibration:
    """The temperature that validation predictions speak for.

    Attributes:
        temperature: None where the probabilities are to be left as they are.
        fitted: the one with the lowest log loss on all validation files; None for files of one class.
        gain: how far it lowers the log loss of units that it was not fitted on; None as above.
        error: standard error of the gain over units.
        reason: why there is no temperature.
    """

    temperature: float | None
    fitted: float | None = None
    gain: float | None = None
    error: float | None = None
    reason: NoTemperature = NoTemperature.NONE


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
    return scipy.special.expit(scipy.special.logit(np.clip(probabilities, _EDGE, 1 - _EDGE)) / temperature)


def calibrated(predictions: pd.DataFrame, temperature: float | None) -> pd.DataFrame:
    """A copy of predictions whose `probability` is the network's, with it calibrated and the network's as `raw`."""
    raw = predictions["probability"].to_numpy(float)
    found = predictions.assign(probability=raw if temperature is None else apply_temperature(raw, temperature))
    found.insert(found.columns.get_loc("probability") + 1, "raw", raw)
    return found


def threshold_on(threshold: float, temperature: float | None) -> float:
    """A threshold for the network's own probabilities as one for calibrated ones: the same files lie above it."""
    return threshold if temperature is None else float(apply_temperature(threshold, temperature))


def choose_temperature(validation: pd.DataFrame) -> Calibration:
    """The temperature for *validation* predictions (label, probability, split, source_id), or why there is none.

    It is refused unless, in ten-fold cross-validation over patients (or sources), it lowers the log loss by more than
    one standard error (the "one standard error" rule of Breiman et al., *Classification and Regression Trees*, 1984).

    Raises:
        EvaluationError: as `fit_temperature`, except for files of one class.
    """
    if validation["label"].nunique() < 2:
        return Calibration(None, reason=NoTemperature.ONE_CLASS)
    fitted = fit_temperature(validation)
    gains = _gains_elsewhere(validation)
    gain, error = float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else np.inf
    if not gain > error:
        return Calibration(None, fitted, gain, None if np.isinf(error) else error, NoTemperature.NO_HELP)
    return Calibration(fitted, fitted, gain, error)


def _gains_elsewhere(validation: pd.DataFrame) -> NDArray[np.float64]:
    """Fall of the log loss (units,) by a temperature that was fitted on the other folds."""
    codes = units_of(validation).codes
    order = np.random.default_rng(0).permutation(codes.max() + 1)
    folds = order[codes] % FOLDS
    gains = np.zeros(len(validation))
    for fold in np.unique(folds):
        rest, here = validation[folds != fold], validation[folds == fold]
        if rest["label"].nunique() < 2:
            continue  # nothing can be fitted, so nothing is gained
        cooled = apply_temperature(here["probability"], fit_temperature(rest))
        gains[folds == fold] = _log_losses(here["label"], here["probability"]) - _log_losses(here["label"], cooled)
    return pd.Series(gains).groupby(codes).mean().to_numpy()


def _log_losses(labels: ArrayLike, probabilities: ArrayLike) -> NDArray[np.float64]:
    safe = np.clip(probabilities, _EDGE, 1 - _EDGE)
    return -np.log(np.where(np.asarray(labels) == 1, safe, 1 - safe))


def fit_temperature(validation: pd.DataFrame) -> float:
    """The temperature in 0.05…20 with the lowest log loss on *validation* predictions (label, probability, split).

    It is never so low that different probabilities would become the same number, as those of files that are told
    apart without an error would.

    Raises:
        EvaluationError: rows of another split than validation; one class only; see `check_predictions`.
    """
    truth, chance = validation_arrays(validation, "the temperature")
    sign = np.where(truth == 1, -1, 1)
    logits = scipy.special.logit(np.clip(chance, _EDGE, 1 - _EDGE))
    lowest = max(0.05, np.abs(logits).max() / _LARGEST_LOGIT)

    def log_loss(log_temperature: float) -> float:
        return np.logaddexp(0, sign * logits / np.exp(log_temperature)).mean()

    found = scipy.optimize.minimize_scalar(log_loss, bounds=(np.log(lowest), np.log(20)), method="bounded")
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
    return {
        "brier": float(np.mean((chance - truth) ** 2)),
        **brier_decomposition(truth, chance),
        "ece": float((bins["n"] * (bins["mean_probability"] - bins["share_fractured"]).abs()).sum() / len(truth)),
        "log_loss": float(_log_losses(truth, chance).mean()),
    }
