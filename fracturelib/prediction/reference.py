"""What a run keeps of the pictures that it has learnt from, when it is made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from fracturelib import catalog
from fracturelib.config import TrainConfig
from fracturelib.evaluation import units_of
from fracturelib.evaluation.selecting import subset
from fracturelib.evaluation.similarity import Reference, make_reference
from fracturelib.features import FeatureBank, FeatureDataset, compute_features, final_features
from fracturelib.loaders import RadiographDataset, make_loader, share
from fracturelib.model import FractureClassifier
from fracturelib.runtime.processes import rank_and_size
from fracturelib.transforms import eval_transform

MOST = 1000  # training pictures that are kept; about ten seconds of work on two cores
GROUPS = ("region", "view", "device")  # columns by which a new folder's mixture is judged
MEASURES = ("width", "height", "grey_mean", "grey_std")


def compare_with_training(
    model: FractureClassifier,
    table: pd.DataFrame,
    config: TrainConfig,
    validation: RadiographDataset | FeatureDataset,
    *,
    bank: FeatureBank | None,
) -> tuple[Reference, pd.DataFrame]:
    """Training pictures as a run keeps them, and measures of its validation pictures beside them.

    Measured are size, brightness, the distance from the training pictures, and the groups that they resemble.

    One picture of every patient (or source) comes before the second of any, and none is augmented: each is as the model
    would see it when it predicts. The second table has the row order of `validation`.
    """
    some = subset(catalog.rows(table, table["split"] == "train"), count=MOST, seed=config.seed)
    pictures: Any = RadiographDataset(some, eval_transform(config), side=config.picture_side, seed=config.seed)
    if not model.trained_modules:
        pictures = FeatureDataset(pictures.table, compute_features(model, pictures, config, bank=bank))
    features, of_validation = (_features(model.eval(), one, config) for one in (pictures, validation))
    kept = some[["path", "label", *(name for name in GROUPS if name in some)]].reset_index(drop=True)
    reference = make_reference(kept.assign(unit=units_of(some).codes), features, of_validation)
    own = table.loc[table["split"] == "val", [*MEASURES]].reset_index(drop=True)
    votes = {f"nearest_{name}": reference.vote(of_validation, name) for name in GROUPS if name in kept}
    return reference, own.assign(distance=reference.distances(of_validation), **votes)


def _features(model: FractureClassifier, pictures: Any, config: TrainConfig) -> np.ndarray:
    """(N, F); several processes share the work where there is any."""
    loader = make_loader(pictures, replace(config, workers=0), shuffle=False)
    alone = rank_and_size()[1] == 1 or (isinstance(pictures, FeatureDataset) and pictures.small)
    return final_features(model, loader if alone else share(loader, parts=False))
