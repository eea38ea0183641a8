"""Several processes on one machine or several, started by ``torchrun --nproc-per-node N train.py …``.

What is shared is what takes long: the pictures that go through the trunk. Each process takes its part of them. The head
is small, and every process trains the same one on all features, so that dropout, loss and early stopping are those of
a single process.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, Dataset

from fracturelib.errors import ConfigError

Places = list[tuple[int, int]]
Compute = Callable[[Places], Iterable[tuple[Places, np.ndarray]]]


@contextlib.contextmanager
def joined_processes() -> Iterator[None]:
    """Join the processes that torchrun started, if it did; all but the first are silent."""
    if _stated_processes() < 2:
        yield
        return
    print(f"Waiting for all {os.environ['WORLD_SIZE']} processes …", flush=True)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        with contextlib.ExitStack() as stack:
            if not is_first():
                nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123 - not a path
                stack.enter_context(contextlib.redirect_stdout(nowhere))
                stack.enter_context(contextlib.redirect_stderr(nowhere))
            yield
    finally:
        dist.destroy_process_group()


def _stated_processes() -> int:
    """How many processes torchrun says that it started; 1 where it started none."""
    stated = {name: os.environ.get(name, "") for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT")}
    if stated["WORLD_SIZE"] in ("", "1"):
        return 1
    numbers = {name: int(value) if value.isdecimal() else -1 for name, value in stated.items()}
    complete = min(numbers.values()) >= 0 and os.environ.get("MASTER_ADDR")
    if not complete or not numbers["RANK"] < numbers["WORLD_SIZE"]:
        raise ConfigError(
            "the environment speaks of several processes, but not as torchrun does",
            cause=", ".join(f"{name}={value}" for name, value in stated.items()),
            cure="start them with torchrun, or take WORLD_SIZE out of the environment",
        )
    return numbers["WORLD_SIZE"]


@contextlib.contextmanager
def run_folder(folder: Path, *, resume: bool) -> Iterator[Path]:
    """The run's folder in the first process, a temporary one in the others, so that only the first one's stays.

    To go on with a run, every process needs what is in its folder: on several machines it must be on a shared disk.
    """
    if processes() == 1:
        yield folder
        return
    with tempfile.TemporaryDirectory() as elsewhere:
        place = folder if is_first() else Path(elsewhere) / folder.name
        if resume and not is_first() and folder.exists():
            shutil.copytree(folder, place)
        dist.barrier()  # nobody writes before everybody has read
        yield place


def processes() -> int:
    """How many processes work together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this is the process that writes and prints; true where there is only one."""
    return processes() == 1 or dist.get_rank() == 0


def compute_together(
    fetch: Callable[[Compute], torch.Tensor], compute: Compute, shape: tuple[int, ...], *, size: int
) -> torch.Tensor:
    """Rows that the first process needs, computed by all; every process returns all of them.

    Args:
        fetch: runs in the first process; calls what it is given with the places that are missing.
        compute: places → batches of places and rows; runs in every process on its part.
        shape: of the whole result, (V, N, …).
        size: places per batch.
    """
    asked = []

    def by_all(places: Places) -> Iterator[tuple[Places, np.ndarray]]:
        asked.append(places)
        _from_first(places)
        yield from _gathered(places, compute, shape[2:], size)

    if is_first():
        found = fetch(by_all)
        if not asked:
            _from_first([])
        _from_first(found.dtype)
    else:
        for _ in _gathered(_from_first(None), compute, shape[2:], size):
            pass
        found = torch.empty(shape, dtype=_from_first(None))
    dist.broadcast(found, src=0)
    return found


@contextlib.contextmanager
def shared_work(model: nn.Module, loaders: Any) -> Iterator[Any]:
    """Loaders of which each process reads its part, while the model joins the parts; unchanged for one process.

    A batch is split among the processes and its features are put together again before the head. Gradients of the
    trunk are summed over the processes, and batch norm takes its statistics from the whole batch, so that a step is
    the one that a single process makes on it.
    """
    if processes() == 1 or getattr(loaders.train.dataset, "small", False):
        yield loaders
        return
    trained = [model.trunk.get_submodule(name) for name in model.trained_modules]
    norms = [module for module in trained if isinstance(module, nn.BatchNorm2d)]
    handles = [model.head.register_forward_pre_hook(lambda _, inputs: (_JoinRows.apply(inputs[0]),))]
    for weight in model.trunk.parameters():
        if weight.requires_grad:
            handles.append(weight.register_post_accumulate_grad_hook(_sum_gradient))
    for norm in norms:
        norm.forward = _whole_batch_norm.__get__(norm)
    try:
        yield type(loaders)(*map(_shared, loaders))
    finally:
        for handle in handles:
            handle.remove()
        for norm in norms:
            del norm.forward


class Part(Dataset):
    """Whole batches of a data set: of the inputs this process's part, of labels and row numbers all."""

    many_rows_at_once = True

    def __init__(self, dataset: Dataset) -> None:
        self.dataset, self.table = dataset, dataset.table
        self._labels = torch.tensor(self.table["label"].to_numpy(), dtype=torch.float32)

    def set_view(self, view: int) -> None:
        """As the data set's."""
        self.dataset.set_view(view)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, rows: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        own = np.array_split(rows, processes())[dist.get_rank()].tolist()
        inputs = self._inputs(own or rows[:1])[: len(own)]  # a small batch may leave nothing for this process
        return inputs, self._labels[rows], torch.tensor(rows)

    def _inputs(self, rows: list[int]) -> torch.Tensor:
        if getattr(self.dataset, "many_rows_at_once", False):
            return self.dataset[rows][0]
        return torch.stack([self.dataset[row][0] for row in rows])


def _shared(loader: DataLoader) -> DataLoader:
    batches = loader.sampler
    if not isinstance(batches, BatchSampler):
        batches = BatchSampler(loader.sampler, loader.batch_size, drop_last=False)
    return DataLoader(Part(loader.dataset), batch_size=None, sampler=batches, generator=loader.generator)


def _from_first(value: Any) -> Any:
    """The first process's value, in every process."""
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def _gathered(
    places: Places, compute: Compute, row_shape: tuple[int, ...], size: int
) -> Iterator[tuple[Places, np.ndarray]]:
    """Batches that all processes compute in turns; only the first process gets their rows."""
    batches = [places[start : start + size] for start in range(0, len(places), size)]
    own = iter(compute([place for batch in batches[dist.get_rank() :: processes()] for place in batch]))
    for start in range(0, len(batches), processes()):
        padded = torch.zeros(size, *row_shape)
        _, rows = next(own, (None, None))
        if rows is not None:
            padded[: len(rows)] = torch.from_numpy(rows)
        parts = [torch.empty_like(padded) for _ in range(processes())] if is_first() else None
        dist.gather(padded, parts, dst=0)
        for batch, part in zip(batches[start : start + processes()], parts or [], strict=False):
            yield batch, part[: len(batch)].numpy()


class _JoinRows(torch.autograd.Function):
    """The rows of all processes, in their order; each process's gradient is that of its own rows."""

    @staticmethod
    def forward(context: Any, rows: torch.Tensor) -> torch.Tensor:
        sizes = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(processes())]
        dist.all_gather(sizes, torch.tensor([len(rows)], device=rows.device))
        counts = [int(size) for size in sizes]
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        context.own = slice(sum(counts[: dist.get_rank()]), sum(counts[: dist.get_rank() + 1]))
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient[context.own]


class _Sum(torch.autograd.Function):
    """The sum over all processes; so is its gradient."""

    @staticmethod
    def forward(_: Any, values: torch.Tensor) -> torch.Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: torch.Tensor) -> torch.Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


def _sum_gradient(weight: torch.Tensor) -> None:
    total = weight.grad.contiguous()
    dist.all_reduce(total)
    weight.grad.copy_(total)


def _whole_batch_norm(norm: nn.BatchNorm2d, maps: torch.Tensor) -> torch.Tensor:
    """Batch norm with the statistics of all processes' maps (B, C, H, W); torch has this for GPUs only."""
    if not norm.training:
        return type(norm).forward(norm, maps)
    channels = (1, -1, 1, 1)
    count = _Sum.apply(maps.new_full((1,), maps.numel() / maps.shape[1]))
    mean = _Sum.apply(maps.sum((0, 2, 3))) / count
    centred = maps - mean.view(channels)
    variance = _Sum.apply(centred.square().sum((0, 2, 3))) / count
    with torch.no_grad():
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * count / (count - 1), norm.momentum)
    scale = norm.weight / (variance + norm.eps).sqrt()
    return centred * scale.view(channels) + norm.bias.view(channels)
