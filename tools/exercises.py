"""Writes the exercises into the notebooks and the solutions: `python -m tools.exercises`; `--check` writes nothing.

`fracturelib.course.exercises` is the one source. In a notebook everything from "## Exercises" to "## Takeaways" is made
of it; in a solutions notebook everything from "## Exercise 1" on. A cell that stays as it is keeps its outputs.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from fracturelib.course.exercises import EXERCISES, Exercise

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
Cell = dict[str, Any]
INTRODUCTION = """## Exercises

Every cell below runs as it is. Fill in what is marked `TODO`, and run it again: `answer` says whether it is right, or
why not. `hint("{key}")` and `solution("{key}")`, in a cell of your own, help where you are stuck. All solutions:
[solutions/{name}_solutions.ipynb](solutions/{name}_solutions.ipynb)."""
IMPORTS = """from fracturelib.course.answers import answer, hint, solution  # noqa: F401 (hint and solution are for you)
from fracturelib.course.widgets.quiz import quiz"""
QUIZ = """## Two questions to close

Choose an answer, then press *Check*."""


def notebook_part(name: str, exercises: list[Exercise]) -> list[Cell]:
    """The cells from "## Exercises" to before "## Takeaways"."""
    cells = [
        markdown("exercises-text", INTRODUCTION.format(name=name, key=exercises[0].key)),
        code("exercises-imports", IMPORTS),
    ]
    for number, exercise in enumerate(exercises, 1):
        stop = "" if exercise.title.endswith("?") else "."
        text = f"**Exercise {number}: {exercise.title}{stop}** {exercise.task}"
        cells += [markdown(f"exercise-{number}-text", text), code(f"exercise-{number}", exercise.cell)]
    return [*cells, markdown("quiz-text", QUIZ), code("quiz", f'quiz("{name[:2]}")')]


def solutions_part(exercises: list[Exercise]) -> list[Cell]:
    """The cells from "## Exercise 1" on."""
    cells = []
    for number, exercise in enumerate(exercises, 1):
        task = exercise.task.replace("](../", "](../../")  # the solutions lie one folder deeper
        cells.append(markdown(f"solution-{number}-text", f"## Exercise {number}: {exercise.title}\n\n{task}"))
        if exercise.setup:
            cells.append(code(f"solution-{number}-setup", exercise.setup))
        claim = f'assert accepted("{exercise.key}")\n{exercise.claim}'.strip()
        cells += [
            code(f"solution-{number}", exercise.solution),
            code(f"solution-{number}-claim", claim, metadata={"jupyter": {"source_hidden": True}, "tags": ["claim"]}),
            markdown(f"solution-{number}-why", exercise.why),
        ]
        if exercise.further:
            cells.append(code(f"solution-{number}-further", exercise.further))
    return cells


def markdown(name: str, text: str) -> Cell:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": text.splitlines(keepends=True)}


def code(name: str, text: str, *, metadata: dict[str, Any] | None = None) -> Cell:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": name,
        "metadata": metadata or {},
        "outputs": [],
        "source": text.splitlines(keepends=True),
    }


def with_part(notebook: dict[str, Any], part: list[Cell], *, begin: str, end: str | None) -> dict[str, Any]:
    """The notebook with these cells from the first that begins with `begin` to before the next one with `end`."""
    cells = notebook["cells"]
    first = _place(cells, begin, 0)
    last = len(cells) if end is None else _place(cells, end, first)
    before = {cell["id"]: cell for cell in cells[first:last]}
    kept = [_with_outputs(cell, before.get(cell["id"])) for cell in part]
    return {**notebook, "cells": [*cells[:first], *kept, *cells[last:]]}


def _place(cells: list[Cell], begin: str, start: int) -> int:
    found = (i for i, cell in enumerate(cells[start:], start) if re.match(begin, "".join(cell["source"])))
    return next(found, len(cells))


def _with_outputs(cell: Cell, before: Cell | None) -> Cell:
    if before is None or before["source"] != cell["source"] or cell["cell_type"] != "code":
        return cell
    return {**cell, "outputs": before["outputs"], "execution_count": before["execution_count"]}


def generated(path: Path) -> str:
    """The text of a notebook, or of its solutions, with its exercises made anew."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    exercises = [exercise for key, exercise in EXERCISES.items() if key.startswith(path.name[:2])]
    if path.parent.name == "solutions":
        notebook = with_part(notebook, solutions_part(exercises), begin="## Exercise 1", end=None)
    else:
        notebook = with_part(notebook, notebook_part(path.stem, exercises), begin="## Exercises", end="## Takeaways")
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def with_exercises() -> list[Path]:
    """All notebooks of which there are exercises, and their solutions."""
    numbers = {key[:2] for key in EXERCISES}
    return [
        path
        for path in sorted(NOTEBOOKS.rglob("*.ipynb"))
        if path.name[:2] in numbers and ".ipynb_checkpoints" not in path.parts
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="say which files differ, and write nothing")
    options = parser.parse_args(arguments)
    stale = [path for path in with_exercises() if path.read_text(encoding="utf-8") != generated(path)]
    for path in stale:
        print(path.relative_to(NOTEBOOKS))
        if not options.check:
            path.write_text(generated(path), encoding="utf-8")
    return int(options.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
