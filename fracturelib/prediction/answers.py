"""From a calibrated probability, and what speaks against believing it, to one of three answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fracturelib.config import CLASS_NAMES, POSITIVE
from fracturelib.evaluation import Combination
from fracturelib.writing.verdicts import Answer, Doubt

FEWEST_PIXELS = 48  # on the short side: a fracture line needs a few of them, and so does the bone around it
SAME_GREY = 0.995  # share of the pixels within two grey values of one of them
MOST_COLOUR = 8.0  # mean difference of the largest and the smallest channel, of 255: a scanned film's tint stays below


class Limits(NamedTuple):
    """Where a run's answers change: "fracture" from `threshold` on, "no fracture" below `limit`; None: `threshold`."""

    threshold: float
    limit: float | None = None

    def call(self, probability: float) -> str:
        """The class that the threshold makes of a probability."""
        return CLASS_NAMES[int(probability >= self.threshold)]

    def answer(self, probability: float) -> tuple[Answer, Doubt]:
        """The answer to a picture that can be believed, and why a human must look if one must."""
        if self.call(probability) == CLASS_NAMES[POSITIVE]:
            return Answer.FRACTURE, Doubt.NONE
        if self.limit is None or probability < self.limit:
            return Answer.NO_FRACTURE, Doubt.NONE
        return Answer.HUMAN, Doubt.UNSURE


def doubt_about(grey: NDArray[np.uint8], colour: float) -> Doubt:
    """What is wrong with a picture (H, W) at first sight, and how far its channels differ; NONE where nothing is."""
    if min(grey.shape) < FEWEST_PIXELS:
        return Doubt.TINY
    counts = np.bincount(grey[::4, ::4].ravel(), minlength=256)
    near = np.convolve(counts, np.ones(5), mode="same")
    if near.max() >= SAME_GREY * counts.sum():
        return Doubt.BLANK
    return Doubt.COLOURED if colour > MOST_COLOUR else Doubt.NONE


class GroupAnswer(NamedTuple):
    """What is said about a study or a patient.

    Attributes:
        name: its id, or the number that stands for it.
        probability: P(fractured) by the run's rule over the pictures with a call, NaN without any.
        answer, reason: as for a picture.
        pictures: how many files there are.
        used: how many of them have a call.
    """

    name: str
    probability: float
    answer: Answer
    reason: Doubt
    pictures: int
    used: int


@dataclass
class Group:
    """The pictures of a study or a patient, added one by one.

    "No fracture" is said only where it is said about every picture, so that a guarantee for pictures holds for patients
    whatever the rule.
    """

    rule: Combination
    pictures: int = 0
    used: int = 0
    highest: float = 0.0
    total: float = 0.0
    cleared: int = 0

    def add(self, probability: float | None, answer: Answer) -> None:
        """Add a picture; None where it cannot be used."""
        self.pictures += 1
        self.cleared += answer == Answer.NO_FRACTURE
        if probability is not None:
            self.used += 1
            self.highest, self.total = max(self.highest, probability), self.total + probability

    def answer(self, name: str, limits: Limits) -> GroupAnswer:
        """What the pictures say together."""
        if not self.used:
            return GroupAnswer(name, float("nan"), Answer.HUMAN, Doubt.NO_VIEW, self.pictures, 0)
        probability = self.highest if self.rule == Combination.HIGHEST else self.total / self.used
        found, reason = limits.answer(probability)
        if found != Answer.FRACTURE:
            cleared = self.cleared == self.pictures
            found = Answer.NO_FRACTURE if cleared else Answer.HUMAN
            reason = Doubt.NONE if cleared else Doubt.A_VIEW
        return GroupAnswer(name, probability, found, reason, self.pictures, self.used)
