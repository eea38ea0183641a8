"""What the environment or the machine holds against a command is said in one line; ends of every option are kept."""

import os
import subprocess
import sys

import pytest
import torch

from fracturelib.cli import main
from fracturelib.config import TrainConfig
from fracturelib.errors import ConfigError, FracturelibError
from fracturelib.loaders import RadiographDataset, make_loader
from fracturelib.runtime import offline
from tests.test_cli import ROOT, breaks, train


def exit_code(arguments):
    try:
        return main(arguments)
    except SystemExit as stopped:  # argparse
        return stopped.code


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "value"),
    [("TQDM_MININTERVAL", "soon"), ("TQDM_FILE", "x"), ("MPLBACKEND", "nothing"), ("FRACTURELIB_OFLINE", "1")],
)
def test_junk_in_the_environment_is_ignored_aloud(variable, value, tiny_data, tmp_path):
    command = [sys.executable, "-m", "fracturelib.cli", "audit", str(tiny_data), "--report", str(tmp_path / "a")]
    environment = {**os.environ, variable: value}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert variable == "MPLBACKEND" or f"ignored from the environment: {variable}" in done.stderr


@pytest.mark.parametrize("stated", [{"WORLD_SIZE": "many"}, {"WORLD_SIZE": "2"}, {"WORLD_SIZE": "-1"}])
def test_processes_that_nobody_started_are_refused(stated, tiny_data, tmp_path, capsys, monkeypatch):
    for name, value in stated.items():
        monkeypatch.setenv(name, value)
    breaks(capsys, train(tiny_data, tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_switch_that_is_neither_on_nor_off_is_refused(monkeypatch):
    monkeypatch.setenv("FRACTURELIB_OFFLINE", "oui")
    with pytest.raises(ConfigError, match="FRACTURELIB_OFFLINE"):
        offline()


def test_shared_memory_is_needed_by_workers_only(spots, monkeypatch):
    def refuse(_):
        raise RuntimeError("unable to open shared memory object")

    monkeypatch.setattr(torch.Tensor, "share_memory_", refuse)
    dataset = RadiographDataset(spots, torch.from_numpy)
    make_loader(dataset, TrainConfig(), shuffle=False)
    with pytest.raises(FracturelibError, match="shared memory"):
        make_loader(dataset, TrainConfig(workers=1), shuffle=False)


@pytest.mark.parametrize("value", ["nan", "inf", "1e300", "-1", "many"])
def test_a_limit_that_is_no_size_is_refused(value, tiny_data, tmp_path):
    options = ["--data", str(tiny_data), "--runs", str(tmp_path), f"--features-limit={value}"]
    assert exit_code(["train", *options]) == 2 and not list(tmp_path.iterdir())


OPTIONS = ["audit D --seed=-1", "simulate S --seed=-1", "simulate S --count=0", "simulate S --count=1e9"]


@pytest.mark.parametrize("words", OPTIONS)
def test_numbers_beyond_their_ends_are_refused(words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert exit_code(words.split()) == 2 and not list(tmp_path.iterdir())
    assert "argument --" in capsys.readouterr().err


@pytest.mark.slow
def test_a_limit_too_small_for_the_features_keeps_none(tiny_data, tmp_path):
    assert train(tiny_data, tmp_path, "--features-limit=1e-9") == 0
    assert {path.name for path in tmp_path.iterdir()} <= {"r", ".features"}
    assert not list((tmp_path / ".features").rglob("*.safetensors")), "facts of files are kept, features are not"


@pytest.mark.parametrize("name", [".features", ".", "..", "a/b", "n" * 300])
def test_names_of_runs_that_cannot_be(name, tiny_data, tmp_path, capsys):
    breaks(capsys, train(tiny_data, tmp_path, "--name", name))
    assert not list(tmp_path.iterdir())


def test_a_file_where_features_are_kept_is_found_before_the_work(tiny_data, tmp_path, capsys):
    (tmp_path / ".features").touch()
    breaks(capsys, train(tiny_data, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [".features"]
