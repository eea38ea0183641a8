"""The folder of a run: enough to reload the model and repeat its numbers, and nothing in it is ever executed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from fracturelib import __version__
from fracturelib.catalog import describe, fingerprint
from fracturelib.config import TrainConfig
from fracturelib.errors import ConfigError, RunError, WeightsError
from fracturelib.evaluation import Evaluation
from fracturelib.files import replaced, write_text
from fracturelib.files.tables import write_table
from fracturelib.model import FractureClassifier, build_model
from fracturelib.runtime import choose_device, choose_precision, describe_machine, library_versions

RUN_FORMAT = "fracturelib run 1"
CHECKPOINT = "checkpoint.safetensors"
MODEL = "model.safetensors"


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: where it is kept.
        config: its settings.
        record: all of ``config.json``.
        model: with the best weights, in eval mode.
        history: one row per epoch.
        metrics: all of ``metrics.json``: the test numbers of the day it was made.
    """

    folder: Path
    config: TrainConfig
    record: dict[str, Any]
    model: FractureClassifier
    history: pd.DataFrame
    metrics: dict[str, Any]

    @property
    def threshold(self) -> float:
        """The operating point, chosen on validation images when the run was made."""
        return self.record["threshold"]

    @property
    def repeats_here(self) -> bool:
        """Whether this machine computes in the run's precision, and so repeats its numbers."""
        return choose_precision(self.model.precision, choose_device(self.config.device)) == self.record.get("precision")


def load_run(folder: str | Path) -> Run:
    """Reload a finished run; nothing in the folder is executed.

    Raises:
        RunError: the folder is no run, or a file of it is missing, damaged or made by other code.
        WeightsError: the trunk's weights that the run used are not on this machine.
    """
    folder = Path(folder)
    record = read_record(folder)
    if not (folder / MODEL).is_file():
        raise RunError(
            "the run is not finished: it has no trained model",
            file=folder / MODEL,
            cause="training was interrupted",
            cure=f"go on with --name {folder.name} --resume and the options of the first call",
        )
    try:
        config = TrainConfig.from_dict(record["config"])
    except (ConfigError, TypeError) as error:
        raise RunError(
            f"the run's settings do not fit this version: {error}",
            file=folder / "config.json",
            cause="the file was edited, or made by another version",
            cure="train again under another --name",
        ) from error
    model = _rebuild(config, record, folder)
    try:
        model.load_trained_state(load_file(folder / MODEL))
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        raise RunError(
            "the run's model cannot be read",
            file=folder / MODEL,
            cause=f"it is damaged, or belongs to other settings ({str(error)[:200]})",
            cure="restore the file from a copy, or train again under another --name",
        ) from error
    history, metrics = _read_results(folder)
    history.attrs |= {"best_epoch": record["best_epoch"], "stopped_early": record["stopped_early"]}
    return Run(folder, config, record, model.eval(), history, metrics)


def read_record(folder: str | Path) -> dict[str, Any]:
    """The content of ``config.json``, checked; raises RunError when it is missing, damaged or of another format."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise RunError(
            "this folder is no run",
            file=path,
            cause="the name is misspelt, or training never started",
            cure="give the folder that `fracturelib train` printed, for example runs/demo",
        )
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(
            "the run's settings cannot be read",
            file=path,
            cause=f"the file is damaged ({error})",
            cure="restore it from a copy, or train again under another --name",
        ) from error
    needed = {"format", "config", "weights", "data"}
    if not isinstance(record, dict) or record.get("format") != RUN_FORMAT or not needed <= set(record):
        found = record.get("format") if isinstance(record, dict) else type(record).__name__
        raise RunError(
            f"the run has the format {found!r}, expected {RUN_FORMAT!r}",
            file=path,
            cause="it was made by other code or another version",
            cure="train again under another --name",
        )
    return record


def _read_results(folder: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """History and metrics of a finished run; raises RunError when a file is missing or damaged."""
    try:
        history = pd.read_csv(folder / "history.csv")
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(
            "history.csv or metrics.json of the run cannot be read",
            file=folder,
            cause=f"it is missing or damaged ({error})",
            cure="restore it from a copy, or train again under another --name",
        ) from error
    return history, metrics


def _rebuild(config: TrainConfig, record: dict[str, Any], folder: Path) -> FractureClassifier:
    """The run's network with the very trunk that it was trained on."""
    try:
        model = build_model(config, weights=record["weights"]["name"])
    except (ConfigError, WeightsError) as error:
        error.add_note(f"(needed by the run {folder})")
        raise
    if model.origin.sha256 != record["weights"]["sha256"]:
        raise RunError(
            "the trunk's weights on this machine are not the ones that the run was trained on",
            file=record["weights"]["path"] or folder / "config.json",
            cause="the weights file was replaced, or another version of the libraries makes other random weights",
            cure=f"bring back the weights with the fingerprint {record['weights']['sha256'][:12]}…, or train again",
        )
    # What was computed in float32 is repeated so where there is bfloat16. The other way round it would be emulated, and
    # take many times as long: then the numbers differ in the third digit.
    if record.get("precision") == "float32":
        model.precision = "float32"
    return model


def new_record(config: TrainConfig, table: pd.DataFrame, model: FractureClassifier, name: str) -> dict[str, Any]:
    counts = describe(table)
    return {
        "format": RUN_FORMAT,
        "name": name,
        "fracturelib": __version__,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": config.to_dict(),
        "weights": model.origin.to_dict(),
        "data": {
            "root": str(table.attrs["root"]),
            "fingerprint": fingerprint(table),
            "counts": json.loads(counts.reset_index().to_json(orient="records")),
            "skipped": len(table.attrs.get("skipped", [])),
        },
        "versions": library_versions(),
        "machine": describe_machine(),
        "precision": choose_precision(config.precision, choose_device(config.device)),
    }


def write_run(
    folder: Path,
    record: dict[str, Any],
    model: FractureClassifier,
    history: pd.DataFrame,
    evaluation: Evaluation,
    predictions: pd.DataFrame,
) -> None:
    """Numbers and model of a finished run; the model comes last, since its presence says that the run is complete."""
    for name, table in (("history", history), ("predictions", predictions)):
        write_table(table, folder / f"{name}.csv")
    write_json(folder / "metrics.json", evaluation.to_dict())
    write_json(folder / "config.json", record)
    with replaced(folder / MODEL) as partial:
        save_file(model.trained_state(), partial)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace the file by strict JSON: not-a-number is an error."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
