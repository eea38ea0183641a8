"""Can the evaluation be believed? `python -m benchmarks.evaluation [--quick] [--json FILE]`.

(a) Speed: 2,000 stratified bootstrap resamples of 500 predictions. (b) Oracles: the largest difference from
scikit-learn in AUC, average precision, Brier score and calibration curve, and from SciPy's bootstrap in the ends of
intervals, over simulated predictions. (c) Coverage: imaginary test sets with ten copies per source and a known truth;
how often the 95 % interval over sources, and the naive one over files, contains it. Needs no data.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd
from scipy import stats
from sklearn import metrics as oracle
from sklearn.calibration import calibration_curve

from benchmarks.outcome import finish, options, row
from fracturelib.evaluation import calibration_table, scores, wilson_interval

COPIES = 10
SPEED_LIMIT = 1.0  # seconds
NAIVE_LIMIT = 0.70  # "far less" than 95 %


def main() -> int:
    """Measure, print, write; 1 if a row misses its bar."""
    settings = options("evaluation", __doc__, quick="fewer repetitions, for a first look").parse_args()
    rows = [speed(5), *agreement(5 if settings.quick else 50)]
    rows += coverage(experiments=100 if settings.quick else 2000, resamples=400, quick=settings.quick)
    return finish(rows, quick=settings.quick, file=settings.json)


def speed(repeats: int) -> dict:
    """Median time of all nine metrics with 2,000 resamples of 500 predictions of 250 sources, in seconds."""
    table = predictions(np.random.default_rng(0), sources=250, copies=2)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        scores(table["label"], table["probability"], threshold=0.5, sources=table["source"], resamples=2000)
        times.append(time.perf_counter() - start)
    value = float(np.median(times))
    return row(
        "2,000 resamples of 500 predictions, s",
        value,
        (min(times), max(times)),
        f"< {SPEED_LIMIT:g}",
        value < SPEED_LIMIT,
    )


def predictions(rng: np.random.Generator, *, sources: int, copies: int = 1) -> pd.DataFrame:
    """Labels and probabilities with ties; copies of a source differ little."""
    label = (rng.random(sources) < 0.4).astype(int)
    label[:2] = 0, 1
    score = np.repeat(rng.normal(2 * label - 1, 1), copies) + rng.normal(0, 0.1, sources * copies)
    chance = np.round(1 / (1 + np.exp(-score)), 2)
    return pd.DataFrame(
        {"label": np.repeat(label, copies), "probability": chance, "source": np.repeat(np.arange(sources), copies)}
    )


def agreement(repeats: int) -> list[dict]:
    """Largest differences from scikit-learn's values and SciPy's interval ends."""
    value_gap, end_gap = 0.0, []
    for seed in range(repeats):
        table = predictions(np.random.default_rng(seed), sources=150)
        labels, chances = table["label"].to_numpy(), table["probability"].to_numpy()
        found = scores(labels, chances, threshold=0.5, resamples=4000, seed=seed).set_index("metric")
        shares, means = calibration_curve(labels, chances, n_bins=10)
        bins = calibration_table(labels, chances)
        gaps = [
            found.loc["auc", "value"] - oracle.roc_auc_score(labels, chances),
            found.loc["average_precision", "value"] - oracle.average_precision_score(labels, chances),
            found.loc["brier", "value"] - oracle.brier_score_loss(labels, chances),
            *(bins["share_fractured"] - shares),
            *(bins["mean_probability"] - means),
        ]
        value_gap = max(value_gap, float(np.abs(gaps).max()))
        end_gap.append(_ends_apart(labels, chances, found.loc["auc"], seed))
    low, high = np.min(end_gap), np.max(end_gap)
    return [
        row("values against scikit-learn, largest gap", value_gap, bar="< 1e-9", holds=value_gap < 1e-9),
        row(
            "ends of AUC interval against SciPy, mean gap",
            np.mean(end_gap),
            (low, high),
            "< 0.005",
            np.mean(end_gap) < 0.005,
        ),
    ]


def _ends_apart(labels: np.ndarray, chances: np.ndarray, auc: pd.Series, seed: int) -> float:
    """The larger gap of the two ends from SciPy's stratified percentile bootstrap."""

    def statistic(negative: np.ndarray, positive: np.ndarray, axis: int = -1) -> np.ndarray:
        wins = positive[..., :, None] > negative[..., None, :]
        ties = positive[..., :, None] == negative[..., None, :]
        return (wins + 0.5 * ties).mean(axis=(-2, -1))

    groups = [chances[labels == value] for value in (0, 1)]
    options = {"method": "percentile", "vectorized": True, "n_resamples": 4000, "batch": 200, "rng": seed + 1}
    interval = stats.bootstrap(groups, statistic, **options).confidence_interval
    return max(abs(auc["low"] - interval.low), abs(auc["high"] - interval.high))


def coverage(*, experiments: int, resamples: int, quick: bool = False, sources: int = 200) -> list[dict]:
    """Share of imaginary test sets whose 95 % interval contains the true AUC and the true sensitivity.

    A few experiments (`quick`) say little: then the bar holds unless the share's own interval lies outside.
    """
    truth = {"auc": stats.norm.cdf(2 / np.sqrt(2)), "sensitivity": stats.norm.cdf(1)}  # scores N(±1, 1), cut at 0
    hits: dict[tuple[str, str], list[bool]] = {(way, metric): [] for way in ("sources", "files") for metric in truth}
    for seed in range(experiments):
        rng = np.random.default_rng([seed, 7])
        label = np.arange(sources) % 2
        chance = np.repeat(1 / (1 + np.exp(-rng.normal(2 * label - 1, 1))), COPIES)
        label, source = np.repeat(label, COPIES), np.repeat(np.arange(sources), COPIES)
        for way, codes in (("sources", source), ("files", None)):
            found = scores(label, chance, threshold=0.5, sources=codes, resamples=resamples, seed=seed).set_index(
                "metric"
            )
            for metric, true in truth.items():
                hits[way, metric].append(found.loc[metric, "low"] <= true <= found.loc[metric, "high"])
    rows = []
    for (way, metric), covers in hits.items():
        share = float(np.mean(covers))
        low, high = wilson_interval(sum(covers), len(covers))
        inside = (low <= 0.97 and high >= 0.93) if quick else 0.93 <= share <= 0.97
        holds = inside if way == "sources" else share < NAIVE_LIMIT
        bar = "0.93 to 0.97" if way == "sources" else f"< {NAIVE_LIMIT:.2f}"
        rows.append(row(f"coverage of {metric}, counting {way}", share, (low, high), bar, holds))
    return rows


if __name__ == "__main__":
    sys.exit(main())
