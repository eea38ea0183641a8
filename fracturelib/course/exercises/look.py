"""The exercise of notebook 00."""

from math import comb
from typing import Any

from fracturelib.course.exercises.exercise import Exercise, because, near

COIN = sum(comb(5, right) for right in (4, 5)) / 2**5


def _coin(value: Any) -> str | None:
    return because(
        (near(value, 100 * COIN), "write a share between 0 and 1, not per cent"),
        (not 0 <= value <= 1, "a probability lies between 0 and 1"),
        (near(value, comb(5, 4) / 2**5), "that is exactly 4 right; 5 of 5 count as well"),
        (near(value, 1 / 2**5), "that is 5 of 5 only, or one single order of right and wrong"),
        (near(value, 2 / 2**5), "there are five ways to be wrong once, not one"),
        (near(value, 1 - COIN), "that is the chance of 3 or fewer"),
        (near(value, 0.8), "4/5 is the share that is right, not how often a coin gets there"),
        (near(value, 0.5), "a coin is right in half of single cases; here are five cases"),
        (not near(value, COIN, 0.02), "list the orders: 2 × 2 × 2 × 2 × 2 in all, and count those with 4 or 5 right"),
    )


EXERCISES = (
    Exercise(
        key="00.1",
        title="what luck can do",
        task="You flip a coin for each of the five pictures. How probable is it that the coin is right in **four or "
        "five** of them? Write a number between 0 and 1.",
        frame='«here»\n\nanswer("00.1", by_luck)',
        blank="by_luck = None  # TODO: a number between 0 and 1",
        solved="by_luck = (5 + 1) / 2**5  # five orders with 4 right and one with 5, of 32",
        hint="Each order of right and wrong is equally probable, and there are 2⁵ = 32 of them.",
        why="6 of 32, nearly one in five. Four right of five says next to nothing about a reader, or about a model: "
        "notebooks 04 and 06 say how many pictures it takes.",
        judge=_coin,
        claim="assert 0.18 < by_luck < 0.19",
    ),
)
