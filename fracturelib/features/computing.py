"""Trunk outputs of data sets: computed once, from the bank where one is given."""

from __future__ import annotations

import collections
import functools
import hashlib
import importlib.metadata
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from tqdm import tqdm

from fracturelib.catalog import polarities
from fracturelib.config import TrainConfig
from fracturelib.errors import ConfigError
from fracturelib.features.bank import Compute, FeatureBank, Places, image_keys
from fracturelib.images import READING, Polarity
from fracturelib.loaders import RadiographDataset, is_shared
from fracturelib.model import FractureClassifier
from fracturelib.runtime import choose_device, choose_precision, on_device, read_batches
from fracturelib.runtime.processes import dealt, gathered, is_first, rank_and_size, tensor_from_first
from fracturelib.transforms import describe_transform, is_described, is_random, split_transform

DECODING_PACKAGES = ("torch", "torchvision", "pillow")  # another version may decode or resize a little differently


def compute_features(
    model: FractureClassifier,
    dataset: RadiographDataset,
    config: TrainConfig,
    *,
    views: int = 1,
    bank: FeatureBank | None = None,
) -> torch.Tensor:
    """Outputs of the trunk's frozen part for `views` views of every image of a data set, in row order.

    View v is the picture that training on images sees in epoch v, so that with as many views as epochs both give
    the same history.

    Args:
        model: with its trunk frozen wholly, or up to a stage.
        dataset: the images.
        config: settings; its device and batch size are used.
        views: views per image; random where the data set's transform is.
        bank: keeps the features; what it holds already is not computed.

    Returns:
        (V, N, F) on the CPU; maps (V, N, C, H, W) where the trunk is frozen up to a stage only.

    Raises:
        ConfigError: no data set of radiographs, or no view.
    """
    if not isinstance(dataset, RadiographDataset):
        raise ConfigError(
            f"features are computed of a RadiographDataset, and {type(dataset).__name__} came",
            cure="pass the data set of a loader: loader.dataset",
        )
    if views < 1:
        raise ConfigError(f"{views} views of an image are none", cure="ask for 1 or more")
    model.to(choose_device(config.device)).eval()
    shape = feature_shape(model, dataset, config, views=views)
    compute = functools.partial(_frozen_outputs, model, dataset, config)
    described = all(is_described(one) for one in (dataset.transform, dataset.first) if one is not None)
    if bank is not None and bank.holds(shape) and described:
        fetch = functools.partial(bank.fetch, _recipe(model, dataset, config), _keys(dataset), shape)
    else:
        fetch = functools.partial(_in_memory, shape)
    return fetch(compute) if rank_and_size()[1] == 1 else _together(fetch, compute, shape, size=config.batch_size)


def _together(
    fetch: Callable[[Compute], torch.Tensor], compute: Compute, shape: tuple[int, ...], *, size: int
) -> torch.Tensor:
    """What the first process lacks, computed by all in whole batches: the numbers are those of one process alone."""
    asked = []

    def by_all(places: Places) -> Iterator[tuple[Places, np.ndarray]]:
        asked.append(places)
        return dealt(compute, places, size=size)

    found = fetch(by_all) if is_first() else None
    if not asked:  # the first process has all of it in its bank, or this is another one
        collections.deque(by_all([]), maxlen=0)
    return tensor_from_first(found)


def _in_memory(shape: tuple[int, ...], compute: Compute) -> torch.Tensor:
    """What `FeatureBank.fetch` gives, without a bank."""
    views, images = shape[:2]
    computed = torch.empty(shape)
    for places, rows in compute([(view, row) for view in range(views) for row in range(images)]):
        computed[tuple(torch.tensor(places).T)] = torch.from_numpy(rows)
    return computed


@torch.inference_mode()
def final_features(model: FractureClassifier, loader: Iterable) -> np.ndarray:
    """Outputs of the whole trunk (N, F), float64, for every row of a loader's table, in row order.

    The loader may give images, or what was computed of them before (`FractureClassifier.features`).
    """
    device = next(model.parameters()).device
    pairs = [(rows.numpy(), model.features(inputs.to(device)).float().cpu().numpy()) for inputs, _, rows in loader]
    if is_shared(loader):
        pairs = [pair for part in gathered(pairs) for pair in part]
    rows, found = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return found[np.argsort(rows)].astype(np.float64)


def feature_shape(
    model: FractureClassifier, dataset: RadiographDataset, config: TrainConfig, *, views: int
) -> tuple[int, ...]:
    """The shape of `compute_features`' result: (V, N, F) or (V, N, C, H, W); float32 takes four bytes each."""
    side, device = config.picture_side, choose_device(config.device)
    row = model.to(device).frozen_features(torch.zeros(1, 3, side, side, device=device))
    return (views, len(dataset), *row.shape[1:])


@torch.inference_mode()
def _frozen_outputs(
    model: FractureClassifier, dataset: RadiographDataset, config: TrainConfig, places: Places
) -> Iterator[tuple[Places, np.ndarray]]:
    """The places (view, row) in batches, with what the frozen part gives for them (B, …), float32."""
    device = choose_device(config.device)
    _, finish = split_transform(dataset.transform)
    batches = read_batches(
        lambda place: dataset.grey_image(place[1], place[0]), places, size=config.batch_size, device=device.type
    )
    # delay: no bar flashes up for work that is over at once
    with tqdm(total=len(places), desc="features", unit="image", delay=2) as bar:
        for number, pictures in enumerate(batches):
            # one grey byte per pixel until here; colours and normalisation for all at once
            images = finish(on_device(torch.stack(pictures), device))
            first = number * config.batch_size
            yield places[first : first + len(images)], model.frozen_features(images).cpu().numpy()
            bar.update(len(images))


def _recipe(model: FractureClassifier, dataset: RadiographDataset, config: TrainConfig) -> dict:
    """All that features depend on, beside the images."""
    steps, _ = split_transform(dataset.transform)
    device = choose_device(config.device)
    return {
        "trunk": model.frozen_fingerprint(),
        "form": hashlib.sha256(repr(model.trunk).encode()).hexdigest(),  # what has no weights: pooling, tiles
        "until": model.trained_modules[0] if model.trained_modules else "features",
        "precision": f"{choose_precision(model.precision, device)} on {device.type}",
        **({"engine": model.engine.identity} if model.engine is not None else {}),
        "transform": describe_transform(dataset.transform),
        **({"first": describe_transform(dataset.first)} if dataset.first is not None else {}),
        "seed": dataset.seed if is_random(steps) else None,
        "side": dataset.side,
        "reading": READING,
        "versions": {name: importlib.metadata.version(name) for name in DECODING_PACKAGES},
    }


def _keys(dataset: RadiographDataset) -> np.ndarray:
    """The content of every image and, where it is changed at random, the name that its random stream is made from."""
    paths = dataset.table["path"].tolist()
    steps, _ = split_transform(dataset.transform)
    return image_keys(contents(dataset), paths if is_random(steps) else [""] * len(paths))


def contents(dataset: RadiographDataset) -> list[str]:
    """SHA-256 (hex) of every image's file, with a word where its greys are turned."""
    if "sha256" in dataset.table:
        hashes = dataset.table["sha256"].tolist()
    else:
        files = [dataset.root / path for path in dataset.table["path"]]
        hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return [
        content if polarity == Polarity.KEEP else f"{content} {polarity}"
        for content, polarity in zip(hashes, polarities(dataset.table), strict=True)
    ]
