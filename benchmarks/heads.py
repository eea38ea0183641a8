"""The recipe's head on features that a trunk gave before, for benchmarks that compare trunks."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from fracturelib.config import TrainConfig
from fracturelib.features import FeatureDataset
from fracturelib.loaders import make_loader
from fracturelib.model import FractureClassifier, build_head
from fracturelib.training import fit
from fracturelib.trunks.weights import WeightsOrigin

RECIPE = TrainConfig()


def fit_head(
    train: FeatureDataset, val: FeatureDataset, *, seed: int, config: TrainConfig = RECIPE
) -> FractureClassifier:
    """A head trained on `train` and stopped on `val`; the classifier's trunk is the identity, so it takes features."""
    config = replace(config, seed=seed)
    head = build_head(config, train.features.shape[2])
    model = FractureClassifier(nn.Identity(), head, WeightsOrigin("none", "features", None, ""))
    fit(model, make_loader(train, config, shuffle=True), make_loader(val, config, shuffle=False), config)
    return model
