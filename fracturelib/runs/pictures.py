"""Which pictures a run has learnt from: eight bytes of the hash of each one's pixels, whatever its file was called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from fracturelib.config import SPLITS
from fracturelib.errors import RunError
from fracturelib.files import replaced

PICTURES = "pictures.safetensors"
_HEX_DIGITS = 16


def write_pictures(folder: Path, table: pd.DataFrame) -> None:
    """Write the pictures of every split of a table with the column `content`, as sorted int64 (N,)."""
    keys = {split: _keys(table.loc[table["split"] == split, "content"]) for split in SPLITS}
    with replaced(folder / PICTURES) as partial:
        partial.write_bytes(save(keys))


def among_learnt(file: Path, table: pd.DataFrame) -> np.ndarray:
    """Whether each row's picture is among the training or validation pictures that the file names, bool (N,).

    Raises:
        RunError: the run's list of pictures is missing or damaged.
    """
    try:
        kept = load_file(file)
        learnt = np.concatenate([kept["train"], kept["val"]]).astype(np.int64)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise RunError(
            "the run's list of pictures cannot be read",
            file=file,
            cause=f"it is missing or damaged ({error})",
            cure="restore it from a copy, or train again under another --name",
        ) from error
    return np.isin(_keys(table["content"], unique=False), learnt)


def _keys(contents: pd.Series, *, unique: bool = True) -> np.ndarray:
    digits = contents.str[:_HEX_DIGITS].to_numpy(f"U{_HEX_DIGITS}")
    keys = np.frombuffer(bytes.fromhex("".join(digits)), np.int64)
    return np.unique(keys) if unique else keys
