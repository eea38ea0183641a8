"""Made-up results: a history, and what a model was put through."""

from __future__ import annotations

import numpy as np
import pandas as pd


def history(epochs=6):
    epoch = np.arange(1, epochs + 1)
    return pd.DataFrame(
        {
            "epoch": epoch,
            "learning_rate": 1e-3 * 0.1 ** (epoch // 5),
            "train_loss": 0.7 / epoch,
            "train_accuracy": 1 - 0.5 / epoch,
            "val_loss": 0.7 / epoch + 0.01 * epoch,
            "val_accuracy": 1 - 0.6 / epoch,
            "val_auc": 1 - 0.4 / epoch,
        }
    )


def robustness():
    levels = [("none", 0.0), ("noise", 0.05), ("noise", 0.1), ("rotation", 15.0), ("rotation", 30.0)]
    rows = [{"perturbation": kind, "level": level} for kind, level in levels]
    metrics = {"auc": 0.8, "auc_low": 0.7, "auc_high": 0.9, "sensitivity": 0.7, "sensitivity_low": np.nan}
    return pd.DataFrame(rows).assign(**metrics, sensitivity_high=np.nan)


def checks():
    measures = pd.DataFrame({"measure": ["hit rate", "share of heat"], "value": [0.4, 0.2], "low": [0.3, np.nan]})
    erased = pd.DataFrame(
        {"erased": ["the fracture", "an equal box elsewhere", "difference"], "value": [-0.1, 0, -0.1]}
    )
    return (
        measures.assign(high=[0.5, np.nan], chance=0.1, centre=0.3),
        erased.assign(low=[-0.2, np.nan, -0.2], high=[0.0, np.nan, 0.0]),
    )
