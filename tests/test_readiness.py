"""`fracturelib check` and `prepare`: every finding has its cure, the exit code is 0 or 1, nothing asks the network."""

from __future__ import annotations

import ast
import json
import shutil
import types
from dataclasses import replace
from pathlib import Path

import pytest

from fracturelib.cli import main
from fracturelib.config import TrainConfig
from fracturelib.course import readiness
from fracturelib.course.notebook import MIXTURE
from fracturelib.course.readiness import Finding
from fracturelib.errors import FracturelibError

PROJECT = Path(__file__).resolve().parents[1]
SERIES = sorted((PROJECT / "notebooks").glob("[0-9]*.ipynb"))


def code_of(notebook: Path, *, tag: str | None = None) -> list[str]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [
        "".join(cell["source"])
        for cell in cells
        if cell["cell_type"] == "code" and (tag is None or tag in cell["metadata"].get("tags", []))
    ]


def parameters(notebook: Path) -> dict:
    """What a notebook's parameters are at its default settings."""
    names = {
        "fast_mode": lambda: False,
        "project_folder": lambda: Path(),
        "class_folder": lambda: Path("runs/class"),
        "data": "data/simulated",
        "TrainConfig": TrainConfig,
        "Path": Path,
        "replace": replace,
    }
    for source in code_of(notebook, tag="parameters"):
        exec(source, names)
    for line in "\n".join(code_of(notebook)).splitlines():
        if line.startswith(("RUN_NAME = ", "config = TrainConfig(data=")):  # what follows from them, a cell later
            _try(line, names)
    return names


# --- what notebooks need is what is prepared ------------------------------------------------------------------------


@pytest.mark.parametrize("notebook", SERIES, ids=lambda path: path.stem)
def test_every_data_set_that_a_notebook_makes_is_prepared(notebook):
    """A copy of each call of `ensure_simulated`, evaluated with the notebook's own parameters."""
    names, calls = parameters(notebook), []
    names["ensure_simulated"] = lambda folder, *, progress=True, **settings: calls.append((Path(folder), settings))
    for source in code_of(notebook):
        tree = ast.parse("\n".join(line for line in source.splitlines() if not line.startswith(("%", "!"))))
        names |= {"root": Path("data/simulated")}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and "project_folder" in ast.unparse(node) and len(node.targets) == 1:
                _try(ast.unparse(node), names)  # the folder may have a name of its own
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "ensure_simulated":
                eval(ast.unparse(node), names)
    for folder, settings in calls:
        assert folder.parent == Path("data")
        assert readiness.SETS.get(folder.name) == settings, f"add {folder.name} to readiness.SETS: {settings}"


def test_the_sets_that_setup_makes_are_prepared():
    assert readiness.SETS["simulated"] == {} and readiness.SETS["simulated-mixture"] == MIXTURE


def _try(source: str, names: dict) -> None:
    """Run an assignment if it needs nothing but parameters."""
    try:
        exec(source, names)
    except (NameError, TypeError):
        return


def test_the_prepared_run_has_the_settings_of_the_notebooks():
    for number in ("03", "04", "06"):
        (notebook,) = (path for path in SERIES if path.name.startswith(number))
        names = parameters(notebook)
        assert replace(names["config"], data="x") == replace(readiness.RUN_CONFIG, data="x"), notebook.name
        assert names["RUN_NAME"] == readiness.RUN


def test_every_notebook_has_its_minutes():
    assert set(readiness.NOTEBOOK_MINUTES) >= {path.name[:2] for path in SERIES}
    assert max(readiness.NOTEBOOK_MINUTES.values()) <= 5


# --- findings -------------------------------------------------------------------------------------------------------


def test_this_machine_has_python_packages_memory_and_panels():
    for look in (readiness._python, readiness._packages, readiness._memory, readiness._disk, readiness._panels):
        ready, found, cure = look()
        assert ready and found and cure


@pytest.mark.slow
def test_the_kernel_of_the_notebooks_starts_and_finds_the_library():
    ready, found, _ = readiness._kernel()
    assert ready, found


def test_an_old_or_missing_package_is_named(monkeypatch):
    asked = ["numpy>=99.1", "no-such-package>=1", "torch>=2.4", 'pytest>=99; extra == "test"']
    monkeypatch.setattr(readiness.importlib.metadata, "requires", lambda _: asked)
    ready, found, cure = readiness._packages()
    assert not ready and cure
    assert "numpy is" in found and "needed >=99.1" in found and "no-such-package is missing" in found
    assert "torch" not in found and "pytest" not in found


@pytest.mark.parametrize(
    ("here", "asked", "enough"),
    [("1.9.1", ">=1.10", False), ("2.4.0+cpu", ">=2.4", True), ("2.11.0", ">=2.9", True), ("3.0rc1", ">=2.9", True)],
)
def test_versions_are_compared_as_numbers(monkeypatch, here, asked, enough):
    monkeypatch.setattr(readiness.importlib.metadata, "requires", lambda _: [f"torch{asked}"])
    monkeypatch.setattr(readiness.importlib.metadata, "version", lambda _: here)
    assert readiness._packages()[0] == enough


def test_missing_data_are_named_with_the_cure(monkeypatch, tmp_path):
    monkeypatch.setattr(readiness, "project_folder", lambda: tmp_path)
    ready, found, cure = readiness._data()
    assert not ready and all(name in found for name in readiness.SETS) and "fracturelib prepare" in cure


def test_little_memory_or_disk_is_not_ready(monkeypatch):
    monkeypatch.setattr(readiness.os, "sysconf", {"SC_PAGE_SIZE": 1e6, "SC_PHYS_PAGES": 1e3}.get)
    assert readiness._memory()[:2] == (False, "1.0 GB (needed: 3)")
    monkeypatch.delattr(readiness.os, "sysconf")  # as on Windows
    assert readiness._memory()[0] and "unknown" in readiness._memory()[1]
    monkeypatch.setattr(readiness.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=5e7))
    assert not readiness._disk()[0]


def test_a_check_that_fails_is_a_finding_and_the_others_go_on(monkeypatch):
    for name in ("_kernel", "_minutes", "_data"):
        monkeypatch.setattr(readiness, name, lambda: (True, "fine", ""))

    def broken():
        raise OSError("no such device")

    monkeypatch.setattr(readiness, "_memory", broken)
    findings = {finding.what: finding for finding in readiness.check_machine()}
    assert not findings["memory"].ready and "no such device" in findings["memory"].found and findings["memory"].cure
    assert findings["Python"].ready and findings["panels"].ready and len(findings) == 9


def test_the_speed_of_this_machine_is_a_number():
    assert 0 < readiness.batches_per_second(images=2, repeats=1) < float("inf")


def test_a_slow_machine_gets_more_minutes(monkeypatch):
    monkeypatch.delenv("FRACTURELIB_FAST", raising=False)  # `make test` sets it
    monkeypatch.setattr(readiness, "batches_per_second", lambda: readiness.REFERENCE_SPEED / 2)
    ready, found, _ = readiness._minutes()
    assert ready and f"03: {2 * readiness.NOTEBOOK_MINUTES['03']:.1f} min" in found and "FAST" not in found
    monkeypatch.setattr(readiness, "batches_per_second", lambda: readiness.REFERENCE_SPEED / 10)
    assert "10 times slower" in readiness._minutes()[1] and "FRACTURELIB_FAST=1" in readiness._minutes()[1]


# --- commands -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ready", "code"), [(True, 0), (False, 1)])
def test_check_says_what_is_missing_and_its_exit_code_says_whether(monkeypatch, capsys, ready, code):
    findings = [Finding("memory", True, "16 GB"), Finding("data", ready, "still to be made", "fracturelib prepare")]
    monkeypatch.setattr(readiness, "check_machine", lambda: iter(findings))
    assert main(["check"]) == code
    said = capsys.readouterr().out
    assert "ok        memory: 16 GB" in said
    assert ("This machine is ready." in said) == ready
    assert ("what to do: fracturelib prepare" in said) == (not ready)


@pytest.fixture
def small_sets(monkeypatch, tmp_path) -> Path:
    """A project of its own, with one tiny data set and a run that costs nothing."""
    monkeypatch.setattr(readiness, "SETS", {"tiny": {"counts": 8}})
    monkeypatch.setattr(readiness, "project_folder", lambda: tmp_path)
    for name in ("_kernel", "_minutes", "_panels"):
        monkeypatch.setattr(readiness, name, lambda: (True, "fine", ""))
    monkeypatch.setattr(readiness, "_shared_run", lambda project: None)
    monkeypatch.setenv("FRACTURELIB_OFFLINE", "1")
    return tmp_path


@pytest.mark.slow
def test_prepare_makes_what_is_missing_and_the_check_then_finds_it(small_sets, capsys):
    assert not readiness._data()[0]
    assert main(["prepare"]) == 0
    said = capsys.readouterr().out
    assert "data/tiny: ready" in said and "This machine is ready." in said
    assert len(list(small_sets.rglob("*.png"))) == 8
    before = {path: path.stat().st_mtime_ns for path in small_sets.rglob("*.png")}
    assert main(["prepare"]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in small_sets.rglob("*.png")}, "what is there is kept"


@pytest.mark.slow
def test_the_shared_run_is_found_from_within_the_notebooks_folder(tmp_path, tiny_data, monkeypatch):
    for name in ("notebooks", "data"):
        (tmp_path / name).mkdir()
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    (tmp_path / "data/simulated-mixture").symlink_to(tiny_data)
    config = TrainConfig(image_size=32, epochs=1, views=1, weights="none")
    monkeypatch.setattr(readiness, "RUN_CONFIG", config)
    readiness._shared_run(tmp_path)
    (made,) = (tmp_path / "runs").glob("*/model.safetensors")
    before = made.stat().st_mtime_ns
    monkeypatch.chdir(tmp_path / "notebooks")
    run = readiness.notebook_run(replace(config, data="../data/simulated-mixture"), f"../runs/{readiness.RUN}")
    assert run.config.data == "../data/simulated-mixture" and made.stat().st_mtime_ns == before, (
        "it is not trained again"
    )


@pytest.mark.slow
def test_prepare_fetches_weights_only_if_asked_and_says_that_the_network_is_forbidden(
    small_sets, capsys, monkeypatch, tmp_path
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    assert main(["prepare", "--weights", "imagenet"]) == 1
    said = capsys.readouterr().out
    assert "FRACTURELIB_OFFLINE is set" in said and "NOT READY ImageNet weights" in said
    assert "data/tiny: ready" in said, "the other steps are done all the same"


def test_outside_the_project_it_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("_kernel", "_minutes"):
        monkeypatch.setattr(readiness, name, lambda: (True, "fine", ""))
    assert main(["check"]) == 1
    assert "project's folder was not found" in capsys.readouterr().out
    assert main(["prepare"]) == 2, "there is nowhere to put anything"


def test_a_step_that_fails_is_told_with_its_cure(small_sets, monkeypatch):
    def refuse(*_, **__):
        raise FracturelibError("the folder holds something else", cure="move it away")

    monkeypatch.setattr(readiness, "ensure_simulated", refuse)
    lines = []
    findings = readiness.prepare_machine(say=lines.append)
    assert findings[0] == Finding("data/tiny", False, "the folder holds something else", "move it away")
    assert any("failed" in line for line in lines)
