"""Grad-CAM and its scores on a trunk whose attention is known, against the formula, and with real-sized networks."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from fracturelib.catalog import with_boxes
from fracturelib.config import TrainConfig
from fracturelib.errors import EvaluationError
from fracturelib.evaluation import predict
from fracturelib.explain import (
    box_mask,
    erase,
    grad_cam,
    localisation,
    localisation_summary,
    occlusion,
    occlusion_summary,
)
from fracturelib.loaders import RadiographDataset, make_loader
from fracturelib.model import FractureClassifier, build_model
from fracturelib.stress.probing import run_probes
from fracturelib.transforms import eval_transform
from fracturelib.writing.verdicts import Reason, Verdict
from tests.helpers.spots import CONFIG, SIDE, bright_seeker


def test_grad_cam_agrees_with_the_formula():
    model = build_model(TrainConfig(weights="none", image_size=SIDE))
    images = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    kept = {}
    hook = model.trunk.layer4.register_forward_hook(lambda _, __, output: kept.update(cells=output))
    inputs = images.clone().requires_grad_()
    logits = model.head[:-1](model.trunk(inputs))
    hook.remove()
    slopes = torch.autograd.grad(logits.sum(), kept["cells"])[0].mean(dim=(2, 3), keepdim=True)
    cells = torch.relu((slopes * kept["cells"]).sum(dim=1, keepdim=True)).detach()
    expected = nn.functional.interpolate(cells, (SIDE, SIDE), mode="bilinear")[:, 0]
    expected = expected / expected.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12)
    np.testing.assert_allclose(grad_cam(model, images), expected.numpy(), atol=1e-5)


def test_grad_cam_leaves_the_model_as_it_was():
    model = build_model(TrainConfig(weights="none", image_size=SIDE)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    heat = grad_cam(model, torch.rand(3, 3, SIDE, SIDE))
    assert heat.shape == (3, SIDE, SIDE) and heat.min() >= 0 and heat.max() <= 1
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(parameter.requires_grad for parameter in model.trunk.parameters())
    assert model.training and not model.trunk.training


def test_grad_cam_needs_a_layer_with_places():
    model = build_model(TrainConfig(weights="none", image_size=32))
    assert grad_cam(model, torch.rand(1, 3, 32, 32)).shape == (1, 32, 32)  # layer4 has one place left, layer3 has four
    features = FractureClassifier(nn.Flatten(), nn.Sequential(nn.Linear(12, 1), nn.Sigmoid()), bright_seeker().origin)
    with pytest.raises(EvaluationError, match="keeps places"):
        grad_cam(features, torch.rand(1, 3, 2, 2))


def test_boxes_follow_the_picture_into_the_square(spots):
    row = next(with_boxes(spots).itertuples())
    mask = box_mask(row, SIDE)
    assert mask.sum() == pytest.approx(16 * 16 * SIDE * SIDE / (64 * 96), rel=0.15)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert columns[0] == pytest.approx(row.bbox_x, abs=1)
    assert rows[0] == pytest.approx(row.bbox_y * SIDE / 96, abs=1)
    assert box_mask(row, SIDE, margin=0.05).sum() > mask.sum()


def test_a_model_that_looks_at_the_spot_wins_the_pointing_game(spots):
    found = localisation(bright_seeker(), spots, CONFIG)
    assert len(found) == 20 and found["hit"].mean() > 0.9
    summary = localisation_summary(found, resamples=300).set_index("measure")
    assert (summary[["against_chance", "against_centre"]] == Verdict.HIGHER).all(axis=None)
    assert summary.loc["hit rate", "reason"] == Reason.WILSON and summary.loc["share of heat", "value"] > 0.5
    assert found["chance_share"].mean() == pytest.approx(16 * 16 / (64 * 96), rel=0.05)


def test_a_model_that_finds_nothing_there_scores_nothing(spots):
    found = localisation(bright_seeker(sign=-1.0), spots, CONFIG)  # every map is empty: a miss, and no heat
    assert found[["hit", "share"]].eq(0).all().all()
    summary = localisation_summary(found, resamples=100).set_index("measure")
    assert summary.loc["share of heat", "reason"] == Reason.NO_SPREAD
    assert summary.loc["hit rate", "high"] < 0.2


def test_erasing_what_the_model_looks_at_changes_its_mind(spots):
    found = occlusion(bright_seeker(), spots, CONFIG)
    summary = occlusion_summary(found, resamples=300).set_index("erased")
    assert summary.loc["the fracture", "verdict"] == Verdict.LOWER
    assert summary.loc["difference", "verdict"] == Verdict.LOWER
    assert abs(found["change_other"].mean()) < 0.2 * abs(found["change"].mean())
    pd.testing.assert_frame_equal(found, occlusion(bright_seeker(), spots, CONFIG))


def test_an_erased_box_looks_like_its_surroundings():
    rng = np.random.default_rng(0)
    image = np.clip(rng.normal(100, 8, (60, 60)), 0, 255).astype(np.uint8)
    marked = image.copy()
    marked[20:32, 25:40] = 255
    filled = erase(marked, (25, 20, 15, 12), rng)
    patch = filled[20:32, 25:40].astype(float)
    assert patch.mean() == pytest.approx(100, abs=12) and 2 < patch.std() < 16
    outside = np.ones(image.shape, dtype=bool)
    outside[20:32, 25:40] = False
    assert (filled[outside] == marked[outside]).all()


def test_without_boxes_there_is_an_error_and_few_have_no_interval(spots):
    with pytest.raises(EvaluationError, match="no fractured image has a known fracture box"):
        localisation(bright_seeker(), spots.drop(columns="bbox_x"), CONFIG)
    few = with_boxes(spots).iloc[:5]
    few.attrs = dict(spots.attrs)
    summary = localisation_summary(localisation(bright_seeker(), few, CONFIG))
    assert summary["low"].isna().all() and (summary["reason"] != Reason.NONE).all()
    assert (summary["against_chance"] == Verdict.UNKNOWN).all()


@pytest.mark.slow
def test_all_checks_at_once(spots):
    model = bright_seeker()
    dataset = RadiographDataset(spots, eval_transform(CONFIG), side=SIDE)
    predictions = predict(model, make_loader(dataset, CONFIG, shuffle=False), progress=False)
    found = run_probes(model, spots, CONFIG, predictions, threshold=0.5)
    assert set(found.robustness["perturbation"]) == {"none", "noise", "blur", "contrast", "rotation"}
    assert len(found.localisation) == 2 and len(found.occlusion) == 3
    assert found.heat and all(heat.shape == (SIDE, SIDE) for heat in found.heat.values())
    plain = run_probes(model, spots.drop(columns="bbox_x"), CONFIG, predictions, threshold=0.5)
    assert plain.localisation.empty and plain.occlusion.empty and plain.heat


def test_checks_of_one_class_say_what_cannot_be_estimated(spots):
    fractured = spots[spots["label"] == 1]
    fractured.attrs = dict(spots.attrs)
    predictions = fractured.assign(probability=0.3)
    found = run_probes(bright_seeker(), fractured, CONFIG, predictions, threshold=0.5)
    assert found.robustness["auc"].isna().all()
    assert (found.robustness["verdict"].iloc[1:] == Verdict.UNKNOWN).all()
