"""What a run keeps of its training and validation pictures, to compare new ones with: features, labels, measures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from fracturelib.errors import RunError
from fracturelib.evaluation.similarity import Reference
from fracturelib.files import replaced
from fracturelib.files.tables import write_table
from fracturelib.runs import schema

TRAINING, FEATURES, VALIDATION = "training.csv", "features.safetensors", "validation.csv"
FILES = (TRAINING, FEATURES, VALIDATION)
GAUSSIAN = ("mean", "precision")  # arrays beside the features: of the training pictures, (F,) and (F, F)


def write_reference(folder: Path, reference: Reference, validation: pd.DataFrame) -> None:
    """Write the reference, its features in half precision (N, F), and the table of validation pictures."""
    arrays: dict[str, NDArray[Any]] = {"features": reference.features}
    if reference.gaussian is not None:
        arrays |= dict(zip(GAUSSIAN, reference.gaussian, strict=True))
    write_table(reference.table, folder / TRAINING)
    write_table(validation, folder / VALIDATION)
    with replaced(folder / FEATURES) as partial:
        partial.write_bytes(save(arrays))


def read_reference(folder: Path, record: Mapping[str, Any]) -> Reference:
    """The inverse of `write_reference`; raises RunError where a file is missing or damaged."""
    table = schema.read_table(folder / TRAINING, schema.TRAINING, dtype={"path": str})
    try:
        arrays = load_file(folder / FEATURES)
        features = arrays["features"]
        if features.ndim != 2 or len(features) != len(table) or not np.isfinite(features).all():
            raise ValueError(f"features of shape {features.shape} for {len(table)} pictures")
        width, gaussian = features.shape[1], None
        if GAUSSIAN[0] in arrays:  # runs of versions before have none: it is fitted when it is needed
            gaussian = arrays[GAUSSIAN[0]], arrays[GAUSSIAN[1]]
            shapes = [part.shape for part in gaussian]
            if shapes != [(width,), (width, width)] or not all(np.isfinite(part).all() for part in gaussian):
                raise ValueError(f"mean and precision of shapes {shapes} for {width} features")
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise RunError(
            "the run's features cannot be read",
            file=folder / FEATURES,
            cause=f"the file is missing or damaged ({error})",
            cure="restore it from a copy, or train again under another --name",
        ) from error
    return Reference(table, features, record["novelty"]["limit"], record["novelty"]["usual"], gaussian)


def read_validation(folder: Path) -> pd.DataFrame:
    """The validation pictures: predictions, measures, and their distance; raises RunError as `read_reference`."""
    texts = dict.fromkeys(("path", "source_id", "patient_id", "sha256"), str)
    return schema.read_table(folder / VALIDATION, schema.PREDICTIONS, dtype=texts)
