"""The head as a logistic regression: fitted by scikit-learn on features, kept and used like any other head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold

from fracturelib.catalog.splits import group_numbers, grouping_column
from fracturelib.config import TrainConfig
from fracturelib.features import final_features
from fracturelib.loaders import TableLoader, set_epoch
from fracturelib.model import FractureClassifier
from fracturelib.runtime import choose_device
from fracturelib.training.epoch import fit_standardise, validate

FOLDS = 5
STRENGTHS = np.logspace(-4, 0, 9)  # scikit-learn's C, for standardised features


def fit_logistic(
    model: FractureClassifier,
    train_loader: TableLoader,
    val_loader: TableLoader,
    config: TrainConfig,
    *,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
) -> pd.DataFrame:
    """Fit the head `Linear(F, 1)` of `model` in place; the history has one row, in the columns of `fit`.

    It learns from as many views of the training images as a run keeps (``config.views``), at least one.
    """
    device = choose_device(config.device)
    fit_standardise(model, train_loader, device)
    views = max(1, min(config.views, config.epochs))
    features = np.concatenate([_features(model, train_loader, view, device) for view in range(views)])  # (V·N, F)
    table = train_loader.dataset.table
    labels, groups = np.tile(table["label"], views), np.tile(group_numbers(table, grouping_column(table)), views)
    found = _regression(choose_strength(features, labels, groups)).fit(features, labels)
    layer: Any = model.head[-2]
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(found.coef_))
        layer.bias.copy_(torch.from_numpy(found.intercept_))
    history = _history(model, train_loader, val_loader, device)
    if on_epoch is not None:
        on_epoch(history)
    return history


def choose_strength(features: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> float:
    """The C of least log loss in cross-validation over standardised features (N, F); groups (N,) stay together.

    With fewer than two groups of a class there is nothing to choose by: then it is the middle of the range.
    """
    folds = min(FOLDS, *(len(np.unique(groups[labels == label])) for label in (0, 1)))
    if folds < 2:
        return float(STRENGTHS[len(STRENGTHS) // 2])
    if features.shape[1] > len(features):  # N rows span N directions, and the penalty is the same along any axes
        features = features @ np.linalg.svd(features, full_matrices=False)[2].T  # (N, N)
    parts = list(StratifiedGroupKFold(folds, shuffle=True, random_state=0).split(features, labels, groups))

    def loss(strength: float) -> float:
        chances = np.empty(len(labels))
        for train, held in parts:
            chances[held] = (
                _regression(strength).fit(features[train], labels[train]).predict_proba(features[held])[:, 1]
            )
        return float(log_loss(labels, chances))

    return float(min(STRENGTHS, key=loss))


def _regression(strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=2000)


@torch.inference_mode()
def _features(model: FractureClassifier, loader: TableLoader, view: int, device: torch.device) -> np.ndarray:
    """Standardised features (N, F) of one view, in the order of the table."""
    model.eval()
    set_epoch(loader, view)
    seen = torch.from_numpy(final_features(model, loader)).float()
    return model.head[0](seen.to(device)).cpu().double().numpy()


def _history(
    model: FractureClassifier, train_loader: TableLoader, val_loader: TableLoader, device: torch.device
) -> pd.DataFrame:
    """One row: both losses of the fitted head, each in eval mode."""
    set_epoch(train_loader, 0)
    train = {name.replace("val_", "train_"): value for name, value in validate(model, train_loader, device).items()}
    del train["train_auc"]
    row = {"epoch": 1, "learning_rate": 0.0, **train, **validate(model, val_loader, device)}
    table = pd.DataFrame([{**row, "risen": False, "epochs_risen": 0}])
    table.attrs |= {"best_epoch": 1, "stopped_early": False}
    return table
