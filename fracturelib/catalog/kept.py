"""`KeptFacts`: what reading a file gave is kept, and taken again as long as the file stays as it was."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from fracturelib.errors import DataWarning
from fracturelib.files import MARK, replaced
from fracturelib.files.locks import exclusive
from fracturelib.images import READING, ImageFacts

FACTS_FOLDER = "facts"  # inside the bank of features, or hidden beside what a command writes
FORMAT = "facts of files 1"
# Whose version may change what is read.
_PACKAGES = ("pillow", "numpy", "opencv-python-headless", "pydicom", "python-gdcm", "pyjpegls", "pylibjpeg-openjpeg")
# What a file was asked for and may say of a patient (`tags`) is not kept, and neither is a file with a problem.
_NAMES = tuple(one.name for one in fields(ImageFacts) if one.name not in ("problem", "kind", "tags"))
# No file system counts time in longer steps than FAT, 2 s: a file that is read so soon after it was written may be
# written again without a trace in its times.
_STEP = 2 * 10**9  # ns
_AT_ONCE = 4096  # files read until what is known is written, so that a kill costs no more than these

State = list[int]  # size, mtime, ctime (ns), inode
Read = Callable[[list[Path]], Iterator[ImageFacts]]


class _Entry(NamedTuple):
    """What is kept of one file: how it was, and the values of `_NAMES`."""

    state: State
    values: list[Any]


class KeptFacts:
    """A folder with one small file of facts for each data set.

    A file counts as unchanged if path, size, times of change (mtime and, what no program can set back, ctime) and inode
    are the same, and it can still be read. Facts are taken over only if they were found by the same versions of the
    decoders, and only of files that were older than the file system's step of time when they were read. Paths are kept
    as hashes, of DICOM tags nothing: no name in the folder tells who somebody is. Without permission to write, all
    works as if nothing were kept.

    Args:
        folder: made when there is something to keep.
        verify: read every file again, and keep what is found now.
    """

    def __init__(self, folder: str | Path, *, verify: bool = False) -> None:
        self.folder, self.verify = Path(folder), verify

    def inspect(self, root: Path, paths: Sequence[str], read: Read, *, polarity: str) -> list[ImageFacts]:
        """The facts of every file below `root`, in order.

        Args:
            root: the data set's folder.
            paths: posix, relative to it.
            read: reads files one after the other; it gets those that are new or changed.
            polarity: as in `inspect_image`; facts of one polarity are none of another.

        Warns:
            DataWarning: what was kept is damaged, and every file is read again.
        """
        file = self._file_of(root)
        known = {} if self.verify else self._load(file)
        now, keys = time.time_ns(), [_key(path, polarity) for path in paths]
        states = [_state(root / path) for path in paths]
        found = {row: _known(known.get(key), state) for row, (key, state) in enumerate(zip(keys, states, strict=True))}
        missing = [row for row, facts in found.items() if facts is None]
        news: dict[str, _Entry | None] = {}
        fresh = zip(missing, read([root / paths[row] for row in missing]), strict=True)
        for count, (row, facts) in enumerate(fresh, 1):
            found[row], state = facts, states[row]
            if facts.problem is None and state and max(state[1:3]) + _STEP < now and state == _state(root / paths[row]):
                news[keys[row]] = _Entry(state, [getattr(facts, name) for name in _NAMES])
            elif self.verify or keys[row] in known:
                news[keys[row]] = None
            if news and (count % _AT_ONCE == 0 or count == len(missing)):
                self._save(file, news, set(keys))
        return [facts for facts in found.values() if facts is not None]

    def _file_of(self, root: Path) -> Path:
        return self.folder / f"{_digest(os.fsencode(root.resolve()))}.json"

    def _load(self, file: Path) -> dict[str, _Entry]:
        """The entries by their keys; none where the file is of other versions, and none with a warning if damaged."""
        try:
            header, body = file.read_bytes().split(b"\n", 1)
            said = json.loads(header)
            if said[MARK] != _versions():
                return {}
            if said["sha256"] != hashlib.sha256(body).hexdigest():
                raise ValueError
            return {key: _Entry(*entry) for key, entry in json.loads(body).items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            what = "what was kept of the files that were read before is damaged: all files are read again"
            warnings.warn(what, DataWarning, stacklevel=5)
            return {}

    def _save(self, file: Path, news: dict[str, _Entry | None], listed: set[str]) -> None:
        """Put news among the entries that the file has by now; once most of these are of files that are gone, they go.

        The file is written whole, under a lock: another process that read other files at the same time adds its own.
        """
        with suppress(OSError, NotImplementedError), warnings.catch_warnings():  # no permission, or no locks, here
            warnings.simplefilter("ignore", DataWarning)  # said when it was loaded
            self.folder.mkdir(parents=True, exist_ok=True)
            with exclusive(file.with_suffix(".lock")):
                entries = {key: entry for key, entry in (self._load(file) | news).items() if entry is not None}
                if len(entries) > 4 * len(listed):
                    entries = {key: entry for key, entry in entries.items() if key in listed}
                body = json.dumps(entries, separators=(",", ":"), default=_plain).encode()
                header = json.dumps({MARK: _versions(), "sha256": hashlib.sha256(body).hexdigest()})
                with replaced(file) as partial:
                    partial.write_bytes(header.encode() + b"\n" + body)


def _known(entry: _Entry | None, state: State | None) -> ImageFacts | None:
    """The facts of an entry, if the file is as it was."""
    if entry is None or state is None or entry.state != state:
        return None
    return ImageFacts(**dict(zip(_NAMES, entry.values, strict=True)))


def _state(file: Path) -> State | None:
    """What changes with a file's content or permissions; None where it cannot be read."""
    try:
        found = file.stat()
    except (OSError, ValueError):
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino] if os.access(file, os.R_OK) else None


@cache
def _versions() -> list[str]:
    """All that facts depend on beside the file."""
    found = [FORMAT, f"reading {READING}", *_NAMES]
    for name in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return found


def _key(path: str, polarity: str) -> str:
    return _digest(f"{polarity}/{path}".encode("utf-8", "surrogateescape"))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=12).hexdigest()


def _plain(value: Any) -> Any:
    """A number of NumPy as one of Python."""
    return value.item()
