import json
import math
import signal
import subprocess
import sys

import pandas as pd
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score

from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.errors import ConfigError, RunError, TrainingError
from fracturelib.features import FeatureDataset, compute_features, feature_loaders
from fracturelib.loaders import make_loader, make_loaders
from fracturelib.model import build_model
from fracturelib.training import EarlyStopping, fit, read_checkpoint, train_one_epoch, validate

CONFIG = TrainConfig(weights="none", image_size=32, batch_size=6, epochs=4, patience=9, step_size=2, views=4)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def loaders(tiny_data):
    return make_loaders(read_catalog(tiny_data), CONFIG)


@pytest.fixture(scope="module")
def features(loaders):
    return feature_loaders(build_model(CONFIG, weights="none"), loaders, CONFIG)


def run(loaders, config=CONFIG, **options):
    model = build_model(config)
    return fit(model, loaders.train, loaders.val, config, **options), model


def separable(width=512, size=64):
    """Features that a head can learn: the label is the sign of the first one."""
    points = torch.randn(1, size, width, generator=torch.Generator().manual_seed(0))
    table = pd.DataFrame({"path": [f"{i}.png" for i in range(size)], "label": (points[0, :, 0] > 0).int().numpy()})
    points[0, :, 0] *= 20
    return FeatureDataset(table, points)


def test_history_has_one_row_per_epoch_and_the_schedule_in_it(features):
    history, _ = run(features)
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    assert history["learning_rate"].tolist() == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])
    assert set(history) >= {"train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_auc", "risen"}


@pytest.mark.slow
def test_training_learns_what_can_be_learnt():
    dataset = separable()
    loader = make_loader(dataset, CONFIG, shuffle=True)
    model = build_model(CONFIG)
    history = fit(model, loader, make_loader(dataset, CONFIG, shuffle=False), CONFIG)
    assert history["val_auc"].iloc[-1] > 0.99 and history["train_loss"].iloc[-1] < history["train_loss"].iloc[0]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_history_bit_for_bit(features):
    torch.manual_seed(1)
    first, model = run(features)
    torch.manual_seed(2)
    second, again = run(features)
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert all(torch.equal(a, b) for a, b in zip(model.head.parameters(), again.head.parameters(), strict=True))
    other, _ = run(features, TrainConfig(**{**CONFIG.to_dict(), "seed": 1}))
    assert not first["train_loss"].equals(other["train_loss"])


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["head", "layer4", "layer3", "layer4.1"])
def test_training_on_images_and_on_features_is_the_same(loaders, stage):
    """As many views as epochs: whether the frozen part runs in every epoch or once, the history is the same."""
    config = TrainConfig(**{**CONFIG.to_dict(), "unfreeze": stage})
    on_images, _ = run(loaders, config)
    on_features, _ = run(feature_loaders(build_model(config), loaders, config), config)
    pd.testing.assert_frame_equal(on_images, on_features, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_feature_views_are_the_pictures_of_the_epochs(loaders):
    model = build_model(CONFIG)
    computed = compute_features(model, loaders.train.dataset, CONFIG, views=2)
    assert computed.shape == (2, len(loaders.train.dataset), 512)
    loaders.train.dataset.set_view(1)
    image = loaders.train.dataset[3][0]
    with torch.inference_mode():
        torch.testing.assert_close(model.features(image[None])[0], computed[1, 3], atol=1e-5, rtol=1e-4)
    assert not torch.equal(computed[0], computed[1])


@pytest.mark.slow
def test_features_of_a_trunk_that_is_wholly_trained_are_refused(loaders):
    with pytest.raises(ConfigError, match="freeze"):
        feature_loaders(build_model(CONFIG).unfreeze("conv1"), loaders, CONFIG)


def test_validation_agrees_with_scikit_learn(features):
    model = build_model(CONFIG)
    table, points = features.val.dataset.table, features.val.dataset.features[0]
    found = validate(model, features.val, CPU)
    probabilities = model.predict_proba(points).double().numpy()
    assert found["val_loss"] == pytest.approx(log_loss(table["label"], probabilities), rel=1e-5)
    assert found["val_auc"] == pytest.approx(roc_auc_score(table["label"], probabilities))
    assert found["val_accuracy"] == pytest.approx(((probabilities >= 0.5) == table["label"]).mean())


def test_one_class_in_validation_gives_no_auc_but_trains(features):
    dataset = features.val.dataset
    kept = (dataset.table["label"] == 0).to_numpy(copy=True)
    one_class = FeatureDataset(dataset.table[kept].reset_index(drop=True), dataset.features[:, kept])
    history = fit(build_model(CONFIG), features.train, make_loader(one_class, CONFIG, shuffle=False), CONFIG)
    assert history["val_auc"].isna().all() and history["val_loss"].notna().all()


def test_early_stopping_by_hand():
    stopping = EarlyStopping(patience=2, min_delta=0.1)
    losses = [1.0, 0.8, 0.85, 0.95, 0.89, 0.91, math.nan]
    risen = [stopping.update(epoch, loss) for epoch, loss in enumerate(losses, start=1)]
    assert risen == [False, False, False, True, False, True, True]
    assert stopping.should_stop and stopping.best_epoch == 5 and stopping.lowest == 0.8


def test_training_stops_early_and_the_best_weights_come_back(features):
    """A learning rate that ruins the head: the epoch kept is an early one, and its weights are what remains."""
    config = TrainConfig(**{**CONFIG.to_dict(), "learning_rate": 0.3, "epochs": 12, "patience": 2, "step_size": 50})
    history, model = run(features, config)
    assert history.attrs["stopped_early"] and len(history) < 12
    best = history.attrs["best_epoch"]
    assert not history["risen"].iloc[best - 1] and history["risen"].iloc[best:].all() and best < len(history)
    assert validate(model, features.val, CPU)["val_loss"] == history["val_loss"].iloc[best - 1]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["head", "layer4"])
def test_an_interrupted_and_resumed_run_equals_an_uninterrupted_one(loaders, tmp_path, stage):
    config = TrainConfig(**{**CONFIG.to_dict(), "unfreeze": stage, "epochs": 3})
    whole, expected = run(loaders, config)

    def interrupt(history):
        if len(history) == 1:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run(loaders, config, checkpoint=checkpoint, on_epoch=interrupt)
    resumed, model = run(loaders, config, checkpoint=checkpoint, resume=True)
    pd.testing.assert_frame_equal(resumed, whole, check_exact=True)
    assert resumed.attrs == whole.attrs
    for (name, a), (_, b) in zip(model.state_dict().items(), expected.state_dict().items(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.slow
def test_resuming_a_finished_run_trains_nothing_more(features, tmp_path):
    checkpoint = tmp_path / "checkpoint.safetensors"
    first, _ = run(features, checkpoint=checkpoint)
    calls = []
    again, _ = run(features, checkpoint=checkpoint, resume=True, on_epoch=calls.append)
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    assert calls == []


@pytest.mark.slow
def test_a_run_may_go_on_for_more_epochs(features, tmp_path):
    checkpoint = tmp_path / "checkpoint.safetensors"
    short = TrainConfig(**{**CONFIG.to_dict(), "epochs": 2})
    run(features, short, checkpoint=checkpoint)
    longer, _ = run(features, checkpoint=checkpoint, resume=True)
    whole, _ = run(features)
    pd.testing.assert_frame_equal(longer, whole, check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", ["truncated", "garbage", "other format", "other settings", "other trunk", "nan", "facts"]
)
def test_a_wrong_checkpoint_is_an_error_that_names_it(features, tmp_path, damage):
    from safetensors.torch import save_file

    checkpoint = tmp_path / "checkpoint.safetensors"
    run(features, checkpoint=checkpoint)
    config, content = CONFIG, checkpoint.read_bytes()
    if damage == "truncated":
        checkpoint.write_bytes(content[:-99])
    elif damage == "garbage":
        checkpoint.write_bytes(b"not a checkpoint at all")
    elif damage == "other format":
        save_file({"x": torch.zeros(1)}, checkpoint, metadata={"fracturelib": json.dumps({"format": "other"})})
    elif damage in ("nan", "facts"):
        tensors, facts = read_checkpoint(checkpoint)
        if damage == "nan":
            tensors = {name: value * float("nan") for name, value in tensors.items()}
        else:
            facts["rows"][0]["val_loss"] = "low"
        save_file(tensors, checkpoint, metadata={"fracturelib": json.dumps(facts)})
    elif damage == "other settings":
        config = TrainConfig(**{**CONFIG.to_dict(), "batch_size": 7})
    else:
        config = TrainConfig(**{**CONFIG.to_dict(), "seed": 5})
    with pytest.raises(RunError, match=str(checkpoint)):
        run(features, config, checkpoint=checkpoint, resume=True)


def test_a_loss_that_is_not_finite_names_the_files_of_the_batch(features):
    dataset = separable()
    dataset.features[0, 10] = float("nan")
    loader = make_loader(dataset, CONFIG, shuffle=False)
    model = build_model(CONFIG)
    optimizer = torch.optim.Adam(model.head.parameters())
    with pytest.raises(TrainingError) as caught:
        train_one_epoch(model, loader, optimizer, CPU)
    assert "10.png" in str(caught.value) and "6.png" in str(caught.value) and "12.png" not in str(caught.value)


@pytest.mark.slow
def test_sigterm_leaves_a_checkpoint_and_says_how_to_go_on(tiny_data, tmp_path):
    command = [
        *(sys.executable, "train.py", "--data", str(tiny_data), "--runs", str(tmp_path), "--name", "r"),
        *("--weights", "none", "--image-size", "32", "--epochs", "2000", "--patience", "2000", "--views", "0"),
    ]
    from pathlib import Path

    process = subprocess.Popen(
        command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if line.startswith("epoch   2"):
            break
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    assert "--name r --resume" in errors
    assert (tmp_path / "r" / "checkpoint.safetensors").exists()
