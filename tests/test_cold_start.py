"""A first answer without torch: NumPy and onnxruntime give what torch gives, and torch comes where it is needed."""

import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torchvision.transforms import v2

from fracturelib import catalog
from fracturelib.catalog import read_catalog
from fracturelib.cli import main
from fracturelib.config import TrainConfig
from fracturelib.errors import FracturelibError, RunError, RunWarning
from fracturelib.features import make_engine
from fracturelib.images.squares import as_torch_resizes, framed, resized
from fracturelib.loaders import RadiographDataset
from fracturelib.model import build_model
from fracturelib.pipeline import train_run
from fracturelib.prediction import are_few, predict_files, stream
from fracturelib.runs import Run, load_run, load_run_lightly, reading, write_record
from fracturelib.runs.network import OnnxNetwork, TorchNetwork
from fracturelib.runs.schema import digest_of
from fracturelib.transforms import Window, eval_transform
from tests.helpers.trees import write_tree

CONFIG = TrainConfig(weights="none", image_size=64, batch_size=16, epochs=1, views=1, device="cpu")
needs_avx2 = pytest.mark.skipif(not as_torch_resizes(), reason="torch resizes in another way on this processor")


def settings(**changes):
    return TrainConfig(**{**CONFIG.to_dict(), **changes})


def noise(height, width, *, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)


# --- the numbers ------------------------------------------------------------------------------------------


@needs_avx2
@pytest.mark.parametrize("side", [64, 224, 448])
def test_pictures_are_resized_as_torch_does_to_the_last_bit(side):
    rng = np.random.default_rng(side)
    shapes = [(side, side), (side, 500), (90, side), (1, 1), (2, 700), (1501, 977), *rng.integers(30, 900, (20, 2))]
    for number, (height, width) in enumerate(shapes):
        for picture in (noise(height, width, seed=number), noise(height, width, seed=number) // 128 * 255):
            expected = v2.functional.resize(torch.from_numpy(picture)[None], [side, side], antialias=True)
            np.testing.assert_array_equal(resized(picture, side), expected[0].numpy(), err_msg=f"{height}×{width}")


@pytest.mark.parametrize("shape", [(60, 90), (90, 60), (91, 60), (50, 50)])
def test_margins_are_those_of_torchvision(shape):
    picture = noise(*shape) // 16
    picture[10:40, 15:35] = 250
    square = framed(picture, "pad")
    across, down = max(shape) - shape[1], max(shape) - shape[0]
    grey = round(float(picture[picture > 125].mean()))
    margins = [across // 2, down // 2, across - across // 2, down - down // 2]
    expected = v2.functional.pad(torch.from_numpy(picture)[None], margins, fill=[grey])
    np.testing.assert_array_equal(square, expected[0].numpy())
    assert torch.equal(Window("pad")(torch.from_numpy(picture)[None]), expected)


@needs_avx2
@pytest.mark.parametrize(
    "changes", [{}, {"head": "linear", "fit": "pad"}, {"head": "logistic", "fit": "crop", "pool": "mean+max"}]
)
def test_the_whole_network_gives_what_torch_gives(tiny_data, changes):
    config = settings(engine="onnxruntime", **changes)
    model, table = build_model(config), read_catalog(tiny_data)
    chosen = catalog.rows(table, table["split"] == "train")
    model.engine = make_engine(model, RadiographDataset(chosen, eval_transform(config), side=64), config)
    standardise = model.head.standardise
    standardise.fit(torch.randn(len(standardise.mean)), torch.rand(len(standardise.std)) + 0.1)
    head = {name: value.numpy() for name, value in model.trained_state().items()}
    light, usual = OnnxNetwork(model.engine, head, config), TorchNetwork(model, config)
    pictures = [noise(100 + 7 * number, 160 - 9 * number, seed=number) for number in range(9)]
    greys = np.stack([usual.grey(picture) for picture in pictures])
    np.testing.assert_array_equal(np.stack([light.grey(picture) for picture in pictures]), greys)
    features = usual.features(greys)
    np.testing.assert_array_equal(light.features(greys), features)
    found, expected = light.probabilities(features), usual.probabilities(features)
    assert found.dtype == expected.dtype == np.float32 and np.ptp(expected) > 1e-3
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_an_extreme_probability_is_no_warning():
    head = {f"head.standardise.{name}": np.full(2, value, np.float32) for name, value in (("mean", 0), ("std", 1))}
    head |= {"head.0.weight": np.full((1, 2), 500, np.float32), "head.0.bias": np.zeros(1, np.float32)}
    network = OnnxNetwork(None, head, settings(head="linear"))
    np.testing.assert_array_equal(network.probabilities(np.array([[-1, -1], [1, 1]], np.float32)), [0, 1])


# --- a run ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a data set, and two finished runs: by onnxruntime, and by torch."""
    home = tmp_path_factory.mktemp("home")
    write_tree(home / "data", {"train": 24, "val": 20, "test": 8})
    for name, changes in (("light", {"precision": "int8"}), ("usual", {})):
        train_run(settings(data=str(home / "data"), **changes), folder=home / "runs" / name)
    return home


@pytest.fixture
def folder(home, tmp_path):
    shutil.copytree(home / "runs" / "light", tmp_path / "light")
    return tmp_path / "light"


@pytest.fixture
def cold(monkeypatch):
    """As if torch were not loaded yet."""
    monkeypatch.setattr(reading, "sys", SimpleNamespace(modules={}))


def predicted_in_a_new_process(arguments):
    """Which of some heavy packages are loaded after `fracturelib predict`."""
    heavy = ("torch", "torchvision", "sklearn", "matplotlib", "onnx")
    code = "import sys, fracturelib.cli as c; code = c.main(sys.argv[1:]); print('loaded:', code, "
    code += f"*[name for name in {heavy} if name in sys.modules])"
    command = [sys.executable, "-c", code, "predict", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


@needs_avx2
@pytest.mark.slow
@pytest.mark.parametrize("what", ["file", "folder"])
def test_predicting_a_few_pictures_loads_no_torch_and_says_the_same(home, tmp_path, what):
    place = home / "data" / "test"
    place = next(place.rglob("*.png")) if what == "file" else place
    csv, patients = tmp_path / "found.csv", tmp_path / "patients.csv"
    asked = [home / "runs" / "light", place, "--csv", csv, "--csv-patients", patients]
    assert predicted_in_a_new_process(asked) == "loaded: 0"
    found, people = pd.read_csv(csv), patients.read_text()
    assert main(["predict", *map(str, asked)]) == 0  # torch is loaded here, and used
    expected = pd.read_csv(csv)
    numbers = ["probability", "raw", "distance"]
    pd.testing.assert_frame_equal(found.drop(columns=numbers), expected.drop(columns=numbers))
    np.testing.assert_allclose(found[numbers], expected[numbers], rtol=0, atol=1e-6)
    assert people == patients.read_text() and len(found) == (1 if what == "file" else 16)


@needs_avx2
@pytest.mark.slow
def test_what_needs_torch_loads_it(home, tmp_path):
    picture = next((home / "data" / "test").rglob("*.png"))
    assert "torch" in predicted_in_a_new_process([home / "runs" / "usual", picture])
    assert "torch" in predicted_in_a_new_process([home / "runs" / "light", picture, "--explain", tmp_path / "pages"])


@needs_avx2
@pytest.mark.slow
def test_a_light_run_answers_as_the_usual_one(home, cold):
    light, usual = load_run_lightly(home / "runs" / "light"), load_run(home / "runs" / "light")
    assert not isinstance(light, Run)
    assert (light.threshold, light.temperature) == (usual.threshold, usual.temperature)
    found, expected = (predict_files(run, [home / "data" / "val"]) for run in (light, usual))
    pd.testing.assert_frame_equal(found, expected, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_where_numpy_does_not_repeat_torch_or_torch_is_there_it_is_used(home, cold, monkeypatch):
    assert isinstance(load_run_lightly(home / "runs" / "usual"), Run)
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    assert isinstance(load_run_lightly(home / "runs" / "light"), Run)
    monkeypatch.undo()
    assert isinstance(load_run_lightly(home / "runs" / "light"), Run)  # torch is loaded


@needs_avx2
@pytest.mark.slow
def test_a_light_run_needs_no_weights_of_its_own_trunk(folder, cold, monkeypatch):
    monkeypatch.setattr("fracturelib.model.build_model", lambda *_, **__: pytest.fail("the trunk was built"))
    assert load_run_lightly(folder).network.device == "cpu"


def renewed(folder, name):
    """The record takes a file for its own again."""
    record = json.loads((folder / "config.json").read_text())
    record["files"][name] = digest_of(folder / name)
    write_record(folder, record)


def spoilt_model(folder):
    from safetensors.numpy import load_file, save_file

    state = load_file(folder / "model.safetensors")
    save_file(state | {"head.3.weight": np.full_like(state["head.3.weight"], np.nan)}, folder / "model.safetensors")


def other_head(folder):
    from safetensors.numpy import load_file, save_file

    state = load_file(folder / "model.safetensors")
    save_file(state | {"head.0.weight": state["head.0.weight"][:, :7].copy()}, folder / "model.safetensors")


def missing_tensor(folder):
    from safetensors.numpy import load_file, save_file

    state = load_file(folder / "model.safetensors")
    save_file({name: state[name] for name in state if name != "head.0.bias"}, folder / "model.safetensors")


@needs_avx2
@pytest.mark.slow
@pytest.mark.parametrize("spoil", [spoilt_model, other_head, missing_tensor])
def test_a_spoilt_head_is_refused_as_by_torch(folder, cold, spoil):
    spoil(folder)
    with pytest.raises(RunError, match="is not what this run wrote"):
        load_run_lightly(folder)
    renewed(folder, "model.safetensors")
    for load in (load_run_lightly, load_run):
        with pytest.raises(RunError, match="the run's model cannot be read"):
            load(folder)


@needs_avx2
@pytest.mark.slow
def test_an_engine_that_the_record_does_not_describe_is_refused(home, folder, cold, monkeypatch):
    record = json.loads((folder / "config.json").read_text())
    write_record(folder, record | {"engine": record["engine"] | {"frozen_sha256": "0" * 64}})
    for load in (load_run_lightly, load_run):
        with pytest.raises(RunError, match=r"trunk\.onnx is not what this run wrote"):
            load(folder)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(FracturelibError, match="onnxruntime is not installed"):
        load_run_lightly(home / "runs" / "light")


@needs_avx2
@pytest.mark.slow
def test_the_self_test_is_done_without_torch_too(folder, cold):
    from safetensors.numpy import load_file, save_file

    kept = load_file(folder / "selftest.safetensors")
    save_file(kept | {"probabilities": kept["probabilities"] + 0.2}, folder / "selftest.safetensors")
    renewed(folder, "selftest.safetensors")
    with pytest.warns(RunWarning, match="other numbers"):
        load_run_lightly(folder)


def test_few_pictures_are_counted_without_reading_them(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "FEW", 2)
    for name in "ab":
        (tmp_path / f"{name}.png").touch()
    assert are_few([tmp_path]) and are_few([tmp_path / "a.png"])
    assert not are_few([tmp_path, tmp_path / "a.png"]) and not are_few([tmp_path / "missing"])
