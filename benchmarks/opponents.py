"""What `benchmarks.speed` is measured against: the loop that every tutorial has, and fastai's `vision_learner`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader

from fracturelib.config import TrainConfig
from fracturelib.images import read_radiograph
from fracturelib.loaders import EpochSampler, Loaders, set_epoch
from fracturelib.model import FractureClassifier, build_model
from fracturelib.runtime import seeded
from fracturelib.training import fit_standardise, validate
from fracturelib.transforms import eval_transform
from fracturelib.trunks.weights import load_trunk


def plain_model(config: TrainConfig) -> FractureClassifier:
    """The same network as the tutorials run it: float32, batch norm by itself, colour channels first."""
    model = build_model(config, fast=False)
    model.trunk.to(memory_format=torch.contiguous_format)
    return model


def plain_training(loaders: Loaders, config: TrainConfig) -> dict[str, float]:
    """All epochs with the trunk in every one; the last one's figures, as `validate` names them."""
    model = plain_model(config)
    optimizer = torch.optim.Adam(model.head.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, config.step_size, config.gamma)
    loss_function = nn.BCELoss()
    # The order and the dropout of `fit`, so that the two give the same; a loader without a generator of its own draws a
    # number from that of the dropout.
    order, own = EpochSampler(len(loaders.train.dataset), seed=config.seed), torch.Generator()
    train = DataLoader(loaders.train.dataset, batch_size=config.batch_size, sampler=order, generator=own)
    val = DataLoader(loaders.val.dataset, batch_size=config.batch_size)
    fit_standardise(model, loaders.train, torch.device("cpu"))
    for epoch in range(config.epochs):
        set_epoch(train, epoch)
        model.train()
        with seeded(config.seed, "epoch", epoch + 1):
            for images, labels, _ in train:
                optimizer.zero_grad()
                loss_function(model(images), labels).backward()
                optimizer.step()
        schedule.step()
        found = validate(model, val, torch.device("cpu"))
    return found


@torch.no_grad()
def plain_prediction(model: FractureClassifier, files: list[Path], config: TrainConfig) -> list[float]:
    """Whole files through the transform, in a DataLoader, through the trunk."""
    transform, found = eval_transform(config), []
    loader = DataLoader(
        [str(file) for file in files],
        config.batch_size,
        collate_fn=lambda names: torch.stack([transform(read_radiograph(name)) for name in names]),
    )
    for batch in loader:
        found += model(batch).tolist()
    return found


def has_fastai() -> bool:
    """Whether fastai is installed (`pip install -e ".[bench]"`)."""
    return importlib.util.find_spec("fastai") is not None


def fastai_training(loaders: Loaders, config: TrainConfig) -> float:
    """As many epochs of fastai's `vision_learner`, its body frozen and filled with the same trunk; the last AUC.

    All else are fastai's defaults: its head, its augmentations, its processes that read ahead, its one-cycle schedule.
    Its body's batch norm goes on learning, as fastai has it.
    """
    from fastai.vision import all as fastai

    parts = {"train": loaders.train.dataset, "val": loaders.val.dataset}
    table = pd.concat([part.table.assign(is_valid=name == "val") for name, part in parts.items()])
    data = fastai.ImageDataLoaders.from_df(
        table,
        path=parts["train"].root,
        fn_col="path",
        label_col="label",
        valid_col="is_valid",
        y_block=fastai.CategoryBlock,
        item_tfms=fastai.Resize(config.image_size),
        batch_tfms=fastai.aug_transforms(),
        bs=config.batch_size,
        device=torch.device("cpu"),
    )
    auc = fastai.RocAucBinary()
    learner = fastai.vision_learner(data, fastai.resnet18, pretrained=False, metrics=auc)
    trunk, _ = load_trunk("resnet18", "distilled")
    body = list(trunk.children())[: len(learner.model[0])]  # fastai's body is a row of the same modules
    for own, given in zip(learner.model[0].children(), body, strict=True):
        own.load_state_dict(given.state_dict())
    learner.freeze()
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(config.epochs)
    return float(learner.final_record[-1])
