"""How a file that is meant to be shared names folders and files outside itself: never by an absolute path."""

from __future__ import annotations

import os
from pathlib import Path

SIMULATION = "simulation.json"  # lies in a data set that this project has simulated


def shareable(path: str | Path) -> str:
    """The path as given if it is relative, from the working folder if it lies in it, else its last name only."""
    path = Path(path)
    if path.is_absolute():
        inside = path.is_relative_to(Path.cwd())
        path = path.relative_to(Path.cwd()) if inside else Path(path.name)
    return path.as_posix()


def place_from(folder: Path, path: str | Path) -> str | None:
    """The path as seen from `folder`, for both to be moved together; None where they share only the root."""
    here, there = os.path.abspath(folder), os.path.abspath(path)  # noqa: PTH100 - links stay as they are
    try:
        shared = os.path.commonpath([here, there])
    except ValueError:  # two drives
        return None
    return None if shared == os.path.dirname(shared) else Path(os.path.relpath(there, here)).as_posix()  # noqa: PTH120


def found_from(folder: Path, place: str | None, otherwise: str) -> str:
    """The inverse of `place_from` if something is there, else the path `otherwise`."""
    there = os.path.normpath(folder / place) if place else ""
    return there if os.path.exists(there) else otherwise  # noqa: PTH110
