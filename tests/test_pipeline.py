import json
import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from fracturelib.config import TrainConfig
from fracturelib.errors import CatalogError, DataWarning, ImageError, RunError, SplitLeakWarning
from fracturelib.pipeline import evaluate_run, train_run
from fracturelib.prediction import predict_files, predict_stream
from fracturelib.runs import load_run, write_record
from fracturelib.stress.probing import Probes, shown_paths

SETTINGS = {"weights": "none", "image_size": 32, "batch_size": 8, "epochs": 2, "views": 2}


@pytest.fixture(scope="module")
def run(tiny_data, tmp_path_factory):
    return train_run(TrainConfig(data=str(tiny_data), **SETTINGS), folder=tmp_path_factory.mktemp("runs") / "first")


@pytest.fixture
def copied(run, tmp_path):
    """A copy of the run that a test may damage."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in run.folder.iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_the_folder_holds_everything_that_was_promised(run):
    names = {file.name for file in run.folder.iterdir()}
    assert names >= {
        "config.json",
        "history.csv",
        "model.safetensors",
        "metrics.json",
        "predictions.csv",
        "report.html",
    }
    assert any(run.folder.rglob("*.png"))
    assert not any(name.endswith(".part") for name in names)


def test_the_record_says_data_weights_and_versions(run):
    record = json.loads((run.folder / "config.json").read_text())
    assert record["config"] == run.config.to_dict() | {"data": "data"}
    assert len(record["data"]["fingerprint"]) == 64
    assert record["weights"]["name"] == "none" and "random" in record["weights"]["detail"]
    assert "torch" in record["versions"] and record["threshold"] == run.threshold


def test_predictions_have_the_promised_columns(run, tiny_data):
    table = pd.read_csv(run.folder / "predictions.csv")
    assert table.columns.tolist()[:6] == ["path", "label", "probability", "prediction", "raw", "source_id"]
    assert len(table) == 8 and all((tiny_data / path).exists() for path in table["path"])
    assert ((table["probability"] >= run.threshold).astype(int) == table["prediction"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["head", "layer4"])
def test_a_reloaded_run_repeats_its_numbers_exactly(tiny_data, tmp_path, stage):
    made = train_run(TrainConfig(data=str(tiny_data), unfreeze=stage, **SETTINGS), folder=tmp_path / "run")
    evaluation, predictions = evaluate_run(load_run(tmp_path / "run"))
    kept = pd.read_csv(tmp_path / "run" / "predictions.csv")
    assert predictions["probability"].tolist() == kept["probability"].tolist()
    assert evaluation.to_dict() == made.metrics == json.loads((tmp_path / "run" / "metrics.json").read_text())


def test_the_model_file_holds_only_what_was_trained(run):
    assert {name.split(".")[0] for name in load_file(run.folder / "model.safetensors")} == {"head"}


@pytest.mark.slow
def test_a_second_run_of_the_same_name_is_refused_and_changes_nothing(run, tiny_data):
    before = {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()}
    with pytest.raises(RunError, match="--resume"):
        train_run(run.config, folder=run.folder)
    again = train_run(run.config, folder=run.folder, resume=True)
    assert again.metrics == run.metrics
    assert before == {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()}


@pytest.mark.slow
def test_a_finished_run_is_not_reused_for_other_settings(run):
    with pytest.raises(RunError, match="other settings"):
        train_run(TrainConfig(**{**run.config.to_dict(), "learning_rate": 0.01}), folder=run.folder, resume=True)


def test_nothing_is_written_when_the_data_are_bad(tmp_path):
    with pytest.raises(CatalogError):
        train_run(TrainConfig(data=str(tmp_path / "absent"), **SETTINGS), folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_warnings_are_shown_and_kept_in_the_record(make_tree, tmp_path):
    root = make_tree()
    shared = root / "train/fractured/s0009.png"
    shared.rename(root / "train/fractured/wrist7.png")
    (root / "val/fractured/wrist7-rotated1.png").write_bytes((root / "val/fractured/s0021.png").read_bytes())
    with pytest.warns(SplitLeakWarning, match="1 source"):
        made = train_run(TrainConfig(data=str(root), **SETTINGS), folder=tmp_path / "run")
    assert any("train+val" in message for message in made.record["warnings"])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("config.json", b"{"),
        ("config.json", b"[]"),
        ("config.json", b'{"format": "something else"}'),
        ("config.json", None),
        ("metrics.json", b"{"),
        ("history.csv", None),
        ("model.safetensors", b"garbage"),
        ("model.safetensors", None),
    ],
)
def test_a_damaged_run_is_an_error_that_names_the_file(copied, name, damage):
    if damage is None:
        (copied / name).unlink()
    else:
        (copied / name).write_bytes(damage)
    with pytest.raises(RunError, match="copy"):
        load_run(copied)


def test_a_config_with_unknown_or_impossible_settings_is_an_error(copied):
    record = json.loads((copied / "config.json").read_text())
    record["config"]["dropout"] = 7
    (copied / "config.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match="dropout"):
        load_run(copied)


def test_a_model_of_other_shapes_is_an_error(copied):
    state = load_file(copied / "model.safetensors")
    save_file({name: value[:1].clone() for name, value in state.items()}, copied / "model.safetensors")
    with pytest.raises(RunError, match=r"model\.safetensors"):
        load_run(copied)


def test_another_trunk_than_the_recorded_one_is_an_error(copied):
    record = json.loads((copied / "config.json").read_text())
    record["weights"]["sha256"] = "0" * 64
    write_record(copied, record)
    with pytest.raises(RunError, match="not the ones"):
        load_run(copied)


def test_an_external_test_uses_the_runs_own_threshold_and_says_external(run, make_tree):
    folder = make_tree({"test": 6}, seed=9) / "test"  # two class folders are one test split
    evaluation, predictions = evaluate_run(run, data=folder)
    assert evaluation.set_name == "external test" and evaluation.threshold == run.threshold
    assert len(predictions) == 12


@pytest.mark.slow
def test_changed_data_are_noticed(make_tree, tmp_path):
    root = make_tree()
    train_run(TrainConfig(data=str(root), **SETTINGS), folder=tmp_path / "run")
    Image.fromarray(np.full((64, 48), 9, np.uint8)).save(root / "test/fractured/new.png")
    with pytest.warns(DataWarning, match="changed"):
        evaluate_run(load_run(tmp_path / "run"))


def test_predict_gives_a_row_per_readable_file(run, tiny_data, tmp_path):
    (tmp_path / "empty.png").touch()
    with pytest.warns(DataWarning, match=r"1 of the files.*empty\.png"):
        table = predict_files(run, [tiny_data / "test", tmp_path / "empty.png"])
    assert len(table) == 8 and set(table["prediction"]) <= {"fractured", "not fractured"}
    expected = pd.read_csv(run.folder / "predictions.csv").set_index("path")["probability"]
    for row in table.itertuples():
        name = "/".join(row.path.split("/")[-3:])
        assert row.probability == pytest.approx(expected[name], abs=1e-6)


def test_predict_counts_truncated_files(run, tmp_path):
    cut = tmp_path / "cut.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)).save(cut)
    cut.write_bytes(cut.read_bytes()[:-80])
    with pytest.warns(DataWarning, match=r"truncated: 1 .*cut\.jpg"):
        assert len(predict_files(run, [cut])) == 1
    with pytest.raises(ImageError, match=r"cut\.jpg"):
        predict_files(run, [cut], strict=True)


@pytest.mark.slow
def test_an_interrupted_run_does_not_go_on_with_other_data(make_tree, tmp_path):
    root, settings = make_tree(), {**SETTINGS, "views": 0}

    def interrupt(history):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_run(TrainConfig(data=str(root), **settings), folder=tmp_path / "run", on_epoch=interrupt)
    with pytest.raises(RunError, match="not finished"):
        load_run(tmp_path / "run")
    Image.fromarray(np.full((64, 48), 9, np.uint8)).save(root / "train/fractured/new.png")
    with pytest.raises(RunError, match="data changed"):
        train_run(TrainConfig(data=str(root), **settings), folder=tmp_path / "run", resume=True)


def test_predict_with_nothing_readable_is_an_error(run, tmp_path):
    (tmp_path / "x.png").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"x\.png"), warnings.catch_warnings():
        warnings.simplefilter("error")
        predict_files(run, [tmp_path])
    with pytest.raises(ImageError):
        predict_files(run, [tmp_path / "absent.png"])


def test_predictions_come_before_the_last_file_is_read(run, tiny_data, monkeypatch):
    """A stream: after the first row, no more than the first batches have been read."""
    from fracturelib.prediction import stream

    read = []
    usual = stream.read_picture
    monkeypatch.setattr(stream, "read_picture", lambda file, **more: (read.append(file), usual(file, **more))[1])
    monkeypatch.setitem(stream.BATCH, "cpu", 4)
    rows = predict_stream(run, [tiny_data])
    next(rows)
    assert len(read) <= 8
    assert len(list(rows)) == 31 and len(read) == 32


@pytest.mark.slow
def test_a_second_training_takes_its_features_from_the_bank(run, tiny_data, monkeypatch):
    from fracturelib.model import FractureClassifier

    passes = []
    usual = FractureClassifier.frozen_features

    def counting(model, images):
        passes.extend(image for image in images if image.any())  # a black one asks for the shape
        return usual(model, images)

    monkeypatch.setattr(FractureClassifier, "frozen_features", counting)
    monkeypatch.setattr("fracturelib.pipeline.run_probes", lambda *_, **__: Probes())
    other = TrainConfig(data=str(tiny_data), **{**SETTINGS, "learning_rate": 0.01, "hidden_units": 8})
    made = train_run(other, folder=run.folder.parent / "second")
    shown, self_test = len(shown_paths(pd.read_csv(made.folder / "predictions.csv"), threshold=made.threshold)), 3
    assert len(passes) <= shown + self_test and made.record["precision"] in ("float32", "bfloat16")
    assert sorted(path.name for path in run.folder.parent.iterdir()) == [".features", "first", "second"]


@pytest.mark.slow
def test_maps_that_are_too_large_to_keep_are_said_and_not_kept(tiny_data, tmp_path, capsys):
    config = TrainConfig(data=str(tiny_data), unfreeze="layer4", **SETTINGS)
    train_run(config, folder=tmp_path / "run", features_limit=1000)
    assert "too much to keep" in capsys.readouterr().out
    assert not list((tmp_path / ".features").rglob("*.safetensors")), "facts of files are kept, features are not"
