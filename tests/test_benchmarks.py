"""The opponents of the benchmarks are what they are said to be."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from benchmarks import speed
from benchmarks.audit import mixture
from benchmarks.kills import Ended, fingerprint, kill_once, run
from benchmarks.opponents import plain_model, plain_prediction, plain_training
from fracturelib.audit.pictures import describe_picture
from fracturelib.audit.registration import compare
from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.features import feature_loaders
from fracturelib.images import read_radiograph
from fracturelib.loaders import make_loaders
from fracturelib.model import build_model
from fracturelib.simulation import simulate_one
from fracturelib.training import fit

CONFIG = TrainConfig(weights="none", epochs=2, views=2, patience=2, image_size=64, batch_size=8, device="cpu")


def test_the_plain_loop_runs_the_trunk_itself_in_float32():
    model, types = plain_model(CONFIG), []
    model.trunk.bn1.register_forward_hook(lambda module, given, found: types.append(found.dtype))
    model(torch.zeros(1, 3, 64, 64))
    assert types == [torch.float32]  # its batch norm runs by itself, so this is no copy with batch norm folded in


@pytest.mark.slow
def test_the_plain_loop_learns_the_same_as_ours_and_predicts_the_same(tiny_data):
    loaders = make_loaders(read_catalog(tiny_data), CONFIG)
    model = build_model(CONFIG)
    model.precision = "float32"
    ours = feature_loaders(model, loaders, CONFIG)
    history = fit(model, ours.train, ours.val, CONFIG)
    assert plain_training(loaders, CONFIG)["val_loss"] == pytest.approx(history["val_loss"].iloc[-1], abs=1e-4)

    files = sorted(tiny_data.rglob("*.png"))[:3]
    opponent = plain_model(CONFIG)
    opponent.head.load_state_dict(model.head.state_dict())
    images = torch.stack([loaders.test.dataset.transform(image) for image in map(read_radiograph, files)])
    assert plain_prediction(opponent, files, CONFIG) == pytest.approx(model.predict_proba(images).tolist(), abs=1e-4)


@pytest.mark.slow
def test_a_killed_command_is_run_again_compared_and_timed(tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    whole = run("weights", tmp_path, folder)
    assert whole.code == 0 and whole.silence <= whole.seconds
    found = kill_once(1, "weights", tmp_path, folder, Ended(0, 0.1, whole.silence), {"gone": ""})
    assert found["code"] == 0 and found["group"] and found["differ"] == ["gone"]


def test_files_are_the_same_but_for_recorded_times(tmp_path):
    prints = []
    for seconds, threshold in ((1.5, 0.5), (2.5, 0.5), (2.5, 0.6)):
        text = f'{{"started": "2026-01-01T00:00:0{seconds:.0f}+00:00", "seconds": {seconds}, "threshold": {threshold}}}'
        (tmp_path / "config.json").write_text(text)
        prints.append(fingerprint(tmp_path))
    assert prints[0] == prints[1] != prints[2]


def test_mixtures_that_share_a_half_are_no_copies_and_a_turned_one_is():
    draw = np.random.default_rng(0)
    base = [cv2.resize(simulate_one(patient).picture, (224, 224)) for patient in range(4)]
    made = [mixture(base[0], other, draw) for other in base[1:]] + [mixture(base[1], base[0], draw)]
    assert not any(compare(*map(describe_picture, pair)) for pair in combinations(made, 2))
    turned = cv2.warpAffine(made[0], cv2.getRotationMatrix2D((112, 112), 25, 1), (224, 224))
    assert compare(describe_picture(made[0]), describe_picture(turned))


def test_the_stages_of_predict_are_timed_one_by_one(tiny_data, monkeypatch):
    files = sorted(Path(tiny_data).rglob("*.png"))[:3]
    monkeypatch.setattr(speed, "predict_files", lambda run, files: None)
    run = SimpleNamespace(config=CONFIG, model=SimpleNamespace(predict_proba=lambda images: images.std(dim=(1, 2, 3))))
    rows = {row["check"].split(": ")[1]: row["value"] for row in speed.stage_rows(run, files, 2)}
    assert rows["decoding"] > 0 and rows["resizing"] > 0
    assert 0 < rows["share of the bare trunk's speed that reading leaves at best"] < 1
