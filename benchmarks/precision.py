"""What does a faster trunk cost in AUC? `python -m benchmarks.precision [--quick] [--json FILE] [--bank FOLDER]`.

On training pictures of three sets, in three folds by patient or source: a logistic regression on the trunk's features
in float32, in the precision of `auto`, and in int8, which is calibrated in every fold on pictures that it learns from.
A row is the AUC of all pictures, each scored by the fold that has not seen it, minus the same in float32, with the
paired 95 % interval by bootstrap over patients or sources. The rule for `auto`: a mean loss of at most 0.003, and a
loss above 0.01 excluded by the interval on every set; int8, an offer, has the same rows.

The real sets lie in the folder that FRACTURELIB_REAL_DATA names (default `../shared/data`); one that is absent is left
out, said aloud. Features are kept in `--bank FOLDER`: a stopped run goes on.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.outcome import finish, options, row
from fracturelib import catalog
from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.evaluation import Scored, compare, units_of
from fracturelib.evaluation.selecting import subset
from fracturelib.features import FeatureBank, compute_features
from fracturelib.loaders import RadiographDataset
from fracturelib.model import build_model
from fracturelib.prediction.engines import give_engine
from fracturelib.runtime import choose_device, choose_precision
from fracturelib.simulation import ensure_simulated
from fracturelib.transforms import eval_transform

CONFIG = TrainConfig(weights="distilled", device="cpu", precision="float32")
FOLDS, MOST = 3, 480  # pictures of a set
STRENGTH = 0.01  # scikit-learn's C, for standardised features
MEAN_LOSS, WORST_LOSS = 0.003, 0.01


def measure(name: str, root: Path, bank: FeatureBank, *, most: int) -> tuple[list[dict], dict[str, float]]:
    """Rows of one set, and the AUC difference of each precision."""
    table = read_catalog(root, make_split=not (root / "test").is_dir())
    table = subset(catalog.rows(table, table["split"] == "train"), count=most, seed=0)
    units = units_of(table).codes
    folds = list(StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(units, table["label"], units))
    exact = features(table, CONFIG, bank)
    scores = {"float32": np.empty(len(table)), "auto": np.empty(len(table)), "int8": np.empty(len(table))}
    usual, cosines = features(table, replace(CONFIG, precision="auto"), bank), []
    for learnt, judged in folds:
        own = features(table, replace(CONFIG, precision="int8"), bank, calibrated_on=catalog.rows(table, learnt))
        lengths = np.linalg.norm(own, axis=1) * np.linalg.norm(exact, axis=1)
        cosines.append((own * exact).sum(1)[judged] / lengths[judged])
        for kind, found in (("float32", exact), ("auto", usual), ("int8", own)):
            regression = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=2000))
            regression.fit(found[learnt], table["label"].iloc[learnt])
            scores[kind][judged] = regression.predict_proba(found[judged])[:, 1]
        print(f"{name}: a fold of {len(judged)} pictures done", flush=True)
    rows, differences = [], {}
    means = {"auto": choose_precision("auto", choose_device("cpu")), "int8": "onnxruntime"}
    for kind, what in means.items():
        found = difference(table, scores[kind], scores["float32"])
        check = f"{name}, {len(table)} pictures, AUC {found['second']:.3f} in float32: {kind} ({what}) minus float32"
        bar = f"low ≥ −{WORST_LOSS:g}" if kind == "auto" else ""
        rows.append(row(check, found["difference"], (found["low"], found["high"]), bar, found["low"] >= -WORST_LOSS))
        differences[kind] = float(found["difference"])
    rows.append(row(f"{name}: mean cosine of int8 features to those of float32", float(np.concatenate(cosines).mean())))
    return rows, differences


def features(
    table: pd.DataFrame, config: TrainConfig, bank: FeatureBank, *, calibrated_on: pd.DataFrame | None = None
) -> np.ndarray:
    """The trunk's features (N, F) of a table's pictures; from the bank where they are in it."""
    model = build_model(config)
    if calibrated_on is not None:
        give_engine(model, calibrated_on, config)
    pictures = RadiographDataset(table, eval_transform(config), side=config.picture_side)
    return compute_features(model, pictures, config, bank=bank)[0].numpy().astype(np.float64)


def difference(table: pd.DataFrame, own: np.ndarray, other: np.ndarray) -> pd.Series:
    """The row of `compare` about the AUC."""
    sides = [Scored(table.assign(probability=chances), 0.5) for chances in (own, other)]
    return compare(*sides).set_index("metric").loc["auc"]


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 if the precision of `auto` breaks its rule."""
    parser = options("precision", __doc__, quick="96 pictures of each set")
    parser.add_argument("--bank", type=Path, metavar="FOLDER", help="keep the features here")
    settings = parser.parse_args(arguments)
    real = Path(os.environ.get("FRACTURELIB_REAL_DATA", "../shared/data"))
    sets = {"embedded": ensure_simulated("data/simulated"), "FracAtlas": real / "fracatlas_slice"}
    sets["wrist"] = real / "wrist_rotated"
    rows, losses = [], []
    with tempfile.TemporaryDirectory() as folder:
        bank = FeatureBank(settings.bank or folder)
        for name, root in sets.items():
            if not root.is_dir():
                print(f"left out: {root} is not here", flush=True)
                continue
            found, differences = measure(name, root, bank, most=96 if settings.quick else MOST)
            rows += found
            losses.append(differences)
    for kind in ("auto", "int8"):
        loss = -float(np.mean([one[kind] for one in losses]))
        bar = f"≤ {MEAN_LOSS:g}" if kind == "auto" else ""
        rows.append(row(f"{kind}: mean loss of AUC over {len(losses)} sets", loss, bar=bar, holds=loss <= MEAN_LOSS))
    return finish(rows, quick=settings.quick, file=settings.json, form="+.3f")


if __name__ == "__main__":
    sys.exit(main())
