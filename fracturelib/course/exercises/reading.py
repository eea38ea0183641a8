"""The exercises of notebook 06."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from fracturelib.course.exercises.exercise import Exercise, because, near
from fracturelib.evaluation import wilson_interval

MOST_CASES = 100_000


def _needed(sensitivity: float, width: float) -> int:
    """The smallest number of cases whose interval is at most so wide."""
    for n in range(1, MOST_CASES):
        low, high = wilson_interval(sensitivity * n, n)
        if high - low <= width:
            return n
    return MOST_CASES


def _careful(value: Any, *, read: pd.DataFrame) -> str | None:
    if np.ndim(value) == 0:
        return f"this is one call; there are {len(read)} cases, and each needs one"
    calls = np.asarray(value)
    if len(calls) != len(read):
        return f"these are {len(calls)} calls for {len(read)} cases"
    return because(
        ((calls == 0).all(), "this reader calls nothing fractured: 1 means fractured"),
        (not np.isin(calls, (0, 1)).all(), "a call is 1 (fractured) or 0 (not), no probability and no word"),
        ((calls == read["label"].to_numpy()).all(), "those are the truths; this reader does not know them"),
        (not (calls == 1).all(), "this reader calls *every* film fractured"),
    )


def _rules(value: tuple[Any, Any], *, read: pd.DataFrame) -> str | None:
    either, both = (np.asarray(part) for part in value)
    one, other = (read[name].to_numpy() for name in ("called", "model_called"))
    if not len(either) == len(both) == len(read):
        return f"each rule needs one call for each of the {len(read)} cases"
    return because(
        (np.array_equal(either, one & other) and np.array_equal(both, one | other), "the two rules are swapped"),
        (not np.isin(either, (0, 1)).all(), "`either` holds something other than 0 and 1: adding is not calling"),
        (not np.isin(both, (0, 1)).all(), "`both` holds something other than 0 and 1"),
        (np.array_equal(either, one ^ other), "“either” is meant with “or both”: you left out where both say so"),
        (np.array_equal(both, one == other), "that is where they *agree*, all-clears included"),
        (np.array_equal(either, read["label"]), "that is the truth, which nobody knows when calling"),
        (not np.array_equal(either, one | other), "`either` must be 1 where at least one of them says fractured"),
        (not np.array_equal(both, one & other), "`both` must be 1 only where both say fractured"),
    )


def _planned(value: Callable[[float, float], Any]) -> str | None:
    made, half = value(0.9, 0.10), value(0.9, 0.05)
    if made is None or half is None:
        return "cases_needed() returns nothing yet"
    right = _needed(0.9, 0.10)
    simple = 4 * 1.96**2 * 0.9 * 0.1 / 0.10**2
    return because(
        (made == half, "it gives the same for every width"),
        (near(made, _needed(0.9, 0.20), 0.1), "the width goes from end to end: you counted one side only"),
        (near(made, _needed(0.9, 0.05), 0.05), "0.10 is the whole width, not the half on each side"),
        (near(made, _needed(0.5, 0.10), 0.05), "that is the number for 50 %; use the sensitivity"),
        (made < 1, "asked is a number of cases"),
        (near(value(0.5, 0.10), made, 0.02), "it does not depend on the sensitivity"),
        (near(made, simple, 0.004), "that is the simple formula; here `wilson_interval` decides"),
        (made > 1.15 * right, f"fewer cases are enough: end the search at the first one that fits (about {right})"),
        (made < right, f"with {made:.0f} cases the interval is wider than 0.10"),
    )


EXERCISES = (
    Exercise(
        key="06.1",
        title="the careful reader",
        task="Somebody calls every film fractured, to be safe. What are sensitivity, specificity, the share of right "
        "answers and kappa? Guess all four, then write down this reader's calls.",
        frame=(
            "«here»\n\n"
            'answer("06.1", careful, read=read)\n'
            "if careful is not None:\n"
            '    scored = call_scores(read["label"], careful, careful).set_index("metric")\n'
            "    display(scored.round(2))\n"
            '    kappa = cohens_kappa(careful, read["label"])["kappa"]\n'
            '    print(f"kappa: {kappa:.2f}")'
        ),
        blank="careful = None  # TODO: an array of calls, one for each row of `read`",
        solved="careful = np.ones(len(read), dtype=int)",
        hint="A call is 1 for fractured and 0 for not. NumPy can make an array of one number.",
        why="No fracture is missed, and nobody is ever sent home. Half of the answers are right because half of the "
        "cases are fractured; kappa sees through it. (The AUC is 0.5: one and the same answer for everybody ranks "
        "nobody.)",
        judge=_careful,
        claim=(
            'assert scored.loc["sensitivity", "value"] == 1 and scored.loc["specificity", "value"] == 0\n'
            'assert np.isclose(scored.loc["accuracy", "value"], read["label"].mean())\n'
            'assert np.isclose(kappa, 0), "no agreement beyond chance"'
        ),
    ),
    Exercise(
        key="06.2",
        title="two heads",
        task="You and the model read together. Rule A: fractured if *either* says so (or both). Rule B: fractured only "
        "if *both* say so. What does each rule do to sensitivity and specificity? Must it be so?",
        frame=(
            "«here»\n\n"
            'answer("06.2", (either, both), read=read)\n'
            "if either is not None and both is not None:\n"
            '    rules = {"reader": read["called"], "model": read["model_called"], "either": either, "both": both}\n'
            "    together = pd.DataFrame(\n"
            '        {name: call_scores(read["label"], calls, calls).set_index("metric")["value"]'
            " for name, calls in rules.items()}\n"
            '    ).loc[["sensitivity", "specificity", "accuracy"]]\n'
            "    display(together.round(2))"
        ),
        blank='either, both = None, None  # TODO: made of read["called"] and read["model_called"]',
        solved='either = read["called"] | read["model_called"]\nboth = read["called"] & read["model_called"]',
        hint="Both columns hold 0 and 1. Python has an *or* and an *and* for whole columns.",
        why="It must be so: *either* can only add calls, so sensitivity cannot fall and specificity cannot rise; *both* "
        "can only take calls away. Two heads are better than one only where they err on different cases, and the rule "
        "decides which kind of error is avoided.",
        judge=_rules,
        claim=(
            'alone = together[["reader", "model"]]\n'
            'assert together.loc["sensitivity", "either"] >= alone.loc["sensitivity"].max()\n'
            'assert together.loc["specificity", "either"] <= alone.loc["specificity"].min()\n'
            'assert together.loc["sensitivity", "both"] <= alone.loc["sensitivity"].min()\n'
            'assert together.loc["specificity", "both"] >= alone.loc["specificity"].max()'
        ),
    ),
    Exercise(
        key="06.3",
        title="plan a study",
        task="You want the 95 % interval of a sensitivity of 90 % to be at most 0.10 wide, from end to end. How many "
        "fractured cases must your readers read?",
        frame=(
            "def cases_needed(sensitivity: float, width: float) -> int | None:\n"
            '    """The smallest number of cases, in steps of ten, whose interval is at most so wide."""\n'
            "«here»\n\n\n"
            "needed = cases_needed(0.9, 0.10)\n"
            'answer("06.3", cases_needed if needed is not None else None)\n'
            "if needed is not None:\n"
            '    print(f"{needed} fractured cases for a width of 0.10, {cases_needed(0.9, 0.05)} for 0.05")'
        ),
        blank="    return None  # TODO: try 10, 20, 30 … cases; wilson_interval(successes, cases) gives the two ends",
        solved=(
            "    for n in range(10, 100_000, 10):\n"
            "        low, high = wilson_interval(sensitivity * n, n)\n"
            "        if high - low <= width:\n"
            "            return n\n"
            "    return None"
        ),
        hint="With n cases, sensitivity × n of them are found. Stop at the first n that fits.",
        why="About 150 fractured cases, and as many of the others for the specificity. Half the width takes four times "
        "the cases, because the width shrinks with the square root of their number.",
        judge=_planned,
        claim=(
            "assert 120 <= needed <= 160\n"
            'assert 3.5 < cases_needed(0.9, 0.05) / needed < 4.5, "half the width takes four times the cases"'
        ),
    ),
)
