"""A student's copies of the notebooks: without outputs, in my_notebooks/; `make lab` calls it and opens them.

A copy that was worked in is never overwritten: a newer version is laid beside it. A copy knows by its metadata which
version it was made of, and what it held then.
"""

from __future__ import annotations

import hashlib
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Any

from fracturelib.files import write_text

PROJECT = Path(__file__).resolve().parents[1]
MARK = "copy"  # in the metadata: the fingerprint of the version that was copied


class Outcome(StrEnum):
    """What became of one copy."""

    MADE = "made"
    KEPT = "kept"  # it is of today's version
    RENEWED = "renewed"  # it was of an older version, and nobody had worked in it
    BESIDE = "beside"  # somebody had worked in it: the new version lies beside it


def make_copies(source: Path, target: Path) -> dict[Path, Outcome]:
    """Lay a copy of every notebook in `source` into `target`; returns which files are there now, and why."""
    target.mkdir(exist_ok=True)
    return dict(_copy(file, target / file.name) for file in sorted(source.glob("*.ipynb")))


def _copy(file: Path, place: Path) -> tuple[Path, Outcome]:
    """Copy one notebook to `place`, or beside what was worked in."""
    fresh = student_version(json.loads(file.read_text(encoding="utf-8")))
    outcome, number = Outcome.MADE, 1
    while place.exists():
        there = _read(place)
        if there is not None and there["metadata"].get("fracturelib", {}).get(MARK) == _mark(fresh):
            return place, Outcome.KEPT if outcome is Outcome.MADE else outcome
        if there is not None and untouched(there):
            outcome = Outcome.RENEWED if outcome is Outcome.MADE else outcome
            break
        outcome, number = Outcome.BESIDE, number + 1
        place = place.with_name(f"{file.stem}_version_{number}.ipynb")
    write_text(place, json.dumps(fresh, indent=1, ensure_ascii=False) + "\n")
    return place, outcome


def student_version(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook without outputs; links to the solutions lead to where they are."""
    cells = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            source = source.replace("](solutions/", "](../notebooks/solutions/")
        else:
            cell = {**cell, "outputs": [], "execution_count": None}
        cells.append({**cell, "source": source.splitlines(keepends=True)})
    made = {**notebook, "cells": cells}
    metadata = {key: value for key, value in notebook["metadata"].items() if key != "fracturelib"}
    return {**made, "metadata": {**metadata, "fracturelib": {MARK: fingerprint(made)}}}


def fingerprint(notebook: dict[str, Any]) -> str:
    """SHA-256 over kinds and sources of all cells."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def untouched(copy: dict[str, Any]) -> bool:
    """Whether nobody has worked in a copy: its cells are those that were copied, and none has been run."""
    ran = any(cell.get("outputs") or cell.get("execution_count") for cell in copy["cells"])
    return not ran and fingerprint(copy) == _mark(copy)


def _mark(notebook: dict[str, Any]) -> str | None:
    return notebook["metadata"].get("fracturelib", {}).get(MARK)


def _read(file: Path) -> dict[str, Any] | None:
    """A notebook, or None where the file is something else: then it is not ours to touch."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    well_formed = isinstance(found, dict) and isinstance(found.get("cells"), list)
    return found if well_formed and isinstance(found.get("metadata"), dict) else None


def main() -> int:
    copies = make_copies(PROJECT / "notebooks", PROJECT / "my_notebooks")
    for place, outcome in copies.items():
        if outcome is Outcome.BESIDE:
            print(f"There is a newer version of a notebook that you worked in. It lies beside it: {place.name}")
    made = sum(outcome in (Outcome.MADE, Outcome.RENEWED) for outcome in copies.values())
    print(f"my_notebooks/: {made} new, {len(copies) - made} kept. `make lab-outputs` opens the notebooks with outputs.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
