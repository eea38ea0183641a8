"""`FeatureBank`: trunk outputs kept on disk between runs, and computed again only where something changed."""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from fracturelib.errors import DataWarning
from fracturelib.features.store import FORMAT, HEADER, FeatureSet
from fracturelib.files.locks import exclusive

BANK_FOLDER = ".features"  # beside the runs, inside the folder that the user named for them
DEFAULT_LIMIT = 4 * 10**9  # bytes
KEY_BYTES = 16

Places = list[tuple[int, int]]  # (view, image)
Compute = Callable[[Places], Iterator[tuple[Places, np.ndarray]]]


class FeatureBank:
    """A folder of feature sets.

    A set belongs to one recipe (trunk weights, frozen boundary, precision, transform, seed, library versions), a list
    of images in their order, and a number of views. Another set of the same recipe lends what both have: a changed
    image costs its own trunk passes only. Processes that want the same set take turns: the first computes, the others
    read. When the bank would grow beyond its limit, the sets that were not used for longest go.

    Args:
        folder: where the sets are kept; made when the first one is.
        limit: most bytes that all sets together may take.
    """

    def __init__(self, folder: str | Path, *, limit: int = DEFAULT_LIMIT) -> None:
        self.folder, self.limit = Path(folder), limit

    def fetch(self, recipe: dict, keys: np.ndarray, shape: tuple[int, ...], compute: Compute) -> torch.Tensor:
        """Features of a set, computed where they are not there yet.

        Args:
            recipe: all that the features depend on beside the images; plain values.
            keys: uint8 (N, 16), one per image: what its features depend on beside the recipe.
            shape: (V, N, …).
            compute: gets the missing places (view, image), gives them back in batches with their rows.

        Returns:
            float32 (or float16, where only that fits below the limit) tensor of that shape, mapped into memory.

        Warns:
            DataWarning: rows were damaged, and are computed again.
        """
        header = {"format": FORMAT, "recipe": recipe, "shape": list(shape), "dtype": str(self.dtype(shape))}
        name = f"{_digest(recipe)[:16]}-{_digest([header, keys.tobytes().hex()])[:16]}"
        self.folder.mkdir(parents=True, exist_ok=True)
        with exclusive(self.folder / f"{name}.lock"):
            kept = FeatureSet.open(self.folder / name)
            if kept is None:
                self._make_room(self.nbytes(shape))
                kept = FeatureSet.create(self.folder / name, header, keys)
                self._borrow(kept, keys)
            kept.touch()
            there, damaged = kept.present()
            if damaged:
                warnings.warn(
                    f"{damaged} damaged entries of {self.folder.name} are computed again", DataWarning, stacklevel=4
                )
            missing = [(int(view), int(image)) for view, image in np.argwhere(~there)]
            if missing:
                for places, rows in compute(missing):
                    kept.write(places, rows)
            return kept.tensor()

    def dtype(self, shape: tuple[int, ...]) -> np.dtype:
        """float32, unless a set of this shape fits below the limit only in half the space."""
        too_large = 4 * int(np.prod(shape)) > self.limit
        return np.dtype(np.float16 if too_large else np.float32)

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """What a set of this shape takes."""
        return self.dtype(shape).itemsize * int(np.prod(shape))

    def holds(self, shape: tuple[int, ...]) -> bool:
        """Whether a set of this shape can be kept at all."""
        return self.nbytes(shape) <= self.limit

    def size(self) -> int:
        """Bytes that all sets take together."""
        return sum(file.stat().st_size for kept in self._sets() for file in kept.folder.iterdir())

    def __repr__(self) -> str:
        return f"FeatureBank({self.folder}: {len(self._sets())} sets, {self.size() / 1e6:.0f} MB)"

    def _sets(self) -> list[FeatureSet]:
        """All sets, the one that was used last at the end."""
        found = [FeatureSet.open(header.parent) for header in self.folder.glob(f"*/{HEADER}")]
        return sorted((kept for kept in found if kept is not None), key=lambda kept: kept.last_used)

    def _make_room(self, needed: int) -> None:
        """Remove sets until `needed` bytes are free below the limit; those in use by another process stay."""
        for kept in self._sets():
            if self.size() + needed <= self.limit:
                return
            with exclusive(kept.folder.with_suffix(".lock"), wait=False) as held:
                if held:
                    shutil.rmtree(kept.folder, ignore_errors=True)

    def _borrow(self, new: FeatureSet, keys: np.ndarray) -> None:
        """Copy into a new set what other sets of its recipe hold of the same images and views."""
        for other in reversed(self._sets()):
            if other.folder == new.folder or other.header["recipe"] != new.header["recipe"]:
                continue
            if other.shape[2:] != new.shape[2:] or other.dtype != new.dtype:
                continue
            _, mine, theirs = np.intersect1d(_as_scalars(keys), _as_scalars(other.keys()), return_indices=True)
            for view in range(min(new.shape[0], other.shape[0])):
                for part in np.array_split(np.arange(len(mine)), max(1, len(mine) // 64)):
                    good, rows = other.read(view, theirs[part])
                    new.write([(view, int(image)) for image in mine[part][good]], rows)


def image_keys(contents: list[str], streams: list[str]) -> np.ndarray:
    """uint8 (N, 16) of the images' SHA-256 and of the names of the random streams that change them ("" for none)."""
    digests = [
        hashlib.blake2b(f"{content}/{stream}".encode(), digest_size=KEY_BYTES).digest()
        for content, stream in zip(contents, streams, strict=True)
    ]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, KEY_BYTES)


def _as_scalars(keys: np.ndarray) -> np.ndarray:
    """(N, 16) bytes → (N,) values that can be compared."""
    return np.ascontiguousarray(keys).view(f"V{KEY_BYTES}").ravel()


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
