"""What may stand in the files of a run: names, types and ranges, and the error where something else does."""

from __future__ import annotations

import hashlib
import json
import re
import reprlib
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from fracturelib.config import CLASS_NAMES, TrainConfig
from fracturelib.errors import RunError
from fracturelib.files.tables import plain_table

LARGEST = sys.float_info.max  # so that NaN and infinity lie outside every range


@dataclass(frozen=True)
class Is:
    """A single value: its type (a whole number does for a float), inclusive range, pattern; whether it may be null."""

    kind: type
    low: float = -LARGEST
    high: float = LARGEST
    pattern: str = ""
    optional: bool = False

    def allows(self, value: Any) -> bool:
        """Whether the value is one of these."""
        if value is None:
            return self.optional
        if isinstance(value, bool) != (self.kind is bool):
            return False
        if self.kind in (int, float):
            return isinstance(value, (int, self.kind)) and self.low <= value <= self.high
        return isinstance(value, self.kind) and (not self.pattern or re.fullmatch(self.pattern, str(value)) is not None)


TEXT, FLAG, COUNT, SHARE = Is(str), Is(bool), Is(int, 0), Is(float, 0, 1)
NUMBER, NUMBER_OR_NOT, TEXT_OR_NOT = Is(float), Is(float, optional=True), Is(str, optional=True)
TEMPERATURE = Is(float, 1e-3, 1e3, optional=True)
DIGEST = Is(str, pattern="[0-9a-f]{64}")


# settings that runs of the formats before do not know
_LATER = ("engine", "fit", "guarantee", "head", "polarity", "pool", "tiles", "trunk_rate", "weight_decay")


def _of_setting(entry: Any) -> Is:
    """What a setting of `TrainConfig` may be."""
    low, high = entry.metadata["low"], entry.metadata["high"]
    kind = {"str": str, "int": int, "float": float}[entry.type]
    low, high = (-LARGEST, LARGEST) if low is None else (low, high)
    return Is(kind, low, high, optional=entry.name in _LATER)


RECORD = {  # config.json of a run that has begun
    "format": TEXT,
    "name": TEXT,
    "config": {entry.name: _of_setting(entry) for entry in fields(TrainConfig)},
    "weights": {"name": TEXT, "detail": TEXT, "path": TEXT_OR_NOT, "place": TEXT_OR_NOT, "sha256": DIGEST},
    "data": {
        "root": TEXT,
        "place": TEXT_OR_NOT,
        "fingerprint": DIGEST,
        "make_split": FLAG,
        "keep_conflicts": FLAG,
        "options": Is(dict, optional=True),
    },
    "precision": TEXT_OR_NOT,
    "engine": Is(dict, optional=True),  # where onnxruntime computes the trunk: how it was made, and what that changes
    "preset": TEXT_OR_NOT,  # what its settings began from
    "files": Is(dict, optional=True),
}
FINISHED = {  # what training adds
    "threshold": SHARE,
    "temperature": TEMPERATURE,
    "calibration": Is(dict, optional=True),  # why there is a temperature, or none
    "novelty": Is(dict, optional=True),  # distances from the training pictures: `limit` and `usual`
    "limit": Is(float, 0, 1, optional=True),  # below it "no fracture" may be said
    "combination": Is(str, pattern="highest|mean", optional=True),  # of the pictures of a patient
    "best_epoch": COUNT,
    "stopped_early": FLAG,
    "warnings": [TEXT],
    "seconds": NUMBER,
}
METRICS = {  # metrics.json, as far as it is printed again
    "set_name": TEXT,
    "threshold": SHARE,
    "temperature": NUMBER_OR_NOT,
    "n_files": COUNT,
    "n_sources": COUNT,
    "n_fractured": COUNT,
    "comparison": [
        {"model": TEXT, "metric": TEXT, "value": NUMBER_OR_NOT, "low": NUMBER_OR_NOT, "high": NUMBER_OR_NOT}
    ],
    "confusion": [{"truth": TEXT, **dict.fromkeys(CLASS_NAMES, COUNT)}],
    "warnings": [TEXT],
}
HISTORY = {  # history.csv
    "epoch": Is(int, 1),
    "learning_rate": Is(float, 0),
    "train_loss": NUMBER,
    "train_accuracy": SHARE,
    "val_loss": NUMBER,
    "val_accuracy": SHARE,
    "val_auc": Is(float, 0, 1, optional=True),
}
TRAINING = {"path": TEXT, "label": Is(int, 0, 1), "unit": COUNT}  # training.csv
PREDICTIONS = {"path": TEXT, "label": Is(int, 0, 1), "probability": SHARE, "source_id": TEXT}  # predictions.csv


def check(value: Any, schema: Any, file: Path, field: str = "") -> None:
    """Raise RunError, naming file and field, unless the value is what the schema says; more names may be there."""
    if isinstance(schema, Is):
        if not schema.allows(value):
            _refuse(file, f"{field} is {reprlib.repr(value)}")
    elif not isinstance(value, type(schema)):
        _refuse(file, f"{field or 'its content'} is {reprlib.repr(value)}")
    elif isinstance(schema, list):
        for place, entry in enumerate(value):
            check(entry, schema[0], file, f"{field}[{place}]")
    else:
        for name, inner in schema.items():
            here = f"{field}.{name}".lstrip(".")
            if name not in value and not getattr(inner, "optional", False):
                _refuse(file, f"{here} is missing")
            check(value.get(name), inner, file, here)


def read_json(file: Path) -> Any:
    """The content of a JSON file of a run; raises RunError where it cannot be read."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        _refuse(file, f"it cannot be read ({_reason(error)})")


def read_table(file: Path, schema: dict[str, Is], **options: Any) -> pd.DataFrame:
    """A CSV of a run, as it was before it was written; raises RunError unless its columns are what the schema says."""
    try:
        table = plain_table(pd.read_csv(file, **options))
    except (OSError, ValueError) as error:
        _refuse(file, f"it cannot be read ({_reason(error)})")
    if table.empty:
        _refuse(file, "it has no rows")
    for name, kind in schema.items():
        if name not in table:
            _refuse(file, f"the column {name} is missing")
        for row, value in enumerate(table[name].tolist()):
            if not kind.allows(None if pd.isna(value) else value):
                _refuse(file, f"{name} in row {row + 1} is {reprlib.repr(value)}")
    return table


def digest_of(file: Path) -> str:
    """SHA-256 (hex) of a file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def digest_of_record(record: dict[str, Any]) -> str:
    """SHA-256 (hex) of a record without its own entry of that name."""
    rest = {name: value for name, value in record.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _reason(error: Exception) -> str:
    """One short line."""
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:200]


def _refuse(file: Path, said: str) -> NoReturn:
    raise RunError(
        f"{file.name} of this run cannot be used: {said}",
        file=file,
        cause="the file is missing, damaged or incomplete, was edited, or is another run's",
        cure="restore the run from a copy, or train again under another --name",
    )
