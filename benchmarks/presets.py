"""More pixels: what do they gain, and what do they cost? `python -m benchmarks.presets [--bank FOLDER] [--json FILE]`.

On the training and validation parts of the FracAtlas slice and the training part of the simulated set, by grouped
five-fold cross-validation: a logistic regression on each setting's features of the plain pictures, its paired
difference from the recipe's with a 95 % interval by bootstrap over sources, and the processor seconds that 100 pictures
cost. A change becomes the default if it gains 0.01 on both sets at no more than 1.5 times the cost, also with the
recipe's own head (mean of five starts). Then `--preset best` on the slice and the wrist set: the recipe's own training
with its settings against those of the recipe, each on its own views. No test part is read. Features are kept in the
bank, so that what was interrupted goes on.
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
from fracturelib.config import SPLITS, TrainConfig, preset_settings
from fracturelib.features import FeatureBank, compute_features
from fracturelib.loaders import RadiographDataset, training_dataset
from fracturelib.model import build_model
from fracturelib.transforms import eval_transform

GAIN = 0.03  # that the preset was to have
WORTH, PRICE = 0.01, 1.5  # AUC, and times the recipe's cost, for which a change would become the default
TIMED, ROUNDS = 32, 3  # pictures
Result = tuple[float, np.ndarray]  # an AUC and its draws
ENLARGED = 2  # most that a picture is enlarged, to spare time
RECIPE = "224 px (the recipe)"
SETTINGS: dict[str, dict[str, Any]] = {
    RECIPE: {},
    "224 px, pad": {"fit": "pad"},
    "224 px, crop": {"fit": "crop"},
    "224 px, mean+max": {"pool": "mean+max"},
    "224 px, gem": {"pool": "gem"},
    "320 px": {"image_size": 320},
    "320 px, mean+max": {"image_size": 320, "pool": "mean+max"},
    "320 px, crop, mean+max": {"image_size": 320, "pool": "mean+max", "fit": "crop"},
    "448 px": {"image_size": 448},
    "448 px, mean+max": {"image_size": 448, "pool": "mean+max"},
    "448 px, gem": {"image_size": 448, "pool": "gem"},
    "448 px, pad, mean+max": {"image_size": 448, "pool": "mean+max", "fit": "pad"},
    "448 px, crop, mean+max": {"image_size": 448, "pool": "mean+max", "fit": "crop"},
    "672 px": {"image_size": 672},
    "672 px, mean+max": {"image_size": 672, "pool": "mean+max"},
    "2 × 2 tiles of 224 px": {"tiles": 2},
    "3 × 3 tiles of 224 px": {"tiles": 3},
}


def seen(data: DataSet, config: TrainConfig, bank: FeatureBank, *, views: int) -> torch.Tensor:
    """Features (V, N, F) of the views of a training, or with `views` 0 of the plain pictures (1, N, F)."""
    if views:
        dataset = training_dataset(data.table, config)
    else:
        dataset = RadiographDataset(data.table, eval_transform(config), side=config.picture_side)
    return compute_features(build_model(config), dataset, config, views=max(1, views), bank=bank)


def configs(data: DataSet) -> dict[str, TrainConfig]:
    """The settings by name; of pictures that have few pixels themselves, none that needs many more."""
    made = {name: TrainConfig(weights="distilled", **settings) for name, settings in SETTINGS.items()}
    most = ENLARGED * data.table[["width", "height"]].min(axis=1).median()
    return {name: config for name, config in made.items() if config.picture_side <= most}


def costs(data: DataSet) -> dict[str, float]:
    """Processor seconds for reading and trunk of 100 pictures in every setting: the lowest of some rounds, in turns."""
    rows, timed = catalog.rows(data.table, np.arange(TIMED)), []
    for name, config in configs(data).items():
        few, model = RadiographDataset(rows, eval_transform(config), side=config.picture_side), build_model(config)
        compute_features(model, few, config)  # makes the fast copy of the trunk
        timed.append((name, model, few, config))
    found = dict.fromkeys(configs(data), np.inf)
    for name, model, few, config in timed * ROUNDS:
        started = time.process_time()
        compute_features(model, few, config)
        found[name] = min(found[name], 100 * (time.process_time() - started) / TIMED)
    return found


def of_settings(data: DataSet, bank: FeatureBank) -> tuple[list[dict], dict[str, float]]:
    """AUC, gain and cost of a logistic regression on every setting, as rows; and the affordable settings' gains."""
    rows, results, prices = [], {}, costs(data)
    for name, config in configs(data).items():
        found = by_regression(data, seen(data, config, bank, views=0)[0].double().numpy())
        value, draws = results[name] = auc_draws(data, found)
        rows.append(row(f"{data.name}, {name}: AUC", value, interval(draws).tolist()))
        if name != RECIPE:
            gain = value - results[RECIPE][0]
            rows.append(row(f"{data.name}, {name}: gain", gain, interval(draws - results[RECIPE][1]).tolist()))
        rows.append(row(f"{data.name}, {name}: processor seconds for 100 pictures", prices[name]))
        print(*(f"{one['check']} {one['value']:.3f}" for one in rows[-3:]), sep="; ", flush=True)
    affordable = {
        name: results[name][0] - results[RECIPE][0] for name in results if prices[name] <= PRICE * prices[RECIPE]
    }
    return rows, affordable


def trained(data: DataSet, config: TrainConfig, bank: FeatureBank) -> Result:
    """AUC and its draws of heads that learn as in a run with these settings, the mean of five starts."""
    views, plain = seen(data, config, bank, views=config.views), seen(data, config, bank, views=0)[0]
    return auc_draws(data, chances_of(data, views, plain, config).mean(0))


def of_default(
    parts: list[DataSet], gains: list[dict[str, float]], recipes: dict[str, Result], bank: FeatureBank
) -> list[dict]:
    """The affordable changes that gain by regression on all sets, with the recipe's own head: it stays while that is
    little.
    """
    rows: list[dict] = []
    least = 0.0
    for name in sorted(set.intersection(*map(set, gains))):
        if name == RECIPE or min(one[name] for one in gains) < WORTH:
            continue
        of_head = [head_gain(data, configs(data)[name], recipes[data.name], bank, name) for data in parts]
        rows, least = rows + of_head, max(least, min(one["value"] for one in of_head))
    check = "least gain of the best affordable change, with the recipe's head"
    return [*rows, row(check, least, bar=f"< {WORTH}", holds=least < WORTH)]


def head_gain(data: DataSet, config: TrainConfig, recipe: Result, bank: FeatureBank, name: str) -> dict:
    """What the settings `name` gain over the recipe, both trained as a run is, as a row."""
    value, draws = trained(data, config, bank)
    return row(f"{data.name}, {name}, trained as a run: gain", value - recipe[0], interval(draws - recipe[1]).tolist())


def of_preset(data: DataSet, recipe: Result, bank: FeatureBank) -> dict:
    """The preset's gain over the recipe, against the bar on the FracAtlas slice."""
    gain = head_gain(data, preset_settings("best", weights="distilled"), recipe, bank, "--preset best")
    if data.name == "FracAtlas":
        gain |= {"bar": f"≥ {GAIN}, low > 0", "holds": gain["value"] >= GAIN and gain["low"] > 0}
    return gain


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 if the bar is missed."""
    parser = options("presets", __doc__, quick="240 pictures")
    parser.add_argument("--bank", type=Path, default=Path("runs/.features"), metavar="FOLDER")
    settings = parser.parse_args(arguments)
    sets = dict(tables(quick=settings.quick))
    learnt = {"FracAtlas": ("train", "val"), "simulated": ("train",), "wrist": SPLITS}  # which has no test part
    parts = {
        name: DataSet(
            name, catalog.rows(sets[name], np.flatnonzero(sets[name]["split"].isin(splits))), torch.empty(0), True
        )
        for name, splits in learnt.items()
        if name in sets
    }
    compared = [data for name, data in parts.items() if name != "wrist"]
    if not compared:
        return 1
    bank = FeatureBank(settings.bank)
    found = [of_settings(data, bank) for data in compared]
    rows = [one for rows, _ in found for one in rows]
    recipes = {name: trained(data, TrainConfig(weights="distilled"), bank) for name, data in parts.items()}
    rows += of_default(compared, [gains for _, gains in found], recipes, bank)
    rows += [of_preset(data, recipes[name], bank) for name, data in parts.items() if name != "simulated"]
    return finish(rows, quick=settings.quick, file=settings.json, form="+.3f")


if __name__ == "__main__":
    sys.exit(main())
