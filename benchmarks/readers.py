"""How often is a reader study's test wrong? `python -m benchmarks.readers [--quick] [--json FILE]`.

Roe and Metz's model (Academic Radiology 4 (1997), 298–303) makes the scores of readers who do equally well in both
modalities. The test should call a difference in 5 % of such studies: type I error. Beside it stand the two simple
tests, which count only the cases or only the readers, and how often the interval of a modality's mean AUC holds the
true one: near 1 it is too narrow, since it is symmetric and the estimate is not.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.outcome import finish, options, row
from fracturelib.course.reader_study.multireader import Random, auc_covariances, f_test, mean_intervals
from fracturelib.evaluation import wilson_interval

# Variances of case, modality × case, reader × case and the rest (they sum to 1), and which reader variance goes along.
STRUCTURES = {
    "low reader variance, low correlation": ("low", (0.1, 0.1, 0.2, 0.6)),
    "low reader variance, high correlation": ("low", (0.3, 0.3, 0.2, 0.2)),
    "high reader variance, low correlation": ("high", (0.1, 0.1, 0.2, 0.6)),
    "high reader variance, high correlation": ("high", (0.3, 0.3, 0.2, 0.2)),
}
# AUC of the mean reader → separation of the classes, and the variance of readers (and of modality × reader).
SEPARATIONS = {0.702: 0.75, 0.855: 1.50, 0.961: 2.50}
READER_VARIANCES = {
    "low": {0.702: 0.0055, 0.855: 0.0055, 0.961: 0.0055},
    "high": {0.702: 0.011, 0.855: 0.030, 0.961: 0.056},
}
READERS = (3, 5, 10)
CASES = ((10, 90), (25, 25), (50, 50), (100, 100))  # fractured, others
MEAN_BAR, WORST_BAR = (0.03, 0.06), 0.08
SIMPLE = {"cases only": Random.CASES, "readers only": Random.READERS}  # what each test takes for random
Structure = tuple[str, tuple[float, float, float, float]]


def main() -> int:
    """Measure, print, write; 1 if a row misses its bar."""
    parser = options("readers", __doc__, quick="100 studies of each kind instead of 1,000")
    settings = parser.parse_args()
    studies = 100 if settings.quick else 1000
    kinds = list(product(STRUCTURES, SEPARATIONS, READERS, CASES))
    found = [
        type_one_error(STRUCTURES[name], auc=auc, readers=readers, cases=cases, studies=studies, seed=seed)
        for seed, (name, auc, readers, cases) in enumerate(kinds)
    ]
    rows = [_share("type I error, all kinds", [one["both"] for one in found], studies)]
    rows[0] |= {"bar": f"{MEAN_BAR[0]}…{MEAN_BAR[1]}", "holds": MEAN_BAR[0] <= rows[0]["value"] <= MEAN_BAR[1]}
    worst = int(np.argmax([one["both"] for one in found]))
    name, auc, readers, cases = kinds[worst]
    rows.append(_share(f"worst: {name}, AUC {auc}, {readers} readers, cases {cases}", [found[worst]["both"]], studies))
    if not settings.quick:  # the largest of 144 shares of 100 studies says little
        rows[1] |= {"bar": f"≤ {WORST_BAR}", "holds": rows[1]["value"] <= WORST_BAR}
    for place, what in enumerate(("", "AUC", "readers", "cases")):
        for value in dict.fromkeys(kind[place] for kind in kinds):
            some = [one["both"] for kind, one in zip(kinds, found, strict=True) if kind[place] == value]
            rows.append(_share(f"  {what} {value}".replace("   ", "  "), some, studies))
    rows += [_share(f"type I error, counting {name}", [one[name] for one in found], studies) for name in SIMPLE]
    for auc in SEPARATIONS:
        held = [one["held"] for kind, one in zip(kinds, found, strict=True) if kind[1] == auc]
        rows.append(_share(f"interval of a mean AUC of {auc} holds the true one", held, 2 * studies))
    return finish(rows, quick=settings.quick, file=settings.json)


def _share(check: str, shares: list[float], studies: int) -> dict:
    """The mean of shares, each of so many studies, with a Wilson interval."""
    mean = float(np.mean(shares))
    return row(check, mean, wilson_interval(mean * studies * len(shares), studies * len(shares)))


def type_one_error(
    structure: Structure, *, auc: float, readers: int, cases: tuple[int, int], studies: int, seed: int
) -> dict[str, float]:
    """Share of studies with p < 0.05 although nothing differs: both, and each of `SIMPLE`.

    Under `held`: the share of the modalities' intervals that hold the true mean AUC.
    """
    reader_variance = READER_VARIANCES[structure[0]][auc]
    true_auc = stats.norm.cdf(SEPARATIONS[auc] / np.sqrt(2 * (1 + 2 * reader_variance)))
    wrong = {"both": 0, **dict.fromkeys(SIMPLE, 0)}
    held = 0.0
    for study in range(studies):
        scores, truth = roe_metz(structure, auc=auc, readers=readers, cases=cases, seed=[seed, study])
        aucs, errors = auc_covariances(scores, truth)
        for name, random in {"both": Random.BOTH, **SIMPLE}.items():
            wrong[name] += f_test(aucs, errors, random=random)[3] < 0.05
        low, high = mean_intervals(aucs, errors).T[2:]
        held += np.mean((low <= true_auc) & (true_auc <= high))
    return {name: count / studies for name, count in wrong.items()} | {"held": held / studies}


def roe_metz(
    structure: Structure, *, auc: float, readers: int, cases: tuple[int, int], seed: int | list[int]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scores (2, readers, cases) of two modalities that are equally good, and the truth (cases,); fractured first."""
    rng = np.random.default_rng(seed)
    variances = [READER_VARIANCES[structure[0]][auc]] * 2 + list(structure[1])
    parts = []
    for label, count in zip((1, 0), cases, strict=True):
        shapes = ((1, readers, 1), (2, readers, 1), (1, 1, count), (2, 1, count), (1, readers, count))
        effects = zip(variances, [*shapes, (2, readers, count)], strict=True)
        scores = sum(rng.normal(0, np.sqrt(variance), shape) for variance, shape in effects)
        parts.append(scores + label * SEPARATIONS[auc])
    return np.concatenate(parts, axis=-1), np.repeat([1, 0], cases)


if __name__ == "__main__":
    raise SystemExit(main())
