"""One set of features on disk: an array that can be mapped into memory, a checksum for every row, and a header."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from fracturelib.files import replaced

FORMAT = "fracturelib features 1"
HEADER, KEYS, VALUES, SUMS = "header.json", "keys.npy", "values.npy", "sums.npy"
CHUNK_BYTES = 2**22  # read at once while checksums are compared


class FeatureSet:
    """Features (V, N, …) of V views of N images, written row by row.

    ``values.npy`` is a plain array file of full size from the start; ``sums.npy`` (V, N) holds the CRC-32 of each row
    that has been written, else 0. A row counts as present if its bytes have its checksum, so that interrupted work,
    a damaged row and a row that was never computed are one case. Written with ordinary file writes and read in
    chunks: a memory map would count every page that was touched as memory of this process.
    """

    def __init__(self, folder: Path, header: dict) -> None:
        self.folder, self.header = folder, header
        self.shape, self.dtype = tuple(header["shape"]), np.dtype(header["dtype"])
        self.row_bytes = self.dtype.itemsize * int(np.prod(self.shape[2:]))

    @classmethod
    def create(cls, folder: Path, header: dict, keys: np.ndarray) -> FeatureSet:
        """An empty set; what lay in the folder before is removed."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        made = cls(folder, header)
        np.save(folder / KEYS, keys, allow_pickle=False)
        # w+ makes a file of the full size without writing it: on most file systems it takes no space yet
        np.lib.format.open_memmap(folder / VALUES, "w+", made.dtype, made.shape)
        np.lib.format.open_memmap(folder / SUMS, "w+", np.uint32, made.shape[:2])
        with replaced(folder / HEADER) as partial:  # last: a folder with a header is whole
            partial.write_text(json.dumps(header, indent=1) + "\n", encoding="utf-8")
        return made

    @classmethod
    def open(cls, folder: Path) -> FeatureSet | None:
        """The set in a folder; None where there is none, or its files do not fit its header."""
        try:
            found = cls(folder, json.loads((folder / HEADER).read_text(encoding="utf-8")))
            values, sums = found._mapped(VALUES, "r"), found._mapped(SUMS, "r")
            fits = found.header["format"] == FORMAT and values.shape == found.shape and values.dtype == found.dtype
            return found if fits and sums.shape == found.shape[:2] and len(found.keys()) == found.shape[1] else None
        except (OSError, EOFError, ValueError, KeyError, TypeError):
            return None

    def keys(self) -> np.ndarray:
        """One key of 16 bytes for each of the N images."""
        return np.load(self.folder / KEYS, allow_pickle=False)

    def present(self) -> tuple[np.ndarray, int]:
        """Which rows are there (V, N), and how many are damaged: written once, and not what they were."""
        sums = np.array(self._mapped(SUMS, "r"))
        whole = np.zeros(sums.size, dtype=bool)
        at_once = max(1, CHUNK_BYTES // self.row_bytes)
        with (self.folder / VALUES).open("rb") as file:
            file.seek(self._start(file))
            for first in range(0, sums.size, at_once):
                rows = min(at_once, sums.size - first)
                if not sums.flat[first : first + rows].any():
                    file.seek(rows * self.row_bytes, os.SEEK_CUR)
                    continue
                chunk = memoryview(file.read(rows * self.row_bytes))
                found = [_checksum(chunk[i * self.row_bytes :][: self.row_bytes]) for i in range(rows)]
                whole[first : first + rows] = np.array(found, np.uint32) == sums.flat[first : first + rows]
        present = whole.reshape(sums.shape)
        return present, int(((sums != 0) & ~present).sum())

    def write(self, places: Sequence[tuple[int, int]], rows: np.ndarray) -> None:
        """Write rows (B, …) at their places (view, image): first the values, then the checksums."""
        rows = np.ascontiguousarray(rows, dtype=self.dtype)
        with (self.folder / VALUES).open("r+b") as values, (self.folder / SUMS).open("r+b") as sums:
            starts, images = (self._start(values), self._start(sums)), self.shape[1]
            for (view, image), row in zip(places, rows, strict=True):
                values.seek(starts[0] + (view * images + image) * self.row_bytes)
                values.write(row.tobytes())
            values.flush()
            for (view, image), row in zip(places, rows, strict=True):
                sums.seek(starts[1] + (view * images + image) * 4)
                sums.write(np.uint32(_checksum(row.tobytes())).tobytes())

    def read(self, view: int, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Those of the rows that are there: their positions in `images`, and the rows."""
        values, sums = self._mapped(VALUES, "r")[view], self._mapped(SUMS, "r")[view]
        rows = [np.array(values[image]) for image in images]
        good = [i for i, image in enumerate(images) if _checksum(rows[i].tobytes()) == sums[image]]
        return np.array(good, dtype=int), np.array([rows[i] for i in good])

    def tensor(self) -> torch.Tensor:
        """All features (V, N, …), mapped into memory; changes stay in this process."""
        return torch.from_numpy(self._mapped(VALUES, "c"))

    def touch(self) -> None:
        """Note that the set was used now."""
        os.utime(self.folder / HEADER)

    @property
    def last_used(self) -> float:
        return (self.folder / HEADER).stat().st_mtime

    def _mapped(self, name: str, mode: Literal["r", "c"]) -> np.memmap:
        return np.load(self.folder / name, mmap_mode=mode, allow_pickle=False)

    @staticmethod
    def _start(file) -> int:
        """Where the array begins in an .npy file."""
        file.seek(0)
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        return file.tell()


def _checksum(data: bytes | memoryview) -> int:
    return zlib.crc32(data) or 1  # 0 stands for a row that is not there
