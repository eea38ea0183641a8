"""The heads: standardised features, one layer, a logistic regression, and the files of runs without them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.preprocessing import StandardScaler

from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.errors import ConfigError
from fracturelib.features import FeatureDataset, feature_loaders
from fracturelib.loaders import make_loader, make_loaders
from fracturelib.model import FractureClassifier, Standardise, build_head, build_model
from fracturelib.pipeline import train_run
from fracturelib.runs import load_run
from fracturelib.training import fit, read_checkpoint
from fracturelib.training.logistic import STRENGTHS, choose_strength
from fracturelib.trunks.weights import WeightsOrigin

CONFIG = TrainConfig(weights="none", image_size=32, batch_size=6, epochs=3, views=3, precision="float32")


def features(count=60, width=12, *, seed=0, noise=1.0):
    """Small features of different sizes, of which the smallest carries the label; two files of every source."""
    rng = np.random.default_rng(seed)
    label = np.repeat(rng.integers(0, 2, count // 2), 2)
    values = rng.normal(size=(count, width)) * np.geomspace(0.04, 0.01, width) + np.geomspace(50, 1, width)
    values[:, -1] = 0.01 * (label * 2 + noise * rng.normal(size=count)) + 1
    table = pd.DataFrame(
        {"path": [f"{i}.png" for i in range(count)], "label": label, "source_id": np.arange(count) // 2}
    )
    return FeatureDataset(table, torch.tensor(values, dtype=torch.float32)[None])


def fitted(config, train, val):
    model = FractureClassifier(
        torch.nn.Identity(), build_head(config, train.features.shape[2]), WeightsOrigin("none", "features", None, "")
    )
    return model, fit(model, make_loader(train, config, shuffle=True), make_loader(val, config, shuffle=False), config)


def test_features_are_standardised_as_scikit_learn_does():
    train = features()
    layer = Standardise(12)
    assert not layer.fitted and torch.equal(layer(train.features[0]), train.features[0])
    layer.fit(train.features[0].double().mean(0), train.features[0].double().std(0, correction=0))
    expected = StandardScaler().fit_transform(train.features[0].double().numpy())
    np.testing.assert_allclose(layer(train.features[0]), expected, atol=2e-3)


def test_a_constant_feature_is_centred_only():
    layer = Standardise(2)
    layer.fit(torch.tensor([3.0, 0.0]), torch.tensor([1e-7, 0.0]))
    assert torch.equal(layer(torch.tensor([[3.0, 1.0]])), torch.tensor([[0.0, 1.0]]))


def test_a_feature_that_hardly_varies_is_divided_by_half_the_median():
    layer = Standardise(3)
    layer.fit(torch.zeros(3), torch.tensor([1e-6, 2.0, 3.0]))
    assert torch.equal(layer(torch.ones(1, 3)), torch.tensor([[1.0, 1 / 2, 1 / 3]]))


def test_only_training_images_are_standardised_by():
    train, val = features(seed=1), features(seed=2)
    model, _ = fitted(CONFIG, train, val)
    other, _ = fitted(CONFIG, train, FeatureDataset(val.table, val.features * 100))
    assert model.head[0].fitted and torch.equal(model.head[0].mean, other.head[0].mean)
    torch.testing.assert_close(model.head[0].mean, train.features[0].mean(0))


@pytest.mark.slow
@pytest.mark.parametrize("head", ["recipe", "linear", "logistic"])
def test_every_head_learns_from_the_smallest_feature(head):
    train, val = features(240, seed=1, noise=0.3), features(80, seed=2, noise=0.3)
    config = replace(CONFIG, head=head, epochs=30, step_size=30, patience=30, learning_rate=1e-2)
    _, history = fitted(config, train, val)
    assert history["val_auc"].iloc[history.attrs["best_epoch"] - 1] > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("head", ["recipe", "linear", "logistic"])
def test_images_and_features_give_the_same_head(tiny_data, head):
    config = replace(CONFIG, head=head)
    loaders = make_loaders(read_catalog(tiny_data), config)
    on_images = build_model(config)
    first = fit(on_images, loaders.train, loaders.val, config)
    on_features = build_model(config)
    kept = feature_loaders(on_features, loaders, config)
    second = fit(on_features, kept.train, kept.val, config)
    pd.testing.assert_frame_equal(first, second, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(on_images.head[0].mean, on_features.head[0].mean, rtol=1e-5, atol=1e-5)
    assert on_images.head[0].fitted


def test_logistic_is_scikit_learns():
    train, val = features(seed=1), features(seed=2)
    config = replace(CONFIG, head="logistic", views=1)
    model, history = fitted(config, train, val)
    values = StandardScaler().fit(train.features[0].double())
    inputs, labels = values.transform(train.features[0].double()), train.table["label"]
    strength = choose_strength(inputs, labels.to_numpy(), train.table["source_id"].to_numpy())
    oracle = LogisticRegression(C=strength, max_iter=2000).fit(inputs, labels)
    expected = oracle.predict_proba(values.transform(val.features[0].double()))[:, 1]
    np.testing.assert_allclose(model.predict_proba(val.features[0]), expected, atol=1e-3)
    assert len(history) == 1 and history.attrs["best_epoch"] == 1


def test_the_strength_is_chosen_over_groups():
    """Copies of a source in another fold would make the weakest penalty look best: noise could be learnt by heart."""
    rng = np.random.default_rng(0)
    once = rng.normal(size=(30, 40))
    labels = np.tile(rng.permutation(np.arange(30) % 2), 4)
    copies = np.tile(once, (4, 1)) + rng.normal(scale=0.01, size=(120, 40))
    apart, together = (
        choose_strength(copies, labels, np.arange(120)),
        choose_strength(copies, labels, np.arange(120) % 30),
    )
    assert together < apart == STRENGTHS[-1]


@pytest.mark.parametrize("width", [8, 90])
def test_the_strength_is_that_of_least_loss_however_wide_the_features(width):
    rng = np.random.default_rng(1)
    labels, groups = np.arange(50) % 2, np.arange(50) // 2 * 2 + np.arange(50) % 2
    wide = rng.normal(size=(50, width)) + labels[:, None] * 0.3
    parts = list(StratifiedGroupKFold(5, shuffle=True, random_state=0).split(wide, labels, groups))

    def loss(strength):
        plain = LogisticRegression(C=strength, max_iter=2000)
        return log_loss(labels, cross_val_predict(plain, wide, labels, cv=parts, method="predict_proba")[:, 1])

    assert choose_strength(wide, labels, groups) == min(STRENGTHS, key=loss)


def test_with_one_group_of_a_class_there_is_no_choice():
    assert choose_strength(np.eye(4), np.array([0, 1, 1, 1]), np.array([0, 1, 2, 3])) in STRENGTHS


def test_settings_that_exclude_each_other_are_told():
    with pytest.raises(ConfigError, match="logistic"):
        TrainConfig(head="logistic", unfreeze="layer4")
    with pytest.raises(ConfigError, match="recipe, linear, logistic"):
        TrainConfig(head="forest")


@pytest.mark.slow
@pytest.mark.parametrize("head", ["linear", "logistic"])
def test_a_run_with_another_head_is_a_run(tiny_data, tmp_path, head):
    config = replace(CONFIG, data=str(tiny_data), head=head)
    run = train_run(config, folder=tmp_path / "runs" / "one")
    again = load_run(run.folder)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(run.model.predict_proba(images), again.model.predict_proba(images))
    assert (run.folder / "report.html").is_file()


@pytest.mark.slow
def test_the_files_of_a_run_without_standardised_features_fit(tiny_data, tmp_path):
    model = build_model(CONFIG)
    old = {name: value for name, value in model.trained_state().items() if "standardise" not in name}
    (tmp_path / "model.safetensors").write_bytes(save(old))
    reloaded = build_model(replace(CONFIG, seed=0))
    reloaded.load_trained_state(load_file(tmp_path / "model.safetensors"))
    values = torch.randn(4, 512)
    assert torch.equal(reloaded(values), model(values)) and not reloaded.head[0].fitted


def test_a_resumed_training_keeps_its_standardisation(tmp_path):
    train, val = features(seed=1), features(seed=2)
    place = tmp_path / "checkpoint.safetensors"
    loaders = make_loader(train, CONFIG, shuffle=True), make_loader(val, CONFIG, shuffle=False)

    def new():
        return FractureClassifier(torch.nn.Identity(), build_head(CONFIG, 12), WeightsOrigin("none", "", None, ""))

    whole = fit(new(), *loaders, CONFIG)
    fit(new(), *loaders, replace(CONFIG, epochs=2), checkpoint=place)
    assert "model/head.standardise.mean" in read_checkpoint(place)[0]
    resumed = fit(new(), *loaders, CONFIG, checkpoint=place, resume=True)
    pd.testing.assert_frame_equal(whole, resumed, check_exact=True)
