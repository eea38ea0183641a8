"""One pass over the training or the validation images, and what must be known before the first one."""

from __future__ import annotations

import math

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.optim import Optimizer
from tqdm import tqdm

from fracturelib.errors import TrainingError
from fracturelib.loaders import TableLoader, is_shared, set_epoch
from fracturelib.model import FractureClassifier
from fracturelib.runtime.processes import gathered


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
        inputs, labels = (one.to(device, non_blocking=True) for one in (inputs, labels))  # pinned by the loader
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
    pairs = [(model(inputs.to(device, non_blocking=True)).cpu(), labels) for inputs, labels, _ in batches]
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


@torch.inference_mode()
def fit_standardise(model: FractureClassifier, loader: TableLoader, device: torch.device) -> None:
    """Give the head the mean and the standard deviation of the training images' features in their first view.

    A head that has them already, or has no place for them, stays as it is.
    """
    standardise = getattr(model.head, "standardise", None)
    if standardise is None or standardise.fitted:
        return
    model.eval()
    set_epoch(loader, 0)
    found = torch.cat([model.features(inputs.to(device)).cpu() for inputs, _, _ in loader]).double()  # (N, F)
    if is_shared(loader):
        found = torch.cat(gathered(found))
    standardise.fit(found.mean(0), found.std(0, correction=0))


def _not_finite(loader: TableLoader, rows: torch.Tensor) -> TrainingError:
    paths = loader.dataset.table["path"].to_numpy()[np.asarray(rows)]
    shown = ", ".join(paths[:32])
    return TrainingError(
        "the loss is not finite (NaN or infinite)",
        file=shown,
        cause="the learning rate is too high, or an image of this batch or the weights are broken",
        cure="look at these files with notebook 01; try a smaller --learning-rate",
    )
