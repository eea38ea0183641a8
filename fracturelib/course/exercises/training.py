"""The exercises of notebook 03."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from fracturelib.config import TrainConfig
from fracturelib.course.exercises.exercise import Exercise, because, near
from fracturelib.course.studies import HeadRun, Workbench, learning_rate_range, suggested_rate

BEGUN = 0.45  # a training loss above this at the end: the head has hardly begun (ln 2 is knowing nothing)
FEWEST_WIDTHS = 3
# Settings that the trainings of this exercise do not depend on, but for other luck: the features are there already.
NO_CURE = {
    "seed": "another seed is other luck with other images, no cure: the next seed may take it back",
    **dict.fromkeys(
        ("data", "image_size", "views", "weights", "architecture"),
        "the features have been computed already: this setting no longer changes anything",
    ),
}


def _price(value: Callable[[int, float], Any]) -> str | None:
    said = {(truth, p): value(truth, p) for truth in (0, 1) for p in (0.01, 0.2, 0.5, 0.9)}
    if any(result is None for result in said.values()):
        return "price() returns nothing yet, at least for one of the two truths"
    found = np.array([float(result) for result in said.values()])
    p = np.array([p for _, p in said])
    truth = np.array([truth for truth, _ in said])
    given = np.where(truth == 1, p, 1 - p)  # the probability of what turned out to be true
    wrong = {
        "a probability is no price: the surer the answer, the less it must cost": (p, given),
        "a price is not negative; put a minus before the logarithm": (np.log(p), np.log(given)),
        "this ignores the truth: without a fracture, what counts is 1 − p": (-np.log(p),),
        "truth 1 means fractured: you have the two cases the other way round": (-np.log(1 - given),),
        "this ignores the truth, and takes 1 − p for a fracture as well": (-np.log(1 - p),),
        "take the natural logarithm, np.log": (-np.log10(given), -np.log2(given)),
        "this is the distance to the truth; it has an upper limit, and the loss has none": (
            1 - given,
            (1 - given) ** 2,
        ),
        "only one of the two terms counts, the one of the truth": (-np.log(p) - np.log(1 - p),),
    }
    for reason, answers in wrong.items():
        if any(np.allclose(found, answer) for answer in answers):
            return reason
    return because(
        ((found < 0).any(), "a price is not negative"),
        (
            not np.allclose(found, -np.log(given)),
            "price(1, 0.2) must be −ln 0.2 ≈ 1.61, and price(0, 0.2) −ln 0.8 ≈ 0.22",
        ),
    )


def _rescue(value: Mapping[str, Any], *, before: HeadRun, now: HeadRun | None, config: TrainConfig) -> str | None:
    if not isinstance(value, Mapping):
        return 'write a setting and its value in braces: {"name": value}'
    if not value or now is None:
        return "put one setting into `change`"
    if len(value) > 1:
        return "change one setting only, or you cannot tell which of them helped"
    (name, new), old = next(iter(value.items())), asdict(config)
    if old.get(name) == new:
        return f"{name} has this value already"
    if name in NO_CURE:
        return NO_CURE[name]
    end, was = now.history.iloc[-1], before.history.iloc[-1]["val_loss"]
    rose = f"the validation loss at the end went from {was:.2f} to {end['val_loss']:.2f}"
    return because(
        (not end["val_loss"] < was, f"{rose}. It did not help, at least not with this value"),
        (
            end["train_loss"] > BEGUN,
            f"{rose}, but the training loss is still {end['train_loss']:.2f}: the head has hardly begun to learn. "
            "A sham cure: whoever learns nothing learns nothing by heart",
        ),
    )


def _rates(value: Mapping[int, float], *, bench: Workbench, config: TrainConfig) -> str | None:
    if not isinstance(value, Mapping):
        return "`suggestions` is a dictionary: the width, and the rate that its range test suggests"
    if len(value) < FEWEST_WIDTHS:
        return f"try at least {FEWEST_WIDTHS} widths, and put a rate into `suggestions` for each"
    if any(isinstance(rate, pd.DataFrame) for rate in value.values()):
        return "these are the tables of the tests; `suggested_rate` reads the rate out of a table"
    widths = sorted(value)
    narrow = learning_rate_range(bench, replace(config, hidden_units=widths[0]))
    usual = suggested_rate(learning_rate_range(bench, config))
    right = suggested_rate(narrow)
    return because(
        (widths[-1] < 8 * widths[0], "these widths are too alike: take some from 4 to 1024"),
        (
            len(set(value.values())) == 1 and near(value[widths[0]], usual) and not near(usual, right),
            "all tests ran with the recipe's width: give each test settings with its own `hidden_units`",
        ),
        (
            near(value[widths[0]], 10 * right, 0.05),
            "that is where the loss is lowest; the rate to start with is a tenth of it, as `suggested_rate` says",
        ),
        (not near(value[widths[0]], right), f"the range test with {widths[0]} units suggests {right:.2g}"),
    )


EXERCISES = (
    Exercise(
        key="03.1",
        title="the price of certainty",
        task="Complete `price`. What does it cost to say 0.01 when there *is* a fracture? What if the model says "
        "0.0001? And what does 0.01 cost when there is none?",
        frame=(
            "def price(truth: int, probability: float) -> float | None:\n"
            '    """Binary cross-entropy of one answer; truth is 1 for fractured, 0 for not."""\n'
            "«here»\n\n\n"
            'answer("03.1", price if price(1, 0.5) is not None else None)\n'
            "if price(1, 0.5) is not None:\n"
            "    for said in (0.5, 0.01, 0.0001):\n"
            '        print(f"says {said}: {price(1, said):.2f} if fractured, {price(0, said):.2f} if not")'
        ),
        blank="    return None  # TODO: section 3 has the formula in words",
        solved="    return -np.log(probability if truth == 1 else 1 - probability)",
        hint="First find the probability that was given to what turned out to be true. It is p only for a fracture.",
        why="0.01 costs 4.61, and 0.0001 costs exactly twice as much: the price grows by the same amount for each "
        "further zero. It has no upper limit. One image that a model gets wrong with absolute certainty would make the "
        "loss of the whole batch infinite; PyTorch therefore caps the logarithm at −100.",
        judge=_price,
        claim="assert np.isclose(price(1, 0.5), np.log(2))\nassert np.isclose(price(1, 0.0001), 2 * price(1, 0.01))",
    ),
    Exercise(
        key="03.2",
        title="rescue the overfitted head",
        task="Keep the 24 images, and change **one** setting of `by_heart` so that the validation loss at the end is "
        "lower. Not every setting that sounds right helps, and one kind only seems to help, because the head has hardly "
        "begun to learn.",
        frame=(
            "«here»\n\n"
            "rescued = train_head(bench, replace(by_heart, **change), images=24, number=3) if len(change) == 1 else None\n"
            'answer("03.2", change or None, before=overfitted, now=rescued, config=by_heart)\n'
            "if rescued is not None:\n"
            '    display(run_table([overfitted, rescued]).set_index("run"))\n'
            '    ends = [run.history["val_loss"].iloc[-1] for run in (overfitted, rescued)]\n'
            '    print(f"validation loss at the end: {ends[0]:.2f} before, {ends[1]:.2f} now")'
        ),
        blank="change = {}  # TODO: the name of one setting and its new value",
        solved='change = {"patience": 3}',
        hint="The names of the settings stand in the table: hidden_units, dropout, learning_rate, batch_size, patience …",
        why="Early stopping is the cheapest cure: it leaves before the damage is done. Dropout and a narrow head slow "
        "the learning by heart down, and do not always help. A tiny learning rate looks like a cure, but only because "
        "it has hardly begun. What helps for good is more images, and that was not allowed here.",
        judge=_rescue,
        setup=(
            'LONG = {"epochs": 100, "patience": 100, "step_size": 100}\n'
            "by_heart = replace(config, hidden_units=1024, dropout=0.0, batch_size=8, **LONG)\n"
            "overfitted = train_head(bench, by_heart, images=24, number=2)"
        ),
        claim=(
            'assert rescued.history["val_loss"].iloc[-1] < overfitted.history["val_loss"].iloc[-1]\n'
            'assert rescued.history.attrs["stopped_early"], "early stopping ends before the worst"'
        ),
        further=(
            "changes = {\n"
            '    "as it was": {},\n'
            '    "patience 3": {"patience": 3},\n'
            '    "dropout 0.9": {"dropout": 0.9},\n'
            '    "4 hidden units": {"hidden_units": 4},\n'
            '    "learning rate / 100": {"learning_rate": 1e-5},\n'
            "}\n"
            "tried = {name: train_head(bench, replace(by_heart, **one), images=24) for name, one in changes.items()}\n"
            "last = {name: run.history.iloc[-1] for name, run in tried.items()}\n"
            'columns = {"epoch": "last epoch", "train_loss": "training loss there", "val_loss": "validation loss there"}\n'
            'table = pd.DataFrame(last).T[list(columns)].astype(float).astype({"epoch": int})\n'
            "table.rename(columns=columns).round(3)"
        ),
    ),
    Exercise(
        key="03.3",
        title="one learning rate for all heads?",
        task="Do a narrow and a wide head want the same learning rate? Run the range test for at least three widths "
        "(hidden units) from 4 to 1024, and compare the suggestions. Guess first: which one can take the larger steps?",
        frame=(
            "suggestions = {}  # width: suggested rate\n"
            "«here»\n\n"
            'answer("03.3", suggestions or None, bench=bench, config=config)\n'
            "if suggestions:\n"
            '    display(pd.Series(suggestions, name="suggested learning rate").rename_axis("head width").to_frame())'
        ),
        blank=(
            "# TODO: for some widths, run the range test with these `hidden_units`, and put what it suggests into\n"
            "# suggestions[width]"
        ),
        solved=(
            "for width in [4, 64, 1024]:\n"
            "    of_width = replace(config, hidden_units=width)\n"
            "    suggestions[width] = suggested_rate(learning_rate_range(bench, of_width))"
        ),
        hint="Section 8 runs the test for the recipe in two lines. Here only the settings differ.",
        why="In a wide head, each step moves the result by the sum of many small changes, so a step of the same length "
        "goes further: the narrow head usually tolerates the larger rate. One rate does not fit all heads, and not all "
        "trunks either. Do not read the suggestions to two digits: they come from one short training each.",
        judge=_rates,
        claim='assert all(np.isfinite(rate) for rate in suggestions.values()), "in each test the loss falls first"',
        further=(
            "tests = {width: learning_rate_range(bench, replace(config, hidden_units=width)) for width in suggestions}\n"
            "figure, axes = plt.subplots(1, len(tests), figsize=(15, 4.2), sharex=True)\n"
            "for ax, (width, test) in zip(axes, tests.items(), strict=True):\n"
            "    learning_rate_range_curve(test, suggested=suggestions[width], ax=ax)\n"
            "    ax.get_legend().remove()  # dots are batches, the line their running mean, dotted the suggestion\n"
            '    ax.set_title(f"{width} hidden units: {suggestions[width]:.1g}")\n'
            'words = "; ".join(f"{rate:.1g} for {width} units" for width, rate in suggestions.items())\n'
            'show(figure, f"Range tests of three heads. Suggested learning rates: {words}.")'
        ),
    ),
)
