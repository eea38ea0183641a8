"""More pixels, no squeezing: how a picture becomes a square, tiles of it, and how maps are pooled."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.errors import ConfigError, EvaluationError
from fracturelib.explain import _over_picture, grad_cam
from fracturelib.features import FeatureBank, compute_features
from fracturelib.images.squares import window
from fracturelib.loaders import make_loaders
from fracturelib.model import build_model
from fracturelib.pipeline import train_run
from fracturelib.runs import load_run
from fracturelib.transforms import denormalize, eval_transform, train_transform

CONFIG = TrainConfig(weights="none", image_size=32, precision="float32", views=1, epochs=1, batch_size=8)


def bone(height, width, *, at, side=20, level=200):
    """A bright square on black whose middle is at (row, column)."""
    picture = np.zeros((height, width), np.uint8)
    picture[at[0] - side // 2 : at[0] + side // 2, at[1] - side // 2 : at[1] + side // 2] = level
    return picture


@pytest.mark.parametrize("fit", ["square", "pad", "crop"])
@pytest.mark.parametrize("shape", [(60, 60), (100, 40), (40, 101)])
def test_the_window_is_a_square_unless_the_picture_is_squeezed(fit, shape):
    left, top, width, height = window(bone(*shape, at=(20, 20)), fit)
    if fit == "square":
        assert (left, top, width, height) == (0, 0, *shape[::-1])
    else:
        assert width == height == (max(shape) if fit == "pad" else min(shape))
    if fit == "crop":
        assert left >= 0 and top >= 0 and left + width <= shape[1] and top + height <= shape[0]
    image = eval_transform(replace(CONFIG, fit=fit))(bone(*shape, at=(20, 20)))
    assert image.shape == train_transform(replace(CONFIG, fit=fit))(bone(*shape, at=(20, 20))).shape == (3, 32, 32)


@pytest.mark.parametrize(("at", "start"), [((20, 20), 0), ((70, 20), 50), ((185, 20), 160)])
def test_a_crop_has_the_anatomy_in_its_middle_as_far_as_the_picture_goes(at, start):
    assert window(bone(200, 40, at=at), "crop") == (0, start, 40, 40)


def test_margins_have_the_mean_grey_of_the_anatomy():
    seen = denormalize(eval_transform(replace(CONFIG, fit="pad"))(bone(80, 40, at=(40, 20)))[None])[0, 0]
    assert seen[:, 0].mean().item() == pytest.approx(200 / 255, abs=0.01)
    assert seen[16, 16].item() == pytest.approx(200 / 255, abs=0.01) and seen[2, 16].item() < 0.02


def test_what_is_not_squeezed_keeps_its_shape():
    disc = np.zeros((200, 80), np.uint8)
    rows, columns = np.mgrid[:200, :80]
    disc[(rows - 100) ** 2 + (columns - 40) ** 2 < 30**2] = 255
    for fit, round_ in (("crop", True), ("square", False)):
        seen = denormalize(eval_transform(replace(CONFIG, fit=fit, image_size=80))(disc)[None])[0, 0] > 0.5
        across, down = int(seen.any(0).sum()), int(seen.any(1).sum())
        assert (abs(across - down) <= 1) == round_


@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_heat_comes_back_to_where_it_was_in_the_picture(fit):
    picture = bone(200, 80, at=(60, 40))
    seen = denormalize(eval_transform(replace(CONFIG, fit=fit, image_size=64))(picture)[None])[0, 0].numpy()
    heat = (seen > 0.6).astype(float) if fit == "crop" else np.where(np.abs(np.arange(64) - 32) < 12, seen, 0)
    back = _over_picture(heat, picture, fit)
    rows, columns = np.nonzero(back > 0.5)
    assert rows.mean() / 64 == pytest.approx(60 / 200, abs=0.03)
    assert columns.mean() / 64 == pytest.approx(40 / 80, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(("pool", "width"), [("mean+max", 1024), ("gem", 512)])
@pytest.mark.parametrize("architecture", ["resnet18", "timm:resnet10t"])
def test_maps_are_pooled_as_asked(pool, width, architecture):
    if architecture.startswith("timm"):
        pytest.importorskip("timm")
    config = replace(CONFIG, architecture=architecture, image_size=64)
    plain, model = build_model(config), build_model(replace(config, pool=pool))
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        mean, found = plain.features(images), model.features(images)
    assert found.shape == (2, width)
    if pool == "mean+max":
        torch.testing.assert_close(found[:, :512], mean, atol=1e-4, rtol=1e-4)
        assert (found[:, 512:] >= mean - 1e-4).all()
    else:
        assert (found >= mean.clamp_min(0) - 1e-3).all()  # a power mean is at least the mean


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["vit_b_32", "convnext_tiny", "densenet121", "vgg11", "mobilenet_v2"])
def test_a_trunk_that_cannot_be_pooled_otherwise_says_so(architecture):
    with pytest.raises(ConfigError, match="cannot be pooled by mean"):
        build_model(replace(CONFIG, architecture=architecture, image_size=224, pool="mean+max"))


@pytest.mark.slow
def test_tiles_are_the_whole_picture_and_overlapping_parts_of_it():
    config = replace(CONFIG, tiles=2)
    assert config.picture_side == 56
    model, plain = build_model(config), build_model(CONFIG)
    images = torch.randn(2, 3, 56, 56)
    whole = torch.nn.functional.interpolate(images, (32, 32), mode="bilinear", antialias=True)
    parts = [whole, *(images[:, :, top : top + 32, left : left + 32] for top in (0, 24) for left in (0, 24))]
    with torch.inference_mode():
        each = torch.stack([plain.features(part) for part in parts])
        expected = torch.cat([each.mean(0), each.amax(0)], 1)
        torch.testing.assert_close(model.features(images), expected, atol=1e-4, rtol=1e-4)
    with pytest.raises(EvaluationError, match="this trunk has no maps"):
        grad_cam(model, images)


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"tiles": 2}, {"pool": "mean+max"}, {"pool": "gem"}])
def test_every_way_computes_in_bfloat16(change):
    config = replace(CONFIG, **change)
    images = torch.randn(2, 3, config.picture_side, config.picture_side)
    exact = build_model(config).frozen_features(images)
    near = build_model(replace(config, precision="bfloat16")).frozen_features(images)
    assert near.dtype == torch.float32
    torch.testing.assert_close(near, exact, atol=0.05 * float(exact.abs().max()), rtol=0)


@pytest.mark.slow
def test_the_bank_tells_the_ways_apart(tiny_data, tmp_path):
    bank, found = FeatureBank(tmp_path), []
    for change in ({}, {"fit": "pad"}, {"fit": "crop"}, {"pool": "gem"}, {"pool": "mean+max"}, {"tiles": 2}):
        config = replace(CONFIG, data=str(tiny_data), **change)
        dataset = make_loaders(read_catalog(tiny_data), config).val.dataset
        found.append(compute_features(build_model(config), dataset, config, bank=bank))
        again = compute_features(build_model(config), dataset, config, bank=bank)
        assert torch.equal(found[-1], again)
    assert len([one for one in tmp_path.iterdir() if one.is_dir()]) == 6
    same = [one for one in found if one.shape == found[0].shape]
    assert all(not torch.equal(same[0], other) for other in same[1:])


@pytest.mark.parametrize("wrong", [{"fit": "stretch"}, {"pool": "max"}, {"tiles": 0}])
def test_other_words_are_refused_with_the_right_ones(wrong):
    with pytest.raises(ConfigError, match="choose"):
        replace(CONFIG, **wrong)


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"fit": "crop", "pool": "mean+max"}, {"fit": "pad", "tiles": 2}])
def test_a_run_with_more_pixels_reloads_bit_for_bit(tiny_data, tmp_path, change):
    config = replace(CONFIG, data=str(tiny_data), **change)
    run = train_run(config, folder=tmp_path / "runs" / "one")
    again, images = load_run(run.folder), torch.randn(2, 3, config.picture_side, config.picture_side)
    assert torch.equal(run.model.predict_proba(images), again.model.predict_proba(images))
    assert json.loads((run.folder / "config.json").read_text())["config"]["fit"] == change["fit"]
