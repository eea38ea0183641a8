"""What is easily mixed up at a keyboard is answered in plain words, not with an error from deep inside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.course.reader_study import cohens_kappa
from fracturelib.course.studies.heads import choose_rows
from fracturelib.errors import ConfigError, EvaluationError, InputError
from fracturelib.evaluation import choose_threshold, predict, scores
from fracturelib.features import compute_features
from fracturelib.loaders import make_loaders
from fracturelib.model import build_model
from fracturelib.training import fit

CONFIG = TrainConfig(weights="none", image_size=32, batch_size=8, epochs=1, views=1)


@pytest.fixture(scope="module")
def parts(tiny_data):
    config = replace(CONFIG, data=str(tiny_data))
    return build_model(config), make_loaders(read_catalog(tiny_data), config), config


def test_a_data_set_in_the_place_of_a_loader_and_the_reverse(parts):
    model, loaders, config = parts
    with pytest.raises(ConfigError, match="RadiographDataset came"):
        fit(model, loaders.train.dataset, loaders.val, config)
    with pytest.raises(ConfigError, match="RadiographDataset came"):
        predict(model, loaders.val.dataset)
    with pytest.raises(ConfigError, match="TableLoader came"):
        compute_features(model, loaders.train, config)
    with pytest.raises(ConfigError, match="-1 views"):
        compute_features(model, loaders.train.dataset, config, views=-1)


def test_the_model_takes_tensors_of_its_own_width(parts):
    model = parts[0]
    with pytest.raises(InputError, match="got list"):
        model([0.0])
    with pytest.raises(InputError, match="got ndarray"):
        model(np.zeros((1, 3, 32, 32)))
    with pytest.raises(InputError, match=r"features \(B, 512\), and got \(2, 100\)"):
        model(torch.zeros(2, 100))


def test_a_checkpoint_may_be_named_in_text(parts, tmp_path):
    model, loaders, config = parts
    fit(model, loaders.train, loaders.val, config, checkpoint=str(tmp_path / "c.safetensors"))
    assert (tmp_path / "c.safetensors").is_file()


def test_calls_labels_and_numbers_of_images_that_are_none(parts):
    predictions = parts[1].val.dataset.table.assign(probability=0.5)
    with pytest.raises(EvaluationError, match="no column probability"):
        choose_threshold(predictions.drop(columns="probability"))
    with pytest.raises(EvaluationError, match="must be numbers"):
        scores(["fractured", "not"], [0.1, 0.2], threshold=0.5)
    with pytest.raises(EvaluationError, match="calls of 0 and 1"):
        cohens_kappa([1, np.nan], [1, 0])
    for count in (0, -5, 2.5, True):
        with pytest.raises(ConfigError, match="cannot be chosen"):
            choose_rows(predictions, count)
