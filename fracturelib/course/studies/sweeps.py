"""Many trainings of a head in a row: which learning rates work, and how many labelled images it takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats
from torch.optim import Adam

from fracturelib.config import TrainConfig
from fracturelib.course.studies.heads import Workbench, new_head_model, train_head
from fracturelib.loaders import make_loader, set_epoch
from fracturelib.runtime import choose_device, seeded
from fracturelib.training import fit_standardise, train_on_batch

SMOOTHING = 0.9  # weight of the past in the smoothed loss
HOPELESS = 4.0  # the test ends when the smoothed loss is this many times its lowest value
FEWEST_IMAGES = 20  # with fewer, a choice may hold hardly a fracture


def learning_rate_range(
    bench: Workbench, config: TrainConfig, *, low: float = 1e-6, high: float = 1.0, steps: int = 120
) -> pd.DataFrame:
    """The learning-rate range test: one training whose rate grows with every step, until the loss explodes.

    The rates grow by a constant factor from `low` to `high`. The loss of a batch jumps about, so its running mean
    (an exponential average, corrected for its start at zero) stands beside it. Method: Smith (2017), "Cyclical
    learning rates for training neural networks", doi:10.1109/WACV.2017.58; the growth by a factor is later practice.

    Args:
        bench: trunk and features; the validation images are not used.
        config: the head's settings, batch size and seed; its own learning rate plays no part.
        low, high: first and last learning rate, 0 < low < high.
        steps: batches; the training images come round again if they do not suffice.

    Returns:
        One row per step: step, learning_rate, loss, smoothed. It has fewer rows than `steps` if the loss exploded:
        it became infinite, or its running mean rose to `HOPELESS` times its lowest value.
    """
    device = choose_device(config.device)
    model = new_head_model(bench, config).to(device)
    fit_standardise(model, make_loader(bench.train, replace(config, workers=0), shuffle=False), device)
    model.train()
    optimizer = Adam(model.head.parameters(), lr=low)
    rows, mean, lowest = [], 0.0, float("inf")
    with seeded(config.seed, "learning-rate range"):
        for step, (inputs, labels) in enumerate(_endless_batches(bench, config, steps), start=1):
            rate = low * (high / low) ** ((step - 1) / max(1, steps - 1))
            optimizer.param_groups[0]["lr"] = rate
            loss, _ = train_on_batch(model, inputs.to(device), labels.to(device), optimizer)
            if math.isnan(loss):
                break
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
            smoothed = mean / (1 - SMOOTHING**step)
            lowest = min(lowest, smoothed)
            rows.append({"step": step, "learning_rate": rate, "loss": loss, "smoothed": smoothed})
            if smoothed > HOPELESS * lowest:
                break
    return pd.DataFrame(rows, columns=["step", "learning_rate", "loss", "smoothed"])


def _endless_batches(bench: Workbench, config: TrainConfig, count: int):
    """`count` training batches (features, labels), epoch after epoch."""
    loader = make_loader(bench.train, replace(config, workers=0), shuffle=True)
    given, epoch = 0, 0
    while given < count:
        set_epoch(loader, epoch)
        for inputs, labels, _ in loader:
            if given == count:
                return
            yield inputs, labels
            given += 1
        epoch += 1


def suggested_rate(test: pd.DataFrame) -> float:
    """A learning rate to start with, from a range test: a tenth of the rate at which the loss was lowest.

    At the lowest point the steps are already about to become too large; a factor of ten below, the loss still falls
    fast. It is a rule of thumb. NaN for a test in which the loss only rose.
    """
    lowest = int(test["smoothed"].to_numpy().argmin()) if len(test) else 0
    return float(test["learning_rate"].iloc[lowest]) / 10 if lowest > 0 else float("nan")


def training_sizes(images: int, *, count: int = 6) -> list[int]:
    """About `count` numbers of training images that grow by a constant factor, up to all of them."""
    if images <= FEWEST_IMAGES:
        return [images]
    return sorted({round(size) for size in np.geomspace(FEWEST_IMAGES, images, count)})


def learning_curve(
    bench: Workbench,
    config: TrainConfig,
    *,
    sizes: Sequence[int],
    repeats: int = 5,
    on_run: Callable[[int], None] | None = None,
) -> pd.DataFrame:
    """How good a head gets with few and with many training images: `repeats` trainings for each size.

    Repeat r uses seed ``config.seed + r``, which chooses the images, the start weights and the order. With all the
    images the choice is always the same one, so that those repeats differ by start and order alone.

    Args:
        bench: trunk and features.
        config: settings.
        sizes: numbers of training images.
        repeats: trainings per size.
        on_run: called after every training with the number of trainings done.

    Returns:
        One row per training: images, repeat, train_loss, val_loss, val_auc, seconds (the numbers of the kept epoch).
    """
    rows = []
    for images in sizes:
        for repeat in range(repeats):
            run = train_head(bench, replace(config, seed=config.seed + repeat), images=images)
            kept = {name: float(run.best[name]) for name in ("train_loss", "val_loss", "val_auc")}
            rows.append({"images": run.images, "repeat": repeat, **kept, "seconds": run.seconds})
            if on_run is not None:
                on_run(len(rows))
    return pd.DataFrame(rows, columns=["images", "repeat", "train_loss", "val_loss", "val_auc", "seconds"])


def curve_summary(curve: pd.DataFrame, *, column: str = "val_auc") -> pd.DataFrame:
    """Mean of a column for each number of images, with its 95 % interval over the repeats.

    The interval is that of Student's t: mean ± t · s / √n. It tells how much the mean depends on the choice of the
    training images and on the start; the validation images are the same throughout, and how much depends on *their*
    choice it does not tell. It is NaN where there is one repeat only.

    Returns:
        One row per number of images: images, repeats, mean, low, high.
    """
    found = curve.groupby("images")[column].agg(repeats="count", mean="mean", spread="std").reset_index()
    several = found["repeats"].where(found["repeats"] > 1)
    half = stats.t.ppf(0.975, several - 1) * found["spread"] / np.sqrt(several)
    return found.drop(columns="spread").assign(low=found["mean"] - half, high=found["mean"] + half)
