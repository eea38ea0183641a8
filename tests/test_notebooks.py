"""What a committed notebook must look like; `make test` executes them beside this, in fast mode.

Stale outputs. Three things are compared, and none of them executes a notebook a second time:

* the code that made the outputs (a fingerprint that `python -m benchmarks.classroom --write` leaves) and the code now:
  catches a cell that was edited after the run;
* library functions that a notebook prints with `inspect.getsource` and their source now: catches a lesson about code
  that is no longer there;
* the claims: nbval executes the assert cells, so a lesson's claim that no longer holds fails there.

Not caught: a number in an output that another version of the library would print a little differently, while every
claim about it still holds.
"""

import ast
import hashlib
import json
import re
import textwrap
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from fracturelib.plots.style import STYLE

ROOT = Path(__file__).parents[1]
SERIES = sorted((ROOT / "notebooks").glob("*.ipynb"))
ALL = SERIES + sorted((ROOT / "notebooks/solutions").glob("*.ipynb"))
PAGES = [ROOT / "README.md", ROOT / "data/README.md", *sorted((ROOT / "docs").glob("*.md"))]
GLOSSARY = ROOT / "docs/glossary.md"
IMAGES = ("image/png", "image/jpeg")


def cells(path, kind=None):
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if kind in (None, cell["cell_type"])]


def text(cell):
    return "".join(cell["source"])


def prose(path):
    """The page as a reader sees it: Markdown, without code."""
    whole = (
        path.read_text(encoding="utf-8") if path.suffix == ".md" else "\n\n".join(map(text, cells(path, "markdown")))
    )
    return re.sub(r"```.*?```|`[^`\n]*`", "", whole, flags=re.S)


def outputs(path):
    return [output for cell in cells(path, "code") for output in cell["outputs"]]


def name(path):
    return str(path.relative_to(ROOT))


# --- outputs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ALL, ids=name)
def test_outputs_are_of_a_whole_run_in_order_without_errors(path):
    numbers = [cell["execution_count"] for cell in cells(path, "code") if text(cell).strip()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert outputs(path) and not any(output["output_type"] == "error" for output in outputs(path))
    assert not any(output.get("name") == "stderr" for output in outputs(path)), "JupyterLab shows it on pink"


@pytest.mark.parametrize("path", ALL, ids=name)
def test_a_cell_that_only_asserts_is_collapsed(path):
    for cell in cells(path, "code"):
        if "claim" in cell["metadata"].get("tags", []) and not cell["outputs"]:
            assert cell["metadata"].get("jupyter", {}).get("source_hidden"), text(cell)[:80]


@pytest.mark.parametrize("path", ALL, ids=name)
def test_the_file_is_small_and_names_no_place_of_a_machine(path):
    assert path.stat().st_size < 2_500_000
    shown = json.dumps([cell.get("outputs", []) for cell in cells(path)])
    places = r"(?<![\w./])/(?:home|root|work|tmp|Users|mnt|opt|usr)/\w|[A-Z]:\\\\Users"
    assert not re.findall(places, shown + " ".join(map(text, cells(path))))


@pytest.mark.parametrize("path", ALL, ids=name)
def test_the_code_is_the_one_that_made_the_outputs(path):
    """Written out here, and not called, so that a mistake in the benchmark cannot agree with itself."""
    metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
    now = hashlib.sha256("\x00".join(text(cell) for cell in cells(path, "code")).encode()).hexdigest()
    cure = f"execute it: python -m benchmarks.classroom --write --no-panel --only {path.name[:2]}"
    assert metadata.get("fracturelib", {}).get("code") == now, cure


@cache
def library_functions():
    """Name → sources of all functions and classes of the library; a name may have several."""
    found = {}
    for file in sorted((ROOT / "fracturelib").rglob("*.py")):
        source = file.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                found.setdefault(node.name, []).append("\n".join(source.splitlines()[first - 1 : node.end_lineno]))
    return found


@pytest.mark.parametrize("path", ALL, ids=name)
def test_library_code_that_is_shown_is_the_code_of_today(path):
    for output in outputs(path):
        shown = "".join(output.get("text", [])) + "".join(output.get("data", {}).get("text/markdown", []))
        for found in re.finditer(r"^(?:@.*\n)*(?:def|class) (\w+)[(:]", shown, re.M):
            sources = [textwrap.dedent(source) for source in library_functions().get(found[1], [])]
            assert any(source in shown for source in sources), f"the printed source of {found[1]} is old"


@pytest.mark.parametrize("path", ALL, ids=name)
def test_every_figure_has_alternative_text(path):
    for output in outputs(path):
        data, metadata = output.get("data", {}), output.get("metadata", {})
        for kind in set(IMAGES) & set(data):
            assert len(metadata.get(kind, {}).get("alt", "")) > 20, "use notebook.show(figure, alt)"
        for image in re.findall(r"<img[^>]*>", "".join(data.get("text/html", []))):
            assert re.search(r'alt="[^"]{20,}"', image), image[:80]


@pytest.mark.parametrize("path", ALL, ids=name)
def test_no_widget_is_kept_that_a_page_without_a_kernel_would_miss(path):
    """Each panel has its still right before it; a progress bar would leave a message of a dead widget."""
    assert "widgets" not in json.loads(path.read_text(encoding="utf-8"))["metadata"], "the still is enough"
    for cell in cells(path, "code"):
        kinds = [set(output.get("data", {})) for output in cell["outputs"]]
        stills = ["fracturelib-still" in "".join(o.get("data", {}).get("text/html", [])) for o in cell["outputs"]]
        for place, kind in enumerate(kinds):
            if "application/vnd.jupyter.widget-view+json" in kind:
                assert place and stills[place - 1], text(cell)[:80]


def test_fonts_can_be_read_from_the_last_row():
    assert all(size >= 11 for key, size in STYLE.items() if key.endswith("size") and isinstance(size, int | float))


# --- the template ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SERIES, ids=name)
def test_the_template_is_kept(path):
    number = path.name[:2]
    opening = text(cells(path)[0])
    assert opening.startswith(f"# {number} · ") and "\n\n**The question: " in opening
    assert re.search(r"^\*(?:.*\n)*?.*reading.*(?:\n.*)*\*$", opening, re.M), "minutes of computing and of reading"
    headings = re.findall(r"^## (.+)$", "\n".join(map(text, cells(path, "markdown"))), re.M)
    order = [
        next((place for place, heading in enumerate(headings) if wanted in heading), None)
        for wanted in ("What you will learn", "Setup", "Limits", "Exercises", "Takeaways")
    ]
    assert None not in order and order == sorted(order), headings
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in cells(path, "code")) == 1
    assert sum("<details>" in text(cell) for cell in cells(path, "markdown")) >= 3
    claims = [cell for cell in cells(path, "code") if re.search(r"^assert ", text(cell), re.M)]
    assert len(claims) >= 3 and all("claim" in cell["metadata"].get("tags", []) for cell in claims)
    code = "\n".join(map(text, cells(path, "code")))
    asked = re.findall(r"\*\*(?:Your guess first:\*\*|Three guesses before you start)", prose(path))
    boxes = re.findall(r"^(\w+) = guess_(?:number|choice|curve)\(", code, re.M)
    assert len(asked) + len(boxes) >= 3, "ask for a guess before each result"
    assert all(len(re.findall(rf"^ *{box}\.reveal\(", code, re.M)) == 1 for box in boxes), "each is answered, once"
    assert (path.parent / "solutions" / f"{path.stem}_solutions.ipynb").exists()


@pytest.mark.parametrize("path", ALL, ids=name)
def test_there_is_one_voice(path):
    """Words of the dialects that there were: questions, captions and exercises look alike."""
    other = r"\*\*Predict\.|\*\*Interpret\.|Checkpoint \d|One question|Figures? \d|Exercise \d(?:[.]| ·) |\blearned\b"
    found = re.findall(rf"{other}|\bdear(?:er|est|ly)?\b", prose(path))
    assert not found, found
    if path.parent.name == "solutions":
        assert re.match(r"# \d\d · .+: solutions\n\nTry the \[exercises\]", text(cells(path)[0]))


def test_the_series_is_one_story_and_each_leads_to_the_next():
    assert [path.name[:2] for path in SERIES] == [f"{number:02d}" for number in range(len(SERIES))]
    for path, following in pairwise(SERIES):
        takeaways = prose(path).split("## Takeaways")[1]
        assert f"]({following.name})" in takeaways, f"{path.name} does not lead to {following.name}"


# --- links and words ------------------------------------------------------------------------------------------------


@cache
def anchors(path):
    """What a link into a page may name: its headings as GitHub and JupyterLab spell them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def links(path):
    """Targets of links and images in Markdown, and of images in HTML."""
    page = prose(path)
    return re.findall(r"\]\(<?([^)\s>]+)>?(?:\s[^)]*)?\)", page) + re.findall(r'<img[^>]* src="([^"]+)"', page)


@pytest.mark.parametrize("path", [*ALL, *PAGES], ids=name)
def test_links_and_images_lead_somewhere(path):
    for target in links(path):
        if target.startswith(("http://", "https://", "mailto:", "attachment:", "data:")):
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), target
        assert found.is_relative_to(ROOT), f"{target} leads out of the project"
        if anchor and found.suffix == ".md":
            assert anchor in anchors(found), target


def glossary():
    """Entries of the glossary: (anchor, number of the notebook that introduces it)."""
    entries = re.split(r"^## ", GLOSSARY.read_text(encoding="utf-8"), flags=re.M)[1:]
    for entry in entries:
        title = entry.split("\n", 1)[0].strip()
        number = re.search(r"\(Notebook\s+\[(\d\d)\]", entry)
        assert number, f"{title}: which notebook introduces it?"
        yield re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-"), number[1]


@pytest.mark.parametrize("path", SERIES, ids=name)
def test_a_term_is_linked_to_the_glossary_in_the_notebook_that_introduces_it(path):
    wanted = {anchor for anchor, number in glossary() if number == path.name[:2]}
    linked = {target.partition("#")[2] for target in links(path) if "docs/glossary.md#" in target}
    assert wanted, "every notebook brings a word of its own"
    assert not wanted - linked, f"link at their first use: {sorted(wanted - linked)}"


def test_the_glossary_is_in_order_and_links_its_own_terms():
    titles = re.findall(r"^## (.+)$", GLOSSARY.read_text(encoding="utf-8"), re.M)
    assert titles == sorted(titles, key=str.lower) and len(titles) == len(set(titles))


# Words that a reader met without an explanation, and the entry that explains each.
ONCE_UNEXPLAINED = {
    "distilled": "distilled", "tensor": "tensor", "logit": "logit", "sigmoid": "sigmoid", "hidden unit": "hidden-unit",
    "precision": "precision", "patience": "patience", "Wilson": "wilson-interval", "ImageNet": "imagenet",
    "photon": "photon", "frontal": "frontal-and-lateral-view", "hairline": "hairline-fracture",
    "greenstick": "greenstick-fracture", "buckle": "buckle-fracture", "comminuted": "comminuted-fracture",
    "collimator": "collimator", "CLAIM": "claim",
}  # fmt: skip


@pytest.mark.parametrize("word", ONCE_UNEXPLAINED)
def test_a_word_that_was_unexplained_is_linked_at_its_first_use_in_the_series(word):
    """A heading or a name in code need not be a link; the first paragraph with the word must hold it."""
    anchor = ONCE_UNEXPLAINED[word]
    spelt = re.compile(rf"\b{word}", 0 if word.isupper() else re.I)  # CLAIM is the checklist; a claim is a plain word
    uses = [
        (path.name[:2], part)
        for path in SERIES
        for part in prose(path).split("\n\n")
        if spelt.search(part) and not part.startswith("#")
    ]
    number, first = uses[0]
    assert number == dict(glossary())[anchor], f"{word} is first used in {number}"
    assert f"docs/glossary.md#{anchor})" in first, f"link {word} in {number}: {first[:80]}"


def test_the_teachers_plans_name_sections_that_exist():
    headings = {
        path.name[:2]: re.findall(r"^#+ (.+)$", "\n".join(map(text, cells(path, "markdown"))), re.M) for path in SERIES
    }
    rows = re.findall(r"^\|.*\|([^|]+)\|$", (ROOT / "docs/teaching.md").read_text(encoding="utf-8"), re.M)
    cited = [(number, title) for row in rows for part in row.split(";") for number, title in _cited(part)]
    assert len(cited) > 30
    for number, title in cited:
        assert any(title in heading for heading in headings[number]), f"notebook {number} has no section “{title}”"


def _cited(part):
    """Section names in quotes after the number of their notebook."""
    number = re.search(r"\b0\d\b", part)
    return [(number[0], title) for title in re.findall(r'"([^"]+)"', part)] if number else []
