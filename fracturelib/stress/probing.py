"""The probes that need the model itself: robustness, where it looks, what erasing the fracture does, and heat maps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fracturelib import catalog
from fracturelib.config import TrainConfig
from fracturelib.errors import EvaluationError
from fracturelib.evaluation import least_certain, worst_errors
from fracturelib.explain import (
    heat_maps,
    localisation,
    localisation_summary,
    occlusion,
    occlusion_summary,
)
from fracturelib.model import FractureClassifier
from fracturelib.stress.robustness import robustness_table, subset

SHOWN = 8  # pictures in each gallery of the report
PICTURES = 64  # pictures for each probe: all probes together take about half a minute on two cores


@dataclass(frozen=True)
class Probes:
    """What was found about a model with its pictures at hand.

    Attributes:
        robustness: see `robustness_table`.
        localisation: see `localisation_summary`; empty where no fracture box is known.
        occlusion: see `occlusion_summary`; empty likewise.
        heat: Grad-CAM (S, S), 0…1, by path, of the worst errors and the least certain images.
        notes: what could not be probed, and why.
    """

    robustness: pd.DataFrame = field(default_factory=pd.DataFrame)
    localisation: pd.DataFrame = field(default_factory=pd.DataFrame)
    occlusion: pd.DataFrame = field(default_factory=pd.DataFrame)
    heat: dict[str, NDArray[Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def run_probes(
    model: FractureClassifier,
    table: pd.DataFrame,
    config: TrainConfig,
    predictions: pd.DataFrame,
    *,
    threshold: float,
    temperature: float | None = None,
) -> Probes:
    """All probes on the test rows of `table`, whose `predictions` were made before, with that temperature.

    Raises:
        ImageError: a file cannot be read.
    """
    tested = catalog.rows(table, table["split"] == "test")
    levels = {"noise": (0.05, 0.1), "blur": (1.0, 2.0), "contrast": (0.5, 0.25), "rotation": (15.0, 30.0)}
    robustness = robustness_table(
        model,
        tested,
        config,
        threshold=threshold,
        temperature=temperature,
        perturbations=levels,
        count=PICTURES,
        seed=config.seed,
    )
    try:
        found = _where_it_looks(model, tested, config)
        return Probes(robustness=robustness, heat=_heat(model, tested, config, predictions, threshold), **found)
    except EvaluationError as error:  # a trunk without places: the numbers stand without this probe
        return Probes(robustness=robustness, notes=(f"Grad-CAM: {error.what}",))


def shown_paths(predictions: pd.DataFrame, *, threshold: float) -> list[str]:
    """The pictures of the report's galleries: the worst errors, then the least certain ones."""
    parts = [choose(predictions, threshold=threshold, count=SHOWN) for choose in (worst_errors, least_certain)]
    return pd.concat(parts)["path"].drop_duplicates().tolist()


def _where_it_looks(model: FractureClassifier, tested: pd.DataFrame, config: TrainConfig) -> dict[str, pd.DataFrame]:
    boxed = catalog.with_boxes(tested)
    if boxed.empty:
        return {}
    some = subset(boxed, count=PICTURES, seed=config.seed)
    return {
        "localisation": localisation_summary(localisation(model, some, config), seed=config.seed),
        "occlusion": occlusion_summary(occlusion(model, some, config), seed=config.seed),
    }


def _heat(
    model: FractureClassifier, tested: pd.DataFrame, config: TrainConfig, predictions: pd.DataFrame, threshold: float
) -> dict[str, NDArray[Any]]:
    rows = pd.DataFrame({"path": shown_paths(predictions, threshold=threshold)})
    maps = heat_maps(model, rows, config, root=catalog.root_of(tested))
    return dict(zip(rows["path"], np.asarray(maps), strict=True))
