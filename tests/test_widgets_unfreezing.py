"""Training beyond the head: maps in place of images, steps that go on from each other, and the panel."""

from __future__ import annotations

import copy
from dataclasses import replace

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.course.figures.learning import step_curves
from fracturelib.course.studies import (
    DeepBench,
    Step,
    open_deep_bench,
    steps_down,
    train_in_steps,
)
from fracturelib.course.widgets import runs, unfreezing
from fracturelib.course.widgets.unfreezing import unfreezing_panel
from fracturelib.errors import ConfigError
from fracturelib.loaders import make_loader, make_loaders
from fracturelib.model import build_model
from fracturelib.runtime import choose_device
from fracturelib.training import fit, validate
from fracturelib.trunks.weights import state_fingerprint


@pytest.fixture(scope="module")
def config(tiny_data) -> TrainConfig:
    return TrainConfig(
        str(tiny_data), weights="none", image_size=32, views=2, batch_size=8, hidden_units=16, precision="float32"
    )


@pytest.fixture(scope="module")
def loaders(config):
    return make_loaders(read_catalog(config.data), config)


@pytest.fixture(scope="module")
def bench(config, loaders) -> DeepBench:
    return open_deep_bench(build_model(config), loaders, config)


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    assert not plt.get_fignums()


# --- two parts of a trunk -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("deepest", ["conv1", "layer3.0.conv2", "layer7"])
def test_a_trunk_that_cannot_be_divided_there(config, loaders, deepest):
    with pytest.raises(ConfigError, match=deepest):
        open_deep_bench(build_model(config), loaders, config, deepest=deepest)


@pytest.mark.slow
def test_the_bench_holds_no_test_image_and_names_its_stages(bench, config, loaders):
    assert set(bench.train.table["split"]) == {"train"} and set(bench.val.table["split"]) == {"val"}
    assert bench.stages == ["head", "layer4", "layer3"]
    assert bench.train.features.shape == (2, len(bench.train), 128, 4, 4)  # views, images, channels, height, width
    few = open_deep_bench(build_model(config), loaders, config, images=6)
    assert len(few.train) == 6 and set(few.train.table["path"]) < set(bench.train.table["path"])
    torch.testing.assert_close(few.val.features, bench.val.features)


# --- training in steps ----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["head", "layer4", "layer3"])
def test_training_on_maps_is_training_on_images(bench, config, loaders, stage):
    run = train_in_steps(bench, config, [Step(stage, 1e-4, 2)])
    settings = replace(config, learning_rate=1e-4, epochs=2, patience=2, unfreeze=stage)
    on_images = fit(build_model(settings), loaders.train, loaders.val, settings)
    columns = ["epoch", "learning_rate", "train_loss", "val_loss"]
    pd.testing.assert_frame_equal(run.history[columns], on_images[columns], rtol=2e-3, check_names=False)


@pytest.mark.slow
def test_steps_go_on_from_the_best_weights_so_far(bench, config):
    plan = steps_down(["head", "layer4", "layer3"], epochs=2, learning_rate=1e-2)
    run = train_in_steps(bench, config, plan)
    history = run.history
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5, 6] and history["step"].tolist() == [1, 1, 2, 2, 3, 3]
    assert history["learning_rate"].tolist() == pytest.approx([1e-2] * 2 + [1e-3] * 2 + [1e-4] * 2)
    kept = validate(run.model, make_loader(bench.val, config, shuffle=False), choose_device(config.device))
    assert kept["val_loss"] == pytest.approx(run.best["val_loss"], abs=1e-4)
    assert run.best["val_loss"] <= history["val_loss"].min() + config.min_delta
    alone = train_in_steps(bench, config, plan[:1])
    pd.testing.assert_frame_equal(history.iloc[:2], alone.history, check_names=False)


@pytest.mark.slow
def test_a_step_that_only_harms_is_undone(bench, config):
    run = train_in_steps(bench, config, [Step("head", 1e-3, 2), Step("layer4", 1.0, 1)])
    assert run.history["val_loss"].iloc[-1] > run.best["val_loss"]
    assert run.history.attrs["stage"] == "head"
    assert state_fingerprint(run.model.trunk) == state_fingerprint(bench.model.trunk)


@pytest.mark.slow
def test_a_training_leaves_the_bench_as_it_was(bench, config):
    before = state_fingerprint(bench.model)
    maps = bench.train.features.clone()
    first = train_in_steps(bench, config, [Step("layer3", 1e-3, 1)])
    assert state_fingerprint(bench.model) == before
    assert torch.equal(bench.train.features, maps)
    again = train_in_steps(bench, config, [Step("layer3", 1e-3, 1)])
    pd.testing.assert_frame_equal(first.history, again.history, check_exact=True)
    assert state_fingerprint(first.model.trunk) != state_fingerprint(bench.model.trunk), "and the copy has learnt"


@pytest.mark.slow
def test_a_trained_model_answers_to_images_as_to_maps(bench, config, loaders):
    run = train_in_steps(bench, config, [Step("layer4", 1e-3, 1)])
    images, _, rows = next(iter(loaders.val))
    from_maps = run.model.predict_proba(bench.val.features[0, rows])
    torch.testing.assert_close(run.model.predict_proba(images), from_maps, rtol=1e-3, atol=1e-4)


def test_a_stage_below_the_maps_is_refused(bench, config):
    with pytest.raises(ConfigError, match="'layer2' cannot be trained"):
        train_in_steps(bench, config, [Step("layer2", 1e-3, 1)])


def test_rates_shrink_on_the_way_down():
    plan = steps_down(["head", "layer4"], epochs=3, learning_rate=1e-2, shrink=5)
    assert plan == [Step("head", 1e-2, 3), Step("layer4", 2e-3, 3)]


@pytest.mark.slow
def test_the_figure_names_every_step(bench, config):
    run = train_in_steps(bench, config, steps_down(["head", "layer4"], epochs=1))
    ax = step_curves(run.history)
    assert {text.get_text() for text in ax.texts} == {"head", "layer4 and up"}
    assert min(text.get_fontsize() for text in ax.texts) >= 11
    plt.close(ax.figure)


# --- the panel ------------------------------------------------------------------------------------------------------


@pytest.fixture
def plain_pictures(monkeypatch):
    monkeypatch.setattr(runs, "training_figure", lambda *args, **options: Figure(figsize=(1, 1)))


def values_of(control) -> list:
    """Every value of a list; of a scale its ends."""
    if not hasattr(control, "options"):
        return [control.min, control.max]
    return [option[1] if isinstance(option, tuple) else option for option in control.options]


@pytest.mark.slow
def test_every_value_of_every_control(bench, config, plain_pictures, monkeypatch):
    asked, trained = [], train_in_steps(bench, config, [Step("head", 1e-3, 1)])

    def remember(bench, config, steps, *, images, on_epoch):
        asked.append((steps[-1].stage, steps[-1].learning_rate, images, steps[-1].epochs))
        on_epoch(trained.history)
        return trained

    monkeypatch.setattr(unfreezing, "train_in_steps", remember)
    panel = unfreezing_panel({"pretrained": bench, "random": bench}, config, images=8, background=False)
    assert asked == [("layer4", 1e-4, 8, 3)] and panel.draw.runs[-1].settings["trunk"] == "pretrained"
    for name, control in panel.controls.items():
        for value in values_of(control):
            control.value = value
            assert panel.result.value.count("<img") == 1 and "<table" in panel.result.value
            assert panel.draw.runs[-1].settings[name] == value
        control.value = panel.defaults[name]
    panel.reset()
    assert asked[-1] == asked[0]


@pytest.mark.slow
def test_the_panel_trains(bench, config, plain_pictures):
    panel = unfreezing_panel({"pretrained": bench}, config, background=False)
    run = panel.draw.runs[-1].run
    assert run.history["stage"].tolist() == ["head", "head", "layer4", "layer4", "layer4"]


def test_the_same_settings_again_and_forgetting(bench, config, plain_pictures, monkeypatch):
    trained = train_in_steps(bench, config, [Step("head", 1e-3, 1)])
    monkeypatch.setattr(unfreezing, "train_in_steps", lambda *args, **options: trained)
    panel = unfreezing_panel({"pretrained": bench}, config, background=False)
    panel.controls["stage"].value = "head"
    panel.reset()
    assert [run.number for run in panel.draw.runs] == [2, 3]
    (forget,) = [button for button in panel.buttons if button.description.startswith("Forget")]
    forget.click()
    assert [run.number for run in panel.draw.runs] == [3] and "run 3" in panel.result.value


def test_a_training_that_breaks_is_told_in_words(bench, config, plain_pictures):
    broken = copy.copy(bench.train)
    broken.features = torch.full_like(bench.train.features, float("nan"))
    panel = unfreezing_panel({"broken": replace(bench, train=broken)}, config, background=False)
    assert "the loss is not finite" in panel.result.value and not panel.draw.runs
