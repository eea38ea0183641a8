"""Which trunk for these pictures? Each gives its features once, and a logistic regression is cross-validated on them.

The folds lie within the training part, by patient or source; validation and test images are never read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fracturelib import catalog
from fracturelib.catalog.splits import group_numbers, grouping_column
from fracturelib.config import TrainConfig
from fracturelib.errors import CatalogError, ConfigError, WeightsError
from fracturelib.evaluation.comparison import Scored, compare, scores_of
from fracturelib.features import FeatureBank, compute_features
from fracturelib.loaders import RadiographDataset
from fracturelib.model import FractureClassifier, build_model
from fracturelib.training.logistic import choose_strength
from fracturelib.transforms import eval_transform
from fracturelib.trunks import file_trunks
from fracturelib.trunks.weights import available_weights, usual_size

FOLDS = 5
TIMED = 16  # pictures whose way through reading and trunk is timed
# What has served on radiographs, from small to large: name, megabytes of its weights.
SUGGESTED = {
    "resnet18": 45,
    "efficientnet_b0": 21,
    "densenet121": 31,
    "resnet50": 98,
    "convnext_tiny": 110,
    "timm:convnext_atto": 14,
    "hf:microsoft/rad-dino": 346,
}


def trunk_config(name: str, config: TrainConfig) -> TrainConfig:
    """The settings of a trunk at its own size: ``ARCHITECTURE``, or ``ARCHITECTURE@WEIGHTS`` as in ``resnet18@none``.

    Raises:
        WeightsError: no source knows the network.
    """
    architecture, _, weights = name.partition("@")
    size = usual_size(architecture)
    return replace(config, architecture=architecture, weights=weights or "auto", image_size=size)


def suggested_trunks() -> pd.DataFrame:
    """The short list: trunk, megabytes, status ("ready", or what is needed). Nothing is asked of the network."""
    rows = []
    for name, size in SUGGESTED.items():
        if ":" in name:
            status = "downloads from the hub unless it is in the cache"
        else:
            ready = {row["weights"]: row["status"] == "ready" for row in available_weights(name)}
            here = ready["imagenet"] or (name == "resnet18" and ready["distilled"])
            status = "ready" if here else "downloads from torchvision"
        rows.append({"trunk": name, "megabytes": size, "status": status})
    return pd.DataFrame(rows)


def compare_trunks(
    table: pd.DataFrame,
    names: Sequence[str],
    config: TrainConfig,
    *,
    bank: FeatureBank | None = None,
    on_trunk: Callable[[pd.Series], None] | None = None,
) -> pd.DataFrame:
    """Cross-validated AUC of each trunk on the training part of a table, against the first one.

    Args:
        table: from `read_catalog`.
        names: as in `trunk_config`; the first one is what the others are compared with.
        config: device, batch size, fit, pool and tiles.
        bank: keeps the features, so that what was interrupted goes on.
        on_trunk: called with each row when it is known.

    Returns:
        One row per trunk: trunk, auc, low, high, difference, difference_low, difference_high, verdict, seconds (for 100
        pictures: reading and trunk), megabytes, licence, problem (why it could not be tried; the rest is then empty).

    Raises:
        CatalogError: too few sources of a class in the training part.
        WeightsError, ConfigError: the first trunk cannot be had.
    """
    rows_of = catalog.rows(table, np.flatnonzero(table["split"] == "train"))
    folds, found, first = _folds(rows_of), [], None
    for name in names:
        try:
            chances, facts = _judge(name, rows_of, folds, config, bank)
        except (WeightsError, ConfigError) as error:
            if first is None:
                raise
            found.append({"trunk": name, "problem": error.what})
        else:
            scored = Scored(rows_of.assign(probability=chances), 0.5)
            first = first or scored
            found.append({"trunk": name, **_against(scored, first), **facts, "problem": ""})
        if on_trunk is not None:
            on_trunk(pd.Series(found[-1]))
    return pd.DataFrame(found)


def _folds(rows: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray]]:
    groups, labels = group_numbers(rows, grouping_column(rows)), rows["label"].to_numpy()
    fewest = min((len(np.unique(groups[labels == label])) for label in (0, 1)), default=0)
    if fewest < 2:
        raise CatalogError(
            "the training part has too few sources to compare trunks on",
            cause=f"cross-validation needs at least two of either class, and one has {fewest}",
            cure="add pictures",
        )
    splitter = StratifiedGroupKFold(min(FOLDS, fewest), shuffle=True, random_state=0)
    return list(splitter.split(rows, labels, groups))


def _judge(
    name: str, rows: pd.DataFrame, folds: list, config: TrainConfig, bank: FeatureBank | None
) -> tuple[np.ndarray, dict[str, Any]]:
    """Cross-validated P(fractured) (N,) of a trunk, and what it costs."""
    own = trunk_config(name, config)
    model = build_model(own, weights=own.weights)
    dataset = RadiographDataset(rows, eval_transform(own), side=own.picture_side)
    seconds = _seconds(model, dataset, own)
    features = compute_features(model, dataset, own, bank=bank)[0].double().numpy()  # (N, F)
    labels, groups = rows["label"].to_numpy(), group_numbers(rows, grouping_column(rows))
    chances = np.empty(len(rows))
    for train, held in folds:
        values = StandardScaler().fit_transform(features[train])
        strength = choose_strength(values, labels[train], groups[train])
        regression = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
        chances[held] = regression.fit(features[train], labels[train]).predict_proba(features[held])[:, 1]
    size = sum(weight.numel() for weight in model.trunk.parameters()) * 4 / 1e6
    return chances, {"seconds": seconds, "megabytes": size, "licence": licence_of(own.architecture)}


def _seconds(model: FractureClassifier, dataset: RadiographDataset, config: TrainConfig) -> float:
    """For 100 pictures, without a bank; the first pass, which makes the fast copy of the trunk, is not timed."""
    few = RadiographDataset(
        catalog.rows(dataset.table, np.arange(min(TIMED, len(dataset)))),
        dataset.transform,
        root=dataset.root,
        side=dataset.side,
    )
    compute_features(model, few, config)
    started = time.perf_counter()
    compute_features(model, few, config)
    return 100 * (time.perf_counter() - started) / len(few)


def _against(scored: Scored, first: Scored) -> dict[str, Any]:
    """AUC with its interval, and its paired difference from the first trunk's."""
    auc = scores_of(scored.predictions, threshold=0.5, resamples=2000, seed=0).set_index("metric").loc["auc"]
    change = compare(scored, first).set_index("metric").loc["auc"]
    ends = {f"difference_{end}": change[end] for end in ("low", "high")}
    facts = {"auc": auc["value"], "low": auc["low"], "high": auc["high"]}
    return {**facts, "difference": change["difference"], **ends, "verdict": change["verdict"]}


def licence_of(architecture: str) -> str:
    """The licence of a trunk's code and weights, as far as its library states it."""
    source, colon, name = architecture.partition(":")
    if not colon:
        return "BSD-3-Clause (torchvision); the bundled resnet18 is Apache-2.0"
    if source == "timm":
        import timm

        known = timm.models.get_pretrained_cfg(name)
        return str(getattr(known, "license", None) or "see its page")
    if source == "file":
        return file_trunks.licence(name) or "not said"
    return "see its page"
