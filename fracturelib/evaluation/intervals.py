"""Intervals that count what is independent: a bootstrap over patients or sources, and Wilson's formula.

A file is not an independent observation: rotated copies of one radiograph succeed or fail together, and so, more
loosely, do two views of one patient. So the bootstrap draws *units* with replacement, and every file counts as often
as its unit was drawn. One resample is then a vector of whole-number weights, and 2,000 resamples are a matrix.

Stratified: units with fractured files only, with none, and with both are drawn apart, so each resample has the class
balance of the data and no resample lacks a class. Percentile intervals: Efron and Tibshirani, *An Introduction to the
Bootstrap* (1993), chapter 13, a little expanded for few units. By cluster: Field and Welsh, JRSS B 69 (2007), 369–390.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from fracturelib.catalog.splits import group_numbers
from fracturelib.errors import EvaluationError
from fracturelib.writing.verdicts import FEWEST_UNITS, Reason, Verdict

_CELLS = 2_000_000  # most weights held at once, so that memory stays near 100 MB however many files there are


class Interval(NamedTuple):
    """The ends of a 95 % interval, NaN where there is none, and the reason for that."""

    low: float = np.nan
    high: float = np.nan
    reason: Reason = Reason.NONE


@dataclass(frozen=True)
class Units:
    """What is counted as one observation: a whole number 0…k-1 per file, and the name of the unit, in the plural."""

    codes: NDArray[Any]
    name: str

    @property
    def count(self) -> int:
        """How many units there are: the effective sample size."""
        return len(np.unique(self.codes))


def units_of(predictions: pd.DataFrame) -> Units:
    """The coarser of source and patient: files belong together that share a source or a known patient.

    Raises:
        EvaluationError: a file without a source.
    """
    sources = source_codes(predictions["source_id"], len(predictions))
    if "patient_id" not in predictions or predictions["patient_id"].isna().all():
        return Units(sources, "sources")
    known = predictions["patient_id"].notna().all()
    name = "patients" if known else "patients, or sources where the patient is unknown"
    return Units(group_numbers(predictions, "patient_id"), name)


def fewest_per_class(labels: NDArray[Any], codes: NDArray[Any]) -> int:
    """How many units the class with fewer of them has."""
    return min(len(np.unique(codes[labels == value])) for value in (0, 1))


def source_codes(sources: ArrayLike | None, count: int) -> NDArray[Any]:
    """A whole number 0…k-1 for each file's source; without sources each file is its own."""
    if sources is None:
        return np.arange(count)
    codes = pd.factorize(np.asarray(sources, dtype=object))[0]
    if codes.shape != (count,) or (codes < 0).any():
        raise EvaluationError("every file needs a source", cure="pass one source_id per prediction, without gaps")
    return codes


def resample_weights(labels: NDArray[Any], codes: NDArray[Any], *, resamples: int, seed: int) -> Iterator[NDArray[Any]]:
    """Blocks (r, n) of file weights, `resamples` rows in all: how often each file's unit was drawn."""
    generator = np.random.default_rng(seed)
    count = codes.max() + 1
    stratum = 2 * (np.bincount(codes, labels, count) > 0) + (np.bincount(codes, 1 - labels, count) > 0)
    members = [np.flatnonzero(stratum == value) for value in np.unique(stratum)]
    block = max(1, _CELLS // len(codes))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = np.zeros((rows, count))
        for units in members:
            picks = generator.integers(len(units), size=(rows, len(units)))
            picks += len(units) * np.arange(rows)[:, None]  # one stretch of counters per resample
            drawn[:, units] = np.bincount(picks.ravel(), minlength=picks.size).reshape(rows, -1)
        yield drawn[:, codes]


def percentile_interval(
    draws: NDArray[Any], *, units: int, per_class: bool = False, proportion: float | None = None
) -> Interval:
    """The 95 % interval of resampled values (R,).

    `units` is the number of independent observations that decides whether the interval can be believed, and
    `per_class` says that it counts the smaller class. A `proportion` of exactly 0 or 1 has a Wilson interval over
    its units, because the bootstrap has no width there.
    """
    defined = draws[~np.isnan(draws)]
    if units < FEWEST_UNITS:
        return Interval(reason=Reason.FEW_PER_CLASS if per_class else Reason.FEW_UNITS)
    if len(defined) < 0.95 * len(draws):
        return Interval(reason=Reason.OFTEN_UNDEFINED)
    if np.ptp(defined) <= 1e-9:  # rounding alone is no width
        if proportion in (0.0, 1.0):
            return Interval(*wilson_interval(proportion * units, units), Reason.WILSON)
        return Interval(reason=Reason.NO_SPREAD)
    tail = _tail(units)
    low, high = np.quantile(defined, (tail, 1 - tail))
    return Interval(float(low), float(high))


def verdict_on(low: float, high: float) -> Verdict:
    """What the interval of a difference shows."""
    if np.isnan(low):
        return Verdict.UNKNOWN
    return Verdict.HIGHER if low > 0 else Verdict.LOWER if high < 0 else Verdict.NEITHER


def _tail(units: int) -> float:
    """Share of the resampled values beyond each end: a little less than 0.025, as Student's t asks for few units.

    The plain percentile interval is too narrow by about that much: Hesterberg, The American Statistician 69 (2015),
    371–386, "expanded percentile interval".
    """
    return float(scipy.stats.norm.cdf(-np.sqrt(units / (units - 1)) * scipy.stats.t.ppf(0.975, units - 1)))


def wilson_interval(successes: float, total: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (JASA 22 (1927), 209–212), for independent observations.

    Raises:
        EvaluationError: there is no observation.
    """
    if total <= 0:
        raise EvaluationError("a proportion needs at least one observation")
    z = scipy.stats.norm.ppf((1 + confidence) / 2)
    share = successes / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    # At 0 and 1 the interval ends exactly there, and rounding must not move it.
    return (
        0.0 if successes == 0 else max(0.0, float(centre - half)),
        1.0 if successes == total else min(1.0, float(centre + half)),
    )


def mean_interval(
    values: ArrayLike, codes: NDArray[Any], *, proportion: bool = False, resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Mean of values (n,) with its 95 % bootstrap interval over units: value, low, high, reason, n, units.

    A `proportion` (values 0 and 1) of exactly 0 or 1 has a Wilson interval, as in `scores`.
    """
    values = np.asarray(values, dtype=float)
    if values.size == 0:
        return {"value": np.nan, **Interval(reason=Reason.NO_FILES)._asdict(), "n": 0, "units": 0}
    units = len(np.unique(codes))
    one_stratum = np.zeros(len(values), dtype=int)
    blocks = resample_weights(one_stratum, codes, resamples=resamples, seed=seed)
    draws = np.concatenate([weights @ values / weights.sum(axis=1) for weights in blocks])
    mean = float(values.mean())
    interval = percentile_interval(draws, units=units, proportion=mean if proportion else None)
    return {"value": mean, **interval._asdict(), "n": len(values), "units": units}
