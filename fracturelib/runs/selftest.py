"""Three made-up pictures that a run keeps with the numbers it gave for them: does another machine give the same?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from fracturelib.errors import RunError
from fracturelib.files import replaced
from fracturelib.runs.network import Network

SELF_TEST = "selftest.safetensors"
# largest difference of a probability, by the precision of the run
TOLERANCE = {"float32": 1e-3, "bfloat16": 3e-2, "int8": 3e-2}


class SelfTest(NamedTuple):
    """Probabilities (n,) of the network for the kept pictures, then and here, and the largest difference allowed."""

    kept: np.ndarray
    found: np.ndarray
    tolerance: float

    @property
    def difference(self) -> float:
        """The largest difference; infinite where the network gives no number."""
        return float(np.nan_to_num(np.abs(self.kept - self.found), nan=np.inf).max())

    @property
    def passed(self) -> bool:
        return self.difference <= self.tolerance


def made_up_pictures(side: int) -> NDArray[np.uint8]:
    """Three pictures, uint8 (3, 1, S, S), in whole numbers only: a bar, a broken bar, and noise."""
    row, column = np.mgrid[:side, :side]
    middle = np.abs(column - side // 2)
    bar = np.where(middle < side // 6, 220 - 400 * middle // side, 20 + row * 20 // side)
    broken = np.where((row + column - side) ** 2 < side // 4, 30, bar)
    noise = np.random.default_rng(0).integers(0, 256, (side, side))
    return np.stack([bar, broken, noise]).astype(np.uint8)[:, None]


def write_self_test(folder: Path, network: Network, side: int) -> None:
    """Write the pictures and what the network gives for each."""
    pictures = made_up_pictures(side)
    with replaced(folder / SELF_TEST) as partial:
        partial.write_bytes(save({"pictures": pictures, "probabilities": _probabilities(network, pictures)}))


def run_self_test(folder: Path, record: Mapping[str, Any], network: Network, *, count: int | None = None) -> SelfTest:
    """Compare what the network gives for the first `count` pictures (all by default) with what it gave.

    Raises:
        RunError: the file with the pictures is missing or damaged.
    """
    try:
        kept = load_file(folder / SELF_TEST)
        pictures, probabilities = kept["pictures"][:count], kept["probabilities"][:count]
        found = _probabilities(network, pictures)
    except (SafetensorError, OSError, KeyError, RuntimeError, ValueError) as error:
        raise RunError(
            "the run's self-test cannot be read",
            file=folder / SELF_TEST,
            cause=f"the file is missing or damaged ({error})",
            cure="restore it from a copy, or train again under another --name",
        ) from error
    tolerance = TOLERANCE.get(str(record.get("precision")), TOLERANCE["float32"])
    return SelfTest(probabilities.astype(np.float64), found.astype(np.float64), tolerance)


def _probabilities(network: Network, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """One by one, as a single picture would be predicted."""
    return np.concatenate([network.probabilities(network.features(picture[None])) for picture in pictures])
