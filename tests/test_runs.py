"""A run's folder: damaged, edited, of another version, handed on, trained twice at once, killed in the first write."""

import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from fracturelib.cli import main
from fracturelib.comparing import compare_runs, saved_predictions
from fracturelib.config import TrainConfig
from fracturelib.errors import ConfigError, RunBusyError, RunError, RunWarning
from fracturelib.pipeline import evaluate_run, train_run
from fracturelib.runs import check_name, claimed, load_run, read_record, write_record
from tests.helpers.runs import as_first_format
from tests.helpers.trees import write_tree

SETTINGS = {"weights": "none", "image_size": 32, "batch_size": 8, "epochs": 1, "views": 1}

# What uses these is slow.
SLOW_FIXTURES = ("made",)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a data set and a finished run in it."""
    home = tmp_path_factory.mktemp("home")
    write_tree(home / "data", {"train": 4, "val": 2, "test": 2})
    train_run(TrainConfig(data=str(home / "data"), **SETTINGS), folder=home / "runs" / "r")
    return home


@pytest.fixture
def home(made, tmp_path):
    """A copy that a test may change, as it arrives on another machine."""
    shutil.copytree(made, tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def folder(home):
    return home / "runs" / "r"


EDITS = [
    ("threshold", lambda record: record.pop("threshold")),
    ("threshold", lambda record: record.update(threshold=math.nan)),
    ("threshold", lambda record: record.update(threshold=2)),
    ("temperature", lambda record: record.update(temperature="x")),
    ("best_epoch", lambda record: record.update(best_epoch=True)),
    ("weights", lambda record: record.update(weights=None)),
    ("weights.name", lambda record: record["weights"].update(name=5)),
    ("data.make_split", lambda record: record["data"].pop("make_split")),
    ("config.data", lambda record: record.update(config={})),
    ("config.dropout", lambda record: record["config"].update(dropout=7)),
    ("config.epochs", lambda record: record["config"].update(epochs=10**400)),
]


@pytest.mark.parametrize("first_format", [False, True])
@pytest.mark.parametrize(("field", "edit"), EDITS)
def test_an_impossible_field_is_named_with_its_file(folder, field, edit, first_format):
    if first_format:
        as_first_format(folder)
    record = json.loads((folder / "config.json").read_text())
    edit(record)
    (folder / "config.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match=rf"config\.json of this run cannot be used: {field} is "):
        load_run(folder)


def test_a_possible_value_that_the_run_did_not_write_is_noticed(folder):
    record = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(record | {"threshold": record["threshold"] / 2}))
    with pytest.raises(RunError, match="not what this run wrote"):
        load_run(folder)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"format": "\xff"}', b"1" * 5000, b"[]", b""])
def test_what_is_no_record_at_all_is_an_error(folder, content, capsys):
    (folder / "config.json").write_bytes(content)
    assert main(["predict", str(folder), str(folder)]) == 2
    assert "config.json" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["model.safetensors", "metrics.json", "history.csv", "predictions.csv"])
def test_a_file_of_another_run_is_noticed(folder, made, name):
    other = made / "runs" / "other"
    if not other.exists():
        train_run(TrainConfig(data=str(made / "data"), **SETTINGS, seed=1), folder=other)
    shutil.copy(other / name, folder / name)
    with pytest.raises(RunError, match=rf"{name} is not what this run wrote"):
        load_run(folder)
        saved_predictions(folder)


@pytest.mark.slow
def test_weights_that_are_no_numbers_are_refused_though_no_hash_tells(folder):
    as_first_format(folder)
    state = load_file(folder / "model.safetensors")
    save_file({name: value * np.float32(math.nan) for name, value in state.items()}, folder / "model.safetensors")
    with pytest.warns(RunWarning), pytest.raises(RunError, match="not finite"):
        load_run(folder)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("metrics.json", '"n_files": 4', '"n_files": -4'), ("history.csv", "epoch", "age"), ("history.csv", "True", "")],
)
def test_numbers_of_a_first_format_run_are_checked(folder, name, old, new):
    as_first_format(folder)
    text = (folder / name).read_text()
    (folder / name).write_text(text.replace(old, new) if new else text.splitlines()[0])
    with pytest.warns(RunWarning), pytest.raises(RunError, match=name):
        load_run(folder)


@pytest.mark.parametrize("column", ["label", "probability"])
def test_predictions_of_a_first_format_run_are_checked(folder, column):
    as_first_format(folder)
    table = pd.read_csv(folder / "predictions.csv")
    table.loc[1, column] = 3
    table.to_csv(folder / "predictions.csv", index=False)
    with pytest.warns(RunWarning), pytest.raises(RunError, match=f"{column} in row 2 is 3"):
        saved_predictions(folder)


def test_a_run_of_the_first_format_still_serves_and_says_so(folder, made):
    as_first_format(folder)
    with pytest.warns(RunWarning, match="earlier version") as caught:
        run = load_run(folder)
    assert len(caught) == 1
    expected = evaluate_run(load_run(made / "runs" / "r"))[1]
    pd.testing.assert_frame_equal(evaluate_run(run, data=made / "data")[1], expected)
    with pytest.warns(RunWarning):
        compare_runs(folder, made / "runs" / "r", resamples=10)


def test_a_run_that_is_handed_on_names_no_place_and_finds_its_data(home, made, monkeypatch):
    run = load_run(home / "runs" / "r")
    for file in run.folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert str(made).encode() not in content and str(home).encode() not in content, file
    assert evaluate_run(run)[0].value("auc") == run.metrics["comparison"][1]["value"]
    shutil.rmtree(home / "data")
    monkeypatch.chdir(home)
    with pytest.raises(RunError, match="--data"):
        evaluate_run(load_run(home / "runs" / "r"))


def test_files_have_the_mode_that_the_umask_gives(made):
    modes = {file.name: file.stat().st_mode & 0o777 for file in (made / "runs" / "r").iterdir() if file.is_file()}
    assert len(set(modes.values())) == 1, modes


def test_a_weights_file_is_found_again(made, tmp_path):
    from fracturelib.trunks.weights import BUNDLED_TRUNK

    shutil.copy(BUNDLED_TRUNK, tmp_path / "trunk.safetensors")
    shutil.copytree(made / "data", tmp_path / "data")
    settings = {**SETTINGS, "weights": str(tmp_path / "trunk.safetensors")}
    train_run(TrainConfig(data=str(tmp_path / "data"), **settings), folder=tmp_path / "runs" / "r")
    text = (tmp_path / "runs/r/config.json").read_text() + (tmp_path / "runs/r/report.html").read_text()
    assert str(tmp_path) not in text
    assert load_run(tmp_path / "runs" / "r").metrics


def test_two_trainings_of_one_name_do_not_meet(made, tmp_path, capsys):
    config = TrainConfig(data=str(made / "data"), **SETTINGS)
    with claimed(tmp_path / "runs" / "r"), pytest.raises(RunBusyError, match="another process"):
        train_run(config, folder=tmp_path / "runs" / "r")
    assert not (tmp_path / "runs").exists()


def test_without_a_name_two_runs_of_one_second_have_two_folders(made, tmp_path):
    options = ["--data", str(made / "data"), "--runs", str(tmp_path / "runs"), "--weights", "none"]
    options += ["--image-size", "32", "--epochs", "1", "--views", "1", "--features-limit", "0"]
    assert main(["train", *options]) == main(["train", *options]) == 0
    assert len(list((tmp_path / "runs").iterdir())) == 2


@pytest.mark.parametrize(
    "name", [".features", ".x", "-x", "x.", " x", "a/b", "a\\b", "x\n", "\udcff", "", "..", "n" * 300]
)
def test_names_that_no_run_may_have(name):
    with pytest.raises(ConfigError):
        check_name(name)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("left", ["config.json.part", ".config.json.0123abcd.part"])
def test_a_kill_in_the_first_write_leaves_no_dead_end(made, tmp_path, resume, left):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / left).write_text("{")
    config = TrainConfig(data=str(made / "data"), **SETTINGS)
    assert train_run(config, folder=tmp_path / "r", resume=resume).metrics
    assert not list((tmp_path / "r").rglob("*.part"))


def test_the_cure_for_a_damaged_checkpoint_works(made, tmp_path):
    def interrupt(history):
        raise KeyboardInterrupt

    config = TrainConfig(data=str(made / "data"), **SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        train_run(config, folder=tmp_path / "r", on_epoch=interrupt)
    (tmp_path / "r" / "checkpoint.safetensors").write_bytes(b"")
    with pytest.raises(RunError, match="delete it, and go on with --resume"):
        train_run(config, folder=tmp_path / "r", resume=True)
    (tmp_path / "r" / "checkpoint.safetensors").unlink()
    assert train_run(config, folder=tmp_path / "r", resume=True).metrics == load_run(made / "runs" / "r").metrics


def test_an_external_set_with_training_pictures_is_not_called_external(made, tmp_path, capsys):
    elsewhere = write_tree(tmp_path / "new", {"test": 3}, seed=5) / "test"
    for number, file in enumerate(sorted((made / "data" / "train" / "fractured").iterdir())[:2]):
        Image.open(file).save(elsewhere / "fractured" / f"other{number}.bmp")  # other names and bytes, same pixels
    options = ["evaluate", str(made / "runs" / "r"), "--data", str(elsewhere), "--report", str(tmp_path / "report")]
    assert main(options) == 0
    printed = capsys.readouterr().out
    assert "EXTERNAL TEST: images" not in printed and "2 of these 8 pictures" in printed
    for name in ("report.html", "MODEL_CARD.md"):
        text = (tmp_path / "report" / name).read_text(encoding="utf-8")
        assert "This is an external test" not in text and "No original image" not in text
        assert "2 of the 8 files show pictures" in text
    assert evaluate_run(load_run(made / "runs" / "r"), data=made / "data")[0].set_name == "test"


def test_columns_of_the_metadata_do_not_take_the_place_of_ours(made, tmp_path):
    root = shutil.copytree(made / "data", tmp_path / "data")
    files = [file.relative_to(root).as_posix() for file in root.rglob("*.png")]
    pd.DataFrame({"file": files, "probability": 1, "prediction": 2}).to_csv(root / "metadata.csv", index=False)
    run = train_run(TrainConfig(data=str(root), **SETTINGS), folder=tmp_path / "r")
    kept = saved_predictions(run.folder).predictions
    assert list(kept).count("probability") == 1 and kept["prediction"].isin([0, 1]).all()


def test_the_record_is_written_with_its_own_hash(folder):
    record = read_record(folder)
    assert record == write_record(folder, record) and set(record["files"]) >= {"model.safetensors", "report.html"}
