"""What a processor computes, a GPU computes as well: features, training, fine-tuning and predictions.

Without a CUDA device nothing of this is tested.
"""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch

from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.features import compute_features, feature_loaders
from fracturelib.loaders import make_loaders
from fracturelib.model import build_model
from fracturelib.prediction import predict_files
from fracturelib.runs import Run
from fracturelib.runtime import on_device, seeded
from fracturelib.training import fit

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
CONFIG = TrainConfig(
    weights="distilled", image_size=64, batch_size=8, epochs=2, dropout=0.0, precision="float32", device="cpu"
)
ON_GPU = replace(CONFIG, device="cuda")


@pytest.fixture
def loaders(tiny_data):
    return make_loaders(read_catalog(tiny_data), CONFIG)


@pytest.fixture
def exact(monkeypatch):
    """Convolutions in float32, not in TF32; products of matrices are so by default."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def features(loaders, config):
    return compute_features(build_model(config), loaders.val.dataset, config)[0].numpy()


@needs_gpu
def test_features_are_those_of_the_processor(loaders, exact):
    np.testing.assert_allclose(features(loaders, ON_GPU), features(loaders, CONFIG), atol=1e-3, rtol=1e-3)


@needs_gpu
def test_features_in_bfloat16_point_the_same_way(loaders):
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("this GPU has no bfloat16")
    one, other = features(loaders, CONFIG), features(loaders, replace(ON_GPU, precision="bfloat16"))
    cosines = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert cosines.min() > 0.999


@needs_gpu
@pytest.mark.parametrize("unfreeze", ["head", "layer4"])
def test_training_has_the_history_of_the_processor(loaders, exact, unfreeze):
    histories = []
    for config in (replace(CONFIG, unfreeze=unfreeze), replace(ON_GPU, unfreeze=unfreeze)):
        model = build_model(config)
        given = feature_loaders(model, loaders, config)
        histories.append(fit(model, given.train, given.val, config))
        assert next(model.parameters()).device.type == config.device
    for column in ("train_loss", "val_loss"):
        np.testing.assert_allclose(histories[1][column], histories[0][column], atol=0.02)


@needs_gpu
def test_training_on_images_repeats_itself(loaders):
    """With dropout, whose draws come from the GPU's own generator; cuDNN may choose another algorithm each time."""
    config = replace(ON_GPU, dropout=0.5)
    losses = [fit(build_model(config), loaders.train, loaders.val, config)["val_loss"] for _ in range(2)]
    np.testing.assert_allclose(*losses, atol=1e-3)


@needs_gpu
def test_predictions_are_those_of_the_processor(tiny_data, exact, monkeypatch):
    found = []
    for device in ("cpu", "cuda"):
        monkeypatch.setattr("fracturelib.runs.reading.choose_device", lambda device=device: torch.device(device))
        run = Run(Path(), CONFIG, {"threshold": 0.5}, build_model(CONFIG), pd.DataFrame(), {})
        found.append(predict_files(run, [tiny_data / "test"]))
    assert found[0]["path"].tolist() == found[1]["path"].tolist()
    np.testing.assert_allclose(found[1]["raw"], found[0]["raw"], atol=1e-3)


@needs_gpu
def test_batches_are_pinned_and_channels_last(loaders):
    images, labels, _ = next(iter(loaders.train))
    assert images.is_pinned() and labels.is_pinned()
    model = build_model(ON_GPU).to("cuda")
    assert model.trunk.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    maps = model.trunk.conv1(images.to("cuda", non_blocking=True))
    assert maps.is_contiguous(memory_format=torch.channels_last)


@needs_gpu
def test_the_gpus_own_generator_is_seeded_and_put_back():
    torch.cuda.manual_seed(3)
    before = torch.cuda.get_rng_state()
    with seeded(0, "epoch", 1, gpu=True):
        first = torch.rand(4, device="cuda")
    assert torch.equal(torch.cuda.get_rng_state(), before)
    with seeded(0, "epoch", 1, gpu=True):
        assert torch.equal(torch.rand(4, device="cuda"), first)


class FromProcessor(torch.Tensor):
    """A tensor that notes how it was asked to move."""

    calls: ClassVar[list] = []

    def pin_memory(self, device=None):
        self.calls.append("pinned")
        return self

    def to(self, *arguments, **named):
        self.calls.append((arguments, named))
        return self


def test_only_a_gpu_gets_its_batches_from_pinned_memory():
    batch = torch.zeros(2).as_subclass(FromProcessor)
    FromProcessor.calls = []
    on_device(batch, torch.device("cpu"))
    assert FromProcessor.calls == [((torch.device("cpu"),), {})]
    FromProcessor.calls = []
    on_device(batch, torch.device("cuda"))
    assert FromProcessor.calls == ["pinned", ((torch.device("cuda"),), {"non_blocking": True})]
