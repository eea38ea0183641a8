"""What a committed notebook must look like; `make test` executes them beside this."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERIES = sorted((ROOT / "notebooks").glob("*.ipynb"))
ALL = SERIES + sorted((ROOT / "notebooks/solutions").glob("*.ipynb"))
PAGES = [ROOT / "README.md", ROOT / "data/README.md", *sorted((ROOT / "docs").glob("*.md"))]


def cells(path, kind=None):
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if kind in (None, cell["cell_type"])]


def text(cell):
    return "".join(cell["source"])


def name(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", ALL, ids=name)
def test_outputs_are_of_a_whole_run_in_order_without_errors(path):
    numbers = [cell["execution_count"] for cell in cells(path, "code") if text(cell).strip()]
    assert numbers == list(range(1, len(numbers) + 1))
    outputs = [output for cell in cells(path, "code") for output in cell["outputs"]]
    assert outputs and not any(output["output_type"] == "error" for output in outputs)
    assert not any(output.get("name") == "stderr" and "Traceback" in str(output) for output in outputs)


@pytest.mark.parametrize("path", ALL, ids=name)
def test_the_file_is_small_and_names_no_place_of_a_machine(path):
    assert path.stat().st_size < 1_500_000
    outputs = json.dumps([cell.get("outputs", []) for cell in cells(path)])
    places = r"(?<![\w./])/(?:home|root|work|tmp|Users|mnt|opt|usr)/\w|[A-Z]:\\\\Users"
    assert not re.findall(places, outputs + " ".join(map(text, cells(path))))


@pytest.mark.parametrize("path", SERIES, ids=name)
def test_the_template_is_kept(path):
    number = path.name[:2]
    assert text(cells(path)[0]).startswith(f"# {number} · ")
    headings = re.findall(r"^## (.+)$", "\n".join(map(text, cells(path, "markdown"))), re.M)
    for wanted in ("What you will learn", "Setup", "Limits", "Exercises", "Takeaways"):
        assert any(wanted in heading for heading in headings), wanted
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in cells(path, "code")) == 1
    assert sum("<details>" in text(cell) for cell in cells(path, "markdown")) >= 3
    assert sum(bool(re.search(r"^assert ", text(cell), re.M)) for cell in cells(path, "code")) >= 3
    assert (path.parent / "solutions" / f"{path.stem}_solutions.ipynb").exists()


@pytest.mark.parametrize("path", [*ALL, *PAGES], ids=name)
def test_links_lead_somewhere(path):
    pages = [path.read_text(encoding="utf-8")] if path.suffix == ".md" else map(text, cells(path, "markdown"))
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", "\n".join(pages)):
        if not target.startswith(("http", "attachment:")):
            assert (path.parent / target).exists(), target
