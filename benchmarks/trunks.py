"""How good is the bundled trunk? `python -m benchmarks.trunks [--quick] [--json FILE]`.

Frozen features at 224 px of several trunks, judged by a logistic regression and by the recipe's head, on
(a) FracAtlas, trained on its training part and tested on its test part, (b) the wrist set, cross-validated by source,
(c) the simulated set. AUC with 95 % intervals by bootstrap over sources; differences between trunks are paired.
The real sets lie in the folder that FRACTURELIB_REAL_DATA names (default `../shared/data`); a set that is absent is
left out, said aloud.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from benchmarks.heads import fit_head
from benchmarks.outcome import finish, options, row
from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.errors import FracturelibWarning
from fracturelib.evaluation.metrics import resample_weights, source_codes, weighted_metrics
from fracturelib.features import FeatureDataset
from fracturelib.loaders import RadiographDataset
from fracturelib.transforms import denormalize, eval_transform
from fracturelib.trunks.weights import imagenet_file, load_trunk

FOLDS, RESAMPLES = 5, 2000
PENALTIES = np.logspace(-4, -1, 7)  # scikit-learn's C for standardised features
HEAD_SEEDS = 5  # the recipe's head is averaged over so many starts
# Originals that stand in the wrist set under two numbers ("class/number"), by what they are copies of.
WRIST_COPIES = {"not fractured/3@val": "not fractured/69"}
WRIST_COPIES |= {f"fractured/{a}": f"fractured/{b}" for a, b in ((83, 57), (84, 58), (85, 59), (86, 60))}
WRIST_COPIES |= {f"not fractured/{a}": f"not fractured/{b}" for a, b in ((46, 29), (47, 30))}


@dataclass(frozen=True)
class DataSet:
    """A table with its pictures as the trunk sees them.

    Attributes:
        name: for the report.
        table: rows with label, split and `group`, the source that folds and bootstrap keep together.
        images: (n, 3, 224, 224), normalised.
        crossed: cross-validate over all rows, instead of training on the split "train" and testing on "test".
    """

    name: str
    table: pd.DataFrame
    images: Tensor
    crossed: bool

    @property
    def tested(self) -> np.ndarray:
        """Mask (n,) of the rows that get a prediction."""
        return np.ones(len(self.table), bool) if self.crossed else (self.table["split"] == "test").to_numpy()


def load_data(*, quick: bool) -> list[DataSet]:
    """The sets that are here; the others are named."""
    config, found = TrainConfig(), []
    for name, table in tables(quick=quick):
        dataset = RadiographDataset(table, eval_transform(config), side=config.image_size)
        images = torch.stack([dataset[row][0] for row in range(len(dataset))])
        found.append(DataSet(name, dataset.table, images, crossed=name == "wrist"))
    return found


def tables(*, quick: bool) -> Iterator[tuple[str, pd.DataFrame]]:
    """Names and tables of the sets that are here, with the column `group`; the others are named."""
    real = Path(os.environ.get("FRACTURELIB_REAL_DATA", "../shared/data"))
    places = {
        "FracAtlas": real / "fracatlas_slice",
        "wrist": real / "wrist_rotated",
        "simulated": Path("data/simulated"),
    }
    for name, root in places.items():
        if not root.is_dir():
            print(f"{name}: left out, there is no {root}")
            continue
        wrist = name == "wrist"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FracturelibWarning)  # the warts of these sets are known
            table = read_catalog(root, make_split=wrist)  # it is cross-validated, and needs no split of its own
        table["group"] = table["path"].map(_wrist_group) if wrist else table.get("patient_id", table["source_id"])
        if quick:
            table = table.sample(n=min(240, len(table)), random_state=0).sort_index()
        yield name, table


def _wrist_group(path: str) -> str:
    """`val/not fractured/4-rotated1.jpg` → `not fractured/4`: both splits hold copies of the same originals."""
    split, label, name = path.split("/")
    number = name.split("-")[0].split(".")[0]
    own = f"{label}/{number}"
    return WRIST_COPIES.get(f"{own}@{split}", WRIST_COPIES.get(own, own))


def trunks() -> dict[str, Callable[[Tensor], Tensor]]:
    """Normalised images (B, 3, S, S) → features (B, F), by name; what is not here is named."""
    found: dict[str, Callable[[Tensor], Tensor]] = {"bundled": _resnet("distilled")}
    try:
        from tools.distillation.networks import Teacher

        teacher = Teacher().to(memory_format=torch.channels_last)
        found["teacher"] = lambda images: teacher(denormalize(images) * 255)["final"].mean((2, 3))
    except ImportError:
        print("teacher: left out, its packages are missing (pip install 'fracturelib[bench]')")
    found["random"] = _resnet("none")
    if imagenet_file("resnet18")[1].exists():
        found["ImageNet"] = _resnet("imagenet")
    else:
        print("ImageNet: left out, torchvision's file is not in the hub cache")
    return found


def _resnet(weights: str) -> nn.Module:
    trunk, _ = load_trunk("resnet18", weights, seed=0)
    return trunk.eval().to(memory_format=torch.channels_last)


@torch.inference_mode()
def features(trunk: Callable[[Tensor], Tensor], images: Tensor) -> np.ndarray:
    """Features (n, F) in batches of 32."""
    batches = (batch.contiguous(memory_format=torch.channels_last) for batch in images.split(32))
    return torch.cat([trunk(batch) for batch in batches]).numpy()


def folds(data: DataSet) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of row numbers (training, tested); a source is never on both sides."""
    if not data.crossed:
        split = data.table["split"].to_numpy()
        return [(np.flatnonzero(split == "train"), np.flatnonzero(split == "test"))]
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    return list(splitter.split(data.table, data.table["label"], data.table["group"]))


def by_regression(data: DataSet, found: np.ndarray) -> np.ndarray:
    """P(fractured) (n,), NaN where not tested: logistic regression, penalty chosen within the training rows."""
    labels, groups = data.table["label"].to_numpy(), data.table["group"].to_numpy()
    chance = np.full(len(labels), np.nan)
    for train, test in folds(data):
        penalty = _best_penalty(found[train], labels[train], groups[train])
        chance[test] = _regression(penalty).fit(found[train], labels[train]).predict_proba(found[test])[:, 1]
    return chance


def _regression(penalty: float):
    return make_pipeline(StandardScaler(), LogisticRegression(C=penalty, class_weight="balanced", max_iter=2000))


def _best_penalty(found: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> float:
    inner = list(StratifiedGroupKFold(FOLDS, shuffle=True, random_state=1).split(found, labels, groups))

    def quality(penalty: float) -> float:
        decision = np.empty(len(labels))
        for train, test in inner:
            decision[test] = _regression(penalty).fit(found[train], labels[train]).decision_function(found[test])
        return float(roc_auc_score(labels, decision))

    return max(PENALTIES, key=quality)


def by_head(data: DataSet, found: np.ndarray) -> np.ndarray:
    """P(fractured) (n,), NaN where not tested: the recipe's head, stopped on a validation part, mean of some starts."""
    chance = np.full(len(found), np.nan)
    for train, test in folds(data):
        train, val = with_validation(data, train)
        starts = [_head(data.table, found, train, val, test, seed=seed) for seed in range(HEAD_SEEDS)]
        chance[test] = np.mean(starts, axis=0)
    return chance


def with_validation(data: DataSet, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The split "val" where the set has one that is not tested; else a sixth of the training sources."""
    if not data.crossed:
        return train, np.flatnonzero(data.table["split"] == "val")
    rows = data.table.iloc[train]
    kept, val = next(StratifiedGroupKFold(6, shuffle=True, random_state=2).split(rows, rows["label"], rows["group"]))
    return train[kept], train[val]


def _head(table: pd.DataFrame, found: np.ndarray, *rows: np.ndarray, seed: int) -> np.ndarray:
    """P(fractured) of the third row set by a head trained on the first and stopped on the second."""
    values = torch.from_numpy(found).float()
    train, val = (FeatureDataset(table.iloc[part].reset_index(drop=True), values[None, part]) for part in rows[:2])
    model = fit_head(train, val, seed=seed)
    return model.predict_proba(values[rows[2]]).numpy()


def auc_draws(data: DataSet, chance: np.ndarray) -> tuple[float, np.ndarray]:
    """AUC, and its values over resampled sources: the same for every trunk, so that differences are paired."""
    rows = data.tested
    labels, codes = (
        data.table["label"].to_numpy()[rows],
        source_codes(data.table["group"].to_numpy()[rows], rows.sum()),
    )
    blocks = resample_weights(labels, codes, resamples=RESAMPLES, seed=0)
    draws = [weighted_metrics(labels, chance[rows], threshold=0.5, weights=weights)["auc"] for weights in blocks]
    return float(roc_auc_score(labels, chance[rows])), np.concatenate(draws)


def interval(draws: np.ndarray) -> np.ndarray:
    """The ends of the 95 % interval, (2,)."""
    return np.quantile(draws, [0.025, 0.975])


def measure(data: DataSet, found: dict[str, np.ndarray]) -> list[dict]:
    """AUC rows of every trunk and classifier, then the bars of logistic regression."""
    rows, bundled = [], {}
    for kind, classifier in (("logistic regression", by_regression), ("recipe's head", by_head)):
        results = {name: auc_draws(data, classifier(data, values)) for name, values in found.items()}
        bundled[kind] = results["bundled"]
        rows += [
            row(f"{data.name}, {kind}: AUC {name}", value, interval(draws)) for name, (value, draws) in results.items()
        ]
        if kind == "logistic regression":
            rows += bars(data.name, results)
    (regression, of_regression), (head, of_head) = bundled.values()
    check = f"{data.name}: recipe's head against logistic regression"
    return [
        *rows,
        row(check, head - regression, interval(of_head - of_regression), "≥ -0.01", head - regression >= -0.01),
    ]


def bars(name: str, results: dict[str, tuple[float, np.ndarray]]) -> list[dict]:
    """The promises: near the teacher (real sets), clearly above a random trunk (all sets)."""
    rows = []
    (own, own_draws), (random, random_draws) = results["bundled"], results["random"]
    gain = 0.10 if name == "simulated" else 0.05
    check = f"{name}: bundled above random"
    rows.append(row(check, own - random, interval(own_draws - random_draws), f"≥ {gain:.2f}", own - random >= gain))
    if "teacher" in results and name != "simulated":
        teacher, teacher_draws = results["teacher"]
        check = f"{name}: bundled below teacher"
        rows.append(row(check, teacher - own, interval(teacher_draws - own_draws), "≤ 0.02", teacher - own <= 0.02))
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 if a bar is missed."""
    parser = options("trunks", __doc__, quick="240 images of each set")
    settings = parser.parse_args(arguments)
    found = trunks()
    rows = []
    for data in load_data(quick=settings.quick):
        print(f"{data.name}: {len(data.table)} images, {data.table['group'].nunique()} sources", flush=True)
        rows += measure(data, {name: features(trunk, data.images) for name, trunk in found.items()})
    print("QUICK: a part of the data only, no result" if settings.quick else "", flush=True)
    return finish(rows, quick=settings.quick, file=settings.json, form="+.3f")


if __name__ == "__main__":
    sys.exit(main())
