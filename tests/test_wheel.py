"""The wheel: installed beside the present packages, called from another folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.slow


def run(*command: str | Path, folder: Path) -> str:
    """What a command prints; it fails unless the exit code is 0."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*map(str, command)], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a virtual environment that holds the wheel, and sees the packages of this one."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"  # a copy: no file of an earlier build gets in
    shutil.copytree(PROJECT / "fracturelib", source / "fracturelib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", place, source, folder=place)
    venv.create(place / "venv", with_pip=False)
    python = next(file for file in (place / "venv").glob("*/python*") if file.is_file())  # bin, or Scripts
    packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=place).strip()
    here = [path for path in sys.path if path.endswith("site-packages")]
    wheel = next(place.glob("*.whl"))
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", packages, wheel, folder=place)
    Path(packages, "beside.pth").write_text("\n".join(here), encoding="utf-8")
    return python


def test_the_commands_work_from_another_folder(python, tmp_path):
    def call(*arguments: str) -> str:
        return run(python, "-m", "fracturelib.cli", *arguments, folder=tmp_path)

    where = run(python, "-c", "import fracturelib; print(fracturelib.__file__)", folder=tmp_path)
    assert Path(where.strip()).is_relative_to(python.parents[1])
    call("simulate", "data", "--count", "48")
    small = ("--weights", "distilled", "--epochs", "1", "--image-size", "64")
    call("train", "--data", "data", "--name", "one", *small)
    assert (tmp_path / "runs/one/report.html").exists()
    call("evaluate", "runs/one", "--data", "data")
    assert "0." in call("predict", "runs/one", "data/test")
    call("audit", "data")
    assert "check" in call("check", "--help")
