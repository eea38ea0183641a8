"""What the pictures of a set show, found once: a second audit of the same files takes it from a file."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fracturelib.audit.copies import LINK_COLUMNS, Copies, find_copies
from fracturelib.audit.reading import appearance_table, read_all
from fracturelib.files import MARK, replaced
from fracturelib.images import Polarity

METHOD = "5"  # of this package; findings of another one are not taken over
_WORDS = ("how",)  # columns of the links that are text


class Findings(NamedTuple):
    """Copies and appearance of the files `rows` (row numbers of the table) that could be read; problems of the others.

    `appearance` has one row per entry of `rows`, and `copies` counts in the same order.
    """

    rows: np.ndarray
    copies: Copies
    appearance: pd.DataFrame
    problems: list[dict[str, str]]


def find(root: Path, paths: Sequence[str], polarities: Sequence[Polarity], *, progress: bool = True) -> Findings:
    """Read every file below `root` once, each in its polarity, and compare them."""
    reads = read_all(root, paths, polarities, progress=progress)
    rows = np.array([row for row, read in enumerate(reads) if read.picture is not None], dtype=int)
    problems = [
        {"path": path, "problem": read.problem} for path, read in zip(paths, reads, strict=True) if read.problem
    ]
    copies = find_copies([reads[row] for row in rows], progress=progress)
    return Findings(rows, copies, appearance_table(reads), problems)


def load(file: Path, hashes: Sequence[str]) -> Findings | None:
    """The findings in `file`, if they are about files with these hashes, in this order; None otherwise."""
    try:
        with np.load(file) as kept:
            if str(kept["key"]) != _key(hashes):
                return None
            links = pd.DataFrame({name: kept[f"link {name}"] for name in LINK_COLUMNS})
            appearance = pd.DataFrame(kept["appearance"], columns=kept["appearance names"].astype(object))
            return Findings(kept["rows"], Copies(kept["groups"], links.astype({"how": object})), appearance, [])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # absent, damaged, or of another version
        return None


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
    with replaced(file) as partial, partial.open("wb") as stream:
        np.savez_compressed(
            stream,
            **arrays,
            key=np.array(_key(hashes)),
            rows=findings.rows,
            groups=findings.copies.groups,
            appearance=findings.appearance.to_numpy(np.float32),
        )


def _key(hashes: Sequence[str]) -> str:
    return hashlib.sha256("\n".join([METHOD, *hashes]).encode()).hexdigest()
