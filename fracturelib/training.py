"""The one training loop, its early stopping, and checkpoints that resume bit for bit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler, StepLR
from tqdm import tqdm

from fracturelib.config import TrainConfig
from fracturelib.errors import RunError, TrainingError
from fracturelib.files import replaced
from fracturelib.loaders import TableLoader, is_shared, set_epoch
from fracturelib.model import FractureClassifier
from fracturelib.runtime import choose_device, gathered, seeded, threads_for

CHECKPOINT_FORMAT = "fracturelib checkpoint 1"


@dataclass
class EarlyStopping:
    """Stop when the validation loss has not fallen by `min_delta` for `patience` epochs in a row."""

    patience: int
    min_delta: float
    best_loss: float = field(default=float("inf"))
    best_epoch: int = 0
    epochs_without_improvement: int = 0

    def update(self, epoch: int, loss: float) -> bool:
        """Take in one epoch's validation loss; True when it is a new best."""
        improved = loss < self.best_loss - self.min_delta
        if improved:
            self.best_loss, self.best_epoch, self.epochs_without_improvement = loss, epoch, 0
        else:
            self.epochs_without_improvement += 1
        return improved

    @property
    def should_stop(self) -> bool:
        return self.epochs_without_improvement >= self.patience


def train_one_epoch(
    model: nn.Module, loader: TableLoader, optimizer: Optimizer, device: torch.device
) -> dict[str, float]:
    """One pass over the training batches: predict, compare, step.

    Where several processes share the batches, `model` is a `DistributedDataParallel`, and a step is that of the whole
    batch.

    Returns:
        ``train_loss`` and ``train_accuracy``, averaged over the images as they were seen (with dropout).

    Raises:
        TrainingError: the loss is not finite; the message names the files of the batch.
    """
    model.train()
    total_loss, correct, seen, shared = 0.0, 0, 0, is_shared(loader)
    for inputs, labels, rows in tqdm(loader, desc="training", leave=False, delay=2):
        inputs, labels = inputs.to(device), labels.to(device)
        loss, probabilities = train_on_batch(model, inputs, labels, optimizer, weight=_weight(labels, shared))
        if math.isnan(loss):
            raise _not_finite(loader, rows)
        total_loss += loss * len(labels)
        correct += ((probabilities >= 0.5) == (labels == 1)).sum().item()
        seen += len(labels)
    if shared:
        total_loss, correct, seen = map(sum, zip(*gathered((total_loss, correct, seen)), strict=True))
    return {"train_loss": total_loss / seen, "train_accuracy": correct / seen}


def train_on_batch(
    model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, optimizer: Optimizer, *, weight: float = 1.0
) -> tuple[float, torch.Tensor]:
    """Predict, compare, step: the loss of one batch before the step, and its probabilities (B,).

    The loss is NaN, and no step is made, where a probability is not finite. `weight` multiplies the gradients.
    """
    probabilities = model(inputs)  # (B,)
    if not torch.isfinite(probabilities).all():  # BCELoss would stop with a message that names no file
        return math.nan, probabilities
    loss = nn.BCELoss()(probabilities, labels)  # finite: BCELoss cuts each logarithm off at -100
    optimizer.zero_grad()
    (loss * weight).backward()
    optimizer.step()
    return loss.item(), probabilities


def _weight(labels: torch.Tensor, shared: bool) -> float:
    """What makes the mean of all processes' losses that of the whole batch: this part's share, times the processes."""
    if not shared:
        return 1.0
    sizes = gathered(len(labels))
    return len(labels) * len(sizes) / sum(sizes)


@torch.inference_mode()
def validate(model: nn.Module, loader: TableLoader, device: torch.device) -> dict[str, float]:
    """Loss, accuracy (at 0.5) and AUC on the validation batches, in eval mode; AUC is NaN with a single class."""
    model.eval()
    batches = tqdm(loader, desc="validation", leave=False, delay=2)
    pairs = [(model(inputs.to(device)).cpu(), labels) for inputs, labels, _ in batches]
    if is_shared(loader):
        pairs = [pair for part in gathered(pairs) for pair in part]
    probabilities = torch.cat([probability for probability, _ in pairs])
    labels = torch.cat([label for _, label in pairs])
    both = len(labels.unique()) == 2
    return {
        "val_loss": nn.functional.binary_cross_entropy(probabilities, labels).item(),
        "val_accuracy": ((probabilities >= 0.5) == (labels == 1)).float().mean().item(),
        "val_auc": float(roc_auc_score(labels, probabilities)) if both else float("nan"),
    }


def fit(
    model: FractureClassifier,
    train_loader: TableLoader,
    val_loader: TableLoader,
    config: TrainConfig,
    *,
    checkpoint: Path | None = None,
    resume: bool = False,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
) -> pd.DataFrame:
    """Train the head (and whatever of the trunk is unfrozen), keep the best weights, return the history.

    The loaders may give images (B, 3, S, S), which go through the trunk, or features (B, F) that were computed
    once (`fracturelib.features`): the same loop trains on both.

    Args:
        model: changed in place; it ends with the weights of the best epoch, in eval mode.
        train_loader, val_loader: from `make_loaders` or `feature_loaders`.
        config: settings; every random draw follows from ``config.seed`` and the epoch's number.
        checkpoint: file that is replaced atomically after every epoch.
        resume: go on from `checkpoint` when it exists; the history is the one of an uninterrupted run.
        on_epoch: called after every epoch with the history so far.

    Returns:
        One row per epoch: epoch, learning_rate, train_loss, train_accuracy, val_loss, val_accuracy, val_auc,
        improved, epochs_without_improvement. ``attrs`` holds best_epoch and stopped_early.

    Raises:
        TrainingError: the loss is not finite.
        RunError: the checkpoint is damaged or belongs to other settings.
    """
    device = choose_device(config.device)
    model.to(device)
    state = _TrainingState.start(model, config)
    if resume and checkpoint is not None and checkpoint.exists():
        state.load(checkpoint, config)
    elif checkpoint is not None:
        state.save(checkpoint, config)
    # several processes average the gradients of their parts of a batch
    together = nn.parallel.DistributedDataParallel(model) if is_shared(train_loader) else model
    while not state.finished(config):
        epoch = len(state.rows) + 1
        set_epoch(train_loader, epoch - 1)
        learning_rate = state.optimizer.param_groups[0]["lr"]
        # dropout's draws depend on the epoch alone, so that resuming repeats
        with seeded(config.seed, "epoch", epoch), threads_for(train_loader.dataset):
            trained = train_one_epoch(together, train_loader, state.optimizer, device)
            validated = validate(model, val_loader, device)
        state.scheduler.step()
        state.record({"epoch": epoch, "learning_rate": learning_rate, **trained, **validated})
        if checkpoint is not None:
            state.save(checkpoint, config)
        if on_epoch is not None:
            on_epoch(state.history(config))
    model.load_trained_state(state.best)
    model.eval()
    return state.history(config)


@dataclass
class _TrainingState:
    """All that changes while `fit` runs; saved and loaded as one safetensors file, so that no pickle is needed."""

    model: FractureClassifier
    optimizer: Optimizer
    scheduler: LRScheduler
    stopping: EarlyStopping
    best: dict[str, torch.Tensor]
    rows: list[dict[str, Any]]

    @classmethod
    def start(cls, model: FractureClassifier, config: TrainConfig) -> _TrainingState:
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        # fused: one call per step instead of eight per tensor. It takes it for granted that a checkpoint's averages lie
        # in memory as their weights do, which is not so for a channels-last trunk.
        fused = all(weight.device.type in ("cpu", "cuda") and weight.is_contiguous() for weight in trained)
        optimizer = Adam(trained, lr=config.learning_rate, fused=fused)
        scheduler = StepLR(optimizer, step_size=config.step_size, gamma=config.gamma)
        stopping = EarlyStopping(config.patience, config.min_delta)
        return cls(model, optimizer, scheduler, stopping, model.trained_state(), [])

    def finished(self, config: TrainConfig) -> bool:
        return len(self.rows) >= config.epochs or self.stopping.should_stop

    def record(self, row: dict[str, Any]) -> None:
        """Append one epoch to the history; a new best is copied, never kept by reference."""
        improved = self.stopping.update(row["epoch"], row["val_loss"])
        if improved:
            self.best = self.model.trained_state()
        waited = self.stopping.epochs_without_improvement
        self.rows.append({**row, "improved": improved, "epochs_without_improvement": waited})

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


def _not_finite(loader: TableLoader, rows: torch.Tensor) -> TrainingError:
    paths = loader.dataset.table["path"].to_numpy()[np.asarray(rows)]
    shown = ", ".join(paths[:32])
    return TrainingError(
        "the loss is not finite (NaN or infinite)",
        file=shown,
        cause="the learning rate is too high, or an image of this batch or the weights are broken",
        cure="look at these files with notebook 01; try a smaller --learning-rate",
    )
