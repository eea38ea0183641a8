"""All that changes while a head is trained: its early stopping, and checkpoints that resume bit for bit."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler, StepLR

from fracturelib.config import TrainConfig
from fracturelib.errors import RunError
from fracturelib.files import replaced
from fracturelib.model import FractureClassifier

CHECKPOINT_FORMAT = "fracturelib checkpoint 2"


@dataclass
class EarlyStopping:
    """Stop when the validation loss has been clearly above its lowest value for `patience` epochs in a row.

    With few validation images the loss moves by luck alone: only a rise of more than `min_delta` is one. The epoch to
    keep is the last one without such a rise.
    """

    patience: int
    min_delta: float
    lowest: float = float("inf")
    best_epoch: int = 0
    epochs_risen: int = 0

    def update(self, epoch: int, loss: float) -> bool:
        """Take in one epoch's validation loss; True when it has clearly risen, so that the epoch is not kept."""
        self.lowest = min(self.lowest, loss)
        risen = not loss <= self.lowest + self.min_delta  # so written, NaN has risen as well
        if risen:
            self.epochs_risen += 1
        else:
            self.best_epoch, self.epochs_risen = epoch, 0
        return risen

    @property
    def should_stop(self) -> bool:
        return self.epochs_risen >= self.patience


@dataclass
class TrainingState:
    """All that changes while `fit` runs; saved and loaded as one safetensors file, so that no pickle is needed."""

    model: FractureClassifier
    optimizer: Optimizer
    scheduler: LRScheduler
    stopping: EarlyStopping
    best: dict[str, torch.Tensor]
    rows: list[dict[str, Any]]

    @classmethod
    def start(cls, model: FractureClassifier, config: TrainConfig) -> TrainingState:
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        # fused: one call per step instead of eight per tensor. It takes it for granted that a checkpoint's averages lie
        # in memory as their weights do, which is not so for a channels-last trunk.
        fused = all(weight.device.type in ("cpu", "cuda") and weight.is_contiguous() for weight in trained)
        optimizer = Adam(_groups(model, config), lr=config.learning_rate, fused=fused)
        scheduler = StepLR(optimizer, step_size=config.step_size, gamma=config.gamma)
        stopping = EarlyStopping(config.patience, config.min_delta)
        return cls(model, optimizer, scheduler, stopping, model.trained_state(), [])

    def finished(self, config: TrainConfig) -> bool:
        return len(self.rows) >= config.epochs or self.stopping.should_stop

    def record(self, row: dict[str, Any]) -> None:
        """Append one epoch to the history; the weights to keep are copied, never kept by reference."""
        risen = self.stopping.update(row["epoch"], row["val_loss"])
        if not risen:
            self.best = self.model.trained_state()
        self.rows.append({**row, "risen": risen, "epochs_risen": self.stopping.epochs_risen})

    def history(self, config: TrainConfig) -> pd.DataFrame:
        table = pd.DataFrame(self.rows)
        table.attrs["best_epoch"] = self.stopping.best_epoch
        table.attrs["stopped_early"] = self.stopping.should_stop and len(self.rows) < config.epochs
        return table

    def save(self, path: Path, config: TrainConfig) -> None:
        """Write the checkpoint beside its final name, then rename: a reader sees the old one or the new one."""
        optimizer = self.optimizer.state_dict()
        tensors = {f"model/{name}": value for name, value in self.model.trained_state().items()}
        tensors |= {f"best/{name}": value.clone() for name, value in self.best.items()}
        for index, entries in optimizer["state"].items():
            tensors |= {f"optimizer/{index}/{name}": value.cpu().contiguous() for name, value in entries.items()}
        facts = {
            "format": CHECKPOINT_FORMAT,
            "config": {name: value for name, value in config.to_dict().items() if name not in MAY_CHANGE},
            "trunk": self.model.origin.sha256,
            "rows": self.rows,
            "stopping": asdict(self.stopping),
            "scheduler": self.scheduler.state_dict(),
            "param_groups": optimizer["param_groups"],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as partial:
            partial.write_bytes(save(tensors, metadata={"fracturelib": json.dumps(facts)}))

    def load(self, path: Path, config: TrainConfig) -> None:
        """Take over the state of a checkpoint; raises RunError when it is damaged or belongs to another run."""
        tensors, facts = read_checkpoint(path)
        try:
            _check_same_run(path, facts, config, self.model.origin.sha256)
            self._take_over(tensors, facts, config)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise _unreadable(path, error) from error

    def _take_over(self, tensors: dict[str, torch.Tensor], facts: dict[str, Any], config: TrainConfig) -> None:
        groups: dict[str, dict[str, torch.Tensor]] = {"model": {}, "best": {}, "optimizer": {}}
        for name, value in tensors.items():
            kind, _, rest = name.partition("/")
            groups[kind][rest] = value
        adam: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in groups["optimizer"].items():
            index, _, entry = name.partition("/")
            adam.setdefault(int(index), {})[entry] = value
        self.model.load_trained_state(groups["model"])
        self.optimizer.load_state_dict({"state": adam, "param_groups": facts["param_groups"]})
        self.scheduler.load_state_dict(facts["scheduler"])
        self.stopping = EarlyStopping(**{**facts["stopping"], "patience": config.patience})
        if set(groups["best"]) != set(groups["model"]) or not all(value.isfinite().all() for value in tensors.values()):
            raise ValueError("tensors are missing or not finite")
        self.best, self.rows = groups["best"], [_checked_row(row) for row in facts["rows"]]


def _groups(model: FractureClassifier, config: TrainConfig) -> list[dict[str, Any]]:
    """The head, pulled towards small weights; and what is trained of the trunk, which is to stay what it learnt."""
    trunk = [parameter for parameter in model.trunk.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [{"params": list(model.head.parameters()), "weight_decay": config.weight_decay}]
    return [*groups, {"params": trunk, "lr": config.learning_rate * config.trunk_rate}] if trunk else groups


def _checked_row(row: dict[str, Any]) -> dict[str, Any]:
    """One epoch of a checkpoint; raises KeyError, TypeError or ValueError unless it holds the numbers it should."""
    numbers = ("epoch", "learning_rate", "train_loss", "train_accuracy", "val_loss", "val_accuracy")
    if not all(math.isfinite(row[name]) for name in numbers):
        raise ValueError("an epoch's numbers are not finite")
    return row


def read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and facts of a checkpoint; raises RunError when the file is none, or is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("fracturelib", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, error) from error
    found = facts.get("format") if isinstance(facts, dict) else type(facts).__name__
    if found != CHECKPOINT_FORMAT:
        raise RunError(
            f"the checkpoint has the format {found!r:.50}, expected {CHECKPOINT_FORMAT!r}",
            file=path,
            cause="it was made by other code or another version",
            cure="train again under another --name",
        )
    return tensors, facts


def _unreadable(path: Path, error: Exception) -> RunError:
    return RunError(
        "the checkpoint cannot be read",
        file=path,
        cause=f"it is damaged or incomplete ({type(error).__name__}: {str(error)[:200]})",
        cure="delete it, and go on with --resume: training begins anew; or train again under another --name",
    )


# Settings that may differ when a run goes on: they change how long and where it runs, not what it computes.
MAY_CHANGE = {"epochs", "patience", "workers", "device", "data"}


def _check_same_run(path: Path, facts: dict[str, Any], config: TrainConfig, trunk: str) -> None:
    now = config.to_dict()
    differing = [name for name, value in facts["config"].items() if now.get(name) != value and name not in MAY_CHANGE]
    if facts["trunk"] != trunk:
        differing.append("the trunk's weights")
    if differing:
        raise RunError(
            f"the checkpoint was made with other settings: {', '.join(differing)}",
            file=path,
            cause="the command line differs from the first call",
            cure="repeat the first call's options with --resume, or choose another --name",
        )
