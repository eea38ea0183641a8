"""What a class waits for: minutes of each notebook at default settings, and how fast notebook 03's panel answers.

Each notebook is executed whole, without a network. The panel is measured in JupyterLab in headless Chromium, from the
moved slider to its finished curves; without a Chromium that row is left out. `--json fracturelib/assets/classroom.json`
keeps the minutes for `fracturelib check` and for the table in docs/teaching.md. `--write` keeps the outputs in
the notebooks and their solutions: this is how they are committed, and `tests/test_notebooks.py` knows by a fingerprint
whether code and outputs still belong together.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import nbformat

from benchmarks.outcome import finish, options, row
from fracturelib.course.executing import execute as execute_in
from fracturelib.course.readiness import MOST_MINUTES, SPEED_ROW, batches_per_second

PROJECT = Path(__file__).resolve().parents[1]
MOST_SECONDS = 1.5  # median, from the moved slider to the finished curves
MOVES = 8
TIMEOUT = 1200  # seconds for notebook 03 on a busy machine
ENVIRONMENT = {"FRACTURELIB_OFFLINE": "1", "FRACTURELIB_WEIGHTS": "distilled", "TQDM_DISABLE": "1"}


def code_fingerprint(notebook: nbformat.NotebookNode) -> str:
    """SHA-256 over the code cells: outputs belong to the code that has the same."""
    cells = ("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    return hashlib.sha256("\x00".join(cells).encode()).hexdigest()


def execute(file: Path, *, write: bool) -> float:
    """Execute one notebook in its own folder; returns minutes. `write` keeps the outputs and the fingerprint."""
    notebook = nbformat.read(file, as_version=4)
    started = time.monotonic()
    execute_in(notebook, file.parent, {})
    minutes = (time.monotonic() - started) / 60
    if write:
        notebook["metadata"]["fracturelib"] = {"code": code_fingerprint(notebook)}
        nbformat.write(notebook, file)
    return minutes


def panel_seconds(*, moves: int = MOVES) -> list[float]:
    """Seconds from a moved slider of notebook 03's panel to the curves of the finished training, one for each move."""
    from tools import lab

    with tempfile.TemporaryDirectory() as folder:
        place, home = lab.copy_series(Path(folder) / "project"), Path(folder) / "home"
        home.mkdir()
        with lab.jupyter_lab(place, home, ENVIRONMENT) as address, lab.browser_page() as page:
            notebook = lab.open_notebook(page, address, "03_training.ipynb")
            notebook.run_all(seconds=TIMEOUT)
            panel = notebook.panels()[0]
            sliders = panel.locator(".noUi-handle").all()
            return [lab.seconds_to_answer(panel, sliders[move % len(sliders)]) for move in range(moves)]


def at_most(check: str, value: float, bar: float) -> dict:
    """A row that holds up to its bar."""
    return row(check, value, bar=f"≤ {bar:g}", holds=value <= bar)


def notebooks(numbers: list[str] | None, *, solutions: bool) -> list[Path]:
    """The series, and its solutions where they are wanted, or only those with these numbers."""
    found = sorted((PROJECT / "notebooks").glob("*.ipynb"))
    found += sorted((PROJECT / "notebooks/solutions").glob("*.ipynb")) if solutions else []
    return [file for file in found if not numbers or file.name[:2] in numbers]


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 if a bar is missed."""
    parser = options("classroom", __doc__, quick="fast mode: tiny sizes")
    parser.add_argument("--write", action="store_true", help="keep the outputs in the notebooks and their solutions")
    parser.add_argument("--only", nargs="+", metavar="NN", help="these notebooks, for example 03 06")
    parser.add_argument("--no-panel", action="store_true", help="leave out the panel in the browser")
    settings = parser.parse_args(arguments)
    if settings.quick and settings.write:
        parser.error("outputs of fast mode are not for keeping: use --write without --quick")
    modes = {"FRACTURELIB_FAST": settings.quick, "FRACTURELIB_CLASS": settings.write}  # a class sees what is committed
    os.environ.update(ENVIRONMENT | {name: "1" for name, wanted in modes.items() if wanted})
    rows = [row(SPEED_ROW, batches_per_second())]
    for file in notebooks(settings.only, solutions=settings.write):
        rows.append(at_most(f"{file.stem}: minutes", execute(file, write=settings.write), MOST_MINUTES))
        print(f"{file.name}: {rows[-1]['value']:.2f} minutes", flush=True)
    if not settings.no_panel:
        rows += panel_rows()
    print("QUICK: fast mode, no result" if settings.quick else "", flush=True)
    return finish(rows, quick=settings.quick, file=settings.json, form=".2f")


def panel_rows() -> list[dict]:
    """The panel's median answer with its fastest and slowest; none where there is no browser."""
    from tools import lab

    if lab.find_browser() is None:
        print("no Chromium on this machine: the panel is not measured")
        return []
    seconds = panel_seconds()
    return [at_most(f"03's panel: seconds, median of {len(seconds)}", statistics.median(seconds), MOST_SECONDS)] + [
        row(f"03's panel: seconds, {name}", value)
        for name, value in (("fastest", min(seconds)), ("slowest", max(seconds)))
    ]


if __name__ == "__main__":
    sys.exit(main())
