"""Assessment sheets with other numbers for every seed: the answers are nowhere until they are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

HEAD = 512 * 256 + 256 + 256 + 1  # parameters of the recipe's head on 512 features


class Item(NamedTuple):
    """A question with its answer, both Markdown."""

    question: str
    answer: str


def make_sheet(seed: int) -> list[Item]:
    """Ten questions in a fixed order, with numbers drawn by `seed`."""
    rng = np.random.default_rng([seed, 2026])
    return [make(rng) for make in QUESTIONS]


def sheet_text(seed: int, *, answers: bool = False) -> str:
    """The sheet as Markdown: the questions, or the answers to them."""
    title = f"# Assessment sheet {seed}" + (": answers" if answers else "")
    note = "For teachers only." if answers else "Twenty minutes. A pocket calculator is allowed."
    lines = [item.answer if answers else item.question for item in make_sheet(seed)]
    return "\n\n".join([title, note, *(f"{number}. {line}" for number, line in enumerate(lines, 1))]) + "\n"


def _trained(rng: np.random.Generator) -> Item:
    millions = float(rng.choice([5.3, 8.0, 11.2, 21.3, 23.5]))
    share = 100 * HEAD / (HEAD + millions * 1e6)
    return Item(
        f"A network with {millions} million parameters is frozen, and a head of {HEAD:,} parameters is trained. Which "
        "share of all parameters is trained? What else, besides the parameters, must not change in a frozen trunk?",
        f"{share:.1f} %. The running averages of the batch-norm layers.",
    )


def _price(rng: np.random.Generator) -> Item:
    said = float(rng.choice([0.05, 0.1, 0.3, 0.4, 0.7, 0.9]))
    truth = int(rng.integers(2))
    word = ("not fractured", "fractured")[truth]
    return Item(
        f"The truth is *{word}*; the model says P(fractured) = {said}. What is the binary cross-entropy of this image?",
        f"−ln {said if truth else round(1 - said, 2)} ≈ {-math.log(said if truth else 1 - said):.2f}.",
    )


def _curves(rng: np.random.Generator) -> Item:
    best = int(rng.integers(2, 8))
    patience = int(rng.integers(2, 6))
    return Item(
        f"The validation loss is lowest in epoch {best} and clearly higher in all later ones, while the training loss goes on falling. With "
        f"patience {patience}, after which epoch does early stopping end? Whose weights are kept? What is this called?",
        f"After epoch {best + patience}. Those of epoch {best}. Overfitting.",
    )


def _rates(rng: np.random.Generator) -> Item:
    fractured, others = 10 * int(rng.integers(6, 15)), 10 * int(rng.integers(16, 40))
    found, alarms = int(fractured * rng.uniform(0.6, 0.95)), int(others * rng.uniform(0.1, 0.4))
    right = found + others - alarms
    return Item(
        f"Of {fractured} fractured and {others} other test images, the model calls {found} of the fractured and {alarms} of "
        "the others fractured. Give sensitivity, specificity, accuracy and the positive predictive value in these data.",
        f"Sensitivity {found / fractured:.1%}; specificity {1 - alarms / others:.1%}; accuracy "
        f"{right / (fractured + others):.1%}; positive predictive value {found / (found + alarms):.1%}.",
    )


def _prevalence(rng: np.random.Generator) -> Item:
    sensitivity, specificity = (int(rng.integers(14, 20)) * 5 for _ in range(2))
    one_in = int(rng.choice([20, 50, 100, 200]))
    broken = 10_000 // one_in
    found, false = broken * sensitivity / 100, (10_000 - broken) * (100 - specificity) / 100
    return Item(
        f"Sensitivity {sensitivity} %, specificity {specificity} %, and 1 patient in {one_in} has a fracture. Of 10,000 "
        "patients, how many alarms are there, and how many of them are right?",
        f"{found:.0f} right and {false:.0f} false alarms, {found + false:.0f} in all: {found / (found + false):.1%} are "
        "right.",
    )


def _threshold(rng: np.random.Generator) -> Item:
    tried = int(rng.choice([20, 50, 99, 200]))
    return Item(
        f"A student tries {tried} thresholds on the test set and reports the best accuracy. What is wrong, and what should "
        "have been done?",
        "The test set has been used to choose, so its score is flattered: it has become a validation set. Choose on "
        "validation images, then open the test set once.",
    )


def _copies(rng: np.random.Generator) -> Item:
    originals, copies = int(rng.integers(10, 40)) * 10, int(rng.integers(8, 50))
    return Item(
        f"A set has {originals * copies:,} files made of {originals} radiographs by rotation, dealt at random to three "
        "splits. Why is a test accuracy of 98 % no news? What is the effective sample size?",
        f"Copies of the test radiographs were in training (leakage): the test measures memory. About {originals}, shared "
        "out over the splits.",
    )


def _calibration(rng: np.random.Generator) -> Item:
    said = int(rng.choice([80, 90, 95]))
    true = said + int(rng.choice([-25, -15, 4]))
    verdict = "Over-confident" if true < said else "Under-confident"
    side = "above" if true < said else "below"
    return Item(
        f"Of all pictures that the model gives {said} %, {true} % are fractured. Is it over- or under-confident? Does it "
        "need a temperature above or below 1? What does the temperature leave as it is?",
        f"{verdict}; {side} 1. The ranking, and so the AUC.",
    )


def _shortcut(rng: np.random.Generator) -> Item:
    blind = round(float(rng.uniform(0.66, 0.8)), 2)
    return Item(
        f"A program that sees only width, height and brightness of the file reaches an AUC of {blind}. The network reaches "
        f"{blind + 0.03:.2f}. What do you conclude?",
        "Perhaps very little was learnt about bones: most of the score can be had from the way the images were made. Look "
        "for a difference with an interval, for the shortcut, and test where it is absent.",
    )


def _groups(rng: np.random.Generator) -> Item:
    share, low, high = (
        int(rng.integers(10, 31)),
        round(float(rng.uniform(0.5, 0.6)), 2),
        round(float(rng.uniform(0.8, 0.9)), 2),
    )
    group = str(rng.choice(["hands", "children", "images with metal"]))
    return Item(
        f"{share} % of the test images are {group}. Among them the AUC is {low}, among all others {high}; validation shows "
        f"{high}. Why did validation not warn? What would you do first?",
        f"It holds (nearly) no {group}. Count them in training and validation; get more of them, and judge on fresh images "
        "of the mixture that will be met.",
    )


QUESTIONS: tuple[Callable[[np.random.Generator], Item], ...] = (
    _trained, _price, _curves, _rates, _prevalence, _threshold, _copies, _calibration, _shortcut, _groups,
)  # fmt: skip
