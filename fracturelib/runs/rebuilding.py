"""From the files of a run to its network again: with torch, or with onnxruntime alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from fracturelib.config import TrainConfig
from fracturelib.errors import ConfigError, FracturelibError, RunError, WeightsError
from fracturelib.files.places import found_from
from fracturelib.runs.network import OnnxNetwork
from fracturelib.runs.reading import check_file, not_its_own
from fracturelib.runs.writing import ENGINE, MODEL, RECORD_FILE
from fracturelib.trunks.engine import RUNTIME, Engine
from fracturelib.trunks.onnx_graphs import needed

if TYPE_CHECKING:
    from fracturelib.model import FractureClassifier


def rebuilt_model(folder: Path, record: dict[str, Any], config: TrainConfig) -> FractureClassifier:
    """The classifier with its best weights, in eval mode; raises as `load_run`."""
    import torch

    model = _with_its_trunk(folder, record, config)
    try:
        model.load_trained_state({name: torch.from_numpy(value) for name, value in _trained(folder / MODEL).items()})
    except (KeyError, RuntimeError) as error:
        raise _unreadable(folder / MODEL, error) from error
    if record.get("engine"):
        model.engine = _engine(folder, record)
        if model.engine.facts.get("frozen_sha256") != model.frozen_fingerprint():
            raise not_its_own(folder / ENGINE)
    return model.eval()


def light_network(folder: Path, record: dict[str, Any], config: TrainConfig) -> OnnxNetwork:
    """The network of a run whose whole trunk onnxruntime computes, without torch; raises RunError as `load_run`."""
    head, engine = _trained(folder / MODEL), _engine(folder, record)
    try:
        return OnnxNetwork(engine, head, config)
    except (KeyError, ValueError) as error:
        raise _unreadable(folder / MODEL, error) from error


def _with_its_trunk(folder: Path, record: dict[str, Any], config: TrainConfig) -> FractureClassifier:
    """The network with the very trunk that it was trained on."""
    from fracturelib.model import build_model

    weights = record["weights"]
    described = config.architecture.partition("file:")[2]
    try:
        if described:
            place = found_from(folder, weights.get("place"), described)
            model = build_model(replace(config, architecture=f"file:{place}"), weights="auto")
        else:
            model = build_model(config, weights=found_from(folder, weights.get("place"), weights["name"]))
    except (ConfigError, WeightsError) as error:
        error.add_note(f"(needed by the run {folder})")
        raise
    if model.origin.sha256 != weights["sha256"]:
        raise RunError(
            "the trunk's weights on this machine are not the ones that the run was trained on",
            file=weights["path"] or folder / RECORD_FILE,
            cause="the weights file was replaced, or another version of the libraries makes other random weights",
            cure=f"bring back the weights with the fingerprint {weights['sha256'][:12]}…, or train again",
        )
    # What was computed in float32 is repeated so where there is bfloat16. The other way round it would be emulated, and
    # take many times as long: then the numbers differ in the third digit.
    if record.get("precision") == "float32":
        model.precision = "float32"
    return model


def _engine(folder: Path, record: dict[str, Any]) -> Engine:
    """The engine that the run wrote, if it says of itself what the record says; onnxruntime must be there."""
    needed(RUNTIME)  # its absence is no fault of the run
    check_file(folder, record, ENGINE)
    try:
        engine = Engine((folder / ENGINE).read_bytes())
    except (FracturelibError, OSError) as error:
        raise RunError(
            f"{ENGINE} of this run cannot be used",
            file=folder / ENGINE,
            cause=f"it is missing or damaged ({' '.join(str(error).split())[:200]})",
            cure="restore it from a copy, or train again under another --name",
        ) from error
    told = record["engine"] | {"precision": record["precision"]}
    if any(told.get(name) != value for name, value in engine.facts.items()):
        raise not_its_own(folder / ENGINE)
    return engine


def _trained(file: Path) -> dict[str, NDArray[Any]]:
    """All tensors that training changed, by name."""
    try:
        state = load_file(file)
        wrong = [name for name, value in state.items() if not np.isfinite(value).all()]
        if wrong:
            raise KeyError(f"not finite: {', '.join(wrong)}")
    except (SafetensorError, OSError, KeyError) as error:
        raise _unreadable(file, error) from error
    return state


def _unreadable(file: Path, error: Exception) -> RunError:
    return RunError(
        "the run's model cannot be read",
        file=file,
        cause=f"it is damaged, or belongs to other settings ({str(error)[:200]})",
        cure="restore the file from a copy, or train again under another --name",
    )
