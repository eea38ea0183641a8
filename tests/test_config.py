import math
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fracturelib.config import CLASS_NAMES, POSITIVE, PRESETS, TrainConfig, preset_settings
from fracturelib.errors import ConfigError
from fracturelib.transforms import eval_transform, train_transform


def test_the_recipe_is_the_default():
    config = TrainConfig()
    assert (config.hidden_units, config.dropout, config.learning_rate) == (256, 0.5, 1e-3)
    assert (config.step_size, config.gamma, config.patience, config.min_delta) == (5, 0.1, 3, 0.05)
    assert config.architecture == "resnet18" and config.unfreeze == "head"
    assert CLASS_NAMES[POSITIVE] == "fractured" and POSITIVE == 1


def test_it_is_frozen():
    with pytest.raises(FrozenInstanceError):
        TrainConfig().epochs = 3


@pytest.mark.parametrize(
    "setting",
    [
        {"epochs": 0},
        {"epochs": 2.5},
        {"epochs": True},
        {"dropout": math.nan},
        {"dropout": 1.0},
        {"learning_rate": -1.0},
        {"learning_rate": math.inf},
        {"device": "gpu"},
        {"precision": "float16"},
        {"threshold": "best"},
        {"threshold": "1.0"},
        {"threshold": "nan"},
        {"data": 3},
        {"data": ""},
        {"weights": "a\0b"},
        {"epochs": 10**5000},
        {"threshold": "sensitivity=nan"},
        {"threshold": "costs=1e300:1e-300"},
    ],
)
def test_values_out_of_range_are_refused_with_the_name_of_the_setting(setting):
    with pytest.raises(ConfigError, match=next(iter(setting))):
        TrainConfig(**setting)


def test_unknown_names_are_refused_and_the_known_ones_listed():
    with pytest.raises(ConfigError, match="learning_rate"):
        TrainConfig.from_dict({"lr": 1e-3})


def test_a_preset_is_the_recipe_but_for_what_it_names_and_explicit_settings_win():
    assert preset_settings("recipe") == TrainConfig()
    best, other = preset_settings("best"), preset_settings("best", image_size=96, epochs=3)
    assert best == TrainConfig(**PRESETS["best"]) and best != TrainConfig()
    assert other == TrainConfig(**{**PRESETS["best"], "image_size": 96, "epochs": 3})
    with pytest.raises(ConfigError) as caught:
        preset_settings("better")
    assert all(name in str(caught.value.cure) for name in PRESETS)


def test_the_preset_learns_from_the_pictures_that_it_is_asked_about():
    config = preset_settings("best", image_size=64)
    picture = np.random.default_rng(0).integers(0, 256, (90, 70), dtype=np.uint8)
    assert torch.equal(train_transform(config)(picture), eval_transform(config)(picture))


@given(st.integers(1, 100), st.floats(0, 0.95), st.sampled_from(["youden", "0.5", "0.25"]))
def test_to_dict_and_from_dict_are_inverse(epochs, dropout, threshold):
    config = TrainConfig(epochs=epochs, dropout=dropout, threshold=threshold)
    assert TrainConfig.from_dict(config.to_dict()) == config


def test_every_field_has_a_help_text():
    assert all(entry.metadata["help"] for entry in fields(TrainConfig))
