"""onnxruntime for a run's frozen trunk: calibrated on training pictures, compared with float32 on validation ones."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

from fracturelib import catalog
from fracturelib.config import TrainConfig
from fracturelib.evaluation.selecting import subset
from fracturelib.features import final_features, make_engine
from fracturelib.loaders import RadiographDataset, make_loader
from fracturelib.model import FractureClassifier
from fracturelib.transforms import eval_transform
from fracturelib.trunks.engine import RUNTIME

CALIBRATED_ON = 64  # training pictures; `benchmarks.precision` has what it costs in AUC
COMPARED_ON = 128  # validation pictures; about three seconds of work on two cores


def give_engine(model: FractureClassifier, table: pd.DataFrame, config: TrainConfig) -> dict[str, Any]:
    """Let onnxruntime compute a model's frozen trunk; how it was made, for the run's record.

    Raises:
        FracturelibError: as `make_engine`.
    """
    model.engine = make_engine(model, _some(table, "train", CALIBRATED_ON, config), config)
    return {"runtime": RUNTIME, "version": importlib.metadata.version(RUNTIME), **model.engine.facts}


def difference_to_float32(model: FractureClassifier, table: pd.DataFrame, config: TrainConfig) -> dict[str, float]:
    """What an engine changes against torch in float32, with the head as it was trained, on validation pictures.

    Returns:
        How many pictures; mean and least cosine of their features; the largest difference of a probability, as the
        network gives it; and both AUCs.
    """
    pictures = _some(table, "val", COMPARED_ON, config)
    loader = make_loader(pictures, replace(config, workers=0), shuffle=False)
    own = final_features(model, loader)  # (N, F)
    with model.in_float32():
        exact = final_features(model, loader)
    lengths = np.linalg.norm(own, axis=1) * np.linalg.norm(exact, axis=1)
    cosines = (own * exact).sum(1) / np.maximum(lengths, np.finfo(float).tiny)
    device = next(model.parameters()).device
    chances = [model.predict_proba(torch.from_numpy(found).float().to(device)).cpu().numpy() for found in (own, exact)]
    labels = pictures.table["label"]
    return {
        "pictures": len(labels),
        "cosine_mean": float(cosines.mean()),
        "cosine_least": float(cosines.min()),
        "probability_most": float(np.abs(chances[0] - chances[1]).max()),
        "auc": float(roc_auc_score(labels, chances[0])),
        "auc_float32": float(roc_auc_score(labels, chances[1])),
    }


def _some(table: pd.DataFrame, split: str, count: int, config: TrainConfig) -> RadiographDataset:
    """At most `count` pictures of a split, from as many patients or sources as possible; none is augmented."""
    rows = subset(catalog.rows(table, table["split"] == split), count=count, seed=config.seed)
    return RadiographDataset(rows, eval_transform(config), side=config.picture_side, seed=config.seed)
