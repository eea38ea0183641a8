"""The operating point: chosen on validation predictions by a stated rule, then applied to the test set.

Choosing on test is impossible by construction: `choose_threshold` takes a table of predictions whose rows say of which
split they are, and refuses any but validation rows.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fracturelib.config import parse_threshold_rule
from fracturelib.errors import ConfigError, EvaluationError
from fracturelib.evaluation.metrics import check_predictions

RULE_WORDS = {
    "youden": "the point where sensitivity + specificity is highest on the validation images (Youden's index)",
    "sensitivity": "the highest threshold with a sensitivity of at least {0:g} on the validation images",
    "costs": "the point where errors on the validation images cost least if a miss costs {0:g} and a false alarm {1:g}",
    "fixed": "a number fixed beforehand",
}


def choose_threshold(validation: pd.DataFrame, *, rule: str | float = "youden") -> float:
    """The operating point, from *validation* predictions (label, probability, split); a fixed number as it is.

    "youden" maximises sensitivity + specificity - 1 (Youden, Cancer 3 (1950), 32–35); "sensitivity=0.9" is the highest
    threshold with at least that sensitivity; "costs=20:1" has the lowest total cost when a miss costs twenty false
    alarms, at the share of fractures of the validation images. Among equals the threshold nearest to 0.5 wins, and
    the lower of two that are equally near.

    Raises:
        EvaluationError: unknown rule; rows of another split than validation; one class only, so that nothing can be
            chosen; see `check_predictions`.
    """
    name, numbers = _parsed(rule)
    if name == "fixed":
        return numbers[0]
    truth, chance = validation_arrays(validation, "the threshold")
    candidates, sensitivity, specificity = operating_points(truth, chance)
    if name == "youden":
        worth = sensitivity + specificity
    elif name == "sensitivity":
        # out of reach only where fractures have a probability of 0: then the highest sensitivity there is
        worth = np.where(sensitivity >= numbers[0] - 1e-12, specificity, sensitivity - 2)
    else:
        worth = -expected_cost(sensitivity, specificity, share=truth.mean(), miss=numbers[0], false_alarm=numbers[1])
    best = candidates[worth >= worth.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - 0.5))])


def describe_rule(rule: str | float) -> str:
    """The rule in words, for a sentence that begins "The threshold is …"."""
    name, numbers = _parsed(rule)
    return RULE_WORDS[name].format(*numbers)


def validation_arrays(validation: pd.DataFrame, what: str) -> tuple[NDArray, NDArray]:
    """Labels and probabilities (n,) of validation predictions of both classes.

    Raises:
        EvaluationError: rows of another split, or not marked with one; one class only; see `check_predictions`.
    """
    check_validation(validation, what)
    truth, chance = check_predictions(validation["label"], validation["probability"])
    if truth.min() == truth.max():
        raise EvaluationError(
            f"{what} cannot be chosen: the validation files are of one class only",
            cure="add validation files of the other class, or set the threshold to a number",
        )
    return truth, chance


def check_validation(validation: pd.DataFrame, what: str) -> None:
    """Raise EvaluationError unless every row is marked as one of the validation split, with label and probability."""
    if lacking := [name for name in ("label", "probability") if name not in validation]:
        raise EvaluationError(
            f"{what} is chosen on validation predictions, and this table has no column {' or '.join(lacking)}",
            cure="pass the table that `predict` gives for the validation loader",
        )
    if "split" not in validation:
        raise EvaluationError(
            f"{what} is chosen on validation predictions, and these do not say of which split they are",
            cure="pass the table that `predict` gives for the validation loader, with its column split",
        )
    foreign = validation.loc[validation["split"] != "val", "split"]
    if len(foreign):
        raise EvaluationError(
            f"{what} is chosen on validation predictions only: {len(foreign)} of the {len(validation)} rows are of "
            f"the split {', '.join(sorted(map(str, foreign.unique())))}",
            cause="a score flatters where its threshold was chosen",
            cure="pass predictions of the validation split; the test set has no part in a choice",
        )


def operating_points(truth: NDArray, chance: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Candidate thresholds (k,) in (0, 1), and the sensitivity and specificity of each; both classes are needed.

    Candidates lie halfway between neighbouring distinct probabilities, and below the lowest and above the highest
    unless these are 0 and 1.
    """
    distinct = np.unique(chance)
    between = (distinct[:-1] + distinct[1:]) / 2
    between = np.where(between > distinct[:-1], between, distinct[1:])  # neighbours too close to have a middle
    candidates = np.concatenate([[distinct[0] / 2], between, [(distinct[-1] + 1) / 2]])
    candidates = candidates[(candidates > 0) & (candidates < 1)]
    positive, negative = np.sort(chance[truth == 1]), np.sort(chance[truth == 0])
    sensitivity = 1 - np.searchsorted(positive, candidates) / len(positive)
    specificity = np.searchsorted(negative, candidates) / len(negative)
    return candidates, sensitivity, specificity


def expected_cost(
    sensitivity: NDArray | float, specificity: NDArray | float, *, share: float, miss: float, false_alarm: float
) -> NDArray | float:
    """Cost of the errors per image, where a share of the images is fractured."""
    return miss * share * (1 - sensitivity) + false_alarm * (1 - share) * (1 - specificity)


def _parsed(rule: str | float) -> tuple[str, tuple[float, ...]]:
    try:
        return parse_threshold_rule(rule)
    except ConfigError as error:
        raise EvaluationError(f"threshold rule is {rule!r}", cure="see --threshold of `fracturelib train`") from error
