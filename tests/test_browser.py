"""The notebooks in a real browser: JupyterLab in headless Chromium, every panel of every notebook moved.

Each notebook is opened once, as a copy, and run whole in fast mode. Screenshots stay in `test-artifacts/`. Without a
Chromium on this machine the tests are skipped.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.helpers.axe import grave
from tools import lab

SERIES = sorted(path.name for path in (lab.PROJECT / "notebooks").glob("*.ipynb"))
SCREENSHOTS = lab.PROJECT / "test-artifacts"
ENVIRONMENT = {"FRACTURELIB_FAST": "1", "FRACTURELIB_OFFLINE": "1", "FRACTURELIB_WEIGHTS": "distilled"}
STILL = "fracturelib-still"
PAGE = {"width": 1280, "height": 720}  # a projector's; JupyterLab leaves the notebook PAGE_HEIGHT pixels of it
PAGE_HEIGHT = 599
THEMES = ("Light", "Dark")
# Pictures, sentences and headings of tables that the page cuts off at a side, unless it offers to scroll to them.
CUT_OFF = """panel => [...panel.querySelectorAll('img, canvas, svg, .widget-label, .widget-html-content > div')]
    .filter(part => { const box = part.getBoundingClientRect(), frame = panel.getBoundingClientRect();
        return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1
            || (getComputedStyle(part).overflowX === 'hidden' && part.scrollWidth > part.clientWidth + 1)); })
    .map(part => part.textContent.trim().slice(0, 40) || part.tagName)"""
TRIED = 4  # controls of a panel that are moved until one changes what it shows

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(lab.find_browser() is None, reason="no Chromium on this machine (Debian: chromium)"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder that looks like the project, with copies of the notebooks."""
    return lab.copy_series(tmp_path_factory.mktemp("lab") / "project")


@pytest.fixture(scope="module")
def address(place):
    home = place.parent / "home"
    home.mkdir()
    with lab.jupyter_lab(place, home, ENVIRONMENT) as found:
        yield found


@pytest.fixture(scope="module")
def page(address):
    SCREENSHOTS.mkdir(exist_ok=True)
    with lab.browser_page() as found:
        found.set_viewport_size(PAGE)
        yield found


@pytest.mark.parametrize("name", SERIES)
def test_a_notebook_runs_and_its_panels_answer(page, address, name):
    notebook = lab.open_notebook(page, address, name)
    notebook.run_all()
    page.screenshot(path=SCREENSHOTS / f"{name[:2]}-end.png")
    cells = notebook.cells()
    errors = [output["evalue"] for cell in cells for output in cell["outputs"] if output["output_type"] == "error"]
    assert not errors
    assert all(cell["execution_count"] for cell in cells), "a cell was not run"

    for number, panel in enumerate(notebook.panels(), 1):
        panel.scroll_into_view_if_needed()
        _move_something(panel)
        for theme in THEMES:
            _look_at(page, panel, theme, SCREENSHOTS / f"{name[:2]}-panel-{number}-{theme.lower()}.png")
    if page.locator(".fracturelib-desk").count():
        _read_by_keyboard(page, notebook.panels()[0])
    if notebook.panel_cells():
        _rerun_the_first_panel(notebook)
        _reopen_without_kernel(page, notebook, SCREENSHOTS / f"{name[:2]}-without-kernel.png")
    else:
        notebook.shut_down()


def test_a_link_to_the_glossary_opens_it(page, address):
    """JupyterLab opens only what lies below the folder that it serves, and says nothing about the rest."""
    lab.open_notebook(page, address, SERIES[0])
    page.locator('.jp-Notebook a[href*="glossary"]').first.click()
    page.wait_for_selector(".jp-MarkdownViewer h2:has-text('Radiograph')")
    page.screenshot(path=SCREENSHOTS / "glossary.png")


def test_a_guess_stands_beside_the_result_and_a_restart_says_what_to_do(page, address):
    """Notebook 00 as a student: run the box, type, press, run the next cell; then the kernel is restarted."""
    notebook = lab.open_notebook(page, address, "00_first_look.ipynb")
    notebook.run_all()
    cells = page.locator(".jp-Notebook .jp-Cell")
    asking = next(i for i in range(cells.count()) if cells.nth(i).locator("input[placeholder*='a number']").count())
    notebook.run_cell(asking)
    box = cells.nth(asking).locator(".fracturelib-asks")
    box.locator("input").fill("2")
    box.get_by_text("That is my guess").click()
    box.get_by_text("Taken").wait_for()
    notebook.run_cell(asking + 1)
    cells.nth(asking + 1).get_by_text("your guess").wait_for(timeout=60_000)
    page.screenshot(path=SCREENSHOTS / "00-guess.png")

    kernel = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
    page.evaluate(f"() => {kernel}.restart()")
    page.wait_for_selector(".fracturelib-panel.jupyter-widgets-disconnected", state="attached")
    said = box.evaluate("box => getComputedStyle(box, '::before').content")
    assert "run this cell again" in said
    inner = box.locator(".jupyter-widgets-disconnected").first.evaluate("w => getComputedStyle(w, '::before').content")
    assert inner == "none"
    notebook.shut_down()


def test_the_series_has_panels(place):
    sources = [(place / "notebooks" / name).read_text(encoding="utf-8") for name in SERIES]
    assert sum("anel(" in source or "ReadingRoom(" in source for source in sources) >= 5


def _move_something(panel) -> None:
    """Move control after control until the panel shows something else."""
    for control in panel.locator(lab.CONTROLS).all()[:TRIED]:
        before = lab.shown(panel)
        lab.move(control)
        try:
            lab.wait_until_changed(panel, before)
            lab.wait_until_quiet(panel)
            return
        except AssertionError:
            continue
    raise AssertionError(f"no control changes what this panel shows: {panel.inner_text()[:80]!r}")


def _look_at(page, panel, theme: str, screenshot: Path) -> None:
    """The panel is in sight as a whole, nothing of it is cut off, and axe finds no serious fault in it."""
    page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme}).then(() => null)",
        f"JupyterLab {theme}",
    )
    page.wait_for_function("light => document.body.dataset.jpThemeLight === light", arg=str(theme == "Light").lower())
    lab.wait_until_quiet(panel)
    panel.evaluate("panel => panel.scrollIntoView({block: 'center'})")
    page.screenshot(path=screenshot)
    assert panel.bounding_box()["height"] <= PAGE_HEIGHT, f"{screenshot.name} is taller than the page"
    assert not panel.evaluate(CUT_OFF), screenshot.name
    panel.evaluate("panel => panel.classList.add('looked-at')")
    assert not grave(page, ".looked-at"), screenshot.name
    panel.evaluate("panel => panel.classList.remove('looked-at')")


def _read_by_keyboard(page, room) -> None:
    """All cases with two keys each, one step back on the way, and the results at the end."""
    room.locator(".fracturelib-desk").click()
    keys = itertools.chain(["f", "3", "b"], itertools.cycle(["n", "1", "f", "2"]))
    for key in keys:
        before = lab.shown(room)
        page.keyboard.press(key)
        lab.wait_until_changed(room, before)
        if "cases are read" in room.inner_text():
            break
    room.get_by_text("Cohen's kappa").wait_for(timeout=60_000)
    assert "sensitivity" in room.inner_text() and room.locator("img").count() >= 1
    page.screenshot(path=SCREENSHOTS / "reading-room-results.png")


def _rerun_the_first_panel(notebook) -> None:
    """A cell that is run again shows what it showed, once."""
    index = notebook.panel_cells()[0]
    before = notebook.output_kinds(index)
    notebook.run_cell(index)
    assert notebook.output_kinds(index) == before


def _reopen_without_kernel(page, notebook, screenshot: Path) -> None:
    """The page that was saved shows the stills, and no message of a dead panel."""
    indices = notebook.panel_cells()
    notebook.command("docmanager:save")
    notebook.shut_down()
    page.reload()
    page.wait_for_selector(f".{STILL}", state="attached")
    page.wait_for_function("() => !document.body.innerText.includes('Loading widget')")
    for index in indices:
        outputs = page.locator(".jp-Notebook .jp-Cell").nth(index).locator(".jp-Cell-outputArea")
        outputs.scroll_into_view_if_needed()
        assert outputs.locator(f".{STILL}").last.is_visible()
        assert "model not found" not in outputs.inner_text()
    page.screenshot(path=screenshot)
    notebook.shut_down()  # JupyterLab started a new kernel, which knows nothing of the panels
