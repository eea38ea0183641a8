"""A run's folder while it is made: its name, the lock that one process holds, and what a killed one left behind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fracturelib.errors import ConfigError, RunBusyError
from fracturelib.files.locks import exclusive

LONGEST_NAME = 200  # bytes; the lock's name is a little longer, and file systems end at 255
# What `replaced` leaves when it is killed, and what earlier versions left.
_LEFTOVER = re.compile(r"(\..+\.[0-9a-f]{8}|[\w-]+\.(json|safetensors|csv|html|md))\.part")


def check_name(name: str) -> None:
    """Raise ConfigError unless a run may have this name: a plain one on every system, that no folder of ours has."""
    if not name or re.search(r'[/\\:*?"<>|]', name):
        raise ConfigError(
            f"the name '{name}' is no plain folder name", cure="use --runs for the place, --name for the name"
        )
    if name[0] in ". -" or name[-1] in ". " or not name.isprintable() or len(name.encode()) > LONGEST_NAME:
        raise ConfigError(
            f"{name[:LONGEST_NAME]!a} cannot be the name of a run",
            cause="it begins with a dot, blank or dash, ends with a dot or blank, is too long, or cannot be printed",
            cure="choose another --name, of letters and numbers",
        )


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold the run's folder for this process; folders above it that are made for the lock go if they stay empty.

    Raises:
        RunBusyError: another process holds it.
    """
    folder = folder.resolve()
    lock = folder.parent / f".{folder.name}.lock"
    made = [place for place in folder.parents if not place.exists()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with exclusive(lock, wait=False) as held:
            if not held:
                raise RunBusyError(
                    "another process is training this run",
                    file=folder,
                    cure="wait until it has ended, or choose another --name",
                )
            try:
                yield
            finally:
                with suppress(OSError):  # Windows removes no open file; nobody waits for this lock
                    lock.unlink()
    finally:
        with suppress(OSError):  # no longer empty
            for place in made:
                place.rmdir()


def remove_leftovers(folder: Path) -> None:
    """Remove half-written files of a process that was killed; only for who has `claimed` the folder."""
    for file in [file for file in folder.rglob("*.part") if file.is_file() and _LEFTOVER.fullmatch(file.name)]:
        file.unlink()
