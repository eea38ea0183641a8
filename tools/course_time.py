"""Minutes of each notebook, in docs/teaching.md: `python -m tools.course_time` writes them, `--check` does not.

Reading and trying are estimated from what stands in the notebook, at the rates below. Running is as measured by
`python -m benchmarks.classroom --no-panel --json fracturelib/assets/classroom.json`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from fracturelib.course.readiness import NOTEBOOK_MINUTES

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs/teaching.md"
BEGIN, END = "<!-- minutes: begin -->", "<!-- minutes: end -->"

WORDS_A_MINUTE = 130  # of a text with new words in it, by somebody whose first language may be another one
SECONDS_A_LINE = 5  # of code that is not collapsed
# Minutes for trying: the thought before a guess, a panel with its three questions, a radiograph read with care.
GUESS, PANEL, CASE = 0.5, 4.0, 0.5
EXERCISE, QUIZ = 5.0, 2.0
CASES = {"ReadingRoom(": 20, "CallSheet(": 5}


@dataclass(frozen=True)
class Minutes:
    """How long one notebook takes: reading, trying, and the machine's own time."""

    number: str
    words: int
    lines: int
    guesses: int
    panels: int
    cases: int
    exercises: int
    running: float

    @property
    def reading(self) -> float:
        return self.words / WORDS_A_MINUTE + self.lines * SECONDS_A_LINE / 60

    @property
    def trying(self) -> float:
        panels = self.panels * PANEL + self.cases * CASE
        return self.guesses * GUESS + panels + self.exercises * EXERCISE + QUIZ

    @property
    def whole(self) -> float:
        return self.reading + self.trying + self.running


def minutes_of(path: Path) -> Minutes:
    """What stands in a notebook, counted; links count as their words, collapsed answers as text."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    prose = [_text(cell) for cell in cells if cell["cell_type"] == "markdown"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    seen = [_text(cell) for cell in code if not cell["metadata"].get("jupyter", {}).get("source_hidden")]
    whole = "\n".join(map(_text, code))
    return Minutes(
        number=path.name[:2],
        words=sum(len(re.findall(r"\w[\w'’-]*", re.sub(r"\]\([^)]*\)|<[^>]*>", " ", text))) for text in prose),
        lines=sum(bool(line.strip()) for text in seen for line in text.splitlines()),
        guesses=len(re.findall(r"= (?:\(\s*)?guess_\w+\(", whole)),
        panels=len(re.findall(r"_panel\(", whole)),
        cases=sum(count for call, count in CASES.items() if call in whole),
        exercises=len(re.findall(r"^answer\(\"", whole, re.M)),
        running=NOTEBOOK_MINUTES[path.name[:2]],
    )


def _text(cell: dict) -> str:
    return "".join(cell["source"])


def series() -> list[Minutes]:
    return [minutes_of(path) for path in sorted((PROJECT / "notebooks").glob("[0-9]*.ipynb"))]


def table(found: list[Minutes]) -> str:
    """The rates in one sentence, and the table in Markdown."""
    lines = [
        f"Reading: {WORDS_A_MINUTE} words a minute, and {SECONDS_A_LINE} seconds for a line of code that is not "
        f"collapsed. Trying: {GUESS:g} minutes",
        f"for a guess, {PANEL:g} for a panel, {CASE:g} for an X-ray in 00 and 06, {EXERCISE:g} for an exercise, "
        f"{QUIZ:g} for the two questions at the end. Running:",
        "measured at default settings on two quiet cores, the data being there.",
        "",
        "| notebook | reading | trying | running | whole |",
        "|---|---|---|---|---|",
    ]
    for one in found:
        lines.append(f"| {one.number} | {one.reading:.0f} | {one.trying:.0f} | {one.running:.1f} | {one.whole:.0f} |")
    total = [sum(getattr(one, name) for one in found) for name in ("reading", "trying", "running", "whole")]
    lines.append(f"| all | {total[0]:.0f} | {total[1]:.0f} | {total[2]:.1f} | {total[3]:.0f} |")
    return "\n".join(lines)


def with_table(page: str) -> str:
    """The page with the table of today between its two marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{table(series())}\n{END}{rest.split(END)[1]}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if the page is old")
    options = parser.parse_args(arguments)
    page = PAGE.read_text(encoding="utf-8")
    new = with_table(page)
    print(table(series()))
    if not options.check:
        PAGE.write_text(new, encoding="utf-8")
    return int(options.check and new != page)


if __name__ == "__main__":
    sys.exit(main())
