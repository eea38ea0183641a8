"""What a model has to beat: always saying the commoner class, and never looking at the bones.

The second baseline sees only the size, the shape and the overall brightness of a file. If it does nearly as
well as the network, the data give the answer away through how the images were made (see Zech et al., PLOS
Medicine 15 (2018), e1002683).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from fracturelib.catalog import root_of
from fracturelib.errors import EvaluationError
from fracturelib.evaluation.metrics import Scored
from fracturelib.evaluation.thresholds import choose_threshold
from fracturelib.images import measure_grey

MAJORITY, METADATA = "majority class", "metadata only"


def file_metadata(table: pd.DataFrame, *, root: str | Path | None = None, progress: bool = True) -> pd.DataFrame:
    """One row per file of the table, in its order: log_width, log_height, log_aspect, brightness and contrast.

    Brightness and contrast are mean and standard deviation of the grey values, 0…1, read at about 64 pixels. They are
    columns of the tables that `read_catalog` makes; of another table the files are read.

    Raises:
        CatalogError: the table does not say where its files lie.
        ImageError: a file cannot be read.
    """
    if {"grey_mean", "grey_std"} <= set(table.columns):  # measured when the table was made
        grey = table[["grey_mean", "grey_std"]].to_numpy(float)  # (N, 2)
    else:
        folder = root_of(table, root)
        bar = tqdm(table["path"], desc="metadata baseline", unit="file", delay=2, disable=not progress)
        grey = np.array([measure_grey(folder / path) for path in bar]).reshape(-1, 2)
    width, height = table["width"].to_numpy(dtype=float), table["height"].to_numpy(dtype=float)
    return pd.DataFrame(
        {
            "log_width": np.log(width),
            "log_height": np.log(height),
            "log_aspect": np.log(width / height),
            "brightness": grey[:, 0],
            "contrast": grey[:, 1],
        },
        index=table.index,
    )


def baseline_predictions(
    table: pd.DataFrame,
    *,
    test: pd.DataFrame | None = None,
    root: str | Path | None = None,
    rule: str | float = "youden",
    progress: bool = True,
) -> dict[str, Scored]:
    """Both baselines, fitted on the train split of `table`, applied to its test split or to the table `test`.

    The metadata baseline chooses its threshold on the validation split by the same `rule` as the model;
    without a validation split of both classes it takes 0.5. `root` is the folder of `table`; `test` brings
    its own in its attrs.

    Raises:
        EvaluationError: the train split lacks a class, or there is nothing to test.
    """
    from sklearn.linear_model import LogisticRegression  # a second to load, which `predict` can do without
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, validation = (table[table["split"] == split] for split in ("train", "val"))
    target = table[table["split"] == "test"] if test is None else test
    if train["label"].nunique() < 2 or target.empty:
        raise EvaluationError(
            "the baselines need a train split with both classes and at least one test file",
            cure="check the data set's folders",
        )
    target_root = root if test is None else None
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(file_metadata(train, root=root, progress=progress), train["label"])
    threshold = 0.5
    if validation["label"].nunique() == 2:
        chances = model.predict_proba(file_metadata(validation, root=root, progress=progress))[:, 1]
        threshold = choose_threshold(validation.assign(probability=chances), rule=rule)
    chances = model.predict_proba(file_metadata(target, root=target_root, progress=progress))[:, 1]
    share = train["label"].mean()
    return {
        MAJORITY: Scored(_with_probability(target, np.full(len(target), share)), 0.5),
        METADATA: Scored(_with_probability(target, chances), threshold),
    }


def _with_probability(table: pd.DataFrame, probabilities: np.ndarray) -> pd.DataFrame:
    kept = table.filter(["path", "label", "source_id", "patient_id"]).reset_index(drop=True)
    return kept.assign(probability=probabilities)
