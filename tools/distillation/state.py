"""What survives a stop: one safetensors file with weights, their average, the optimiser's moments and the targets.

No pickle anywhere. The progress (step, images seen) stands as JSON in the file's header and, for people, in
`progress.json`.
"""

from __future__ import annotations

import csv
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

CHECKPOINT = "checkpoint.safetensors"


class Average:
    """Exponential moving average of a module's weights and batch-norm statistics."""

    def __init__(self, module: nn.Module) -> None:
        self.values = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, *, step: int, decay: float) -> None:
        """Move towards the module; the first steps forget faster, so that the start leaves no trace."""
        rate = 1.0 - min(decay, (1 + step) / (10 + step))
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.values[name].lerp_(value, rate)
            else:
                self.values[name].copy_(value)


def save_checkpoint(
    folder: Path,
    *,
    modules: dict[str, nn.Module],
    average: Average,
    optimizer: torch.optim.Optimizer,
    progress: dict,
) -> None:
    """Write everything that a resume needs; the file is replaced in one piece, so a stop never leaves half of one."""
    tensors = {f"{key}/{name}": value for key, module in modules.items() for name, value in module.state_dict().items()}
    tensors |= {f"average/{name}": value for name, value in average.values.items()}
    for index, entry in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": torch.as_tensor(value) for name, value in entry.items()}
    write_tensors(folder / CHECKPOINT, tensors, {"progress": json.dumps(progress)})
    (folder / "progress.json").write_text(json.dumps(progress, indent=1) + "\n")


def load_checkpoint(
    folder: Path, *, modules: dict[str, nn.Module], average: Average, optimizer: torch.optim.Optimizer
) -> dict:
    """Fill modules, average and optimiser in place; returns the progress.

    Raises:
        FileNotFoundError: there is no checkpoint in the folder.
    """
    tensors, header = read_tensors(folder / CHECKPOINT)
    for key, module in modules.items():
        module.load_state_dict(_below(tensors, f"{key}/"))
    for name, value in _below(tensors, "average/").items():
        average.values[name].copy_(value)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _below(tensors, "optimizer/").items():
        index, entry = name.split("/")
        state.setdefault(int(index), {})[entry] = value
    if state:
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return json.loads(header["progress"])


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def write_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    """Save as safetensors, by way of a neighbouring file that is renamed at the end."""
    unfinished = path.with_suffix(".part")
    save_file(
        {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()},
        unfinished,
        header,
    )
    unfinished.chmod(0o644)  # the library writes it for its owner alone
    unfinished.replace(path)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a safetensors file, and its header."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        return tensors, file.metadata() or {}


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold the folder for this process, whose number stands in `pid` meanwhile.

    Raises:
        SystemExit: another process is at work in it.
    """
    with (folder / "pid").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SystemExit(f"{folder} is in use by another run: stop that first") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def append_row(path: Path, row: dict[str, float | int | str]) -> None:
    """Add one line to a CSV log; the header is written with the first."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)
