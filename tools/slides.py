"""Slides for each session, of cells of the committed notebooks: `make slides` writes build/slides/SESSION.html.

The tables of docs/teaching.md say which sections a session takes. Of these come: the heading with the questions of its
guess boxes; then the figure or table of each cell that is tagged `slide`, with its caption; then the checkpoint's
question. An answer never stands on the slide of its question: it lies one slide below (arrow down).
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbconvert import SlidesExporter

from fracturelib.errors import FracturelibError

PROJECT = Path(__file__).resolve().parents[1]
PLANS, TARGET, TEMPLATE = PROJECT / "docs/teaching.md", PROJECT / "build/slides", PROJECT / "docs/slides"
SESSIONS = {  # the heading or bold line above a session's table
    "45-minutes": "One session of 45 minutes",
    "90-minutes": "One session of 90 minutes",
    "two-sessions-1": "First session: data and training",
    "two-sessions-2": "Second session: judging it, and yourselves",
    "one-day": "One day",
}
TAG = "slide"
Cell = dict[str, Any]  # as nbformat reads it


def sections_of(plan: str, title: str) -> list[tuple[str, str]]:
    """(number of the notebook, name of the section) of a session, in the order of its table."""
    part = re.split(rf"^(?:## |\*\*){re.escape(title)}", plan, maxsplit=1, flags=re.M)[1]
    rows = re.search(r"^\|.*?(?=\n\n)", part, re.M | re.S)
    cited: dict[tuple[str, str], None] = {}
    for row in rows[0].splitlines() if rows else []:
        for piece in row.split("|")[-2].split(";"):
            if number := re.search(r"\b0\d\b", piece):
                cited |= dict.fromkeys((number[0], name) for name in re.findall(r'"([^"]+)"', piece))
    return list(cited)


def cells_of(notebook: Cell, name: str) -> list[Cell]:
    """The cells from the heading that has this name in it to the next heading of its level or above."""
    found: list[Cell] = []
    level = 0
    for cell in notebook["cells"]:
        heading = re.search(r"^(##+) (.+)$", _text(cell), re.M) if cell["cell_type"] == "markdown" else None
        if level and heading and len(heading[1]) <= level:
            break
        if not level and heading and name in heading[2]:
            level = len(heading[1])
        if level:
            found.append(cell)
    return found


def slides_of(cells: list[Cell]) -> Iterator[Cell]:
    """The slides of one section: the first one begins a column, what belongs to it lies below."""
    heading = re.search(r"^##+ (.+)$", _text(cells[0]), re.M)
    asked = [question for cell in cells if cell["cell_type"] == "code" for question in _questions(cell)]
    yield _words(f"## {heading[1] if heading else ''}\n\n" + "\n\n".join(f"*{one}*" for one in asked), "slide")
    for cell, following in zip(cells, [*cells[1:], None], strict=True):
        if TAG in cell["metadata"].get("tags", []):
            yield _shown(cell)
            caption = re.match(r"\*(?!\*)(.+?)\*(?!\*)", _text(following), re.S) if following else None
            if caption:
                yield _words(f"*{caption[1]}*", "-")
        if question := re.search(r"\*\*Checkpoint\.\*\*(.+?)(?=\n\n<details>)", _text(cell), re.S):
            answer = re.search(r"</summary>(.+?)</details>", _text(cell), re.S)
            yield _words(f"### Checkpoint\n\n{question[1].strip()}", "subslide")
            yield _words(answer[1].strip() if answer else "", "subslide")


def _questions(cell: Cell) -> Iterator[str]:
    """What the guess boxes of a cell ask, as their stills say it."""
    for output in cell["outputs"]:
        text = output.get("data", {}).get("text/plain", "")
        if text.startswith("Your guess first: ") and "text/html" in output["data"]:
            yield text.removeprefix("Your guess first: ").split(" (Run the notebook")[0]


def _shown(cell: Cell) -> Cell:
    """A cell's figures and tables, without what a guess box or a panel says."""
    kept = [
        output
        for output in cell["outputs"]
        if set(output.get("data", {})) & {"image/png", "image/jpeg"}
        or "dataframe" in output.get("data", {}).get("text/html", "")
    ]
    metadata = {"slideshow": {"slide_type": "subslide"}}
    return nbformat.v4.new_code_cell("", metadata=metadata, outputs=kept)


def _words(text: str, kind: str) -> Cell:
    plain = re.sub(r"\]\((?:\.\./|\d\d_)[^)]*\)", "]", text)  # links into the project lead nowhere from here
    plain = re.sub(r"\[([^\]\n]+)\](?!\()", r"\1", plain)
    return nbformat.v4.new_markdown_cell(plain, metadata={"slideshow": {"slide_type": kind}})


def _text(cell: Cell) -> str:
    return cell["source"]


def session(title: str) -> nbformat.NotebookNode:
    """A notebook of the slides of one session."""
    cells = [
        _words(
            f"# {title}\n\nfracturelib: is the bone fractured? For teaching and research; no medical device.", "slide"
        )
    ]
    for number, name in sections_of(PLANS.read_text(encoding="utf-8"), title):
        file = next((PROJECT / "notebooks").glob(f"{number}_*.ipynb"))
        if found := cells_of(nbformat.read(file, as_version=4), name):
            cells += slides_of(found)
    return nbformat.v4.new_notebook(cells=cells, metadata={"title": title})


def copy_reveal(target: Path) -> None:
    """Lay reveal.js beside the slides, so that they need no network; sphinx-revealjs brings it.

    Raises:
        FracturelibError: it is not installed.
    """
    found = importlib.util.find_spec("sphinx_revealjs")
    if found is None or not found.submodule_search_locations:
        raise FracturelibError("reveal.js is not here", cure="pip install 'fracturelib[site]', or make slides")
    source = Path(found.submodule_search_locations[0]) / "_static/revealjs"
    shutil.copytree(source / "dist", target / "reveal/dist", dirs_exist_ok=True)
    shutil.copy(source / "LICENSE", target / "reveal")


def page_of(title: str) -> str:
    """The page of a session's slides, which loads reveal.js from the folder beside it and nothing else."""
    exporter = SlidesExporter(
        template_file=str(TEMPLATE / "slides.html.j2"),
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        reveal_url_prefix="reveal",
        reveal_theme="white",
    )
    return exporter.from_notebook_node(session(title))[0]


def main() -> int:
    TARGET.mkdir(parents=True, exist_ok=True)
    copy_reveal(TARGET)
    for name, title in SESSIONS.items():
        page = page_of(title)
        (TARGET / f"{name}.html").write_text(page, encoding="utf-8")
        print(f"build/slides/{name}.html: {page.count('<section')} sections")
    return 0


if __name__ == "__main__":
    sys.exit(main())
