"""Runs side by side: two runs on the same test images, or one run on its own and on another folder's images."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fracturelib.errors import EvaluationError, RunError
from fracturelib.evaluation import Scored, compare, drop_table
from fracturelib.files.tables import plain_table
from fracturelib.runs import Run, read_record

PREDICTIONS = "predictions.csv"


def saved_predictions(folder: str | Path) -> Scored:
    """The test predictions of a finished run, as they were written, and its threshold.

    Raises:
        RunError: the folder is no run, the run is not finished, or the file is damaged.
    """
    folder = Path(folder)
    record = read_record(folder)
    try:
        texts = {"path": str, "source_id": str, "patient_id": str}
        table = plain_table(pd.read_csv(folder / PREDICTIONS, dtype=texts))
        return Scored(table.astype({"label": int, "probability": float}), float(record["threshold"]))
    except (OSError, ValueError, KeyError) as error:
        raise RunError(
            "the run's test predictions cannot be read",
            file=folder / PREDICTIONS,
            cause=f"the run is not finished, or the file is missing or damaged ({error})",
            cure="finish the run with --resume, restore the file from a copy, or train again",
        ) from error


def compare_runs(first: str | Path, second: str | Path, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """`compare` for the test predictions of two finished runs, each at its own threshold.

    Raises:
        RunError: see `saved_predictions`.
        EvaluationError: the two were not tested on the same images, or it cannot be told.
    """
    one, other = saved_predictions(first), saved_predictions(second)
    known = "sha256" in one.predictions and "sha256" in other.predictions
    prints = {read_record(folder)["data"]["fingerprint"] for folder in (first, second)}
    if not known and len(prints) > 1:  # equal names alone do not make equal images
        raise EvaluationError(
            "the two runs used different data, and their predictions do not say of which images they are",
            cause="one of the runs was made by an older version",
            cure="train it again under another --name",
        )
    return compare(one, other, resamples=resamples, seed=seed)


def drop_from_run(run: Run, external: pd.DataFrame, *, resamples: int = 2000) -> pd.DataFrame | None:
    """`drop_table` from the run's own test set to `external` predictions; None if the run's own are gone."""
    try:
        internal = saved_predictions(run.folder)
    except RunError:
        return None
    return drop_table(internal, Scored(external, run.threshold), resamples=resamples, seed=run.config.seed)
