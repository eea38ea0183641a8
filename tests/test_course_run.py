"""`fracturelib course run`: the notebooks on any data, what is written where, and what is said when a cell fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from fracturelib.cli import main
from fracturelib.course import running
from fracturelib.course.executing import inject, section_of
from fracturelib.course.notebook import COURSE_MARK, holds, project_folder, read_table
from fracturelib.course.running import find_notebooks, run_course, without_links_out
from fracturelib.errors import FracturelibError
from fracturelib.files import MARK
from fracturelib.runtime import fast_mode
from tests.helpers.trees import state_of, write_tree

PROJECT = Path(__file__).resolve().parents[1]


def write_notebook(folder: Path, *cells: str, name: str = "00_first_look.ipynb") -> Path:
    """A notebook of these cells; one that begins with # is Markdown, and the first code cell has the parameters."""
    notebook = nbformat.v4.new_notebook()
    for text in cells:
        made = nbformat.v4.new_markdown_cell(text) if text.startswith("#") else nbformat.v4.new_code_cell(text)
        notebook.cells.append(made)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    first.metadata["tags"] = ["parameters"]
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / name)
    return folder


def copy_of(out: Path, name: str = "00_first_look.ipynb") -> nbformat.NotebookNode:
    return nbformat.read(out / "notebooks" / name, as_version=4)


# --- parameters and places ------------------------------------------------------------------------------------------


def test_parameters_are_injected_after_their_cell(tmp_path):
    notebook = nbformat.read(write_notebook(tmp_path, "DATA = None", "DATA") / "00_first_look.ipynb", as_version=4)
    inject(notebook, {"DATA": "it's here", "READING": {"labels": "l.csv"}})
    assert notebook.cells[1].source == "DATA = \"it's here\"\nREADING = {'labels': 'l.csv'}"
    assert notebook.cells[1].metadata["tags"] == ["injected-parameters"]


def test_a_cell_belongs_to_the_heading_above_it(tmp_path):
    folder = write_notebook(tmp_path, "# 00 · Title\n\n## 1 · One", "a = 1", "### Two", "b = 1")
    notebook = nbformat.read(folder / "00_first_look.ipynb", as_version=4)
    assert [section_of(notebook, place) for place in range(4)] == ["1 · One", "1 · One", "Two", "Two"]


def test_links_to_what_is_not_copied_become_words():
    text = "a [**word**](../docs/glossary.md#word), [next](01_data_exploration.ipynb), [all](solutions/00_x.ipynb)"
    assert without_links_out(text) == "a **word**, [next](01_data_exploration.ipynb), all"


def test_notebooks_in_the_folder_of_a_run_write_below_it(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "index.md").write_text(f"{COURSE_MARK}\n")
    monkeypatch.chdir(tmp_path / "notebooks")
    assert project_folder() == Path("..")
    assert MARK in COURSE_MARK, "the page may be replaced by the next call"


def test_a_claim_is_asserted_on_embedded_data_and_told_on_others(capsys):
    assert holds(1 > 0, "one is more", None) and not holds(0 > 1, "no", None)
    assert holds(0 > 1, "nothing is more", "mine")
    assert "Markdown" in capsys.readouterr().out


def test_every_notebook_reads_data_of_ones_own_by_one_way():
    """No notebook derives anything from DATA in its cell of parameters: what is injected comes after it."""
    for file in find_notebooks(PROJECT / "notebooks"):
        cells = nbformat.read(file, as_version=4).cells
        (parameters,) = (cell.source for cell in cells if "parameters" in cell.metadata.get("tags", []))
        lines = parameters.splitlines()
        assert lines[0].startswith("DATA = None"), file.name
        assert any(line.startswith("READING = {}") for line in lines), file.name
        assert "DATA" not in "".join(line.split("#")[0] for line in lines[1:]), file.name
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        assert "read_table(" in code and "setup(" in code


def test_a_split_that_is_missing_is_made(make_tree):
    root = make_tree({"train": 20})
    assert set(read_table(root)["split"]) == {"train", "val", "test"}


# --- one call -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_call_writes_below_out_only_and_the_next_one_keeps_what_is_done(tmp_path, tiny_data, capsys):
    cells = (
        "# 00 · A\n\n## 1 · Section",
        "DATA = None",
        "from fracturelib.course.notebook import holds, left_out, project_folder, read_table",
        'left_out("nothing here"); assert holds(False, "all is well", DATA)',
        '(project_folder() / "runs").mkdir(); len(read_table(DATA))',
    )
    series = write_notebook(tmp_path / "series", *cells)
    before = state_of(series) | state_of(tiny_data)
    out = tmp_path / "out"
    command = ["course", "run", "--data", str(tiny_data), "--out", str(out), "--notebooks", str(series)]
    assert main(command) == 0
    assert state_of(series) | state_of(tiny_data) == before
    assert {path.name for path in out.iterdir()} == {"index.md", "notebooks", "runs"}
    index = (out / "index.md").read_text(encoding="utf-8")
    assert index.startswith(COURSE_MARK) and "nothing here" in index and "all is well" in index
    assert str(tmp_path) not in index + nbformat.writes(copy_of(out))
    assert copy_of(out).cells[-1].outputs[0]["data"]["text/plain"] == "32"
    assert "no cell error, 1 part left out" in capsys.readouterr().out
    copies = state_of(out / "notebooks")
    assert main(command) == 0
    assert "kept from an earlier call" in capsys.readouterr().out and state_of(out / "notebooks") == copies
    write_notebook(tmp_path / "series", *cells, "1 + 1")
    assert main(command) == 2, "the folder runs/ is there already"
    assert "kept" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("from fracturelib.course.notebook import setup; setup('nowhere')", "CatalogError: the data folder does not"),
        ("import os; os._exit(1)", "its kernel ended"),
    ],
)
def test_a_failing_cell_is_named_and_the_others_go_on(tmp_path, capsys, code, told):
    series = write_notebook(tmp_path / "series", "# 00 · A\n\n## 3 · Where it fails", "DATA = None", code, "late = 1")
    write_notebook(series, "# 01 · B", "DATA = None", name="01_data_exploration.ipynb")
    out = tmp_path / "out"
    assert main(["course", "run", "--out", str(out), "--notebooks", str(series)]) == 2
    said = capsys.readouterr()
    assert "00_first_look.ipynb" in said.err and "3 · Where it fails" in said.err and told in said.err
    assert "Traceback" not in said.err + said.out
    assert "01_data_exploration.ipynb" in said.out and (out / "notebooks/01_data_exploration.ipynb").exists()
    assert "| 1 |" in (out / "index.md").read_text(encoding="utf-8")
    write_notebook(series, "# 00 · A", "DATA = None")
    assert main(["course", "run", "--out", str(out), "--notebooks", str(series)]) == 0
    assert main(["course", "run", "--out", str(out), "--notebooks", str(series), "--only", "01"]) == 0
    assert "2 notebooks" in (out / "index.md").read_text(encoding="utf-8"), "one call does not forget the others"
    assert "01_data_exploration.ipynb: kept" in capsys.readouterr().out, "it goes on from there"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupted_call_ends_with_130_leaves_no_kernel_and_is_taken_up(tmp_path):
    series = write_notebook(tmp_path / "series", "# 00 · A", "DATA = None")
    waiting = "import os, pathlib, time; pathlib.Path('../pid').write_text(str(os.getpid())); time.sleep(600)"
    write_notebook(series, "# 01 · B", "DATA = None", waiting, name="01_data_exploration.ipynb")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "fracturelib.cli", "course", "run", "--out", str(out), "--notebooks", str(series)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT)
    deadline = time.monotonic() + 300
    while not (out / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    kernel = int((out / "pid").read_text())
    process.send_signal(signal.SIGINT)
    said, told = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in told, told
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)
    assert "00_first_look.ipynb: " in said and not (out / "notebooks/01_data_exploration.ipynb").exists()
    write_notebook(series, "# 01 · B", "DATA = None", name="01_data_exploration.ipynb")
    assert [one.kept for one in run_course(out, notebooks=series, fast=fast_mode())] == [True, False]


# --- what is refused, before any work -------------------------------------------------------------------------------


def test_a_folder_with_other_things_is_left_alone(tmp_path, tiny_data):
    series = write_notebook(tmp_path / "series", "DATA = None")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    with pytest.raises(FracturelibError, match="holds something else"):
        run_course(mine, notebooks=series)
    with pytest.raises(FracturelibError, match="only read"):
        run_course(tiny_data / "out", data=tiny_data, notebooks=series)
    (mine / "notes.txt").unlink()
    (mine / "index.md").write_text(f"{COURSE_MARK}\n")
    write_notebook(mine / "notebooks", "DATA = None")
    with pytest.raises(FracturelibError, match="was not made by this command"):
        run_course(mine, notebooks=series)


def test_data_that_the_course_cannot_use_are_refused_at_once(tmp_path, make_tree, monkeypatch):
    series = write_notebook(tmp_path / "series", "DATA = None")
    monkeypatch.setattr(running, "execute", lambda *_: pytest.fail("nothing is executed"))
    out = tmp_path / "out"
    with pytest.raises(FracturelibError, match="does not exist"):
        run_course(out, data=tmp_path / "nowhere", notebooks=series)
    with pytest.raises(FracturelibError, match="too few pictures"):
        run_course(out, data=make_tree({"train": 8, "val": 1, "test": 4}), notebooks=series)
    assert not out.exists()


def test_missing_notebooks_are_told_with_the_cure(tmp_path, monkeypatch):
    with pytest.raises(FracturelibError, match="--notebooks"):
        find_notebooks(tmp_path)
    with pytest.raises(FracturelibError, match="choose of 00"):
        find_notebooks(write_notebook(tmp_path / "series", "DATA = None"), ["09"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(running, "__file__", str(tmp_path / "site-packages/fracturelib/course/running.py"))
    with pytest.raises(FracturelibError, match="part of a checkout"):
        find_notebooks(None)


# --- the whole series, small ----------------------------------------------------------------------------------------


def whole(out: Path, **settings) -> list[running.Outcome]:
    """The series in fast mode, one kernel after the other; every notebook without a cell error."""
    found = run_course(out, fast=True, say=lambda _: None, **settings)
    assert not [one for one in found if one.failed], found
    assert {path.name for path in out.iterdir()} == {"index.md", "notebooks", "data", "runs"}
    assert len(found) == len(find_notebooks(PROJECT / "notebooks"))
    return found


def parts_left_out(found: list[running.Outcome]) -> dict[str, str]:
    return {one.name[:2]: json.dumps(one.left_out) for one in found if one.left_out}


@pytest.mark.slow
def test_the_course_runs_on_pictures_without_boxes(tmp_path):
    found = whole(tmp_path / "out", data=write_tree(tmp_path / "mine"))
    left_out = parts_left_out(found)
    assert {"02", "04", "05", "07"} <= set(left_out)
    assert "where its fractures are" in left_out["02"] and "no DICOM files" in left_out["07"]
    assert "no fresh test images" in left_out["05"] and "elsewhere" in left_out["04"]


@pytest.mark.slow
def test_the_course_runs_on_a_tree_of_dicom_files(tmp_path):
    assert main(["data", "miniature", "dicom", str(tmp_path / "mine")]) == 0
    left_out = parts_left_out(whole(tmp_path / "out", data=tmp_path / "mine"))
    assert "07" not in left_out, "its own studies are shown"
    assert "two cases of each class" in left_out["06"], "four studies are too few for a comparison of readers"


def test_the_embedded_sets_leave_nothing_out():
    """The series itself is executed by `make test` as it stands; these are its outputs."""
    for file in find_notebooks(PROJECT / "notebooks"):
        cells = nbformat.read(file, as_version=4).cells
        kept = [output.get("metadata", {}) for cell in cells for output in cell.get("outputs", ())]
        assert not [one["fracturelib"] for one in kept if "fracturelib" in one], file.name
