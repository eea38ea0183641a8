import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from fracturelib.config import IMAGENET_MEAN, IMAGENET_STD, TrainConfig
from fracturelib.errors import ConfigError, InputError, WeightsError
from fracturelib.model import Standardise, build_model
from fracturelib.trunks import torchvision_trunks

CONFIG = TrainConfig(weights="none", precision="float32")  # whatever this machine would choose


@pytest.fixture
def images():
    return torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.slow
def test_head_is_the_recipe():
    kinds = [type(layer) for layer in build_model(CONFIG).head]
    assert kinds == [Standardise, nn.Linear, nn.ReLU, nn.Dropout, nn.Linear, nn.Sigmoid]
    assert build_model(CONFIG).head[1].weight.shape == (256, 512)


@pytest.mark.slow
def test_the_output_is_a_probability_once(images):
    model = build_model(CONFIG)
    probability = model.predict_proba(images)
    assert probability.shape == (4,)
    torch.testing.assert_close(probability, torch.sigmoid(model.logits(images)))
    torch.testing.assert_close(probability, model(images))


@pytest.mark.slow
def test_the_trunk_is_torchvisions(images):
    """The oracle: torchvision's own network with the same numbers and its classifier taken off."""
    model = build_model(CONFIG)
    oracle = resnet18(weights=None)
    oracle.fc = nn.Identity()
    oracle.load_state_dict(model.trunk.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(model.features(images), oracle.eval()(images), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_frozen_trunk_keeps_its_batch_norm_statistics_bit_identical(images):
    model = build_model(CONFIG)
    before = {name: value.clone() for name, value in model.trunk.state_dict().items()}
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(5):
        model.train()
        loss = model(images * 3 + 1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = model.trunk.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert any("running_mean" in name for name in before)


@pytest.mark.slow
def test_only_the_head_takes_gradients(images):
    model = build_model(CONFIG).train()
    assert {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad} == {"head"}
    assert not any(module.training for module in model.trunk.modules())
    assert model.head.training


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "trained", "frozen"),
    [
        ("layer4", ["layer4"], ["layer3", "conv1"]),
        ("layer3", ["layer3", "layer4"], ["layer2"]),
        ("conv1", ["conv1"], []),
    ],
)
def test_unfreeze_trains_from_the_stage_to_the_end(stage, trained, frozen, images):
    model = build_model(CONFIG).unfreeze(stage).train()
    model(images).sum().backward()
    for name in trained:
        module = model.trunk.get_submodule(name)
        assert all(p.grad is not None for p in module.parameters())
        assert module.training
    for name in frozen:
        module = model.trunk.get_submodule(name)
        assert all(p.grad is None for p in module.parameters())
        assert not any(part.training for part in module.modules())


def test_unfrozen_batch_norm_learns_and_the_frozen_one_does_not(images):
    model = build_model(CONFIG).unfreeze("layer4").train()
    low, high = (model.trunk.get_submodule(name).running_mean.clone() for name in ("layer3.0.bn1", "layer4.0.bn1"))
    model(images)
    assert torch.equal(model.trunk.layer3[0].bn1.running_mean, low)
    assert not torch.equal(model.trunk.layer4[0].bn1.running_mean, high)


def test_freeze_undoes_unfreeze():
    model = build_model(CONFIG).unfreeze("layer1").freeze()
    assert model.trained_modules == []
    assert not any(p.requires_grad for p in model.trunk.parameters())


def test_unknown_stage_lists_the_known_ones():
    with pytest.raises(ConfigError, match="layer4"):
        build_model(CONFIG).unfreeze("layer9")


@pytest.mark.parametrize("stage", ["head", "layer4"])
def test_trained_state_is_a_copy_that_restores(stage, images):
    model = build_model(TrainConfig(weights="none", unfreeze=stage))
    state, before = model.trained_state(), model.predict_proba(images)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    assert not torch.equal(model.predict_proba(images), before)
    model.load_trained_state(state)
    assert torch.equal(model.predict_proba(images), before)
    assert all(name.startswith(("head.", "trunk.layer4.")) for name in state)


def test_trained_state_of_another_shape_is_refused():
    with pytest.raises(KeyError, match="expected the tensors"):
        build_model(CONFIG).load_trained_state({"head.0.weight": torch.zeros(1)})


def test_features_pass_through(images):
    model = build_model(CONFIG)
    with torch.inference_mode():
        assert torch.equal(model(model.features(images)), model(images))


@pytest.mark.slow
def test_the_same_seed_gives_the_same_head_and_leaves_the_global_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second = build_model(CONFIG), build_model(CONFIG)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first.head[1].weight, second.head[1].weight)
    other = build_model(TrainConfig(weights="none", seed=1))
    assert not torch.equal(first.head[1].weight, other.head[1].weight)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "width", "side"),
    [
        ("resnet34", 512, 64),
        ("densenet121", 1024, 64),
        ("efficientnet_b0", 1280, 64),
        ("mobilenet_v2", 1280, 64),
        ("mobilenet_v3_small", 576, 64),
        ("shufflenet_v2_x0_5", 1024, 64),
        ("mnasnet0_5", 1280, 64),
        ("regnet_y_400mf", 440, 64),
        ("squeezenet1_1", 512, 64),
        ("googlenet", 1024, 64),
        ("alexnet", 9216, 64),
        ("inception_v3", 2048, 96),
        ("convnext_tiny", 768, 64),
        ("swin_t", 768, 64),
        ("maxvit_t", 512, 224),
        ("vit_b_16", 768, 224),
    ],
)
def test_a_network_of_every_family_is_a_trunk(architecture, width, side):
    model = build_model(TrainConfig(weights="none", architecture=architecture, image_size=side, precision="float32"))
    images = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = model.features(images)  # by the fast copy of the frozen part
        expected = model.trunk(images)
    assert (features - expected).norm() <= 1e-3 * expected.norm()
    assert features.shape == (1, width) == (1, model.head[1].in_features)
    assert model.predict_proba(images).shape == (1,)
    assert not any(p.requires_grad for p in model.trunk.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "cure"), [("vit_b_16", 224), ("maxvit_t", 224), ("inception_v3", 299)])
def test_a_network_that_cannot_take_the_size_names_the_one_it_was_made_for(architecture, cure):
    with pytest.raises(ConfigError, match=f"--image-size {cure}"):
        build_model(TrainConfig(weights="none", architecture=architecture, image_size=64))


def test_all_networks_but_one_were_trained_on_pictures_that_are_normalised_as_ours():
    others = []
    for name in torchvision_trunks.names():
        expected = torchvision_trunks.inputs(name)
        if (expected.mean, expected.std) != (IMAGENET_MEAN, IMAGENET_STD):
            others.append(name)
        assert expected.channels == 3 and expected.size >= 224
    assert others == ["efficientnet_v2_l"]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["head", "layer4"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda images: images[0], r"images\[None\]"),
        (lambda images: images[:, :1], "grey"),
        (lambda images: images.permute(0, 2, 3, 1), "permute"),
        (lambda images: images[:, :2], "2 channels"),
        (lambda images: (images.abs() * 99).byte(), "not normalised"),
        (lambda images: images.abs() * 99, "not normalised"),
        (lambda images: images[:, :1].sigmoid().expand(-1, 3, -1, -1), "not normalised"),
    ],
    ids=["no batch", "grey", "channels last", "two channels", "uint8", "0 to 255", "0 to 1"],
)
def test_other_inputs_are_answered_in_plain_words(stage, change, words, images):
    model = build_model(CONFIG)
    model = model if stage == "head" else model.unfreeze(stage)
    with pytest.raises(InputError, match=words):
        model.predict_proba(change(images))


@pytest.mark.slow
def test_a_flat_grey_picture_counts_as_normalised():
    """Its values may all lie in 0…1, as those of a picture that was not normalised."""
    pixel = (torch.tensor([0.5]) - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    assert build_model(CONFIG).predict_proba(pixel.view(1, 3, 1, 1).expand(1, 3, 64, 64)).shape == (1,)


@pytest.mark.slow
def test_new_weights_reach_the_copy_of_the_frozen_part(images):
    model, other = build_model(CONFIG), build_model(TrainConfig(weights="none", precision="float32", seed=1))
    model.predict_proba(images)
    model.load_state_dict(other.state_dict())
    assert torch.equal(model.predict_proba(images), other.predict_proba(images))


def test_unknown_architecture_names_near_ones():
    with pytest.raises(WeightsError, match="resnet18"):
        build_model(TrainConfig(weights="none", architecture="resnet19"))
