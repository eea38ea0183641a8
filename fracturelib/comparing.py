"""Runs side by side: two runs on the same test images, or one run on its own and on another folder's images."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fracturelib.errors import EvaluationError, RunError
from fracturelib.evaluation import Scored, compare, drop_table
from fracturelib.runs import MODEL, PREDICTIONS, Run, read_record, saved_table


def saved_predictions(folder: str | Path) -> Scored:
    """The test predictions of a finished run, as they were written, and its threshold.

    Raises:
        RunError: the folder is no run, the run is not finished, or the file is damaged.
    """
    return _saved(Path(folder))[0]


def _saved(folder: Path) -> tuple[Scored, str]:
    """The test predictions of a finished run, and the fingerprint of its data."""
    record = read_record(folder)
    if not (folder / MODEL).is_file():
        raise RunError(
            "the run is not finished: it has no test predictions",
            file=folder / MODEL,
            cause="training was interrupted, or files were removed (then restore them from a copy)",
            cure=f"go on with --name {folder.name} --resume and the options of the first call",
        )
    return Scored(saved_table(folder, record), record["threshold"]), record["data"]["fingerprint"]


def compare_runs(first: str | Path, second: str | Path, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """`compare` for the test predictions of two finished runs, each at its own threshold.

    Raises:
        RunError: see `saved_predictions`.
        EvaluationError: the two were not tested on the same images, or it cannot be told.
    """
    (one, its_data), (other, other_data) = _saved(Path(first)), _saved(Path(second))
    known = "sha256" in one.predictions and "sha256" in other.predictions
    if not known and its_data != other_data:  # equal names alone do not make equal images
        raise EvaluationError(
            "the two runs used different data, and their predictions do not say of which images they are",
            cause="one of the runs was made by an older version",
            cure="train it again under another --name",
        )
    return compare(one, other, resamples=resamples, seed=seed)


def drop_from_run(run: Run, external: pd.DataFrame, *, resamples: int = 2000) -> pd.DataFrame | None:
    """`drop_table` from the run's own test set to `external` predictions; None if the run's own are gone."""
    if not (run.folder / PREDICTIONS).is_file():
        return None
    internal = Scored(saved_table(run.folder, run.record), run.threshold)
    return drop_table(internal, Scored(external, run.threshold), resamples=resamples, seed=run.config.seed)
