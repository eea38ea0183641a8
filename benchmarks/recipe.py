"""Which rule for the recipe's head? `python -m benchmarks.recipe [--bank FOLDER] [--quick] [--json FILE]`.

Each rule of `RULES` changes some settings of the recipe. Heads are trained by `fit` on features that are kept once: of
the views of a run (the plain picture and an augmented one) and, for comparison, of augmented views alone and of plain
pictures alone. They are judged on plain pictures by grouped five-fold cross-validation within the training parts of the
FracAtlas slice and the simulated set, and on the wrist set by source. A sixth of each training side is the validation
part. AUC is the mean over five starts of the AUC over all pictures; the opponent is a logistic regression on the plain
pictures of the whole training side. No test part is read.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

from benchmarks.heads import fit_head
from benchmarks.outcome import finish, options, row
from benchmarks.trunks import DataSet, by_regression, folds, tables, with_validation
from fracturelib import catalog
from fracturelib.config import TrainConfig
from fracturelib.features import FeatureBank, FeatureDataset, compute_features
from fracturelib.loaders import RadiographDataset, training_dataset
from fracturelib.model import build_model
from fracturelib.transforms import eval_transform

BAR = -0.01  # how far the recipe may lie below logistic regression
STARTS = 5
RULES: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "weight decay 0.1, lowest loss": {"weight_decay": 0.1, "min_delta": 0.0},
    "lowest loss": {"min_delta": 0.0},
    "weight decay 0.01": {"weight_decay": 0.01},
    "to the last epoch": {"min_delta": 10.0},
}


def views_of(table: pd.DataFrame, bank: FeatureBank | None) -> dict[str, torch.Tensor]:
    """Features (V, N, F) of the bundled trunk: as in a run, two augmented views, and the plain picture."""
    config = TrainConfig(weights="distilled")
    model, run = build_model(config), training_dataset(table, config)
    sets = {
        "run": (run, config.views),
        "augmented": (RadiographDataset(table, run.transform, side=run.side, seed=config.seed), config.views),
        "plain": (RadiographDataset(table, eval_transform(config), side=config.image_size), 1),
    }
    return {
        name: compute_features(model, dataset, config, views=views, bank=bank)
        for name, (dataset, views) in sets.items()
    }


def chances_of(data: DataSet, seen: torch.Tensor, plain: torch.Tensor, config: TrainConfig) -> np.ndarray:
    """P(fractured) (starts, N) by heads that learn from `seen` (V, N, F) and are asked about `plain` (N, F)."""
    table, chances = data.table, np.empty((STARTS, len(data.table)))
    for train, test in folds(data):
        train, val = with_validation(data, train)
        sets = [
            FeatureDataset(table.iloc[rows].reset_index(drop=True), values[:, rows])
            for rows, values in ((train, seen), (val, plain[None]))
        ]
        for seed in range(STARTS):
            chances[seed, test] = fit_head(*sets, seed=seed, config=config).predict_proba(plain[test])
    return chances


def measure(data: DataSet, bank: FeatureBank | None) -> list[dict]:
    """Logistic regression, every rule, and the bar of the recipe."""
    views = views_of(data.table, bank)
    plain = views["plain"][0]
    regression = roc_auc_score(data.table["label"], by_regression(data, plain.double().numpy()))
    rows = [row(f"{data.name}, logistic regression: AUC", regression)]
    for rule, settings in RULES.items():
        for name, seen in views.items() if rule == "the recipe" else [("run", views["run"])]:
            chances = chances_of(data, seen, plain, TrainConfig(**settings))
            found = float(np.mean([roc_auc_score(data.table["label"], one) for one in chances]))
            rows.append(row(f"{data.name}, {rule}, {name} views: AUC", found))
            if (rule, name) == ("the recipe", "run"):
                check = f"{data.name}: the recipe's head against logistic regression"
                rows.append(row(check, found - regression, bar=f"≥ {BAR}", holds=found - regression >= BAR))
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 if a bar is missed."""
    parser = options("recipe", __doc__, quick="240 images of each set")
    parser.add_argument("--bank", type=Path, metavar="FOLDER", help="keep the features here")
    settings, rows = parser.parse_args(arguments), []
    bank = FeatureBank(settings.bank) if settings.bank else None
    for name, table in tables(quick=settings.quick):
        learnt = (table["split"] == "train") | (name == "wrist")  # which has no test part of its own
        part = catalog.rows(table, np.flatnonzero(learnt))
        rows += measure(DataSet(name, part, torch.empty(0), crossed=True), bank)
    return finish(rows, quick=settings.quick, file=settings.json, form="+.3f")


if __name__ == "__main__":
    sys.exit(main())
