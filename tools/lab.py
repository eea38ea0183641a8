"""JupyterLab as a student sees it: a server of our own, a headless Chromium, and a few gestures.

Kept apart from `test_browser.py`, because `benchmarks/classroom.py` measures with the same gestures.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LINKED = ("data", "runs", "docs", "README.md")  # what notebooks read or write outside their folder
PATIENCE = 240  # seconds: the longest that one notebook may take in fast mode on a busy machine
# All cells in the page, whether in sight or not; no news, which would ask the network.
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
# What a panel shows, without its controls: pictures, tables and sentences.
SHOWN = """panel => [...panel.querySelectorAll('.widget-html-content, .fl-rates, .fl-view')]
    .filter(part => !part.closest('.fracturelib-progress'))
    .map(part => part.innerHTML + (part.dataset.view || '')).join('|')"""
# Milliseconds from the next key to the next finished run of a panel that keeps its runs in a table: the table changes
# with the last picture, never with one of a training in progress. The page takes the time, so that looking costs none.
ANSWER = """panel => {
    const runs = () => panel.querySelector('table')?.innerText, before = runs();
    let pressed;
    panel.addEventListener('keydown', () => { pressed = performance.now() }, {capture: true, once: true});
    window.answered = new Promise(resolve => new MutationObserver(async (_, observer) => {
        if (!runs() || runs() === before) return;
        observer.disconnect();
        await Promise.all([...panel.querySelectorAll('img')].map(image => image.decode()));
        requestAnimationFrame(() => resolve(performance.now() - pressed));
    }).observe(panel, {childList: true, subtree: true}));
}"""
CONTROLS = (
    ".fl-controls input, .fl-view-tools button:nth-of-type(2), select, .noUi-handle, "
    ".widget-toggle-button, .widget-checkbox input, .widget-toggle-buttons button"
)


def find_browser() -> str | None:
    """A Chromium of the system; none is ever downloaded."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def copy_series(folder: Path) -> Path:
    """The project's notebooks in a folder that looks like the project, so that nothing in it is changed by a test."""
    (folder / "notebooks").mkdir(parents=True)
    for notebook in sorted((PROJECT / "notebooks").glob("*.ipynb")):
        shutil.copy(notebook, folder / "notebooks")
    shutil.copy(PROJECT / "pyproject.toml", folder)
    (PROJECT / "runs").mkdir(exist_ok=True)  # git does not keep it
    for name in LINKED:
        (folder / name).symlink_to(PROJECT / name)
    return folder


def make_lab_options() -> list[str]:
    """The options of JupyterLab in the Makefile."""
    rule = re.search(r"jupyter lab (.*)", (PROJECT / "Makefile").read_text(encoding="utf-8"))
    assert rule is not None, "make lab starts JupyterLab"
    return shlex.split(rule[1])


@contextlib.contextmanager
def jupyter_lab(root: Path, home: Path, environment: dict[str, str]) -> Iterator[str]:
    """Address (with its token) of a JupyterLab started in `root` as `make lab` does, with its own files in `home`."""
    for name, values in SETTINGS.items():
        file = home / "settings/@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values), encoding="utf-8")
    token = secrets.token_hex(16)
    command = [
        sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--expose-app-in-browser",
        "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        *make_lab_options(),
    ]  # fmt: skip
    places = {
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTERLAB_SETTINGS_DIR": home / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
        "JUPYTER_DATA_DIR": home / "data",  # where it notes which notebooks it trusts
        "IPYTHONDIR": home / "ipython",
    }
    whole = os.environ | {name: str(path) for name, path in places.items()} | environment
    with (home / "jupyter.log").open("w") as log:
        server = subprocess.Popen(command, env=whole, cwd=root, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield f"{_address(home, server)}lab/tree/{{path}}?token={token}&reset"
    finally:
        server.terminate()  # it ends its kernels as well
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _address(home: Path, server: subprocess.Popen) -> str:
    """Wait until the server has written where it listens."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        for file in (home / "runtime").glob("jpserver-*.json"):
            with contextlib.suppress(ValueError):  # half written
                found = json.loads(file.read_text(encoding="utf-8"))
                if found.get("port"):
                    return f"http://127.0.0.1:{found['port']}{found['base_url']}"
        time.sleep(0.2)
    raise RuntimeError("JupyterLab did not start:\n" + (home / "jupyter.log").read_text()[-2000:])


@contextlib.contextmanager
def browser_page() -> Iterator[Any]:
    """A page of a headless Chromium, 1400 × 1000 pixels."""
    from playwright.sync_api import sync_playwright

    unprivileged = [] if getattr(os, "geteuid", lambda: 1)() else ["--no-sandbox"]  # Chromium's own rule for root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_browser(), args=[*unprivileged, "--disable-dev-shm-usage"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(30_000)
        yield page
        browser.close()


@dataclass
class OpenNotebook:
    """A notebook that is open in the page, and what one can do with it."""

    page: Any

    def command(self, name: str) -> None:
        """One of JupyterLab's own commands; returns when it is done."""
        self.page.evaluate("name => window.jupyterapp.commands.execute(name).then(() => null)", name)

    def run_all(self, *, seconds: float = PATIENCE) -> float:
        """Run all cells; returns the seconds it took, at most `seconds`."""
        started = time.monotonic()
        self.page.evaluate(
            "() => { window.ranAll = false; window.jupyterapp.commands.execute('notebook:run-all-cells')"
            ".finally(() => { window.ranAll = true }); }"
        )
        self.page.wait_for_function("() => window.ranAll", timeout=seconds * 1000)
        return time.monotonic() - started

    def cells(self) -> list[dict[str, Any]]:
        """The code cells as they stand in the page, with their outputs."""
        found = self.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.model.toJSON().cells")
        return [cell for cell in found if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]

    def panels(self) -> list[Any]:
        """Every outermost group of widgets that has a control to move."""
        self.page.wait_for_function("() => !document.body.innerText.includes('Loading widget')")
        groups = self.page.locator(".jp-OutputArea-output > .jupyter-widgets:not(.fracturelib-asks)")
        return [group for group in groups.all() if group.locator(CONTROLS).count()]

    def panel_cells(self) -> list[int]:
        """Which cells of the notebook show a panel with its still."""
        cells = self.page.locator(".jp-Notebook .jp-Cell")
        return [index for index in range(cells.count()) if cells.nth(index).locator(".fracturelib-still").count()]

    def output_kinds(self, index: int) -> list[str]:
        """The kinds of the outputs of one cell."""
        found = self.page.evaluate(
            "index => window.jupyterapp.shell.currentWidget.content.model.toJSON().cells[index].outputs", index
        )
        return [" ".join([output["output_type"], *sorted(output.get("data", {}))]) for output in found]

    def run_cell(self, index: int) -> None:
        """Run one cell again."""
        self.page.evaluate(
            "async index => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = index; "
            "await window.jupyterapp.commands.execute('notebook:run-cell'); }",
            index,
        )

    def shut_down(self) -> None:
        """End the kernel, so that memory is free for the next notebook."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown().then(() => null)")


def open_notebook(page: Any, address: str, name: str) -> OpenNotebook:
    """Open a notebook of the series and wait for its kernel."""
    page.goto(address.format(path=f"notebooks/{name}"))
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    page.wait_for_function(
        "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
        timeout=60_000,
    )
    return OpenNotebook(page)


def shown(panel: Any) -> str:
    """What a panel shows now, as one text that changes when any of it does."""
    return panel.evaluate(SHOWN)


def move(control: Any) -> None:
    """Move one control to another value."""
    control.scroll_into_view_if_needed()
    kind = control.evaluate("item => item.tagName + ' ' + item.className")
    if kind.startswith("SELECT"):
        options = control.evaluate("item => item.options.length")
        current = control.evaluate("item => item.selectedIndex")
        control.select_option(index=(current + 1) % options)
    elif kind.startswith("INPUT") and control.get_attribute("type") == "range":
        control.focus()
        control.press("ArrowRight")
    elif "noUi-handle" in kind:
        control.focus()
        at_end = control.evaluate("item => item.getAttribute('aria-valuenow') === item.getAttribute('aria-valuemax')")
        control.press("ArrowLeft" if at_end else "ArrowRight")
    else:
        control.click()


def seconds_to_answer(panel: Any, slider: Any) -> float:
    """Move a slider of a panel that trains; seconds from the key to the picture and table of the finished run."""
    panel.evaluate(ANSWER)
    move(slider)
    return panel.page.evaluate("() => window.answered") / 1000


def wait_until_changed(panel: Any, before: str, *, seconds: float = 30) -> float:
    """Wait for a panel to show something else; returns the seconds it took."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        if shown(panel) != before:
            return time.monotonic() - started
        time.sleep(0.02)
    raise AssertionError(f"the panel did not change within {seconds:g} s")


def wait_until_quiet(panel: Any, *, seconds: float = 60, pause: float = 0.5) -> float:
    """Wait until a panel has shown the same for `pause` seconds; returns the seconds until it last changed."""
    started = last = time.monotonic()
    seen = shown(panel)
    while time.monotonic() - last < pause:
        if time.monotonic() - started > seconds:
            raise AssertionError(f"the panel still changes after {seconds:g} s")
        time.sleep(0.02)
        if (now := shown(panel)) != seen:
            seen, last = now, time.monotonic()
    return last - started
