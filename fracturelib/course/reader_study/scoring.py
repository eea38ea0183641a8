"""What a reading is worth: sensitivity and specificity with intervals, agreement, and where reader and model part.

Twenty cases are few: the intervals are Wilson's, which keep their promise for small numbers, and they are wide. Cohen's
kappa: J. Cohen, Educational and Psychological Measurement 20 (1960), 37–46.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from fracturelib import catalog
from fracturelib.course.reader_study.multireader import mean_over_readers
from fracturelib.errors import EvaluationError
from fracturelib.evaluation import scores, wilson_interval
from fracturelib.files.readings import SURENESS

RESAMPLES = 2000
_UNKNOWN = {"day": "", "again": False}  # of a class that was not saved
FEWEST_CASES = 10  # below this the bootstrap of kappa is too narrow to be believed


def ratings(called: ArrayLike, sure: ArrayLike) -> np.ndarray:
    """Calls (n,) of 0 and 1 and sureness (n,) of 1…3 as one scale from 0 (certainly not) to 1 (certainly fractured)."""
    steps = np.where(np.asarray(called) == 1, 1, -1) * np.asarray(sure)
    return 0.5 + steps / (2 * max(SURENESS))


def with_model(answers: pd.DataFrame, predictions: pd.DataFrame, *, threshold: float) -> pd.DataFrame:
    """Answers with the model's `probability` and `model_called` of the same files.

    Raises:
        EvaluationError: a case has no prediction.
    """
    found = answers["path"].map(predictions.set_index("path")["probability"])
    if found.isna().any():
        raise EvaluationError(
            f"{int(found.isna().sum())} of {len(answers)} cases have no prediction",
            cause="the predictions are of another data set or split",
            cure="predict the very table that the cases were chosen from",
        )
    return answers.assign(probability=found, model_called=(found >= threshold).astype(int))


def call_scores(labels: ArrayLike, called: ArrayLike, scale: ArrayLike) -> pd.DataFrame:
    """Rows sensitivity, specificity, accuracy and auc; columns metric, value, low, high, n. NaN: not estimable.

    Args:
        labels, called: (n,) of 0 and 1: the truth, and what was said.
        scale: (n,), 0…1: how much speaks for a fracture (`ratings`, or a model's probability), for the AUC alone.
    """
    truth, said = np.asarray(labels), np.asarray(called)
    rows = []
    for metric, among in (
        ("sensitivity", truth == 1),
        ("specificity", truth == 0),
        ("accuracy", np.ones(len(truth), dtype=bool)),
    ):
        n, right = int(among.sum()), int((said == truth)[among].sum())
        low, high = wilson_interval(right, n) if n else (np.nan, np.nan)
        rows.append((metric, right / n if n else np.nan, low, high, n))
    auc = scores(truth, scale, threshold=0.5, resamples=RESAMPLES).set_index("metric").loc["auc"]
    rows.append(("auc", auc["value"], auc["low"], auc["high"], len(truth)))
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high", "n"])


def cohens_kappa(first: ArrayLike, second: ArrayLike, *, seed: int = 0) -> dict[str, float]:
    """Agreement of two readers of the same n cases beyond chance.

    Args:
        first, second: (n,) calls of 0 and 1.
        seed: of the bootstrap over cases behind the interval.

    Returns:
        kappa, low, high (95 %; NaN below 10 cases, and at full agreement or none, where the bootstrap has no width),
        agreement (share of equal calls), expected (the same by chance), n.
        kappa is NaN where both say one and the same thing of every case: chance alone would agree fully, too.

    Raises:
        EvaluationError: unequal numbers of calls, or none; a call that is neither 0 nor 1.
    """
    called = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if not all(np.isin(calls, (0, 1)).all() for calls in called):
        raise EvaluationError("kappa takes calls of 0 and 1, for every case", cure="leave out cases without a call")
    a, b = (calls.astype(int) for calls in called)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise EvaluationError(f"kappa needs two calls for every case; shapes {a.shape} and {b.shape} came")
    cells = np.bincount(2 * a + b, minlength=4)  # not/not, not/fractured, fractured/not, fractured/fractured
    agreement, expected, kappa = (values.item() for values in _agreement(cells[None].astype(float)))
    low = high = np.nan
    if len(a) >= FEWEST_CASES and 0 < agreement < 1 and not np.isnan(kappa):
        # To draw cases with replacement is to draw the four cells from a multinomial distribution.
        drawn = np.random.default_rng(seed).multinomial(len(a), cells / len(a), size=RESAMPLES)
        low, high = np.nanquantile(_agreement(drawn.astype(float))[2], (0.025, 0.975)).tolist()
    return {"kappa": kappa, "low": low, "high": high, "agreement": agreement, "expected": expected, "n": len(a)}


def _agreement(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Agreement, agreement by chance and kappa (R,) of 2 × 2 counts (R, 4)."""
    total = cells.sum(axis=1)
    first, second = (cells[:, 2] + cells[:, 3]) / total, (cells[:, 1] + cells[:, 3]) / total  # share called fractured
    agreement = (cells[:, 0] + cells[:, 3]) / total
    expected = first * second + (1 - first) * (1 - second)
    with np.errstate(divide="ignore", invalid="ignore"):
        kappa = np.where(np.isclose(expected, 1), np.nan, (agreement - expected) / (1 - expected))
    return agreement, expected, kappa


def disagreements(read: pd.DataFrame) -> pd.DataFrame:
    """The cases of `with_model` on which reader, model and truth do not all say the same; the reader's errors first."""
    own, model = read["called"] != read["label"], read["model_called"] != read["label"]
    order = np.lexsort((~model[own | model], ~own[own | model]))
    return catalog.rows(catalog.rows(read, own | model), order).reset_index(drop=True)


def told_counts(read: pd.DataFrame, *, who: str = "you") -> str:
    """What reader and model found, in natural frequencies; `read` is from `with_model`."""
    broken, counts = int((read["label"] == 1).sum()), []
    for calls in (read["called"], read["model_called"]):
        counts.append([int(((calls == 1) & (read["label"] == label)).sum()) for label in (1, 0)])
    (found, alarms), (model_found, model_alarms) = counts
    return (
        f"{who[0].upper()}{who[1:]} found {found} of {broken} fracture{'s' * (broken != 1)} and raised {alarms} false "
        f"alarm{'s' * (alarms != 1)} among {len(read) - broken} others. The model found {model_found} and raised "
        f"{model_alarms}."
    )


def class_scores(pooled: pd.DataFrame) -> pd.DataFrame:
    """One row per reader of `pool_readings`.

    Columns: reader, day and again (whether it is a second reading; both empty where `pooled` does not know), n,
    sensitivity and specificity, each with _low and _high (95 %, Wilson), kappa (with the truth), seconds (median of a
    case).
    """
    readers, codes = np.unique(pooled["reader"].to_numpy(), return_inverse=True)
    called, labels = pooled["called"].to_numpy(int), pooled["label"].to_numpy(int)
    cells = np.bincount(4 * codes + 2 * called + labels, minlength=4 * len(readers)).reshape(-1, 4)  # as `_agreement`
    by_reader = pooled.groupby("reader")
    found = pd.DataFrame({"reader": readers})
    for name, empty in _UNKNOWN.items():
        found[name] = by_reader[name].first().to_numpy() if name in pooled else empty
    found["n"] = cells.sum(axis=1)
    for metric, right, wrong in (("sensitivity", 3, 1), ("specificity", 0, 2)):
        counts = [(one, one + other) for one, other in cells[:, [right, wrong]].tolist()]
        known = {(k, n): (k / n, *wilson_interval(k, n)) if n else (np.nan,) * 3 for k, n in set(counts)}
        found[[metric, f"{metric}_low", f"{metric}_high"]] = np.reshape([known[count] for count in counts], (-1, 3))
    found["kappa"] = _agreement(cells.astype(float))[2]
    found["seconds"] = by_reader["seconds"].median().to_numpy(float)
    return found


def first_readings(pooled: pd.DataFrame, *, day: str | None = None) -> pd.DataFrame:
    """The rows of `pool_readings` that make one class: first readings of one day; None is the last day there is.

    Raises:
        EvaluationError: there is no such reading.
    """
    first = pooled[~pooled["again"]]
    chosen = first[first["day"] == (day or first["day"].max())]
    if chosen.empty:
        days = ", ".join(sorted(first["day"].unique()))
        raise EvaluationError(
            f"there is no first reading{f' of {day}' if day else ''}",
            cause=f"there are first readings of {days}" if days else "all are marked as second readings",
            cure="choose another day, or save a reading",
        )
    return chosen


def class_table(pooled: pd.DataFrame) -> pd.DataFrame:
    """One row per class, that is per day of `pool_readings`, the newest first; all must have read the same cases.

    Columns: day, readers, again (second readings, which count for nothing else), sensitivity and specificity (means
    over readers), each with _low and _high (95 %, over readers and cases), kappa (mean, with the truth).
    """
    rows = []
    for day, read in pooled.groupby("day", sort=True):
        first = read[~read["again"]]
        row = {"day": day, "readers": first["reader"].nunique()}
        row["again"] = read["reader"].nunique() - row["readers"]
        for metric, label in (("sensitivity", 1), ("specificity", 0)):
            right = first.assign(right=first["called"] == label)[first["label"] == label]
            by_reader = right.pivot_table(index="reader", columns="case", values="right", aggfunc="first")
            ends = mean_over_readers(by_reader.to_numpy(float)) if by_reader.size else (np.nan, np.nan, np.nan)
            row |= dict(zip((metric, f"{metric}_low", f"{metric}_high"), ends, strict=True))
        row["kappa"] = class_scores(first)["kappa"].mean()
        rows.append(row)
    return pd.DataFrame(rows[::-1])
