"""Is a new folder like the pictures that a run knows? Sizes, brightness, devices, mixture, distances, answers.

The run's validation pictures stand for those that it knows: they come from where the training pictures come from, and
it has not learnt from them. All intervals together hold with 95 % confidence (Bonferroni's correction), so that a
folder of the same kind is reported as changed in at most one in twenty cases.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from fracturelib.errors import ImageError, RunError
from fracturelib.evaluation import units_of, wilson_interval
from fracturelib.evaluation.intervals import verdict_on
from fracturelib.images import inspect_image, iterate_images
from fracturelib.prediction.identity import Identities
from fracturelib.prediction.reference import GROUPS, MEASURES
from fracturelib.prediction.stream import Predicted, predict_stream, run_limits
from fracturelib.runs import Run
from fracturelib.runtime import available_cores
from fracturelib.writing.verdicts import Answer, Verdict

MOST = 1000  # files that are looked at, spread evenly over the folder
FEWEST = 20  # files below which nothing can be said


class Subject(StrEnum):
    """What may have changed."""

    SIZE = "size"
    BRIGHTNESS = "brightness"
    CONTRAST = "contrast"
    DISTANCE = "distance from the training pictures"
    CALLS = "share called fractured"
    HUMAN = "share that a human must look at"
    GROUP = "share that looks like"
    DEVICE = "share from a device that the run does not know"


class Change(NamedTuple):
    """One comparison of a new folder with what a run knows.

    Attributes:
        subject: what is compared, and of which `detail` ("region: hand").
        known, new: a mean, or a share.
        difference, low, high: new - known, with its interval.
        verdict: whether the interval leaves 0 out.
    """

    subject: Subject
    detail: str
    known: float
    new: float
    difference: float
    low: float
    high: float
    verdict: Verdict


def watch(run: Run, folder: str | Path) -> pd.DataFrame:
    """Compare a folder without labels with what the run knows: one row per subject, with the columns of `Change`.

    Raises:
        RunError: the run is of an earlier version, which kept nothing to compare with, or has too few pictures.
        ImageError: the folder is missing, or holds fewer than 20 usable pictures.
    """
    if run.validation is None or run.reference is None or len(run.validation) < FEWEST:
        raise RunError(
            "the run keeps too little to compare a folder with",
            file=run.folder,
            cause=f"an earlier version made it, or it has fewer than {FEWEST} validation pictures",
            cure="train again under another --name, with more validation pictures",
        )
    known, new = run.validation, _new_pictures(run, Path(folder))
    known = known.assign(unit=units_of(known).codes, answer=_answers(run, known))
    comparisons = list(_compared(run, known, new))
    tail = 0.05 / max(1, len(comparisons))
    return pd.DataFrame([compare(tail) for compare in comparisons], columns=Change._fields)


class _Means(NamedTuple):
    """Two columns of numbers that wait to be compared."""

    subject: Subject
    known: NDArray[np.float64]
    new: NDArray[np.float64]

    def __call__(self, tail: float) -> Change:
        (one, its_error), (other, other_error) = map(_mean_and_error, (self.known, self.new))
        half = float(scipy.stats.norm.ppf(1 - tail / 2) * np.hypot(its_error, other_error))
        difference = other - one
        low, high = difference - half, difference + half
        return Change(self.subject, "", one, other, difference, low, high, verdict_on(low, high))


class _Shares(NamedTuple):
    """Two columns of yes and no, one entry per unit, that wait to be compared."""

    subject: Subject
    detail: str
    known: NDArray[np.float64]
    new: NDArray[np.float64]

    def __call__(self, tail: float) -> Change:
        """The interval is Newcombe's (Statistics in Medicine 17 (1998), 873–890, method 10)."""
        (p, low_p, high_p), (q, low_q, high_q) = (
            (values.mean(), *wilson_interval(values.sum(), len(values), confidence=1 - tail))
            for values in (self.known, self.new)
        )
        low, high = q - p - np.hypot(q - low_q, high_p - p), q - p + np.hypot(high_q - q, p - low_p)
        known, new, low, high = map(float, (p, q, low, high))
        return Change(self.subject, self.detail, known, new, new - known, low, high, verdict_on(low, high))


def _compared(run: Run, known: pd.DataFrame, new: pd.DataFrame) -> Iterator[_Means | _Shares]:
    """Every comparison that both tables allow; a unit counts once, with the mean of its pictures."""
    for subject, column in (
        (Subject.SIZE, "size"),
        (Subject.BRIGHTNESS, "grey_mean"),
        (Subject.CONTRAST, "grey_std"),
        (Subject.DISTANCE, "distance"),
    ):
        one, other = (_by_unit(table, _values(table, column)) for table in (known, new))
        if len(one) and len(other):
            yield _Means(subject, one, other)
    for subject, answer in ((Subject.CALLS, Answer.FRACTURE), (Subject.HUMAN, Answer.HUMAN)):
        yield _Shares(subject, "", *(_by_unit(table, table["answer"] == answer) for table in (known, new)))
    for group in GROUPS:
        name = f"nearest_{group}"
        if name in known and name in new and len(values := sorted(known[name].unique())) > 1:
            for value in values[: len(values) if len(values) > 2 else 1]:  # of two shares one says both
                parts = (_by_unit(table, table[name] == value) for table in (known, new))
                yield _Shares(Subject.GROUP, f"{group}: {value}", *parts)
    devices = set(run.reference.table.get("device", ())) if run.reference is not None else set()
    stated = new[new["device"] != ""]
    if devices and len(stated):
        unknown = _by_unit(stated, ~stated["device"].isin(devices))
        yield _Shares(Subject.DEVICE, ", ".join(sorted(set(stated["device"]) - devices)), np.zeros(len(known)), unknown)


def _values(table: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """Logs where a ratio counts: of the size, which is the side of a square of as many pixels, and of the distance."""
    if column == "size":
        return np.log(np.sqrt(table["width"] * table["height"])).to_numpy(float)
    values = table[column].to_numpy(float)
    return np.log(np.maximum(values, 1e-12)) if column == "distance" else values


def _by_unit(table: pd.DataFrame, values: ArrayLike) -> NDArray[np.float64]:
    """Means (units,) of the values that are known."""
    return pd.Series(np.asarray(values, float)).groupby(table["unit"].to_numpy()).mean().dropna().to_numpy()


def _mean_and_error(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.inf


def _answers(run: Run, known: pd.DataFrame) -> list[Answer]:
    """What `predict` would have said about the validation pictures."""
    limits, reference = run_limits(run), run.reference
    novel = reference.limit if reference is not None and reference.limit is not None else np.inf
    return [
        Answer.HUMAN if distance > novel else limits.answer(probability)[0]
        for probability, distance in zip(known["probability"], known["distance"], strict=True)
    ]


def _new_pictures(run: Run, folder: Path) -> pd.DataFrame:
    """Measures, answers, distances and resemblances of the folder's usable pictures, one row each."""
    files = list(iterate_images(folder))
    files = [files[place] for place in np.unique(np.linspace(0, len(files) - 1, min(MOST, len(files))).astype(int))]
    with ThreadPoolExecutor(min(8, available_cores())) as pool:
        facts = pd.DataFrame(list(pool.map(inspect_image, files)))
    usable = facts["problem"].isna().to_numpy()
    if usable.sum() < FEWEST:
        raise ImageError(
            f"{usable.sum()} of {len(files)} files are usable pictures: too few to compare",
            file=folder,
            cure=f"give a folder with at least {FEWEST} radiographs",
        )
    files = [file for file, good in zip(files, usable, strict=True) if good]
    features: list[NDArray[np.float32]] = []
    rows = predict_stream(run, files, on_features=features.append)
    found = pd.DataFrame(rows, columns=Predicted._fields).drop(columns="path")
    found = found.join(facts.loc[usable, [*MEASURES]].reset_index(drop=True))
    ids = Identities([folder])
    patients = pd.Series([ids.of(file)[0] for file in files])
    found["unit"] = pd.factorize(patients.where(patients != "", pd.Series(map(str, files))))[0]
    found["device"] = [ids.device(file) for file in files]
    if run.reference is not None:
        together: NDArray[Any] = np.concatenate(features)  # (N, F)
        for group in GROUPS:
            if group in run.reference.table:
                found[f"nearest_{group}"] = run.reference.vote(together, group)
    return found
