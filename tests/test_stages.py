"""The trunk cut at the frozen boundary, and its fast copy: the same numbers as the network as it came."""

import pytest
import torch
from torch import nn
from torchvision import models

from fracturelib.trunks.frozen import cut, frozen_copy, traced


@pytest.fixture(scope="module")
def network():
    """A ResNet18 with batch-norm statistics that are not those of a new network."""
    torch.manual_seed(0)
    found = models.resnet18(weights=None)
    found.fc = nn.Identity()
    for module in found.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return found.eval().requires_grad_(False)


@pytest.fixture
def images():
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("stage", ["layer1", "layer3", "layer4", "layer4.1"])
def test_the_two_parts_are_the_whole_and_share_its_modules(network, images, stage):
    lower, upper = cut(network, stage)
    assert torch.equal(upper(lower(images)), network(images))
    assert upper.get_submodule(f"{stage}.1.conv1" if "." not in stage else f"{stage}.conv1") in set(network.modules())


@pytest.mark.parametrize("stage", ["conv1", "layer4.0.conv2", "no such stage"])
def test_what_cannot_be_cut_is_none(network, stage):
    """Nothing comes before the first layer, and a shortcut leads around a convolution inside a block."""
    assert cut(network, stage) is None


def test_a_network_that_cannot_be_traced_is_left_as_it_is(images):
    class Moody(nn.Module):
        def forward(self, values):
            return values.mean((2, 3)) if values.sum() > 0 else values.amax((2, 3))

    moody = Moody()
    assert traced(moody) is moody and cut(moody, "x") is None
    assert torch.equal(frozen_copy(moody, torch.float32)(images), moody(images))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "densenet121"])
def test_the_fast_copy_computes_the_same_without_batch_norm(images, name):
    torch.manual_seed(0)
    network = models.get_model(name, weights=None).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    fast = frozen_copy(traced(network), torch.float32)
    torch.testing.assert_close(fast(images), network(images), rtol=1e-5, atol=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    if name == "resnet18":
        assert not any(isinstance(module, nn.BatchNorm2d) for module in fast.modules())
    assert not any(weight.requires_grad for weight in fast.parameters())


def test_half_precision_stays_near(network, images):
    exact, rough = network(images), frozen_copy(traced(network), torch.bfloat16)(images.bfloat16()).float()
    assert (exact - rough).abs().mean() < 0.02 * exact.abs().mean()
