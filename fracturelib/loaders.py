"""Data sets and loaders over the table: rows in, batches of (images, labels, row numbers) out."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler, SequentialSampler

from fracturelib.catalog import polarities, root_of, shared_sources
from fracturelib.config import CLASS_NAMES, POSITIVE, SPLITS, TrainConfig
from fracturelib.errors import CatalogError, ConfigError, FracturelibError, SplitLeakWarning
from fracturelib.images import read_radiograph
from fracturelib.runtime import derive_seed, seeded
from fracturelib.runtime.processes import rank_and_size
from fracturelib.transforms import apply_steps, eval_transform, split_transform, train_transform


class RadiographDataset(Dataset):
    """The rows of a table as (image, label, row number).

    Contract: ``.table`` keeps the rows and their order; item *i* is row *i*: a float32 image (3, S, S), its label
    as a float32 scalar (1 = fractured) and *i*. Random transforms are a function of (seed, view, path): ask for the
    same view again and the same pictures come back, in any order, from any worker process, whatever other files there
    are.

    Args:
        table: rows as `read_catalog` gives them.
        transform: uint8 (H, W) array → float32 (3, S, S) tensor.
        root: folder that the paths are relative to; default: what the table says.
        first: what view 0 gets in place of `transform`; both make the same of a batch (`split_transform`).
        side: side in pixels that the transform resizes to, so that large JPEGs can be decoded smaller.
        seed: seed of the random transforms.

    Raises:
        CatalogError: the table does not say where its files lie.
        ImageError: on access, a file cannot be read, or is not the one whose `sha256` the table holds.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        transform: Callable[[np.ndarray], torch.Tensor],
        *,
        root: str | Path | None = None,
        first: Callable[[np.ndarray], torch.Tensor] | None = None,
        side: int | None = None,
        seed: int = 0,
    ) -> None:
        self.table = table.reset_index(drop=True)
        self.root, self.transform, self.side, self.seed = root_of(table, root), transform, side, seed
        self.first = first
        # Plain arrays: a worker process gets these cheaply, and rows are looked up without pandas.
        self._paths = self.table["path"].tolist()
        self._hashes = self.table["sha256"].tolist() if "sha256" in self.table else [None] * len(self._paths)
        self._polarities = polarities(self.table)
        self._labels = torch.tensor(self.table["label"].to_numpy(), dtype=torch.float32)
        self._view = torch.zeros(1, dtype=torch.int64)

    def share_view(self) -> None:
        """Let worker processes that stay alive between epochs see each new view, through shared memory.

        Raises:
            FracturelibError: the system gives none.
        """
        try:
            self._view.share_memory_()
        except (OSError, RuntimeError) as error:
            what = "worker processes need shared memory, and the system gives none"
            raise FracturelibError(what, cause=str(error), cure="use --workers 0") from error

    def set_view(self, view: int) -> None:
        """Choose which of the endless views comes next; training uses the epoch's number."""
        self._view[0] = view

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        return self.image(row, int(self._view)), self._labels[row], row

    def image(self, row: int, view: int) -> torch.Tensor:
        """The picture of a row in a view, float32 (3, S, S)."""
        with self._randomness(row, view):
            return self._transform_of(view)(self._radiograph(row))

    def grey_image(self, row: int, view: int) -> torch.Tensor:
        """The picture of a row in a view as uint8 (1, S, S), before `split_transform`'s second part; for threads."""
        steps, _ = split_transform(self._transform_of(view))
        return apply_steps(steps, self._radiograph(row), self._randomness(row, view))

    def _transform_of(self, view: int) -> Callable[[np.ndarray], torch.Tensor]:
        return self.first if view == 0 and self.first is not None else self.transform

    def _radiograph(self, row: int) -> np.ndarray:
        """The file, uint8 (H, W), if it is still the one that was listed: features are kept under its hash."""
        file, polarity = self.root / self._paths[row], self._polarities[row]
        return read_radiograph(file, target_side=self.side, sha256=self._hashes[row], polarity=polarity)

    def _randomness(self, row: int, view: int) -> AbstractContextManager:
        return seeded(self.seed, "augment", view, self._paths[row])

    def __repr__(self) -> str:
        fractured = int((self.table["label"] == POSITIVE).sum())
        return (
            f"RadiographDataset({len(self)} images from {self.table['source_id'].nunique()} sources: "
            f"{fractured} {CLASS_NAMES[1]}, {len(self) - fractured} {CLASS_NAMES[0]}; root={self.root})"
        )


class EpochSampler(Sampler[int]):
    """Every row once, in an order that is a function of (seed, epoch) alone, so that a resumed run repeats it."""

    def __init__(self, size: int, *, seed: int) -> None:
        self.size, self.seed, self.epoch = size, seed, 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self):
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", self.epoch))
        return iter(torch.randperm(self.size, generator=generator).tolist())


class TableLoader(DataLoader):
    """A loader whose data set keeps its `.table`, row by row."""

    dataset: Any


class Loaders(NamedTuple):
    """One loader per split; a batch is (images (B, 3, S, S), labels (B,), row numbers (B,))."""

    train: TableLoader
    val: TableLoader
    test: TableLoader


class SharedBatches(Sampler[list[int]]):
    """What one of several processes takes of a loader's batches: its part of each, or every n-th as a whole.

    With parts, a batch of fewer rows than processes gives its first row to those that would have none.
    """

    def __init__(self, batches: Iterable[list[int]], *, parts: bool) -> None:
        self.batches, self.parts = batches, parts

    def __iter__(self) -> Iterator[list[int]]:
        rank, processes = rank_and_size()
        if not self.parts:
            return itertools.islice(iter(self.batches), rank, None, processes)
        return (batch[rank::processes] or batch[:1] for batch in self.batches)


def share(loader: TableLoader, *, parts: bool) -> TableLoader:
    """A loader of this process's share of the batches; see `SharedBatches`."""
    batches = SharedBatches(_batches(loader), parts=parts)
    whole = loader.batch_sampler is None
    how: dict[str, Any] = {"batch_size": None, "sampler": batches} if whole else {"batch_sampler": batches}
    how |= {"num_workers": loader.num_workers, "pin_memory": loader.pin_memory}
    return TableLoader(loader.dataset, generator=loader.generator, **how)


def check_loader(loader: Any) -> None:
    """Raise ConfigError for a data set, or anything else, in the place of a loader."""
    if not isinstance(loader, DataLoader):
        raise ConfigError(
            f"a loader is needed here, and {type(loader).__name__} came",
            cause="a data set gives one picture at a time, a loader gives batches",
            cure="make_loaders(table, config) gives the loaders of all splits, make_loader(dataset, config) one",
        )


def is_shared(loader: Iterable) -> bool:
    """Whether other processes hold the rest of this loader's batches; a plain list of batches is never shared."""
    return isinstance(loader, DataLoader) and isinstance(_batches(loader), SharedBatches)


def _batches(loader: DataLoader) -> Any:
    """What tells a loader the rows of its batches; the sampler does where the data set gives whole batches."""
    return loader.sampler if loader.batch_sampler is None else loader.batch_sampler


def set_epoch(loader: TableLoader, epoch: int) -> None:
    """Tell a training loader which epoch comes: it chooses the order of the rows and the view."""
    batches = _batches(loader)
    batches = getattr(batches, "batches", batches)
    if isinstance(batches.sampler, EpochSampler):
        batches.sampler.epoch = epoch
    loader.dataset.set_view(epoch)


def make_loader(dataset: Any, config: TrainConfig, *, shuffle: bool) -> TableLoader:
    """A loader that draws nothing from the global random state.

    A data set that can give many rows at once (`FeatureDataset`) is asked for whole batches, in the same order.
    """
    rows = EpochSampler(len(dataset), seed=config.seed) if shuffle else SequentialSampler(dataset)
    whole = getattr(dataset, "many_rows_at_once", False)
    if config.workers and isinstance(dataset, RadiographDataset):
        dataset.share_view()
    return TableLoader(
        dataset,
        batch_size=None if whole else config.batch_size,
        sampler=BatchSampler(rows, config.batch_size, drop_last=False) if whole else rows,
        num_workers=config.workers,
        persistent_workers=config.workers > 0,
        # torch seeds Python's, NumPy's and its own generator in every worker process from this one
        generator=torch.Generator().manual_seed(derive_seed(config.seed, "workers")),
        pin_memory=torch.cuda.is_available(),
    )


def make_loaders(table: pd.DataFrame, config: TrainConfig, *, root: str | Path | None = None) -> Loaders:
    """Loaders over the three splits of a table; only the training images are augmented and shuffled.

    Raises:
        CatalogError: a split has no rows.

    Warns:
        SplitLeakWarning: a source or a patient is in more than one split, with counts.
    """
    warn_of_shared_sources(table)
    loaders = []
    for split in SPLITS:
        rows = table[table["split"] == split]
        if rows.empty:
            raise CatalogError(
                f"the split '{split}' has no images",
                file=table.attrs.get("root"),
                cure="add the folder, or make the split with read_catalog(..., make_split=True) or --make-split",
            )
        if split == "train":
            dataset = training_dataset(rows, config, root=root)
        else:
            dataset = RadiographDataset(rows, eval_transform(config), root=root, side=config.picture_side)
        loaders.append(make_loader(dataset, config, shuffle=split == "train"))
    return Loaders(*loaders)


def training_dataset(table: pd.DataFrame, config: TrainConfig, *, root: str | Path | None = None) -> RadiographDataset:
    """The rows as a training sees them: every view augmented but, of several (``config.views``), the first.

    That one is the picture as it will be asked about, so that a head does not only know crops (`benchmarks.recipe`).
    """
    side = round(config.picture_side / config.crop_fraction)
    first = eval_transform(config) if config.views > 1 else None
    return RadiographDataset(table, train_transform(config), root=root, first=first, side=side, seed=config.seed)


def warn_of_shared_sources(table: pd.DataFrame) -> list[str]:
    """Warn of sources and patients in more than one split; the sentences are returned for the run's record."""
    sentences = [
        f"{row.sources} {'patients' if row.by == 'patient_id' else 'sources'} ({row.files} files) are in both "
        f"splits of {row.splits}: scores on them measure memory"
        for row in shared_sources(table).itertuples()
    ]
    if sentences:
        cure = "re-split by source: fracturelib.catalog.resplit(table)"
        warnings.warn("; ".join(sentences) + f" ({cure})", SplitLeakWarning, stacklevel=3)
    return sentences
