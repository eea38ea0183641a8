"""What the report and the model card are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from fracturelib.evaluation import Evaluation
from fracturelib.prediction.nearest import Case
from fracturelib.stress.probing import Probes


@dataclass(frozen=True)
class Tested:
    """A model after its test, with all that is known about it.

    Attributes:
        record: the content of ``config.json``; what it lacks is shown as "not available".
        table: the whole data set, all splits.
        history: one row per epoch, as `fit` gives it.
        evaluation: the result on `predictions`.
        predictions: one row per test file: path, label, probability, source_id, ….
        probes: from `run_probes`; what was not probed is shown as "not available".
        drop: for an external test, from `drop_from_run`.
        cases: the training pictures that the shown ones resemble, by path.
    """

    record: Mapping[str, Any]
    table: pd.DataFrame
    history: pd.DataFrame
    evaluation: Evaluation
    predictions: pd.DataFrame
    probes: Probes = field(default_factory=Probes)
    drop: pd.DataFrame | None = None
    cases: Mapping[str, list[Case]] = field(default_factory=dict)
