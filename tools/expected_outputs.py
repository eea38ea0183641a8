"""What a class will see: every guess's question with what was found, from the committed outputs, as one page.

`python -m tools.expected_outputs` writes docs/teaching_expected.md; `--check` says whether it is old.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs/teaching_expected.md"
HEAD = """# Expected outputs

For the teacher, beside the projector: what stands where in the committed notebooks, guess by guess. It gives the
answers away. The notebooks were executed in class mode (`FRACTURELIB_CLASS=1`) with the bundled trunk;
[for teachers](teaching.md) says by how much numbers differ on another machine. `python -m tools.expected_outputs` made
this page of the notebooks.
"""


def findings(path: Path) -> Iterator[tuple[str, str, str]]:
    """(section, question, what was found) of each guess in a notebook, in order."""
    section, asked = "", {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            section = (re.findall(r"^##+ (.+)$", source, re.M) or [section])[-1]
            continue
        said = [_plain(output) for output in cell["outputs"]]
        for box in re.findall(r"^ *(\w+) = (?:\(\s*)?guess_\w+\(", source, re.M):
            question = next((text for text in said if text.startswith("Your guess first: ")), "")
            asked[box] = question.removeprefix("Your guess first: ").split(" (Run the notebook")[0]
        for box in re.findall(r"^ *(\w+)\.reveal\(", source, re.M):
            found = next((text for text in said if text.startswith("found: ")), "")
            yield section, asked.get(box, ""), found.removeprefix("found: ").split(". (No guess")[0] or "see the figure"


def _plain(output: dict) -> str:
    return "".join(output.get("data", {}).get("text/plain", ""))


def page() -> str:
    """All notebooks, a table for each."""
    parts = [HEAD]
    for path in sorted((PROJECT / "notebooks").glob("[0-9]*.ipynb")):
        rows = [f"| {' | '.join(text.replace('|', '/') for text in row)} |" for row in findings(path)]
        title = f"## {path.name[:2]} · {path.stem[3:].replace('_', ' ').capitalize()}"
        parts.append("\n".join([title, "", "| section | question | found |", "|---|---|---|", *rows, ""]))
    return "\n".join(parts)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if the page is old")
    options = parser.parse_args(arguments)
    new = page()
    old = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    if not options.check:
        PAGE.write_text(new, encoding="utf-8")
    return int(options.check and new != old)


if __name__ == "__main__":
    sys.exit(main())
