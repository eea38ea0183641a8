"""What an exercise consists of: the notebook's cell, the solution's cell and the judge are made of one object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

HERE = "«here»"  # where the frame leaves room for the reader's lines


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        key: the notebook's number and the exercise's, "03.1".
        title, task: of the heading, and what is to be done, in Markdown.
        frame: the cell's code; at `HERE` stand the reader's lines.
        blank: these lines before anything is filled in; they run, and are no answer.
        solved: these lines in the solution.
        hint: one sentence that helps without giving the answer away.
        why: what the solution means, in Markdown.
        judge: the answer and what the cell gives with it → None if it is right, or why it is wrong.
        setup: lines of the solutions notebook that make what the frame needs, if its beginning does not.
        claim: asserts that stand below the solution.
        further: a cell below the solution that goes on from it, for example with a figure.
    """

    key: str
    title: str
    task: str
    frame: str
    blank: str
    solved: str
    hint: str
    why: str
    judge: Callable[..., str | None]
    setup: str = ""
    claim: str = ""
    further: str = ""

    @property
    def cell(self) -> str:
        """The code of the notebook's cell."""
        return self.frame.replace(HERE, self.blank)

    @property
    def solution(self) -> str:
        """The same cell with the solution in it."""
        return self.frame.replace(HERE, self.solved)


def because(*rules: tuple[Any, str]) -> str | None:
    """The reason of the first rule that holds; None where none does, so that the answer is right."""
    return next((reason for wrong, reason in rules if wrong), None)


def near(value: Any, other: float, share: float = 0.01) -> bool:
    """Whether two numbers agree within a share of the second one."""
    return bool(abs(float(value) - other) <= share * abs(other) + 1e-12)
