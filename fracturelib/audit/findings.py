"""What the pictures of a set show, found once: a second audit of the same files takes it from a file."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from fracturelib.audit.copies import LINK_COLUMNS, Copies, find_copies
from fracturelib.audit.pictures import METHOD
from fracturelib.audit.reading import FILES_AT_ONCE, appearance_names, read_all
from fracturelib.audit.shelf import PICTURES, DamagedShelf, Shelf, file_keys
from fracturelib.errors import DataWarning
from fracturelib.files import MARK
from fracturelib.files.arrays import read_arrays, write_arrays
from fracturelib.files.locks import exclusive
from fracturelib.images import Polarity
from fracturelib.runtime.processes import spread

_WORDS = ("how",)  # columns of the links that are text


class Findings(NamedTuple):
    """Copies and appearance of the files `rows` (row numbers of the table) that could be read; problems of the others.

    `appearance` has one row per entry of `rows`, and `copies` counts in the same order.
    """

    rows: np.ndarray
    copies: Copies
    appearance: pd.DataFrame
    problems: list[dict[str, str]]


class Files(NamedTuple):
    """What is audited: paths below `root`, how each file's greys are taken, and a hash of its content and of that."""

    root: Path
    paths: Sequence[str]
    polarities: Sequence[Polarity]
    hashes: Sequence[str]


def find(files: Files, folder: Path | None, *, progress: bool = True) -> Findings:
    """Read every file once, and compare them.

    Args:
        files: all of the set.
        folder: keeps what is found of files and of pairs: what an earlier search found there, finished or not, is not
            looked for again. None keeps nothing.
        progress: show progress bars.

    Warns:
        DataWarning: what was kept is damaged, and all files are read again.
    """
    if folder is None:
        with TemporaryDirectory() as place:
            return _find(files, Path(place), progress=progress)
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / "pictures.lock", what="another audit that writes there"):
        try:
            return _find(files, folder, progress=progress)
        except DamagedShelf:
            what = "what was kept of the pictures is damaged: all files are read again"
            warnings.warn(what, DataWarning, stacklevel=4)
            (folder / PICTURES).unlink()
            return _find(files, folder, progress=progress)


def _find(files: Files, folder: Path, *, progress: bool) -> Findings:
    shelf, keys = Shelf(folder), file_keys(files.hashes)
    shelf.tidy(keys)
    bad = _read_all(files, shelf, keys, progress=progress)
    problems = [{"path": path, "problem": bad[key]} for path, key in zip(files.paths, keys, strict=True) if key in bad]
    rows = np.array([row for row, key in enumerate(keys) if key not in bad], dtype=int)
    records = shelf.rows([keys[row] for row in rows])
    copies = find_copies(shelf, records, progress=progress)
    looks = pd.DataFrame(shelf.facts(records)["appearance"].copy(), columns=list(appearance_names()))
    return Findings(rows, copies, looks, problems)


def _read_all(files: Files, shelf: Shelf, keys: Sequence[bytes], *, progress: bool) -> dict[bytes, str]:
    """Put on the shelf what is not there, all processes together; the problems of the files that cannot be read."""
    missing = {key: row for row, key in enumerate(keys) if key not in shelf}
    named = [(files.root / files.paths[row], files.polarities[row]) for row in missing.values()]
    reads = tqdm(
        spread(read_all, named, size=FILES_AT_ONCE),
        total=len(missing), desc="Reading", unit="file", delay=2, disable=not progress,
    )  # fmt: skip
    problems = {}
    for key, read in zip(missing, reads, strict=True):
        if read.problem is None:
            shelf.add(key, read)
        else:
            problems[key] = read.problem
    return problems


def load(file: Path, hashes: Sequence[str]) -> Findings | None:
    """The findings in `file`, if they are about files with these hashes, in this order; None otherwise."""
    kept = read_arrays(file, key=_key(hashes))
    if kept is None:
        return None
    links = pd.DataFrame({name: kept[f"link {name}"] for name in LINK_COLUMNS})
    appearance = pd.DataFrame(kept["appearance"], columns=kept["appearance names"].astype(object))
    return Findings(kept["rows"], Copies(kept["groups"], links.astype({"how": object})), appearance, [])


def save(findings: Findings, file: Path, hashes: Sequence[str]) -> None:
    """Replace the file; nothing is kept where files could not be read."""
    if findings.problems:
        return
    links = findings.copies.links
    arrays: dict[str, Any] = {
        f"link {name}": links[name].to_numpy(str if name in _WORDS else float) for name in LINK_COLUMNS
    }
    arrays["appearance names"] = np.array(findings.appearance.columns, dtype=str)
    arrays = {MARK: np.array(0)} | arrays  # first, so that the file is known as ours
    write_arrays(
        file,
        compress=True,
        **arrays,
        key=_key(hashes),
        rows=findings.rows,
        groups=findings.copies.groups,
        appearance=findings.appearance.to_numpy(np.float32),
    )


def _key(hashes: Sequence[str]) -> str:
    return hashlib.sha256("\n".join([METHOD, *hashes]).encode()).hexdigest()
