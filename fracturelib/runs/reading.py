"""What is read of a run: each file is known by its hash, and everything in it is checked before it is used."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fracturelib.catalog import DataOptions
from fracturelib.config import TrainConfig
from fracturelib.errors import ConfigError, RunError, RunWarning
from fracturelib.evaluation import calibrated, threshold_on
from fracturelib.evaluation.similarity import Reference
from fracturelib.files.places import found_from
from fracturelib.images.squares import as_torch_resizes
from fracturelib.runs import schema
from fracturelib.runs.network import Network, OnnxNetwork, TorchNetwork
from fracturelib.runs.pictures import PICTURES, among_learnt
from fracturelib.runs.reference import FEATURES, TRAINING, VALIDATION, read_reference, read_validation
from fracturelib.runs.selftest import SELF_TEST, SelfTest, run_self_test
from fracturelib.runs.writing import MODEL, PREDICTIONS, RECORD_FILE, RUN_FORMAT
from fracturelib.runtime import choose_device, choose_precision

if TYPE_CHECKING:
    from fracturelib.model import FractureClassifier

FIRST_FORMAT = "fracturelib run 1"  # without hashes
SECOND_FORMAT = "fracturelib run 2"  # its threshold and its predictions are on the scale of the network


class KeptRun:
    """What every finished run has, whoever computes its network.

    Attributes:
        folder: where it is kept.
        config: its settings; `data` is where the data set is now, as far as that is known.
        record: all of ``config.json``.
    """

    folder: Path
    config: TrainConfig
    record: dict[str, Any]

    @property
    def network(self) -> Network:
        """The network as `predict` uses it, ready on the device where it computes."""
        raise NotImplementedError

    @property
    def threshold(self) -> float:
        """The operating point for calibrated probabilities, chosen on validation images when the run was made."""
        return self.record["threshold"]

    @property
    def temperature(self) -> float | None:
        """What calibrates the network's probabilities (`evaluation.calibrated`); None where nothing does."""
        return self.record.get("temperature")

    @property
    def is_of_before(self) -> bool:
        """Whether an earlier version made it, which kept nothing of its training pictures and no self-test."""
        return self.record.get("format") != RUN_FORMAT

    @cached_property
    def reference(self) -> Reference | None:
        """The training pictures that new ones are compared with; None for a run of before. Raises RunError."""
        if self.is_of_before:
            return None
        for name in (TRAINING, FEATURES):
            check_file(self.folder, self.record, name)
        return read_reference(self.folder, self.record)

    @cached_property
    def validation(self) -> pd.DataFrame | None:
        """The predictions and measures of the validation pictures; None for a run of before. Raises RunError."""
        if self.is_of_before:
            return None
        check_file(self.folder, self.record, VALIDATION)
        return read_validation(self.folder)


@dataclass(frozen=True)
class Run(KeptRun):
    """A finished run.

    Attributes:
        folder, config, record: see `KeptRun`.
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
    def network(self) -> TorchNetwork:
        """The model, which this moves to the best device that is here."""
        return TorchNetwork(self.model.to(choose_device()).eval(), self.config)

    @property
    def repeats_here(self) -> bool:
        """Whether this machine computes in the run's precision, and so repeats its numbers."""
        return choose_precision(self.model.precision, choose_device(self.config.device)) == self.record.get("precision")


@dataclass(frozen=True)
class RunWithoutTorch(KeptRun):
    """A finished run whose network onnxruntime computes: enough to predict with; see `load_run_lightly`."""

    folder: Path
    config: TrainConfig
    record: dict[str, Any]
    onnx: OnnxNetwork

    @property
    def network(self) -> OnnxNetwork:
        """It always computes on the processor."""
        return self.onnx


def load_run(folder: str | Path) -> Run:
    """Reload a finished run; nothing in the folder is executed.

    Raises:
        RunError: the folder is no run, or a file of it is missing, damaged, edited or of another run.
        WeightsError: the trunk's weights that the run used are not on this machine.

    Warns:
        RunWarning: the run was made by an earlier version, and lacks what the sentence names.
    """
    return _with_torch(*_opened(Path(folder)))


def load_run_lightly(folder: str | Path) -> KeptRun:
    """The same to predict a few pictures with: torch, which takes seconds to load, is left out where it is not needed.

    It is needed unless onnxruntime computes the whole trunk, on a processor where NumPy can resize as torch does. Where
    it is loaded already, as it is in each of several processes, it is used.

    Raises:
        RunError, WeightsError: as `load_run`; the trunk's own weights are not asked for where the engine holds them.
    """
    from fracturelib.runs.rebuilding import light_network

    opened = _opened(Path(folder))
    folder, record, config, *_ = opened
    whole_trunk = record.get("engine") and record["format"] == RUN_FORMAT and config.unfreeze == "head"
    if "torch" in sys.modules or not whole_trunk or not as_torch_resizes():
        return _with_torch(*opened)
    network = light_network(folder, record, config)
    _check_numbers(folder, record, network)
    return RunWithoutTorch(folder, config, record, network)


def _opened(folder: Path) -> tuple[Path, dict[str, Any], TrainConfig, pd.DataFrame, dict[str, Any]]:
    """Folder, record, settings, history and metrics of a finished run, all checked."""
    record = read_record(folder)
    if not (folder / MODEL).is_file():
        raise RunError(
            "the run is not finished: it has no trained model",
            file=folder / MODEL,
            cause="training was interrupted, or the file was removed (then restore it from a copy)",
            cure=f"go on with --name {folder.name} --resume and the options of the first call",
        )
    config = _settings(record, folder)
    for name in (MODEL, "metrics.json", "history.csv"):
        check_file(folder, record, name)
    metrics, history = (
        schema.read_json(folder / "metrics.json"),
        schema.read_table(folder / "history.csv", schema.HISTORY),
    )
    schema.check(metrics, schema.METRICS, folder / "metrics.json")
    history.attrs |= {"best_epoch": record["best_epoch"], "stopped_early": record["stopped_early"]}
    return folder, record, config, history, metrics


def _with_torch(
    folder: Path, record: dict[str, Any], config: TrainConfig, history: pd.DataFrame, metrics: dict[str, Any]
) -> Run:
    from fracturelib.runs.rebuilding import rebuilt_model

    model = rebuilt_model(folder, record, config)
    if record["format"] == RUN_FORMAT:
        _check_numbers(folder, record, TorchNetwork(model))
    return Run(folder, config, record, model, history, metrics)


def _check_numbers(folder: Path, record: dict[str, Any], network: Network) -> None:
    """Warn if the first picture of the self-test has another number here than where the run was made."""
    check_file(folder, record, SELF_TEST)
    test = run_self_test(folder, record, network, count=1)
    if not test.passed:
        warnings.warn(
            f"this machine gives other numbers than the run {folder.name} had: its first test picture differs by "
            f"{test.difference:.2g}, and {test.tolerance:g} is allowed; `fracturelib doctor {folder}` says more",
            RunWarning,
            stacklevel=4,
        )


def repeat_self_test(run: Run) -> SelfTest:
    """The self-test of a run, after its files were found to be those that it wrote.

    Raises:
        RunError: a file was changed, or the run is of an earlier version, which kept no self-test.
    """
    if run.is_of_before:
        cure = "train again under another --name"
        raise RunError("the run keeps no pictures to test itself with", file=run.folder, cure=cure)
    for name in run.record.get("files") or {}:
        if not (run.folder / name).is_file():
            raise RunError("a file of the run is missing", file=run.folder / name, cure="restore it from a copy")
        check_file(run.folder, run.record, name)
    return run_self_test(run.folder, run.record, TorchNetwork(run.model))


def read_record(folder: str | Path) -> dict[str, Any]:
    """The content of ``config.json``, checked; raises RunError if it is missing, damaged, edited or of another format.

    The threshold of a run of an earlier format is moved to the calibrated scale.

    Warns:
        RunWarning: it was written by an earlier version.
    """
    path = Path(folder) / RECORD_FILE
    if not path.is_file():
        raise RunError(
            "this folder is no run",
            file=path,
            cause="the name is misspelt, training never started, or the file was removed (then restore it from a copy)",
            cure="give the folder that `fracturelib train` printed, for example runs/demo",
        )
    record = schema.read_json(path)
    found = record.get("format") if isinstance(record, dict) else type(record).__name__
    if found not in (RUN_FORMAT, SECOND_FORMAT, FIRST_FORMAT):
        raise RunError(
            f"the run has the format {found!r:.50}, expected {RUN_FORMAT!r}",
            file=path,
            cause="the file is damaged, or was made by other code or another version",
            cure="restore it from a copy, or train again under another --name",
        )
    finished = (path.parent / MODEL).is_file()
    schema.check(record, schema.RECORD | schema.FINISHED if finished else schema.RECORD, path)
    if found != FIRST_FORMAT and record.get("sha256") != schema.digest_of_record(record):
        raise not_its_own(path)
    return record if found == RUN_FORMAT else _from_before(record, path.parent.name)


def _from_before(record: dict[str, Any], name: str) -> dict[str, Any]:
    """The record of an earlier format with its threshold on the calibrated scale, and a word on what it lacks."""
    lacks = "it keeps nothing of its training pictures to compare new ones with"
    if record["format"] == FIRST_FORMAT:
        lacks = (
            f"it does not tell whether its files are still its own, nor which pictures it has learnt from, and {lacks}"
        )
    warnings.warn(
        f"the run {name} was made by an earlier version: {lacks}; train again under another --name to have that",
        RunWarning,
        stacklevel=5,
    )
    if "threshold" not in record:  # not finished
        return record
    return record | {"threshold": threshold_on(record["threshold"], record.get("temperature"))}


def saved_table(folder: Path, record: dict[str, Any]) -> pd.DataFrame:
    """The test predictions of a finished run as they were written; raises RunError as `load_run`."""
    check_file(folder, record, PREDICTIONS)
    texts = dict.fromkeys(("path", "source_id", "patient_id", "sha256"), str)
    table = schema.read_table(folder / PREDICTIONS, schema.PREDICTIONS, dtype=texts)
    return table if record["format"] == RUN_FORMAT else calibrated(table, record.get("temperature"))


def learnt_pictures(run: Run, table: pd.DataFrame) -> np.ndarray:
    """Whether each row's picture is one that the run has learnt from, bool (N,); raises RunError as `load_run`."""
    check_file(run.folder, run.record, PICTURES)
    return among_learnt(run.folder / PICTURES, table)


def check_file(folder: Path, record: dict[str, Any], name: str) -> None:
    """Raise RunError unless the file is the one that the run wrote, as far as its record tells."""
    hashes = record.get("files") or {}
    known = record["format"] != FIRST_FORMAT and (folder / name).is_file()
    if known and hashes.get(name) != schema.digest_of(folder / name):
        raise not_its_own(folder / name)


def not_its_own(path: Path) -> RunError:
    """The error for a file that is not the one which the run wrote."""
    return RunError(
        f"{path.name} is not what this run wrote",
        file=path,
        cause="it is damaged, was edited, or is another run's",
        cure="restore the run from a copy, or train again under another --name",
    )


def _settings(record: dict[str, Any], folder: Path) -> TrainConfig:
    """The run's settings, with the places of data and weights as seen from here."""
    try:
        config = TrainConfig.from_dict(record["config"])
    except ConfigError as error:
        raise RunError(
            f"the run's settings do not fit this version: {error.what}",
            file=folder / RECORD_FILE,
            cause="the file was edited, or made by another version",
            cure="restore it from a copy, or train again under another --name",
        ) from error
    return replace(config, data=found_from(folder, record["data"].get("place"), config.data))


def own_options(run: Run, *, keep_ids: bool = False) -> DataOptions:
    """How the run's own data are read; its table of labels is looked for where it was, as seen from the run."""
    asked = dict(run.record["data"].get("options") or {})
    if asked.get("labels"):
        asked["labels"] = found_from(run.folder, asked.get("labels_place"), asked["labels"])
    return replace(DataOptions.from_dict(asked), keep_ids=keep_ids)
