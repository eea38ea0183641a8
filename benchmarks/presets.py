"""Is `--preset best` worth its price? `python -m benchmarks.presets [--bank FOLDER] [--quick] [--json FILE]`.

On the training and validation parts of the FracAtlas slice, by grouped five-fold cross-validation: a logistic
regression on each setting's features of the plain pictures, with the processor seconds that 100 pictures cost; and the
recipe's own training with the settings of the preset against those of the recipe, each on its augmented views, with
the 95 % interval of the paired difference by bootstrap over sources. The test part is not read. Features are kept in
the bank, so that what was interrupted goes on.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.outcome import finish, options, row
from benchmarks.recipe import chances_of
from benchmarks.trunks import DataSet, auc_draws, by_regression, interval, tables
from fracturelib import catalog
from fracturelib.config import TrainConfig, preset_settings
from fracturelib.features import FeatureBank, compute_features
from fracturelib.loaders import RadiographDataset
from fracturelib.model import build_model
from fracturelib.transforms import eval_transform, train_transform

GAIN = 0.03
TIMED = 32  # pictures
SETTINGS: dict[str, dict[str, Any]] = {
    "224 px (the recipe)": {},
    "320 px": {"image_size": 320},
    "448 px": {"image_size": 448},
    "448 px, mean+max": {"image_size": 448, "pool": "mean+max"},
    "448 px, gem": {"image_size": 448, "pool": "gem"},
    "448 px, pad, mean+max": {"image_size": 448, "pool": "mean+max", "fit": "pad"},
    "448 px, crop, mean+max": {"image_size": 448, "pool": "mean+max", "fit": "crop"},
    "672 px, mean+max": {"image_size": 672, "pool": "mean+max"},
    "2 × 2 tiles of 224 px": {"tiles": 2},
}


def seen(data: DataSet, config: TrainConfig, bank: FeatureBank, *, views: int) -> torch.Tensor:
    """Features (V, N, F) of augmented views, or with `views` 0 of the plain pictures (1, N, F)."""
    transform = train_transform(config) if views else eval_transform(config)
    dataset = RadiographDataset(data.table, transform, side=config.picture_side, seed=config.seed)
    return compute_features(build_model(config), dataset, config, views=max(1, views), bank=bank)


def cost(data: DataSet, config: TrainConfig) -> float:
    """Processor seconds for reading and trunk of 100 pictures."""
    few = RadiographDataset(
        catalog.rows(data.table, np.arange(TIMED)), eval_transform(config), side=config.picture_side
    )
    model = build_model(config)
    compute_features(model, few, config)  # makes the fast copy of the trunk
    started = time.process_time()
    compute_features(model, few, config)
    return 100 * (time.process_time() - started) / TIMED


def of_settings(data: DataSet, bank: FeatureBank) -> list[dict]:
    """AUC of a logistic regression on the features of every setting, and what they cost."""
    rows = []
    for name, settings in SETTINGS.items():
        config = TrainConfig(weights="distilled", **settings)
        found = by_regression(data, seen(data, config, bank, views=0)[0].double().numpy())
        value, draws = auc_draws(data, found)
        rows.append(row(f"{name}: AUC", value, interval(draws).tolist()))
        rows.append(row(f"{name}: processor seconds for 100 pictures", cost(data, config)))
    return rows


def of_preset(data: DataSet, bank: FeatureBank) -> dict:
    """The preset's gain over the recipe, both trained as a run is."""
    draws = []
    for name in ("recipe", "best"):
        config = preset_settings(name, weights="distilled")
        views, plain = seen(data, config, bank, views=config.views), seen(data, config, bank, views=0)[0]
        draws.append(auc_draws(data, chances_of(data, views, plain, config).mean(0)))
    (recipe, of_recipe), (best, of_best) = draws
    ends = np.quantile(of_best - of_recipe, [0.025, 0.975])
    holds = best - recipe >= GAIN and ends[0] > 0
    return row("--preset best above the recipe: AUC", best - recipe, ends.tolist(), f"≥ {GAIN}, low > 0", holds)


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 if the bar is missed."""
    parser = options("presets", __doc__, quick="240 pictures")
    parser.add_argument("--bank", type=Path, default=Path("runs/.features"), metavar="FOLDER")
    settings = parser.parse_args(arguments)
    table = dict(tables(quick=settings.quick)).get("FracAtlas")
    if table is None:
        return 1
    data = DataSet("FracAtlas", catalog.rows(table, np.flatnonzero(table["split"] != "test")), torch.empty(0), True)
    bank = FeatureBank(settings.bank)
    return finish([*of_settings(data, bank), of_preset(data, bank)], quick=settings.quick, file=settings.json)


if __name__ == "__main__":
    sys.exit(main())
