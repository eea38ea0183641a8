"""What a run depends on beside its settings: seeds, device, versions, a clock for the reader."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import importlib.metadata
import itertools
import multiprocessing
import multiprocessing.connection
import os
import platform
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from fracturelib.errors import ConfigError

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")
Result = TypeVar("Result")
_RANDOMNESS = threading.RLock()  # held while torch's one generator is borrowed

# Packages whose version can change a result; they are written into every run.
RECORDED_PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "scikit-learn",
    "scipy",
    "pillow",
    "matplotlib",
    "safetensors",
)


def derive_seed(seed: int, *stream: int | str) -> int:
    """An independent 63-bit seed for one named stream, for example ``derive_seed(0, "augment", epoch, row)``.

    Hashing keeps streams apart, where ``seed + epoch`` would let the second epoch of seed 0 repeat the first of
    seed 1.
    """
    text = "/".join(str(part) for part in (seed, *stream))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@contextlib.contextmanager
def seeded(seed: int, *stream: int | str, gpu: bool = False) -> Iterator[None]:
    """Seed the global generators of torch (CPU; also of the GPU in use, with `gpu`), NumPy and Python for one block.

    The caller's states are put back after.

    torchvision's transforms, `torch.nn.Dropout` and many a reader's own step take no generator of their own; this makes
    their draws a function of (seed, stream) without touching anybody else's randomness. Threads wait for each other.
    """
    import numpy as np
    import torch

    derived = derive_seed(seed, *stream)
    with _RANDOMNESS, torch.random.fork_rng(devices=[torch.cuda.current_device()] if gpu else []):
        python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the one that others draw from
        # default_generator, since torch.manual_seed would seed every GPU too, which fork_rng does not undo here
        torch.default_generator.manual_seed(derived)
        if gpu:
            torch.cuda.manual_seed(derived)
        random.seed(derived)
        np.random.seed(derived % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002


def choose_precision(name: str, device: torch.device) -> str:
    """What `TrainConfig.precision` means on a device: ``float32``, ``bfloat16`` or ``int8``.

    "auto" is bfloat16 where the hardware multiplies in it (NVIDIA GPUs from Ampere on, x86 with AVX512_BF16 or AMX,
    ARM with its bf16 instructions); emulated, it would be slower than float32. In class mode it is float32 everywhere.
    """
    import torch

    if name != "auto":
        return name
    if class_mode():
        return "float32"
    if device.type == "cuda":
        has_it = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        ask = getattr(torch.cpu, "get_capabilities", dict)  # older versions of torch cannot be asked
        has_it = device.type == "cpu" and any(there is True for what, there in ask().items() if "bf16" in what)
    return "bfloat16" if has_it else "float32"


def read_batches(
    read: Callable[[Item], Result], items: Iterable[Item], *, size: int, device: str
) -> Iterator[list[Result]]:
    """`read` of every item, in order, in lists of `size`, by as many threads as there are cores, for a kind of device.

    A GPU works on one batch while the next is being read. A processor's cores are all needed for either, so there
    reading and computing take turns, each on all of them: side by side they would wait for each other.
    """
    items, ahead = iter(items), int(device != "cpu")
    waiting: collections.deque[list[Future[Result]]] = collections.deque()
    with ThreadPoolExecutor(available_cores()) as pool:
        try:
            while batch := list(itertools.islice(items, size)):
                waiting.append([pool.submit(read, item) for item in batch])
                if len(waiting) > ahead:
                    yield [future.result() for future in waiting.popleft()]
            while waiting:
                yield [future.result() for future in waiting.popleft()]
        finally:  # an error, or the caller wants no more
            pool.shutdown(cancel_futures=True)


def available_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def computing_threads() -> int:
    """How many threads torch computes with, or would compute with, asked without loading it."""
    if "torch" in sys.modules:
        return sys.modules["torch"].get_num_threads()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) else available_cores()


@contextlib.contextmanager
def threads_for(dataset: object) -> Iterator[None]:
    """One thread of computation while a head is trained on features; all of them on images and on feature maps.

    The head's matrices are so small that handing parts of them to further threads takes longer than the work, and
    many times longer on a busy machine.
    """
    import torch

    usual = torch.get_num_threads()
    if getattr(dataset, "small", False):
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def on_device(batch: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A batch on a device; it is copied to a GPU from pinned memory, while the GPU goes on with what it has to do."""
    if device.type != "cuda" or batch.is_cuda:
        return batch.to(device)
    return batch.pin_memory().to(device, non_blocking=True)


def choose_device(name: str = "auto") -> torch.device:
    """The device for `TrainConfig.device`; raises ConfigError when the one asked for is not there."""
    import torch

    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if available[kind] and (kind == "cpu" or not class_mode()))
    if not available[name]:
        raise ConfigError(f"the device '{name}' is not available here", cure="use --device auto or --device cpu")
    return torch.device(name)


def offline() -> bool:
    """True when ``FRACTURELIB_OFFLINE`` forbids every network access."""
    return _switched_on("FRACTURELIB_OFFLINE")


def fast_mode() -> bool:
    """True when ``FRACTURELIB_FAST`` asks the notebooks for small sizes."""
    return _switched_on("FRACTURELIB_FAST")


def class_mode() -> bool:
    """True when ``FRACTURELIB_CLASS`` asks for the same numbers on all machines of a class: processor and float32."""
    return _switched_on("FRACTURELIB_CLASS")


def serve_parent() -> None:
    """In a worker process: Ctrl-C is the parent's to handle, and without a parent there is nobody to work for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def debugging() -> bool:
    """True when ``FRACTURELIB_DEBUG`` asks for the traceback of every error."""
    return _switched_on("FRACTURELIB_DEBUG")


def _switched_on(variable: str) -> bool:
    value = os.environ.get(variable, "").strip().lower()
    if value not in ("1", "true", "yes", "on", "", "0", "false", "no", "off"):
        raise ConfigError(f"the environment variable {variable} is {value!r}", cure="set it to 1 or 0, or take it away")
    return value in ("1", "true", "yes", "on")


def library_versions() -> dict[str, str]:
    """Versions of Python and of every package that can change a result."""
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in RECORDED_PACKAGES},
    }


def describe_machine() -> dict[str, str | int]:
    """Operating system, processor and thread count, for `config.json` and for benchmarks."""
    import torch

    return {
        "system": f"{platform.system()} {platform.machine()}",
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none",
    }
