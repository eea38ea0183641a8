"""The exercises of notebook 04."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from fracturelib.course.exercises.exercise import Exercise, because, near

COUNTS = (30, 10, 20, 80)  # found, missed, false alarms, cleared: all rates of these differ
NAMES = ("sensitivity", "specificity", "positive predictive value")


def _by_hand(value: Callable[..., Mapping[str, float]]) -> str | None:
    found, missed, false_alarms, cleared = COUNTS
    made = value(*COUNTS)
    if made is None or not isinstance(made, Mapping):
        return "by_hand() must return a dictionary with the three names"
    if missing := [name for name in NAMES if name not in made]:
        return f"{missing[0]} is missing"
    sensitivity, specificity, ppv = (float(made[name]) for name in NAMES)
    total = sum(COUNTS)
    right = found / (found + missed), cleared / (cleared + false_alarms), found / (found + false_alarms)
    return because(
        (np.allclose((sensitivity, specificity, ppv), np.array(right) * 100), "write shares between 0 and 1"),
        (near(sensitivity, found / total), "sensitivity divides by the *fractured* images, not by all of them"),
        (near(specificity, cleared / total), "specificity divides by the images *without* a fracture, not by all"),
        (near(sensitivity, right[2]), "found / alarms is the predictive value; sensitivity divides by the fractured"),
        (near(sensitivity, right[1]), "sensitivity and specificity are the other way round"),
        (near(sensitivity, missed / (found + missed)), "that is the share that was missed"),
        (
            near(specificity, false_alarms / (cleared + false_alarms)),
            "that is the share of false alarms, 1 − specificity",
        ),
        (near(specificity, cleared / (cleared + missed)), "cleared / all-clears is the negative predictive value"),
        (near(ppv, right[0]), "the predictive value divides by the *alarms*: found and false alarms together"),
        (near(ppv, false_alarms / (found + false_alarms)), "that is the share of the alarms that are false"),
        (near(ppv, found / total), "the predictive value divides by the alarms, not by all images"),
        (not near(sensitivity, right[0]), "of 40 fractures 30 were found: the sensitivity is 0.75"),
        (not near(specificity, right[1]), "of 100 others 80 were cleared: the specificity is 0.80"),
        (not near(ppv, right[2]), "of 50 alarms 30 were right: the predictive value is 0.60"),
    )


def _table(*, found: int, missed: int, false_alarms: int, cleared: int) -> pd.DataFrame:
    """A validation table whose counts at the threshold 0.5 are these."""
    label = [1] * (found + missed) + [0] * (false_alarms + cleared)
    probability = [0.9] * found + [0.1] * missed + [0.9] * false_alarms + [0.1] * cleared
    names = [f"{number}.png" for number in range(len(label))]
    return pd.DataFrame({"path": names, "split": "val", "label": label, "probability": probability})


def _total_cost(value: Callable[..., Any]) -> str | None:
    table = _table(found=7, missed=3, false_alarms=5, cleared=11)
    cost, even = value(table, 0.5), value(table, 0.5, miss=1, false_alarm=1)
    if cost is None:
        return "total_cost() returns nothing yet"
    cost, even = float(cost), float(even)
    return because(
        (cost < 0, "a cost is not negative"),
        (near(cost, 20 * 5 + 3), "the prices are the wrong way round: the row says the truth, the column the call"),
        (near(cost, 3 + 5), "that is the number of mistakes; a miss costs more than a false alarm"),
        (near(cost, 20 * 7 + 5), "found fractures cost nothing: price the *missed* ones"),
        (near(cost, 20 * 3), "the false alarms are missing"),
        (near(cost, 5), "the misses are missing"),
        (near(cost, 20 * 3 + 11), "cleared images cost nothing: price the false alarms"),
        (near(cost, (20 * 3 + 5) / 26), "that is the cost per image; asked is the total"),
        (cost == even, "it does not depend on the prices: multiply by `miss` and `false_alarm`"),
        (not near(cost, 65), "3 misses at 20 and 5 false alarms at 1 make 65"),
        (not near(even, 8), "write `miss` and `false_alarm` for the prices, not numbers"),
        (not near(value(table, 0.05), 16), "the threshold is not used"),
    )


def _times(value: Any) -> str | None:
    return because(
        (near(value, 2), "that would hold if the width fell like the number; compare with the printed widths"),
        (near(value, np.sqrt(2)), "the root goes the other way: √n is in the *width*"),
        (near(value, 0.25) or near(value, 0.5), "for a narrower interval it takes more images, not fewer"),
        (near(value, 16), "that gives a quarter of the width"),
        (near(value, 8), "the width falls with the square root, not with the third root"),
        (value < 1, "for a narrower interval it takes more images, not fewer"),
        (not near(value, 4, 0.05), "the width shrinks with the square root of the number of independent images"),
    )


EXERCISES = (
    Exercise(
        key="04.1",
        title="by hand",
        task="Complete the function: from the four counts to sensitivity, specificity and positive predictive value. "
        "Then compare with the table in section 1.",
        frame=(
            "def by_hand(found: int, missed: int, false_alarms: int, cleared: int) -> dict[str, float] | None:\n"
            "«here»\n\n\n"
            "(cleared, false_alarms), (missed, found) = confusion_at(predictions, run.threshold).to_numpy()\n"
            "mine = by_hand(found, missed, false_alarms, cleared)\n"
            'answer("04.1", by_hand if mine else None)\n'
            "if mine:\n"
            '    print("; ".join(f"{name} {share:.2f}" for name, share in mine.items()))'
        ),
        blank='    return None  # TODO: a dictionary with "sensitivity", "specificity" and "positive predictive value"',
        solved=(
            "    return {\n"
            '        "sensitivity": found / (found + missed),\n'
            '        "specificity": cleared / (cleared + false_alarms),\n'
            '        "positive predictive value": found / (found + false_alarms) if found + false_alarms else np.nan,\n'
            "    }"
        ),
        hint="Ask of each: of *which* images is it the share? The fractured, the others, or the alarms?",
        why="The numbers are those that the run has stored. Note what each one divides by: the fractured, the others, "
        "and the alarms.",
        judge=_by_hand,
        claim=(
            'stored = {row["metric"]: row["value"] for row in run.metrics["scores"]}\n'
            'assert all(np.isclose(mine[name], stored[name]) for name in ("sensitivity", "specificity"))'
        ),
    ),
    Exercise(
        key="04.2",
        title="what a miss costs",
        task="A missed fracture costs twenty times as much as a false alarm. Write the total cost of a threshold, and "
        "find the cheapest one on the *validation* images, without the rule of section 4. Is it above or below Youden's?",
        frame=(
            "def total_cost(table: pd.DataFrame, threshold: float, *, miss: float = 20, false_alarm: float = 1) -> float | None:\n"
            '    """What the mistakes at this threshold cost."""\n'
            "«here»\n\n\n"
            "costs = {value: total_cost(validation, value) for value in np.linspace(0.005, 0.995, 199)}\n"
            "filled = None not in costs.values()\n"
            'answer("04.2", total_cost if filled else None)\n'
            "if filled:\n"
            "    cheapest = min(costs, key=costs.get)\n"
            '    youden, rule = (choose_threshold(validation, rule=name) for name in ("youden", "costs=20:1"))\n'
            "    print(f\"cheapest threshold {cheapest:.2f}, by the library's rule {rule:.2f}, Youden's {youden:.2f}\")"
        ),
        blank=(
            "    # TODO: counts with confusion_at, as in exercise 1: [[cleared, false alarms], [missed, found]]\n"
            "    # TODO: price the two kinds of mistake\n"
            "    return None"
        ),
        solved=(
            "    (_, false_alarms), (missed, _) = confusion_at(table, threshold).to_numpy()\n"
            "    return float(miss * missed + false_alarm * false_alarms)"
        ),
        hint="Rows are the truth, columns the call. Which two of the four counts are mistakes?",
        why="When a miss is costly, the cheapest threshold is low: the model should rather alarm too often. In theory, "
        "a perfectly calibrated model should call an image fractured as soon as *p* × 20 > (1 − *p*) × 1, that is from "
        "*p* = 1/21 ≈ 0.05 on. Youden's rule knows nothing of costs.",
        judge=_total_cost,
        claim=(
            "assert total_cost(validation, cheapest) <= total_cost(validation, youden)\n"
            'assert total_cost(validation, rule) <= min(costs.values()), "the rule looks at every threshold"\n'
            "even = min(costs, key=lambda value: total_cost(validation, value, miss=1))\n"
            'assert cheapest <= even, "the more a miss costs, the lower the threshold"'
        ),
        further=(
            "figure, ax = plt.subplots(figsize=(7.5, 4))\n"
            "ax.plot(list(costs), list(costs.values()), color=INK)\n"
            'ax.axvline(cheapest, color=INK, linestyle="--", label=f"cheapest: {cheapest:.2f}")\n'
            'ax.axvline(youden, color=INK, linestyle=":", label=f"Youden: {youden:.2f}")\n'
            'ax.set(xlabel="threshold", ylabel="cost on the validation images")\n'
            'ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)\n'
            'show(figure, f"Total cost against the threshold; cheapest at {cheapest:.2f}, Youden\'s {youden:.2f}.")'
        ),
    ),
    Exercise(
        key="04.3",
        title="how many test images?",
        task="The cell compares the width of the interval of the accuracy on a quarter of the test images (the mean of "
        "ten quarters) and on all of them. To **halve** the width of an interval, how many times as many images does it "
        "take?",
        frame=(
            "def width_of(part: pd.DataFrame) -> float:\n"
            '    """Width of the 95 % interval of the accuracy, by patients."""\n'
            "    units = units_of(part).codes\n"
            '    found = scores(part["label"], part["probability"], threshold=run.threshold, sources=units, resamples=400)\n'
            '    row = found.set_index("metric").loc["accuracy"]\n'
            '    return row["high"] - row["low"]\n\n\n'
            "quarters = [width_of(predictions.sample(frac=0.25, random_state=seed)) for seed in range(10)]\n"
            "widths = float(np.mean(quarters)), width_of(predictions)\n"
            'print(f"a quarter: width {widths[0]:.3f}; all: width {widths[1]:.3f}")\n'
            "«here»\n"
            'answer("04.3", times_as_many)'
        ),
        blank="times_as_many = None  # TODO: a number",
        solved="times_as_many = 4",
        hint="Four times as many images: the cell shows what that does to the width.",
        why="About twice as wide with a quarter of the images: the width shrinks with the *square root* of the number "
        "of (independent) images. Half the width takes four times as many images, a tenth of it a hundred times as many.",
        judge=_times,
        claim='assert 1.3 < widths[0] / widths[1] < 3, "a quarter of the images: about twice as wide"',
    ),
)
