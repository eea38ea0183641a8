"""Arrays by name in one file (NumPy's .npz), taken again only where they are whole and of the same making."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fracturelib.files.replacing import replaced


def read_arrays(file: Path, **known: str) -> dict[str, np.ndarray] | None:
    """The arrays in `file`; None where it is absent or damaged, or does not hold the words `known` under their names.

    Pickled objects are never loaded.
    """
    try:
        with np.load(file, allow_pickle=False) as kept:
            same = all(str(kept[name]) == words for name, words in known.items())
            return dict(kept) if same else None
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def write_arrays(file: Path, *, compress: bool = False, **arrays: Any) -> None:
    """Replace `file` by these arrays and words, in their order.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    with replaced(file) as partial, partial.open("wb") as stream:
        (np.savez_compressed if compress else np.savez)(stream, **arrays)


def packed(keys: Sequence[bytes]) -> np.ndarray:
    """Keys of equal length as uint8 (n, length); one key at least."""
    return np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), -1)


def unpacked(rows: np.ndarray) -> list[bytes]:
    """The inverse of `packed`."""
    return [row.tobytes() for row in rows]
