"""What a run writes: its record, which names every other file by its hash, its numbers, and last its model."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from fracturelib import __version__
from fracturelib.catalog import DataOptions, about, describe, fingerprint
from fracturelib.config import TrainConfig
from fracturelib.evaluation import Evaluation
from fracturelib.evaluation.similarity import Reference
from fracturelib.files import replaced, write_text
from fracturelib.files.places import place_from, shareable
from fracturelib.files.tables import write_table
from fracturelib.runs.pictures import write_pictures
from fracturelib.runs.reference import write_reference
from fracturelib.runs.schema import digest_of, digest_of_record
from fracturelib.runs.selftest import write_self_test
from fracturelib.runtime import choose_device, choose_precision, describe_machine, library_versions

if TYPE_CHECKING:
    from fracturelib.model import FractureClassifier

RUN_FORMAT = "fracturelib run 3"
RECORD_FILE = "config.json"
CHECKPOINT = "checkpoint.safetensors"
MODEL = "model.safetensors"
ENGINE = "trunk.onnx"  # where onnxruntime computes the frozen trunk
PREDICTIONS = "predictions.csv"


def new_record(config: TrainConfig, table: pd.DataFrame, model: FractureClassifier, folder: Path) -> dict[str, Any]:
    """The beginning of ``config.json``; it holds no absolute path, so that a run can be handed on."""
    counts, origin = describe(table), model.origin
    settings, weights = config.to_dict() | {"data": shareable(config.data)}, origin.to_dict() | {"place": None}
    described = config.architecture.partition("file:")[2]
    if described:
        settings["architecture"] = f"file:{shareable(described)}"
        weights["place"] = place_from(folder, described)
    if origin.path is not None:
        weights["path"] = shareable(origin.path)
        if origin.path == str(Path(origin.name)):  # a file that the user named
            weights |= {"name": weights["path"], "place": place_from(folder, origin.path)}
            settings["weights"] = shareable(config.weights)
    return {
        "format": RUN_FORMAT,
        "name": folder.name,
        "fracturelib": __version__,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": settings,
        "weights": weights,
        "data": {
            "root": settings["data"],
            "place": place_from(folder, config.data),
            "fingerprint": fingerprint(table),
            "counts": json.loads(counts.reset_index().to_json(orient="records")),
            "skipped": len(table.attrs.get("skipped", [])),
        },
        "versions": library_versions(),
        "machine": describe_machine(),
        "precision": choose_precision(model.precision, choose_device(config.device)),
    }


def reading_record(folder: Path, table: pd.DataFrame, options: DataOptions) -> dict[str, Any]:
    """How the data were read, for the record's "data": what was found and said, and what was asked for."""
    known = about(table)
    asked = asdict(options) | {"labels": shareable(options.labels) if options.labels else ""}
    asked["labels_place"] = place_from(folder, options.labels) if options.labels else None
    return {"layout": known.layout, "read_as": list(known.said), "meaning": str(known.meaning), "options": asked}


def write_run(
    folder: Path,
    record: dict[str, Any],
    model: FractureClassifier,
    history: pd.DataFrame,
    evaluation: Evaluation,
    predictions: pd.DataFrame,
    table: pd.DataFrame,
    reference: Reference,
    validation: pd.DataFrame,
) -> dict[str, Any]:
    """Numbers and model of a finished run; the model comes last, since its presence says that the run is complete.

    Returns:
        The record as written: with the SHA-256 of every file but itself and the checkpoint.
    """
    from safetensors.torch import save

    from fracturelib.runs.network import TorchNetwork

    for name, rows in (("history.csv", history), (PREDICTIONS, predictions)):
        write_table(rows, folder / name)
    write_json(folder / "metrics.json", evaluation.to_dict())
    write_pictures(folder, table)
    write_reference(folder, reference, validation)
    write_self_test(folder, TorchNetwork(model), record["config"]["image_size"])
    if model.engine is not None:
        with replaced(folder / ENGINE) as partial:
            partial.write_bytes(model.engine.content)
    with replaced(folder / MODEL) as partial:
        partial.write_bytes(save(model.trained_state()))
        hashes = {
            file.relative_to(folder).as_posix(): digest_of(file)
            for file in sorted(folder.rglob("*"))
            if file.is_file() and file != partial and file.name not in (RECORD_FILE, CHECKPOINT)
        }
        record = write_record(folder, record | {"files": hashes | {MODEL: digest_of(partial)}})
    return record


def write_record(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Replace ``config.json``; returns the record with the hash of itself, by which an edited one is known."""
    record = record | {"sha256": digest_of_record(record)}
    write_json(folder / RECORD_FILE, record)
    return record


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace the file by strict JSON: not-a-number is an error."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
