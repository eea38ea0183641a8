"""The one training loop, on images and on features alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from torch import nn

from fracturelib.config import TrainConfig
from fracturelib.loaders import TableLoader, check_loader, is_shared, set_epoch
from fracturelib.model import FractureClassifier
from fracturelib.runtime import choose_device, seeded, threads_for
from fracturelib.training.epoch import fit_standardise, train_one_epoch, validate
from fracturelib.training.logistic import fit_logistic
from fracturelib.training.state import TrainingState


def fit(
    model: FractureClassifier,
    train_loader: TableLoader,
    val_loader: TableLoader,
    config: TrainConfig,
    *,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
) -> pd.DataFrame:
    """Train the head (and whatever of the trunk is unfrozen), keep the weights from before the loss rose.

    The loaders may give images (B, 3, S, S), which go through the trunk, or features (B, F) that were computed
    once (`fracturelib.features`): the same loop trains on both.

    Args:
        model: changed in place; it ends with the weights of the epoch that was kept, in eval mode.
        train_loader, val_loader: from `make_loaders` or `feature_loaders`.
        config: settings; every random draw follows from ``config.seed`` and the epoch's number.
        checkpoint: file that is replaced atomically after every epoch.
        resume: go on from `checkpoint` when it exists; the history is the one of an uninterrupted run.
        on_epoch: called after every epoch with the history so far.

    Returns:
        One row per epoch: epoch, learning_rate, train_loss, train_accuracy, val_loss, val_accuracy, val_auc,
        risen, epochs_risen (see `EarlyStopping`). ``attrs`` holds best_epoch, the one whose weights were kept, and
        stopped_early.

    Raises:
        TrainingError: the loss is not finite.
        ConfigError: a data set came in the place of a loader.
        RunError: the checkpoint is damaged or belongs to other settings.
    """
    check_loader(train_loader)
    check_loader(val_loader)
    checkpoint = None if checkpoint is None else Path(checkpoint)
    device = choose_device(config.device)
    model.to(device)
    if config.head == "logistic":
        return fit_logistic(model, train_loader, val_loader, config, on_epoch=on_epoch)
    state = TrainingState.start(model, config)
    if resume and checkpoint is not None and checkpoint.exists():
        state.load(checkpoint, config)
    if not state.rows:
        fit_standardise(model, train_loader, device)
        state.best = model.trained_state()
        if checkpoint is not None:
            state.save(checkpoint, config)
    # several processes average the gradients of their parts of a batch
    together = nn.parallel.DistributedDataParallel(model) if is_shared(train_loader) else model
    while not state.finished(config):
        epoch = len(state.rows) + 1
        set_epoch(train_loader, epoch - 1)
        learning_rate = state.optimizer.param_groups[0]["lr"]
        # dropout's draws depend on the epoch alone, so that resuming repeats
        with seeded(config.seed, "epoch", epoch, gpu=device.type == "cuda"), threads_for(train_loader.dataset):
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
