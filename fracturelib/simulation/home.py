"""The folder of a simulated set: what of it is ours, and how a new set gets in without touching what is not."""

from __future__ import annotations

import getpass
import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from fracturelib.errors import FracturelibError
from fracturelib.files.locks import exclusive
from fracturelib.files.places import SIMULATION
from fracturelib.simulation.plan import GENERATOR, VERSION, Plan

MANIFEST = SIMULATION
METADATA = "metadata.csv"
LABELS = "labels.csv"  # beside DICOM files
TABLES = (METADATA, LABELS)


def place_beside_older(root: Path) -> Path:
    """`root`, or a folder beside it if `root` holds a set of an older version: that one stays as it is."""
    manifest = _our_manifest(root)
    older = manifest is not None and manifest.get("version") != VERSION
    return root.with_name(f"{root.name}-v{VERSION}") if older else root


def refuse_others(root: Path, plan: Plan, planned: Iterable[str], *, replace: bool) -> None:
    """Raise if `root` holds something else: other files than a set's, another set that may not be replaced, or files of
    the user's under names that the new set needs."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return
    manifest = _our_manifest(root)
    if manifest is None:
        raise FracturelibError(
            "the folder holds something other than a simulated set", file=root,
            cause=f"it has no {MANIFEST} of this generator", cure="choose a new folder, or empty this one yourself",
        )  # fmt: skip
    if manifest == plan.manifest():
        return
    if not replace:
        older = manifest.get("version") != VERSION
        raise FracturelibError(
            "the folder holds another simulated set", file=root,
            cause="an older version of the library made it" if older else "it was made with other settings",
            cure="choose another folder, or say --replace (replace=True): files that are not the set's stay there",
        )  # fmt: skip
    old = _files_of(root)
    foreign = [name for name in planned if name not in old and (root / name).exists()]
    if foreign:
        raise FracturelibError(
            f"{foreign[0]} is no part of the old set, but the new one needs the name", file=root,
            cure="move it away, or choose another folder",
        )  # fmt: skip


def move_in(partial: Path, root: Path, plan: Plan) -> None:
    """Put a finished set in its place; of an older one goes what its own table lists, and nothing else."""
    if not root.exists():
        partial.rename(root)
        return
    if read_json(root / MANIFEST) != plan.manifest():
        for name in _files_of(root):
            (root / name).unlink(missing_ok=True)
    files = sorted(path for path in partial.rglob("*") if path.is_file() and path.name != MANIFEST)
    for path in [*files, partial / MANIFEST]:  # the manifest comes last: until then the set is not complete
        target = root / path.relative_to(partial)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        else:
            path.unlink()
    for folder in sorted((path for path in partial.rglob("*")), reverse=True):
        (root / folder.relative_to(partial)).mkdir(parents=True, exist_ok=True)
        folder.rmdir()
    partial.rmdir()


@contextmanager
def one_builder(root: Path) -> Iterator[None]:
    """One process at a time builds the folder; who waits for another one says so.

    The lock lies in the system's temporary folder, so that nothing stays beside the set.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    place = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
    lock = Path(tempfile.gettempdir()) / f"fracturelib-{getpass.getuser()}-{place}.lock"
    with exclusive(lock, what=f"another process that makes {root.name}"):
        yield


def read_json(path: Path) -> dict | None:
    """The object in a file, or None."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _our_manifest(root: Path) -> dict | None:
    """What a set of ours says about itself; None if `root` holds none."""
    manifest = read_json(root / MANIFEST)
    return manifest if isinstance(manifest, dict) and manifest.get("generator") == GENERATOR else None


def _files_of(root: Path) -> set[str]:
    """The files of a set of ours, by its own table."""
    names = {MANIFEST, *(name for name in TABLES if (root / name).is_file())}
    try:
        listed = pd.read_csv(root / METADATA, usecols=["file"])["file"].astype(str)
    except (OSError, ValueError):
        return names
    inside = root.resolve()
    return names | {name for name in listed if (root / name).resolve().is_relative_to(inside)}
