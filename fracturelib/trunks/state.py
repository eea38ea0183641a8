"""Weights as files and as numbers: read without executing anything, checked entry by entry, told apart."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from fracturelib.errors import WeightsError

MISMATCHES_SHOWN = 5
# How the entries of a classifier begin, which a trunk has no place for.
CLASSIFIERS = ("fc.", "classifier.", "heads.", "head.", "AuxLogits.", "aux1.", "aux2.")


def state_fingerprint(module: nn.Module) -> str:
    """SHA-256 (hex) over the names, types and bytes of a module's tensors, sorted by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name from a safetensors file or a ``.pth`` state dict; nothing in the file is executed.

    Raises:
        WeightsError: the file is missing, damaged, or holds more than tensors.
    """
    if not path.is_file():
        raise WeightsError(
            "the weights file does not exist",
            file=path,
            cure="give --weights a file, or one of auto, imagenet, distilled, none",
        )
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        SafetensorError,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
    ) as error:
        raise WeightsError(
            "the weights file cannot be read",
            file=path,
            cause=f"it is damaged, incomplete, or no plain state dict ({type(error).__name__}: {str(error)[:120]})",
            cure="fetch it again; delete it first if it lies in the download cache",
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(
            "the weights file does not hold a state dict (tensors by name)",
            file=path,
            cause="a whole model or a training checkpoint was saved",
            cure="save model.state_dict() only",
        )
    return state


def load_into(trunk: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Copy a state dict into the trunk; the classifier's own entries are left out, all else must match."""
    expected = trunk.state_dict()
    state = {name: value for name, value in state.items() if name in expected or not name.startswith(CLASSIFIERS)}
    # A counter that older files lack; it plays no part in what the network computes.
    optional = {name for name in expected if name.endswith("num_batches_tracked")}
    wrong = [f"missing: {name}" for name in expected if name not in state and name not in optional]
    wrong += [f"unexpected: {name}" for name in state if name not in expected]
    wrong += [
        f"shape of {name}: {tuple(state[name].shape)}, expected {tuple(value.shape)}"
        for name, value in expected.items()
        if name in state and state[name].shape != value.shape
    ]
    if wrong:
        shown = "; ".join(wrong[:MISMATCHES_SHOWN])
        raise WeightsError(
            f"the weights do not fit the network ({len(wrong)} differences): {shown}",
            file=path,
            cause="they belong to another architecture, or the file is damaged",
            cure="name the matching --architecture, or another file",
        )
    trunk.load_state_dict({**expected, **state})  # copies, and converts float16 to float32


def check_numbers(trunk: nn.Module, path: Path) -> None:
    """Raise WeightsError where a network just read from a file cannot compute: NaN, infinity, a negative variance."""
    wrong = [
        name
        for name, value in trunk.state_dict().items()
        if not torch.isfinite(value).all() or (name.endswith("running_var") and (value < 0).any())
    ]
    if wrong:
        shown = ", ".join(wrong[:MISMATCHES_SHOWN])
        raise WeightsError(
            f"the weights hold values that are no numbers to compute with (NaN, infinite, or a negative variance) in "
            f"{len(wrong)} of {len(trunk.state_dict())} entries: {shown}",
            file=path,
            cause="the file is damaged, or a training that went wrong was saved",
            cure="fetch or save it again, or name another file",
        )
