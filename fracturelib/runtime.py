"""What a run depends on beside its settings: seeds, device, versions, a clock for the reader."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fracturelib.errors import ConfigError

if TYPE_CHECKING:
    import torch

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
def seeded(seed: int, *stream: int | str) -> Iterator[None]:
    """Seed torch's CPU generator for one block and put the caller's state back afterwards.

    torchvision's transforms and `torch.nn.Dropout` take no generator of their own; this makes their draws a
    function of (seed, stream) without touching anybody else's randomness.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        # default_generator, since torch.manual_seed would seed every GPU too, which fork_rng does not undo here
        torch.default_generator.manual_seed(derive_seed(seed, *stream))
        yield


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


def choose_device(name: str = "auto") -> torch.device:
    """The device for `TrainConfig.device`; raises ConfigError when the one asked for is not there."""
    import torch

    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    if not available[name]:
        raise ConfigError(f"the device '{name}' is not available here", cure="use --device auto or --device cpu")
    return torch.device(name)


def offline() -> bool:
    """True when ``FRACTURELIB_OFFLINE`` forbids every network access."""
    return os.environ.get("FRACTURELIB_OFFLINE", "").strip().lower() in ("1", "true", "yes", "on")


def fast_mode() -> bool:
    """True when ``FRACTURELIB_FAST`` asks the notebooks for small sizes."""
    return os.environ.get("FRACTURELIB_FAST", "").strip().lower() in ("1", "true", "yes", "on")


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
