"""Below which probability "no fracture" may be said, so that few fractures are missed: a promise with 95 % confidence.

The promise is about patients: with 95 % confidence over the draw of the validation patients, at most a share
1 - sensitivity of the patients with a fracture has a fractured picture below the limit. It is learn-then-test
(Angelopoulos et al., "Learn then test: calibrating predictive algorithms to achieve risk control", Annals of Applied
Statistics 2025) with the exact binomial test: limits are tested from the safest upwards, and the last one that passes
is taken. It holds for patients like those of the validation set, and does not count that the best epoch was chosen
there.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import scipy

from fracturelib.config import POSITIVE, parse_guarantee
from fracturelib.errors import EvaluationError
from fracturelib.evaluation.intervals import units_of
from fracturelib.evaluation.thresholds import check_validation

ERROR_RATE = 0.05  # one minus the confidence of the promise


def fewest_fractures(sensitivity: float) -> int:
    """How many patients with a fracture a promise needs if none of them is missed: 29 for 0.90, 59 for 0.95."""
    return math.ceil(math.log(ERROR_RATE) / math.log(sensitivity) - 1e-9)


def choose_limit(validation: pd.DataFrame, *, guarantee: str) -> float | None:
    """The probability below which "no fracture" may be said; None for the guarantee "none".

    Args:
        validation: *validation* predictions: label, probability, split, source_id, and patient_id where it is known. A
            patient counts as missed if any fractured picture of theirs lies below the limit.
        guarantee: "none", or "sensitivity=0.95".

    Raises:
        ConfigError: another guarantee.
        EvaluationError: rows of another split than validation, or too few patients with a fracture.
    """
    sensitivity = parse_guarantee(guarantee)
    if sensitivity is None:
        return None
    check_validation(validation, "the guarantee")
    fractured = validation["label"].to_numpy() == POSITIVE
    lowest = validation["probability"][fractured].groupby(units_of(validation).codes[fractured]).min()
    needed = fewest_fractures(sensitivity)
    if len(lowest) < needed:
        raise EvaluationError(
            f"a sensitivity of {sensitivity:g} cannot be guaranteed: the validation set has {len(lowest)} patients or "
            f"sources with a fracture, and at least {needed} are needed",
            cause=f"even if none is missed, fewer do not show it with {1 - ERROR_RATE:.0%} confidence",
            cure=f"add validation images of {needed - len(lowest)} more patients with a fracture, or ask for less",
        )
    return float(np.sort(lowest)[_misses_allowed(len(lowest), 1 - sensitivity)])


def _misses_allowed(patients: int, share: float) -> int:
    """Most misses among so many patients that reject "more than this share is missed" at `ERROR_RATE`; at least 0."""
    misses = np.arange(patients)
    return int((scipy.stats.binom.cdf(misses, patients, share) <= ERROR_RATE + 1e-12).sum()) - 1
