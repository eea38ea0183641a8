"""Guesses before results: what is asked, what was guessed, how far it lies from what was found, and the class's files.

A guess is kept as numbers: a number as itself, a choice as the place of the option, a curve as its heights at given
places. A file of a guess holds these numbers and nothing that could name a person.
"""

from __future__ import annotations

import json
import math
import re
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from fracturelib.errors import DataWarning, EvaluationError
from fracturelib.files.readings import numbers_only, save_numbers

Values = Sequence[float] | np.ndarray
CLOSE = 0.05  # of the scale: a number or a curve that is nearer than this counts as close
_NUMBER = r"-?\d+(\.\d+)?(e[+-]?\d+)?"
_KEY = r"\d\d-[a-z0-9-]{1,30}"
_GUESS = re.compile(
    rf'\{{"format": "fracturelib guess 1", "guess": "[0-9a-f]{{32}}", "question": "{_KEY}", '
    rf'"values": \[{_NUMBER}(, {_NUMBER})*\]\}}'
)


class Kind(StrEnum):
    """What a reader is asked for."""

    NUMBER = "number"
    CHOICE = "choice"
    CURVE = "curve"


class Nearness(StrEnum):
    """How a guess lies to what was found."""

    MATCH = "match"
    CLOSE = "close"
    HIGH = "too high"
    LOW = "too low"
    OTHER = "other"


@dataclass(frozen=True)
class Question:
    """What is asked before a result is shown.

    Attributes:
        key: the notebook's number and a word, for example "03-share": it names the class's files.
        text: the question, one sentence or two.
        kind: number, choice or curve.
        low, high: ends of the scale of a number, or of the heights of a curve.
        unit: is written after a number.
        digits: decimals of a number.
        options: of a choice.
        places: of a curve, on the lower axis.
        labels: of a curve's axes.
    """

    key: str
    text: str
    kind: Kind
    low: float = 0.0
    high: float = 1.0
    unit: str = ""
    digits: int = 0
    options: tuple[str, ...] = ()
    places: tuple[float, ...] = ()
    labels: tuple[str, str] = ("", "")

    def __post_init__(self) -> None:
        if not re.fullmatch(_KEY, self.key):
            raise EvaluationError(
                f"the question's key is '{self.key}'", cure="a notebook's number and a word: 03-share"
            )

    def told(self, values: Values) -> str:
        """A guess or a finding in words."""
        if self.kind is Kind.CHOICE:
            return self.options[round(values[0])]
        unit = "" if not self.unit else (self.unit if self.unit in "×°" else f" {self.unit}")
        return f"{values[0]:,.{self.digits}f}{unit}"


def parse_number(text: str, question: Question) -> float:
    """The number that somebody typed: "40 %", "1,200", "0.5" and "1e-3" are understood.

    Raises:
        EvaluationError: it is no number, or lies off the question's scale.
    """
    plain = re.sub(r"[\s%×]|(?<=\d),(?=\d{3}\b)", "", text).replace(",", ".")
    try:
        value = float(plain)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise EvaluationError(f"“{text}” is not a number", cure="write digits, for example 40")
    if not question.low <= value <= question.high:
        raise EvaluationError(
            f"{value:g} lies off the scale", cure=f"guess between {question.low:g} and {question.high:g}"
        )
    return value


def compare_guess(question: Question, guess: Values, found: Values) -> tuple[Nearness, float]:
    """How a guess lies to the finding, and guess minus finding; for a curve the mean distance, for a choice 0."""
    if question.kind is Kind.CHOICE:
        return (Nearness.MATCH if round(guess[0]) == round(found[0]) else Nearness.OTHER), 0.0
    gaps = np.asarray(guess, float) - np.asarray(found, float)
    close = CLOSE * (question.high - question.low)
    if question.kind is Kind.CURVE:
        gap = float(np.abs(gaps).mean())
        return (Nearness.CLOSE if gap <= close else Nearness.OTHER), gap
    gap = float(gaps[0])
    if round(guess[0], question.digits) == round(found[0], question.digits):
        return Nearness.MATCH, gap
    if abs(gap) <= close:
        return Nearness.CLOSE, gap
    return (Nearness.HIGH if gap > 0 else Nearness.LOW), gap


def save_guess(folder: str | Path, question: Question, values: Values, *, number: str | None = None) -> Path:
    """Write a guess to ``folder/guess-….json`` and return the file; `number` replaces the file of an earlier call.

    Raises:
        EvaluationError: the folder cannot be written to.
    """
    number = number or uuid.uuid4().hex
    content = {
        "format": "fracturelib guess 1",
        "guess": number,
        "question": question.key,
        "values": [round(float(value), 6) for value in values],
    }
    text = json.dumps(content, sort_keys=True)
    assert _GUESS.fullmatch(text), text
    return save_numbers(Path(folder) / f"guess-{question.key}-{number[:12]}.json", text, "guess")


def pool_guesses(folder: str | Path, question: Question) -> np.ndarray:
    """All guesses of a question in a folder, one row each: (guesses, values); of no guess (0, values).

    Warns:
        DataWarning: files are left out, since they are not exactly what `save_guess` writes.
    """
    length = len(question.places) if question.kind is Kind.CURVE else 1
    kept: dict[str, list[float]] = {}
    left_out = []
    for file in sorted(Path(folder).glob(f"guess-{question.key}-*.json")):
        try:
            content = numbers_only(file, _GUESS, "guess")
            values = content["values"]
            if content["question"] != question.key or len(values) != length:
                raise ValueError("it answers another question")
            if question.kind is Kind.CHOICE and values[0] not in range(len(question.options)):
                raise ValueError("there is no such option")
        except ValueError as error:
            left_out.append(f"{file.name}: {error}")
        else:
            kept[content["guess"]] = values
    if left_out:
        warnings.warn(f"{len(left_out)} guesses left out: {'; '.join(left_out[:5])}", DataWarning, stacklevel=2)
    return np.array(list(kept.values()), float).reshape(-1, length)
