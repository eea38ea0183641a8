"""`Verdicts`: which pairs were compared, and what came of it, kept on disk: a killed audit goes on where it was."""

from __future__ import annotations

import hashlib
import importlib.metadata
import zlib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from fracturelib.audit import maps, registration
from fracturelib.audit.pictures import METHOD, Form
from fracturelib.audit.registration import Evidence

PAIRS = "pairs.bin"
_RECORD = np.dtype([("key", "<u8"), ("evidence", "<f8", (len(fields(Evidence)),)), ("sum", "<u4")])


class Verdicts:
    """Evidence (or none) by `pair_key`, in memory and at the end of a file in the folder."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / PAIRS
        self._found: dict[int, Evidence | None] = {}
        self._hashed = hashlib.blake2b(_version(), digest_size=8)
        content = self.file.read_bytes() if self.file.exists() else b""
        kept = np.frombuffer(content[: len(content) // _RECORD.itemsize * _RECORD.itemsize], _RECORD)
        whole = _sums(kept) == kept["sum"]
        good = len(kept) if whole.all() else int(whole.argmin())  # from the first damaged one on, they are done again
        if content and good * _RECORD.itemsize != len(content):
            with self.file.open("r+b") as stream:
                stream.truncate(good * _RECORD.itemsize)
        copies = ~np.isnan(kept["evidence"][:good, 0])
        self._found = dict.fromkeys(kept["key"][:good].tolist())
        self._found |= {
            int(key): _evidence(values) for key, values in kept[["key", "evidence"]][:good][copies].tolist()
        }

    def key(self, one: bytes, other: bytes, form: Form) -> int:
        """Eight bytes of two pictures, the form of the first, and all else that a verdict depends on.

        Among a million pairs, two share a key with a chance of 1 in 10⁷.
        """
        hashed = self._hashed.copy()
        hashed.update(b"/".join([b"", one, other, form.encode()]))
        return int.from_bytes(hashed.digest(), "little")

    def __contains__(self, key: int) -> bool:
        return key in self._found

    def __getitem__(self, key: int) -> Evidence | None:
        return self._found[key]

    def add(self, keys: Sequence[int], found: Sequence[Evidence | None]) -> None:
        """Note what came of some pairs."""
        records = np.zeros(len(keys), _RECORD)
        for record, key, evidence in zip(records, keys, found, strict=True):
            record["key"] = key
            record["evidence"] = np.nan if evidence is None else [float(v) for v in evidence.to_dict().values()]
            self._found[key] = evidence
        records["sum"] = _sums(records)
        with self.file.open("ab") as stream:
            stream.write(records.tobytes())


def _version() -> bytes:
    """All that a verdict depends on beside the pictures: thresholds, and who computes."""
    values = {**vars(maps), **vars(registration)}
    by = [METHOD, importlib.metadata.version("opencv-python-headless")]
    return "\n".join(
        [*by, *(f"{name} {values[name]}" for name in sorted(values) if name.isupper() and name[0] != "_")]
    ).encode()


def _evidence(values: Sequence[float]) -> Evidence:
    correlation, overlap, points, degrees, scale, mirrored, inverted = values
    return Evidence(correlation, overlap, int(points), degrees, scale, bool(mirrored), bool(inverted))


def _sums(records: np.ndarray) -> np.ndarray:
    """A check for each record, (n,) uint32."""
    content, size = records.tobytes(), _RECORD.itemsize
    sums = [zlib.crc32(content[start : start + size - 4]) for start in range(0, len(content), size)]
    return np.array(sums, np.uint32)
