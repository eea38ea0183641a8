"""`Shelf`: what was found in each file, kept on disk, so that no file is read twice and memory stays small.

One file, `pictures.bin`, to which records are added: what is small of a file, then its `Picture` and, where it has one,
the picture squeezed into a square, some 60 kB each. A record that a kill cut short is dropped when the shelf is opened.
It is read with ordinary reads: a memory map would count every page that was touched as memory of this process.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import zlib
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from fracturelib.audit.pictures import METHOD, Picture
from fracturelib.audit.reading import Read, appearance_names
from fracturelib.files import replaced
from fracturelib.images import READING

PICTURES = "pictures.bin"
MARKED = b"frac"  # every record begins so
KEY_BYTES = 16
MOST_IDLE = 2  # records of files that are gone, for each one that is in use


class DamagedShelf(Exception):
    """A record is not what was written."""


class Place(NamedTuple):
    """Where a picture lies: the start of its record, and whether it is the one that was squeezed into a square."""

    start: int
    square: bool


class Pictures(NamedTuple):
    """Pictures on a shelf, k of them.

    Attributes:
        shelf: the shelf's file.
        places: where each lies there.
        keys: 16 bytes that tell its pixels from others.
        owners: (k,) the number of the file that it is of.
    """

    shelf: Path
    places: list[Place]
    keys: list[bytes]
    owners: np.ndarray


class Shelf:
    """The records in a folder, by key; see `file_keys`."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / PICTURES
        self._open()

    def _open(self) -> None:
        """Note every whole record; the rest, which a kill left, is cut off."""
        self._rows: dict[bytes, int] = {}
        self._starts: list[int] = []
        self._heads: list[bytes] = []
        self._end = 0
        if not self.file.exists():
            return
        size, head_bytes = self.file.stat().st_size, _head().itemsize
        with self.file.open("r+b") as stream:
            while self._end + head_bytes <= size:
                stream.seek(self._end)
                head = stream.read(head_bytes)
                length = _length(head)
                if length is None or self._end + length > size:
                    break
                self._note(head, length)
            stream.truncate(self._end)

    def _note(self, head: bytes, length: int) -> None:
        self._rows[np.frombuffer(head, _head())[0]["key"].tobytes()] = len(self._starts)
        self._starts.append(self._end)
        self._heads.append(head)
        self._end += length

    def __contains__(self, key: bytes) -> bool:
        return key in self._rows

    def add(self, key: bytes, read: Read) -> None:
        """Put what was read of a file at the end."""
        assert read.picture is not None, "a file that cannot be read has no record"
        body = b"".join(_packed(one) for one in (read.picture, read.square) if one is not None)
        head = np.zeros(1, _head())
        head["mark"], head["key"] = MARKED, np.frombuffer(key, f"V{KEY_BYTES}")
        head["pixels"] = np.frombuffer(bytes.fromhex(read.pixels_sha256), "V32")
        head["sizes"] = [_sizes(read.picture), _sizes(read.square)]
        head["appearance"] = [read.appearance[name] for name in appearance_names()]
        head["body"] = zlib.crc32(body)
        head["sum"] = _checksum(head.tobytes())
        with self.file.open("ab") as stream:
            stream.write(head.tobytes() + body)
        self._note(head.tobytes(), len(head.tobytes()) + len(body))

    def rows(self, keys: Sequence[bytes]) -> np.ndarray:
        """The record of each key, (n,)."""
        return np.array([self._rows[key] for key in keys], dtype=int)

    def facts(self, rows: np.ndarray) -> np.ndarray:
        """What is small of some records, (n,), with fields key, pixels, sizes and appearance."""
        return np.frombuffer(b"".join(self._heads[row] for row in rows), _head())

    def pictures(self, rows: np.ndarray) -> Pictures:
        """Where the pictures of some records (n,) lie: first all as they are, then the squares of those with one."""
        facts = self.facts(rows)
        squares = np.flatnonzero(facts["sizes"][:, 1, 1])
        starts = [self._starts[row] for row in rows]
        places = [Place(start, square=False) for start in starts]
        places += [Place(starts[row], square=True) for row in squares]
        hashes = [pixels.tobytes()[:KEY_BYTES] for pixels in facts["pixels"]]
        keys = [*hashes, *(hashlib.blake2b(hashes[row], digest_size=KEY_BYTES).digest() for row in squares)]
        return Pictures(self.file, places, keys, np.concatenate([np.arange(len(rows)), squares]))

    def tidy(self, keys: Sequence[bytes]) -> None:
        """Once most records are of files that are gone, keep those of `keys` alone."""
        used = dict.fromkeys(keys)
        if len(self._starts) <= (1 + MOST_IDLE) * len(used):
            return
        with self.file.open("rb") as old, replaced(self.file) as partial, partial.open("wb") as new:
            for row in sorted(self._rows[key] for key in used if key in self._rows):
                length = _length(self._heads[row])
                old.seek(self._starts[row])
                new.write(old.read(length or 0))
        self._open()


def file_keys(contents: Sequence[str]) -> list[bytes]:
    """16 bytes per file, of its content and the way its greys are taken, and of all else that a record depends on."""
    by = f"{METHOD} {READING} {importlib.metadata.version('opencv-python-headless')}"
    return [hashlib.blake2b(f"{by}/{content}".encode(), digest_size=KEY_BYTES).digest() for content in contents]


def picture_at(shelf: BinaryIO, place: Place) -> Picture:
    """The picture at a place of a shelf's file, open for reading.

    Raises:
        DamagedShelf: it is not as it was written.
    """
    shelf.seek(place.start)
    head = shelf.read(_head().itemsize)
    length = _length(head)
    body = shelf.read(length - len(head)) if length else b""
    fields = np.frombuffer(head, _head())[0] if length else None
    if fields is None or zlib.crc32(body) != fields["body"]:
        raise DamagedShelf
    first, second = (tuple(map(int, sizes)) for sizes in fields["sizes"])
    return _unpacked(body[_body_bytes(*first) :], *second) if place.square else _unpacked(body, *first)


@cache
def _head() -> np.dtype:
    return np.dtype(
        [
            ("mark", "S4"),
            ("key", f"V{KEY_BYTES}"),
            ("pixels", "V32"),
            ("sizes", "<u2", (2, 3)),  # keypoints, height and width of the picture, and of the square
            ("appearance", "<f4", (len(appearance_names()),)),
            ("body", "<u4"),  # CRC-32 of what follows
            ("sum", "<u4"),  # and of the fields before
        ]
    )


def _length(head: bytes) -> int | None:
    """Bytes of the record that begins so; None where it is no record."""
    if len(head) < _head().itemsize:
        return None
    fields = np.frombuffer(head, _head())[0]
    if fields["mark"] != MARKED or fields["sum"] != _checksum(head):
        return None
    return len(head) + sum(_body_bytes(*map(int, sizes)) for sizes in fields["sizes"])


def _checksum(head: bytes) -> int:
    return zlib.crc32(head[: _head().fields["sum"][1]])  # type: ignore[index]


def _sizes(picture: Picture | None) -> tuple[int, int, int]:
    return (0, 0, 0) if picture is None else (len(picture.points), *picture.structure.shape)  # type: ignore[return-value]


def _body_bytes(points: int, height: int, width: int) -> int:
    return points * (8 + 4 + 128) + height * width


def _packed(picture: Picture) -> bytes:
    parts = (picture.points, picture.angles, picture.descriptors, picture.structure)
    return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)


def _unpacked(body: bytes, points: int, height: int, width: int) -> Picture:
    ends = np.cumsum([0, 8 * points, 4 * points, 128 * points, height * width]).tolist()
    parts = [body[start:end] for start, end in pairwise(ends)]
    return Picture(
        np.frombuffer(parts[0], np.float32).reshape(points, 2),
        np.frombuffer(parts[1], np.float32),
        np.frombuffer(parts[2], np.uint8).reshape(points, 128),
        np.frombuffer(parts[3], np.int8).reshape(height, width),
    )
