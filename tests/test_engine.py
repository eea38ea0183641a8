"""onnxruntime in the place of torch: the same numbers in float32, near ones in int8, and all of it written down."""

import json
import shutil
import sys

import numpy as np
import onnx
import pandas as pd
import pytest
import torch

from fracturelib import catalog
from fracturelib.catalog import read_catalog
from fracturelib.cli import main
from fracturelib.config import TrainConfig
from fracturelib.errors import ConfigError, FracturelibError, RunError
from fracturelib.features import FeatureBank, compute_features, make_engine
from fracturelib.features.calibrating import HEX_DIGITS
from fracturelib.loaders import RadiographDataset
from fracturelib.model import build_model
from fracturelib.pipeline import evaluate_run, train_run
from fracturelib.prediction import predict_files
from fracturelib.prediction.engines import give_engine
from fracturelib.runs import load_run, repeat_self_test, write_record
from fracturelib.runs.schema import digest_of
from fracturelib.transforms import eval_transform
from fracturelib.trunks.engine import FACTS, Engine
from tests.helpers.trees import write_tree

CONFIG = TrainConfig(weights="distilled", image_size=64, batch_size=16, epochs=1, views=1, device="cpu")


def engine_of(config, root, *, split="train"):
    """A model with the engine that its settings ask for, and the pictures that it was calibrated on."""
    model, table = build_model(config), read_catalog(root)
    pictures = RadiographDataset(catalog.rows(table, table["split"] == split), eval_transform(config), side=64)
    model.engine = make_engine(model, pictures, config)
    return model, pictures


def settings(**changes):
    return TrainConfig(**{**CONFIG.to_dict(), **changes})


def images_of(pictures):
    return torch.stack([pictures.image(row, 0) for row in range(len(pictures))])


# --- the numbers ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("unfreeze", ["head", "layer4"])
def test_onnxruntime_in_float32_gives_what_torch_gives(tiny_data, unfreeze):
    model, pictures = engine_of(settings(engine="onnxruntime", unfreeze=unfreeze), tiny_data)
    images = images_of(pictures)
    found = model.frozen_features(images)
    with model.in_float32():
        exact = model.frozen_features(images)
    assert model.engine.precision == "float32" and found.shape == exact.shape
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("unfreeze", ["head", "layer4"])
def test_int8_stays_near_float32(tiny_data, unfreeze):
    model, pictures = engine_of(settings(precision="int8", unfreeze=unfreeze), tiny_data)
    images = images_of(pictures)
    found = model.frozen_features(images).flatten(1)
    with model.in_float32():
        exact = model.frozen_features(images).flatten(1)
    cosines = torch.nn.functional.cosine_similarity(found, exact)
    assert cosines.min() > 0.99 and not torch.equal(found, exact)
    assert (found - exact).abs().max() < 0.2 * exact.abs().max()
    operators = {node.op_type for node in onnx.load_from_string(model.engine.content).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= operators


@pytest.mark.slow
def test_a_picture_has_the_same_features_alone_and_among_others(tiny_data):
    model, pictures = engine_of(settings(precision="int8"), tiny_data)
    images = images_of(pictures)
    alone = torch.cat([model.frozen_features(image[None]) for image in images])
    torch.testing.assert_close(model.frozen_features(images), alone, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_the_same_pictures_make_the_same_file_and_others_another(tiny_data):
    config = settings(precision="int8")
    (one, _), (again, _), (other, _) = (
        engine_of(config, tiny_data, split=split) for split in ("train", "train", "val")
    )
    assert one.engine.content == again.engine.content and one.engine.identity != other.engine.identity


@pytest.mark.slow
def test_a_stage_above_an_int8_trunk_learns(tiny_data):
    model, pictures = engine_of(settings(precision="int8", unfreeze="layer4"), tiny_data)
    model.train()
    model(images_of(pictures)).sum().backward()
    trained = {name for name, value in model.named_parameters() if value.grad is not None and value.grad.any()}
    assert any(name.startswith("trunk.layer4") for name in trained)
    assert not any(name.startswith(("trunk.conv1", "trunk.layer3")) for name in trained)


# --- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", [{"precision": "int8", "engine": "torch"}, {"precision": "bfloat16", "engine": "onnxruntime"}]
)
def test_an_engine_that_does_not_compute_in_a_precision_is_refused(wrong):
    with pytest.raises(ConfigError, match="does not compute"):
        TrainConfig(**wrong)


def test_int8_without_its_engine_is_refused():
    with pytest.raises(ConfigError, match="only by an engine"):
        build_model(settings(precision="int8")).frozen_features(torch.zeros(1, 3, 64, 64))


def test_a_trunk_without_a_frozen_part_is_refused(tiny_data, tmp_path):
    with pytest.raises(ConfigError, match="all of it is trained"):
        train_run(settings(data=str(tiny_data), precision="int8", unfreeze="conv1"), folder=tmp_path / "runs" / "r")
    assert not (tmp_path / "runs" / "r").exists()


@pytest.mark.slow
def test_a_trunk_that_onnx_has_no_words_for_is_refused(tiny_data, tmp_path):
    config = settings(data=str(tiny_data), precision="int8", tiles=2)
    with pytest.raises(FracturelibError, match="resnet18 in tiles cannot be exported to ONNX"):
        train_run(config, folder=tmp_path / "runs" / "r")
    assert not (tmp_path / "runs" / "r").exists()


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_its_extra_before_anything_is_written(
    tiny_data, tmp_path, monkeypatch, capsys, package
):
    monkeypatch.setitem(sys.modules, package, None)
    named = ["--data", str(tiny_data), "--runs", str(tmp_path / "runs"), "--weights", "none", "--image-size", "64"]
    assert main(["train", *named, "--name", "r", "--precision", "int8"]) == 2
    assert "fracturelib[onnx]" in capsys.readouterr().err and not (tmp_path / "runs" / "r").exists()


def test_another_device_is_refused(tiny_data, monkeypatch):
    monkeypatch.setattr("fracturelib.features.calibrating.choose_device", lambda name: torch.device("meta"))
    with pytest.raises(ConfigError, match="on processors"):
        engine_of(settings(precision="int8"), tiny_data)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"pool": "gem"}, {"architecture": "timm:test_vit"}])
def test_other_trunks_are_exported_as_well(tiny_data, options):
    if options.get("architecture"):
        pytest.importorskip("timm")
    size = 160 if options.get("architecture") else 64
    config = settings(weights="none", precision="int8", image_size=size, **options)
    model, pictures = engine_of(config, tiny_data)
    images = images_of(pictures)[:4]
    with model.in_float32():
        exact = model.features(images)
    assert torch.nn.functional.cosine_similarity(model.features(images), exact).min() > 0.9


# --- the bank ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_bank_tells_engines_precisions_and_calibrations_apart(tiny_data, tmp_path):
    bank, found = FeatureBank(tmp_path / "bank"), {}
    for name, changes, split in (
        ("torch", {"precision": "float32"}, None),
        ("float32", {"engine": "onnxruntime"}, "train"),
        ("int8", {"precision": "int8"}, "train"),
        ("int8 of others", {"precision": "int8"}, "val"),
    ):
        config = settings(**changes)
        model = build_model(config) if split is None else engine_of(config, tiny_data, split=split)[0]
        table = read_catalog(tiny_data)
        rows = RadiographDataset(catalog.rows(table, table["split"] == "test"), eval_transform(config), side=64)
        found[name] = compute_features(model, rows, config, bank=bank)
        assert len(bank._sets()) == len(found)
        torch.testing.assert_close(found[name], compute_features(model, rows, config), rtol=0, atol=1e-5)
    assert not torch.equal(found["int8"], found["int8 of others"])


# --- a run ------------------------------------------------------------------------------------------------

# What uses these is slow.
SLOW_FIXTURES = ("home",)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a data set, and a finished run whose trunk computes in int8."""
    home = tmp_path_factory.mktemp("home")
    write_tree(home / "data", {"train": 24, "val": 20, "test": 8})
    train_run(settings(data=str(home / "data"), weights="none", precision="int8"), folder=home / "runs" / "r")
    return home


@pytest.fixture
def folder(home, tmp_path):
    shutil.copytree(home / "runs" / "r", tmp_path / "r")
    return tmp_path / "r"


def test_a_reloaded_run_gives_its_own_numbers(home):
    run = load_run(home / "runs" / "r")
    assert run.repeats_here and run.record["precision"] == "int8" and run.model.engine.precision == "int8"
    assert repeat_self_test(run).difference == 0
    kept = pd.read_csv(run.folder / "predictions.csv")
    _, found = evaluate_run(run)
    np.testing.assert_allclose(found["probability"], kept["probability"], atol=1e-6)
    table = predict_files(run, [home / "data" / kept["path"][0]])
    assert table["raw"][0] == pytest.approx(kept["raw"][0] if "raw" in kept else kept["probability"][0], abs=1e-6)


def test_the_record_says_what_computed_it_on_what_it_was_calibrated_and_what_that_changed(home):
    run = load_run(home / "runs" / "r")
    engine, found = run.record["engine"], run.record["engine"]["difference"]
    assert (engine["runtime"], engine["precision"], engine["method"]) == ("onnxruntime", "int8", "min-max")
    assert found["pictures"] == 40 and 0.9 < found["cosine_least"] <= found["cosine_mean"] <= 1
    assert 0 <= found["probability_most"] < 0.2 and abs(found["auc"] - found["auc_float32"]) < 0.2
    for page in ("report.html", "MODEL_CARD.md"):
        assert "computed in int8 by onnxruntime" in (run.folder / page).read_text(encoding="utf-8")
    assert (
        str(home) not in (run.folder / "config.json").read_text() and str(home).encode() not in run.model.engine.content
    )


def test_calibration_sees_training_pictures_only(home, monkeypatch):
    table, engine = read_catalog(home / "data"), load_run(home / "runs" / "r").record["engine"]
    hashes = table["sha256"].str[:HEX_DIGITS]
    assert set(engine["pictures"]) <= set(hashes[table["split"] == "train"])
    read = []
    usual = RadiographDataset.image
    monkeypatch.setattr(RadiographDataset, "image", lambda self, *of: read.append(self.table) or usual(self, *of))
    give_engine(build_model(settings(precision="int8")), table, settings(precision="int8"))
    assert read and all((seen["split"] == "train").all() for seen in read)


def test_a_machine_without_onnxruntime_says_so(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main(["predict", str(folder), str(folder)]) == 2
    assert "fracturelib[onnx]" in capsys.readouterr().err


def test_predicting_needs_onnxruntime_alone(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert len(predict_files(load_run(home / "runs" / "r"), [home / "data" / "test"])) == 16


def changed(content):
    """The engine's file with one weight changed."""
    graph = onnx.load_from_string(content)
    weights = max(graph.graph.initializer, key=lambda one: len(one.raw_data))
    weights.raw_data = bytes([weights.raw_data[0] ^ 1]) + weights.raw_data[1:]
    return graph.SerializeToString()


def of_another_trunk(content):
    """The same with the fingerprint of another trunk."""
    graph = onnx.load_from_string(content)
    entry = next(entry for entry in graph.metadata_props if entry.key == FACTS)
    entry.value = json.dumps(json.loads(entry.value) | {"frozen_sha256": "0" * 64})
    return graph.SerializeToString()


def with_weights_elsewhere(content):
    """The same with a weight that is to be read from another file."""
    graph = onnx.load_from_string(content)
    weights = max(graph.graph.initializer, key=lambda one: len(one.raw_data))
    onnx.external_data_helper.set_external_data(weights, location="config.json")
    weights.ClearField("raw_data")
    return graph.SerializeToString()


@pytest.mark.parametrize("spoil", [changed, of_another_trunk, lambda content: content[:-100], lambda content: b""])
def test_a_changed_file_is_known_by_its_hash(folder, spoil):
    (folder / "trunk.onnx").write_bytes(spoil((folder / "trunk.onnx").read_bytes()))
    with pytest.raises(RunError, match=r"trunk\.onnx is not what this run wrote"):
        load_run(folder)


@pytest.mark.parametrize(
    "spoil", [of_another_trunk, with_weights_elsewhere, lambda content: content[:-100], lambda content: b"\x80\x04."]
)
def test_a_foreign_or_broken_file_is_refused_whatever_its_hash(folder, spoil):
    (folder / "trunk.onnx").write_bytes(spoil((folder / "trunk.onnx").read_bytes()))
    record = json.loads((folder / "config.json").read_text())
    record["files"]["trunk.onnx"] = digest_of(folder / "trunk.onnx")
    write_record(folder, record)
    with pytest.raises(RunError, match=r"trunk\.onnx"):
        load_run(folder)


def test_a_missing_file_is_named(folder):
    (folder / "trunk.onnx").unlink()
    with pytest.raises(RunError, match=r"trunk\.onnx of this run cannot be used"):
        load_run(folder)


def test_an_onnx_file_of_somebody_else_is_no_engine(home, tmp_path):
    graph = onnx.load_from_string(load_run(home / "runs" / "r").model.engine.content)
    del graph.metadata_props[:]
    with pytest.raises(FracturelibError, match="cannot use this file as a trunk"):
        Engine(graph.SerializeToString())


@pytest.mark.slow
def test_the_exported_run_says_that_it_computes_in_float32(folder, tmp_path):
    assert main(["export", str(folder), "--onnx", str(tmp_path / "run.onnx")]) == 0
    said = {entry.key: entry.value for entry in onnx.load(str(tmp_path / "run.onnx")).metadata_props}
    assert said["precision"] == "float32 (the run computed its trunk in int8)"
