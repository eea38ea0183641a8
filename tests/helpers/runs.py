"""Runs as earlier versions wrote them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd

from fracturelib.evaluation import apply_temperature
from fracturelib.runs import write_record


def as_second_format(folder: Path) -> None:
    """Turn a run into one of the second format, whose threshold and predictions are on the scale of the network."""
    record = json.loads((folder / "config.json").read_text())
    if record["temperature"]:
        record["threshold"] = float(apply_temperature(record["threshold"], 1 / record["temperature"]))
    for name in ("calibration", "sha256"):
        del record[name]
    table = pd.read_csv(folder / "predictions.csv", dtype=str)
    table.assign(probability=table["raw"]).drop(columns="raw").to_csv(folder / "predictions.csv", index=False)
    record["files"]["predictions.csv"] = hashlib.sha256((folder / "predictions.csv").read_bytes()).hexdigest()
    write_record(folder, record | {"format": "fracturelib run 2"})


def as_first_format(folder: Path) -> None:
    """Turn a run into one of the first format, which knows neither hashes nor pictures nor places."""
    as_second_format(folder)
    record = json.loads((folder / "config.json").read_text())
    for name in ("files", "sha256"):
        del record[name]
    del record["data"]["place"], record["weights"]["place"]
    (folder / "config.json").write_text(json.dumps(record | {"format": "fracturelib run 1"}))
    (folder / "pictures.safetensors").unlink()
