"""Which radiographs a reader gets, and what the reader said of them so far."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from fracturelib import catalog
from fracturelib.config import POSITIVE
from fracturelib.files.readings import SURENESS, case_keys

ANSWERS = ["called", "sure", "seconds"]


class Reading:
    """One reader's way through the cases: call, say how sure, next; one step back at a time.

    Args:
        cases: from `choose_cases`; only their number and order matter here. The label is never looked at.
        clock: seconds, for tests.
    """

    def __init__(self, cases: pd.DataFrame, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.cases, self._clock = cases, clock
        self._answers: list[tuple[int, int, float]] = []
        self.called: int | None = None  # of the present case, not final before `rate`
        self._since = clock()

    @property
    def position(self) -> int:
        """How many cases are answered, which is also the row of the present one."""
        return len(self._answers)

    @property
    def finished(self) -> bool:
        return self.position == len(self.cases)

    def call(self, called: int) -> None:
        """1 for fractured, 0 for not; may be changed until `rate`."""
        if not self.finished:
            self.called = called

    def rate(self, sure: int) -> bool:
        """1…3, how sure (`SURENESS`); ends the case. False where there is no call yet to be sure of."""
        if self.called is None or sure not in SURENESS:
            return False
        now = self._clock()
        self._answers.append((self.called, sure, now - self._since))
        self.called, self._since = None, now
        return True

    def back(self) -> None:
        """Return to the case before, whose answer is forgotten."""
        if self._answers:
            self._answers.pop()
        self.called, self._since = None, self._clock()

    def answers(self) -> pd.DataFrame:
        """The answered cases with the columns called (0 or 1), sure (1…3) and seconds."""
        answered = catalog.rows(self.cases, slice(self.position)).reset_index(drop=True)
        found = pd.DataFrame(self._answers, columns=ANSWERS).astype({"called": int, "sure": int, "seconds": float})
        return answered.assign(**found)


def stand_in_reader(cases: pd.DataFrame, *, right: float = 0.75) -> pd.DataFrame:
    """Of fifty `simulated_reader`s the first one whose share of right answers is nearest to `right`: it errs, too."""
    readers = [simulated_reader(cases, seed=seed) for seed in range(50)]
    return min(readers, key=lambda answers: abs((answers["called"] == answers["label"]).mean() - right))


def simulated_reader(cases: pd.DataFrame, *, skill: float = 1.0, seed: int = 0) -> pd.DataFrame:
    """Answers of a made-up reader, in the form of `Reading.answers`, for figures without anybody at the keyboard.

    Signal detection with equal variances (Green and Swets, 1966): evidence is normal around 0, and around `skill` × 0.5
    to 2.5 for a fracture, the more the plainer it is. From 1 on the reader calls a fracture, and is the surer the
    farther from 1 the evidence lies.
    """
    rng = np.random.default_rng(seed)
    broken = cases["label"].to_numpy() == POSITIVE
    plain = np.full(len(cases), 0.5)
    if "conspicuity" in cases:
        plain = cases["conspicuity"].rank(pct=True).fillna(0.5).to_numpy(float)
    evidence = rng.normal(size=len(cases)) + broken * skill * (0.5 + 2 * plain)
    sure = 1 + np.searchsorted([0.5, 1.2], np.abs(evidence - 1.0))
    seconds = rng.gamma(4, 3, len(cases)).round(1)
    return cases.assign(called=(evidence > 1.0).astype(int), sure=sure, seconds=seconds)


def simulated_class(cases: pd.DataFrame, *, readers: int = 12) -> pd.DataFrame:
    """A made-up class in the form of `pool_readings`, from readers of little skill to readers of much."""
    skills = np.linspace(0.6, 1.7, readers)
    answers = [simulated_reader(cases, skill=skill, seed=number) for number, skill in enumerate(skills)]
    made_up = [own.assign(reader=number, case=case_keys(cases)) for number, own in enumerate(answers, 1)]
    return pd.concat(made_up, ignore_index=True).assign(day="", again=False)
