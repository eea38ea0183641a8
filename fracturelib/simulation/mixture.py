"""Who is in a set: settings dealt so that every split has the same mixture, whatever its size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, product
from typing import NamedTuple

import numpy as np

Shares = Mapping[str, Mapping]

SHARES: Shares = {
    "region": {
        "forearm": 4 / 24, "wrist": 4 / 24, "hand": 6 / 24, "upper arm": 3 / 24, "thigh": 3 / 24, "lower leg": 4 / 24,
    },
    "age_group": {"child": 0.3, "adult": 0.5, "older": 0.2},
    "hardware": {False: 0.9, True: 0.1},
    "cast": {False: 0.88, True: 0.12},
}  # fmt: skip
HANDS_SHIFTED = {"train": 0.03, "val": 0.03, "test": 0.3}  # share of hands where the mixture differs on purpose


class Mixture(NamedTuple):
    """What is dealt evenly over the splits."""

    region: str
    age_group: str
    hardware: bool
    cast: bool


SINGLE_WEIGHT, PAIR_WEIGHT = 6.0, 1.0
CELLS = [Mixture(*values) for values in product(*SHARES.values())]


def shifted_shares(split: str) -> Shares:
    """The shares of a split with few hands to learn from and many to be tested on."""
    hands, usual = HANDS_SHIFTED[split], SHARES["region"]
    others = (1 - hands) / (1 - usual["hand"])
    return {**SHARES, "region": {name: hands if name == "hand" else others * share for name, share in usual.items()}}


def draw_mixture(rng: np.random.Generator) -> Mixture:
    """One mixture by chance."""
    return CELLS[rng.choice(len(CELLS), p=_chances(SHARES))]


def deal_mixtures(rng: np.random.Generator, shares: Shares = SHARES) -> Iterator[Mixture]:
    """Mixtures without end, each the one that brings what was dealt so far closest to the wanted shares.

    Minimisation (Pocock and Simon, Biometrics 31, 1975) over region, age group, metal, plaster and every pair of them,
    the single ones counting most. Every pair starts from a random remainder, so that a combination that is too rare for
    a small split turns up in some sets, as often as its share says, and not in none.
    """
    cells, weights = _margins()
    chances = _chances(shares)
    wanted = chances @ cells  # (M,) share of every margin
    dealt = np.where(weights == PAIR_WEIGHT, rng.uniform(-0.5, 0.5, len(wanted)), 0.0)
    for number in range(1, 1 << 62):
        off = dealt + cells - number * wanted  # (C, M)
        cost = (off**2) @ weights + rng.uniform(0, 0.3, len(CELLS))
        best = int(np.argmin(np.where(chances > 0, cost, np.inf)))
        dealt += cells[best]
        yield CELLS[best]


def _chances(shares: Shares) -> np.ndarray:
    """(C,) share of every cell where all columns are independent."""
    columns = [shares[name] for name in Mixture._fields]
    return np.array([np.prod([share[value] for share, value in zip(columns, cell, strict=True)]) for cell in CELLS])


def _margins() -> tuple[np.ndarray, np.ndarray]:
    """(C, M) which cell belongs to which margin, and the (M,) weights of the margins."""
    columns, weights = [], []
    for size, weight in ((1, SINGLE_WEIGHT), (2, PAIR_WEIGHT)):
        for places in combinations(range(len(Mixture._fields)), size):
            parts = [tuple(cell[place] for place in places) for cell in CELLS]
            for value in dict.fromkeys(parts):
                columns.append([float(part == value) for part in parts])
                weights.append(weight)
    return np.array(columns).T, np.array(weights)
