"""How many augmented views per training image are enough? `python -m benchmarks.views [--quick] [--json FILE]`.

The recipe's head on K views of every training image, for several K, judged on the validation images. A row is the loss
of AUC against as many views as epochs, with its 95 % interval by bootstrap over sources. The default K is the smallest
for which a loss of more than 0.01 can be ruled out on both sets: that the interval contains zero would show nothing
with so few images. FracAtlas lies in the folder that FRACTURELIB_REAL_DATA names (default
`../shared/data`); absent, it is left out, said aloud. Features are kept in `--bank FOLDER`: a stopped run goes on.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.outcome import finish, options, row
from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.evaluation import predict
from fracturelib.evaluation.metrics import resample_weights, source_codes, weighted_metrics
from fracturelib.features import FeatureBank, FeatureDataset, compute_features
from fracturelib.loaders import make_loader, make_loaders
from fracturelib.model import build_model
from fracturelib.simulation import ensure_simulated
from fracturelib.training import fit

VIEWS = (1, 2, 3, 5, 10)
STARTS = 3  # heads of different seeds, whose probabilities are averaged
RESAMPLES = 2000
TOLERATED = 0.01  # AUC


def measure(name: str, root: Path, bank: FeatureBank, config: TrainConfig) -> list[dict]:
    """Rows of one data set."""
    table = read_catalog(root)
    loaders = make_loaders(table, config)
    model = build_model(config)
    train = compute_features(model, loaders.train.dataset, config, views=max(VIEWS), bank=bank)
    val = compute_features(model, loaders.val.dataset, config, bank=bank)
    judged = FeatureDataset(loaders.val.dataset.table, val)
    chances = {}
    for views in VIEWS:
        dataset, starts = FeatureDataset(loaders.train.dataset.table, train[:views]), []
        for seed in range(STARTS):
            seeded = replace(config, seed=seed)
            head, loader = build_model(seeded), make_loader(judged, seeded, shuffle=False)
            fit(head, make_loader(dataset, seeded, shuffle=True), loader, seeded)
            starts.append(predict(head, loader, progress=False)["probability"].to_numpy())
        chances[views] = np.mean(starts, axis=0)
    return [view_row(name, judged.table, chances, views) for views in VIEWS]


def view_row(name: str, table, chances: dict[int, np.ndarray], views: int) -> dict:
    """What `views` views lose against the most views, on the same resampled sources."""
    labels = table["label"].to_numpy()
    codes = source_codes(table["source_id"].to_numpy(), len(labels))
    blocks = list(resample_weights(labels, codes, resamples=RESAMPLES, seed=0))

    def auc(chance: np.ndarray) -> np.ndarray:
        draws = [weighted_metrics(labels, chance, threshold=0.5, weights=weights)["auc"] for weights in blocks]
        whole = weighted_metrics(labels, chance, threshold=0.5)["auc"]
        return np.concatenate([whole, *draws])

    best = auc(chances[max(VIEWS)])
    own = auc(chances[views])
    loss = best - own
    low, high = np.nanquantile(loss[1:], (0.025, 0.975))
    check = f"{name}, {views} views: AUC {own[0]:.3f}, lost against {max(VIEWS)}"
    default = views == TrainConfig().views
    return row(check, loss[0], (low, high), f"end ≤ {TOLERATED:g}" if default else "", high <= TOLERATED or not default)


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 if the default loses AUC."""
    parser = options("views", __doc__, quick="small pictures, 128 px")
    parser.add_argument("--bank", type=Path, metavar="FOLDER", help="keep the features here")
    settings = parser.parse_args(arguments)
    config = TrainConfig(weights="distilled", image_size=128 if settings.quick else 224)
    sets = {"simulated": ensure_simulated("data/simulated")}
    real = Path(os.environ.get("FRACTURELIB_REAL_DATA", "../shared/data")) / "fracatlas_slice"
    if real.is_dir():
        sets["FracAtlas"] = real
    else:
        print(f"FracAtlas: left out, it is not in {real.parent}")
    with tempfile.TemporaryDirectory() as folder:
        bank = FeatureBank(settings.bank or folder)
        rows = [one for name, root in sets.items() for one in measure(name, root, bank, config)]
    return finish(rows, quick=settings.quick, file=settings.json, form="+.3f")


if __name__ == "__main__":
    sys.exit(main())
