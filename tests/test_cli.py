"""The command line: what a person sees, exit codes, and every bad input without a traceback."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from fracturelib.cli import main
from fracturelib.config import PRESETS, TrainConfig
from fracturelib.errors import DataWarning

ROOT = Path(__file__).parents[1]
QUICK = ("--weights", "none", "--image-size", "32", "--epochs", "1", "--views", "1", "--batch-size", "8")


@pytest.fixture(scope="module")
def run_folder(tiny_data, tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    assert main(["train", "--data", str(tiny_data), "--runs", str(runs), "--name", "first", *QUICK]) == 0
    return runs / "first"


def train(data, runs, *options):
    return main(["train", "--data", str(data), "--runs", str(runs), "--name", "r", *QUICK, *options])


@pytest.mark.slow
def test_training_prints_numbers_baselines_and_paths(tiny_data, tmp_path, capsys):
    assert train(tiny_data, tmp_path) == 0
    said = capsys.readouterr().out
    for expected in ("epoch   1", "sensitivity", "specificity", "majority class", "metadata only", "threshold"):
        assert expected in said
    assert str(tmp_path / "r" / "report.html") in said and "no medical device" in said
    assert (tmp_path / "r" / "report.html").exists()


@pytest.mark.slow
def test_train_py_is_the_train_command(tiny_data, tmp_path):
    command = [sys.executable, "train.py", "--data", str(tiny_data), "--runs", str(tmp_path), "--name", "r", *QUICK]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "r" / "model.safetensors").exists()


def test_every_setting_is_an_option_with_its_default(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert stopped.value.code == 0
    for entry in fields(TrainConfig):
        assert f"--{entry.name.replace('_', '-')}" in said
        assert f"(default: {entry.default})" in said


def test_every_preset_says_what_it_sets(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    said = "".join(capsys.readouterr().out.split())  # lines end at hyphens, too
    for settings in PRESETS.values():
        assert all(f"--{setting.replace('_', '-')}{value}" in said for setting, value in settings.items())


def test_an_unknown_preset_is_refused_with_the_names(tiny_data, tmp_path, capsys):
    said = breaks(capsys, train(tiny_data, tmp_path, "--preset", "better"), tmp_path)
    assert all(name in said for name in PRESETS)


@pytest.mark.slow
def test_a_run_keeps_its_preset_and_goes_on_with_it(tiny_data, tmp_path, monkeypatch):
    """Few pictures, no patients known: the preset trains, explicit options win, and resuming repeats it bit for bit."""
    given = ["--preset", "best", "--image-size", "64", "--epochs", "2"]
    assert train(tiny_data, tmp_path / "whole", *given) == 0
    record = json.loads((tmp_path / "whole" / "r" / "config.json").read_text())
    assert record["preset"] == "best"
    expected = {**PRESETS["best"], "image_size": 64, "epochs": 2}
    assert {name: record["config"][name] for name in expected} == expected

    def interrupt(_history):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("fracturelib.cli.training._print_epoch", interrupt)
        assert train(tiny_data, tmp_path / "parts", *given) == 130
    assert train(tiny_data, tmp_path / "parts", *given, "--resume") == 0
    models = [(tmp_path / part / "r" / "model.safetensors").read_bytes() for part in ("whole", "parts")]
    assert models[0] == models[1]


@pytest.mark.parametrize("command", ["simulate", "train", "evaluate", "predict", "weights"])
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0 and command in capsys.readouterr().out


@pytest.mark.slow
def test_evaluate_repeats_the_test_numbers_and_writes_the_table(run_folder, tmp_path, capsys):
    table = tmp_path / "table.csv"
    assert main(["evaluate", str(run_folder), "--csv", str(table)]) == 0
    assert "Test set" in capsys.readouterr().out
    written, kept = pd.read_csv(table), pd.read_csv(run_folder / "predictions.csv")
    pd.testing.assert_frame_equal(written, kept, check_exact=True)


@pytest.mark.slow
def test_evaluate_on_another_folder_is_an_external_test(run_folder, make_tree, capsys):
    other = make_tree({"test": 6}, seed=4)
    assert main(["evaluate", str(run_folder), "--data", str(other / "test")]) == 0
    assert "External test set" in capsys.readouterr().out


def test_predict_shows_a_table_and_writes_a_file(run_folder, tiny_data, tmp_path, capsys):
    table = tmp_path / "p.csv"
    one = next((tiny_data / "test/fractured").iterdir())
    assert main(["predict", str(run_folder), str(one), str(tiny_data / "val"), "--csv", str(table)]) == 0
    assert one.name in capsys.readouterr().out
    written = pd.read_csv(table)
    assert written.columns.tolist()[:4] == ["path", "probability", "prediction", "raw"] and len(written) == 9
    assert written["probability"].between(0, 1).all()


def test_predict_writes_rows_as_they_come_and_shows_the_first(run_folder, make_tree, tmp_path, capsys):
    many, table = make_tree({"test": 25}, seed=3), tmp_path / "p.csv"
    assert main(["predict", str(run_folder), str(many), "--csv", str(table)]) == 0
    assert "… and 10 more rows" in capsys.readouterr().out
    assert len(pd.read_csv(table)) == 50 and [file.name for file in tmp_path.glob("p.csv*")] == ["p.csv"]


def test_predict_leaves_no_half_table(run_folder, tmp_path, capsys):
    (tmp_path / "bad.png").write_bytes(b"nothing")
    code = main(["predict", str(run_folder), str(tmp_path / "bad.png"), "--csv", str(tmp_path / "p.csv")])
    assert "bad.png" in breaks(capsys, code) and not list(tmp_path.glob("p.csv*"))


def test_predict_with_a_csv_in_a_missing_folder_stops_before_any_work(run_folder, tiny_data, tmp_path, capsys):
    breaks(capsys, main(["predict", str(run_folder), str(tiny_data), "--csv", str(tmp_path / "no" / "x.csv")]))


def test_weights_lists_what_is_here(capsys):
    assert main(["weights"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("auto", "imagenet", "distilled", "none"))


@pytest.mark.slow
def test_a_warning_is_one_plain_line_on_screen(run_folder, tmp_path):
    (tmp_path / "empty.png").touch()
    good = run_folder.parent / "good.png"
    Image.new("L", (40, 40), 90).save(good)
    command = [sys.executable, "-m", "fracturelib.cli", "predict", str(run_folder), str(good), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert len(lines) == 1 and "empty.png" in lines[0] and ".py:" not in done.stderr


def command_line(*arguments, **more):
    """A process of its own, as a shell starts it: it hears Ctrl-C even where these tests run in the background."""
    more = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)} | more
    command = [sys.executable, "-m", "fracturelib.cli", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def left_alone(process):
    """Exit code and stderr of a process whose output nobody reads."""
    process.stdout.close()
    process.stdout = None
    return process.wait(timeout=120), process.communicate()[1]


@pytest.mark.slow
def test_a_reader_that_leaves_silences_the_screen_and_not_the_work(run_folder, make_tree, tmp_path):
    root, table = make_tree({"train": 3, "val": 3, "test": 3}), tmp_path / "p.csv"
    code, said = left_alone(command_line("predict", run_folder, root, "--csv", table))
    assert code == 0 and "Broken" not in said and len(pd.read_csv(table)) == 18
    code, said = left_alone(command_line("audit", root, "--report", tmp_path / "a", "--write-metadata"))
    assert code == 0 and "Broken" not in said
    assert (tmp_path / "a" / "audit.html").exists() and len(pd.read_csv(root / "metadata.csv")) == 18


@pytest.mark.slow
def test_a_closed_pipe_hides_no_failure(run_folder, tmp_path):
    assert left_alone(command_line("predict", run_folder, tmp_path / "absent.png"))[0] == 2


@pytest.mark.slow
@pytest.mark.parametrize("names", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_a_screen_without_unicode_shows_escapes(run_folder, tiny_data, tmp_path, names):
    (tmp_path / "Hüfte“.png").write_bytes(next(tiny_data.rglob("*.png")).read_bytes())
    (tmp_path / "Öhr.png").write_bytes(b"nothing")
    environment = {**os.environ, "PYTHONCOERCECLOCALE": "0", **names}
    process = command_line("predict", run_folder, tmp_path, env=environment)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert out.isascii() and "fte" in out and "warning: " in err


# --- what a person can do with a mistake of ours, and which exit code says what ------------------


@pytest.fixture
def broken(monkeypatch):
    """`fracturelib weights` meets a mistake in the program."""

    def fail(_architecture):
        return {}["something"]

    monkeypatch.setattr("fracturelib.trunks.weights.available_weights", fail)


def test_a_mistake_of_ours_is_one_line_that_asks_for_a_report(broken, capsys):
    assert main(["weights"]) == 70
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "KeyError: 'something'" in said and "report this with `--traceback`" in said


@pytest.mark.parametrize("arguments", [["weights", "--traceback"], ["--traceback", "weights"], ["weights"]])
def test_the_traceback_is_shown_where_it_is_asked_for(broken, arguments, capsys, monkeypatch):
    if "--traceback" not in arguments:
        monkeypatch.setenv("FRACTURELIB_DEBUG", "1")
    assert main(arguments) == 70
    said = capsys.readouterr().err
    assert "Traceback" in said and "in fail" in said and "error: " in said


def test_the_traceback_of_a_user_error_too(tmp_path, capsys):
    assert main(["audit", str(tmp_path / "absent"), "--traceback"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "runs/a/report.html"), ("disk is full", "runs/a/report.html")),
        (OSError(36, "File name too long", "x" * 300), ("name is too long", "shorter")),
        (OSError(30, "Read-only file system", "runs"), ("no permission", "runs")),
        (OSError(5, "Input/output error", "disk"), ("Input/output error", "disk")),
        (IsADirectoryError(21, "Is a directory", "b.part", None, "b"), ("a folder stands", "file:         b")),
        (RuntimeError("I/O error: No space left on device (os error 28)"), ("disk is full",)),
    ],
)
def test_what_the_system_refuses_is_said_with_file_and_cure(error, words, capsys, monkeypatch):
    def refuse(_architecture):
        raise error

    monkeypatch.setattr("fracturelib.trunks.weights.available_weights", refuse)
    said = breaks(capsys, main(["weights"]))
    assert all(word in said for word in (*words, "what to do:"))


@pytest.mark.parametrize("place", ["runs", "name", "csv"])
def test_a_file_or_a_folder_in_the_way_is_a_clear_error(place, run_folder, tiny_data, tmp_path, capsys):
    if place == "csv":
        code = main(["evaluate", str(run_folder), "--csv", str(tmp_path)])
    elif place == "runs":
        (tmp_path / "file").touch()
        code = train(tiny_data, tmp_path / "file")
    else:
        code = train(tiny_data, tmp_path, "--name", "n" * 300)
    breaks(capsys, code)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.8, 1.5, 3])  # before, Python itself is still starting
def test_ctrl_c_in_the_first_seconds_is_no_traceback(seconds, tiny_data, tmp_path):
    process = command_line("train", "--data", tiny_data, "--runs", tmp_path, "--epochs", "5000", "--patience", "5000")
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    try:
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 130 and "Traceback" not in said and "Interrupted" in said


@pytest.mark.slow
def test_an_interrupted_run_says_how_to_go_on(tiny_data, tmp_path, capsys, monkeypatch):
    def interrupt(_history):
        raise KeyboardInterrupt

    monkeypatch.setattr("fracturelib.cli.training._print_epoch", interrupt)
    assert train(tiny_data, tmp_path) == 130
    assert "--name r --resume" in capsys.readouterr().err


# --- bad input: one clear message, exit code 2, nothing half-written -----------------------------


def breaks(capsys, code, runs=None):
    """The message of a command that must have failed in a way that the user can cure."""
    said = capsys.readouterr().err
    assert code == 2
    assert "error: " in said and "Traceback" not in said
    assert runs is None or not (runs / "r").exists()
    return said


def test_missing_folder(tmp_path, capsys):
    said = breaks(capsys, train(tmp_path / "absent", tmp_path), tmp_path)
    assert "absent" in said and "not fractured" in said  # the expected tree is shown


def test_empty_folder(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    assert "train" in breaks(capsys, train(tmp_path / "data", tmp_path), tmp_path)


def test_one_class_only(make_tree, tmp_path, capsys):
    root = make_tree()
    for file in (root / "train/fractured").iterdir():
        file.unlink()
    (root / "train/fractured").rmdir()
    assert "fractured" in breaks(capsys, train(root, tmp_path), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("split", ["val", "test"])
def test_a_missing_split_names_the_cure_and_the_cure_works(make_tree, tmp_path, capsys, split):
    root = make_tree({"train": 12, ("test" if split == "val" else "val"): 5})
    assert "--make-split" in breaks(capsys, train(root, tmp_path), tmp_path)
    assert train(root, tmp_path, "--make-split") == 0
    assert main(["evaluate", str(tmp_path / "r")]) == 0  # the same split is made again from the record


def test_unknown_class_folder(make_tree, tmp_path, capsys):
    root = make_tree()
    (root / "train/fractured").rename(root / "train/kaputt")
    said = breaks(capsys, train(root, tmp_path), tmp_path)
    assert "kaputt" in said and "normal" in said  # the recognised names are listed


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"this is text", "one pixel"])
def test_unusable_files_are_skipped_with_one_warning_or_stop_when_strict(make_tree, tmp_path, capsys, content):
    root = make_tree()
    bad = root / "train/fractured/bad.png"
    if content == "one pixel":
        Image.new("L", (1, 1)).save(bad)
    else:
        bad.write_bytes(content)
    with pytest.warns(DataWarning, match=r"bad\.png") as caught:
        assert train(root, tmp_path) == 0
    assert sum(issubclass(warning.category, DataWarning) for warning in caught) == 1
    assert "bad.png" in breaks(capsys, train(root, tmp_path / "strict", "--strict"), tmp_path / "strict")


@pytest.mark.slow
def test_a_truncated_jpeg_is_counted_or_stops_when_strict(make_tree, tmp_path, capsys):
    root = make_tree(suffix=".jpg")
    cut = next((root / "train/fractured").iterdir())
    cut.write_bytes(cut.read_bytes()[:-60])
    with pytest.warns(DataWarning, match=cut.name):
        assert train(root, tmp_path) == 0
    assert cut.name in breaks(capsys, train(root, tmp_path / "strict", "--strict"), tmp_path / "strict")


@pytest.mark.slow
def test_unusable_files_never_crash_a_worker_process(make_tree, tmp_path):
    root = make_tree()
    (root / "train/fractured/bad.png").write_bytes(b"x" * 100)
    with pytest.warns(DataWarning):
        assert train(root, tmp_path, "--workers", "1") == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::fracturelib.errors.DataWarning")
def test_one_content_with_two_labels_is_listed_and_left_out(make_tree, tmp_path):
    root = make_tree()
    (root / "train/fractured/again.png").write_bytes((root / "train/not fractured/s0001.png").read_bytes())
    with pytest.warns(DataWarning, match=r"again\.png.*s0001\.png"):
        assert train(root, tmp_path) == 0
    assert main(["evaluate", str(tmp_path / "r")]) == 0


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_folder_that_is_no_run(tmp_path, tiny_data, capsys, command):
    arguments = [command, str(tmp_path)] + ([str(tiny_data)] if command == "predict" else [])
    assert "config.json" in breaks(capsys, main(arguments))


def test_predict_on_a_missing_file(run_folder, tmp_path, capsys):
    assert "absent.png" in breaks(capsys, main(["predict", str(run_folder), str(tmp_path / "absent.png")]))


def test_a_csv_in_a_missing_folder(run_folder, tmp_path, capsys):
    breaks(capsys, main(["evaluate", str(run_folder), "--csv", str(tmp_path / "no" / "x.csv")]))


def test_a_setting_out_of_range(tiny_data, tmp_path, capsys):
    assert "dropout" in breaks(capsys, train(tiny_data, tmp_path, "--dropout", "2"), tmp_path)


def test_the_same_name_twice(tiny_data, run_folder, capsys):
    code = main(["train", "--data", str(tiny_data), "--runs", str(run_folder.parent), "--name", "first", *QUICK])
    assert "--resume" in breaks(capsys, code)


def test_a_name_that_leaves_the_runs_folder(tiny_data, tmp_path, capsys):
    code = main(["train", "--data", str(tiny_data), "--runs", str(tmp_path / "runs"), "--name", "../x", *QUICK])
    assert "name" in breaks(capsys, code)
    assert not (tmp_path / "x").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tiny_data, tmp_path, capsys):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    breaks(capsys, train(tiny_data, locked))
