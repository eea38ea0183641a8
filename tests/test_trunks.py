"""Trunks that bring their weights: timm, transformers, one's own file; and those that cannot be had."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from fracturelib.config import IMAGENET_MEAN, IMAGENET_STD, TrainConfig
from fracturelib.errors import ConfigError, EvaluationError, WeightsError
from fracturelib.explain import grad_cam
from fracturelib.model import build_model
from fracturelib.pipeline import train_run
from fracturelib.runs import load_run
from fracturelib.trunks import torchvision_trunks
from fracturelib.trunks.adapted import Adapted
from fracturelib.trunks.contract import TrunkInputs
from fracturelib.trunks.weights import available_weights, load_trunk

timm, transformers = pytest.importorskip("timm"), pytest.importorskip("transformers")
SIDE = 64
OWN = {"mean": [0.5, 0.4, 0.3], "std": [0.3, 0.2, 0.1]}


def normalised(seed=0, count=2, side=SIDE):
    grey = torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(seed))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return grey, (grey.expand(-1, 3, -1, -1) - mean) / std


def save_timm(folder, architecture, *, channels=3, side=SIDE, **options):
    """A repository as timm saves one, its classifier with it."""
    network = timm.create_model(architecture, pretrained=False, num_classes=5, in_chans=channels, **options).eval()
    folder.mkdir(parents=True)
    save_file(network.state_dict(), folder / "model.safetensors")
    facts = {"input_size": [channels, side, side], "classifier": network.default_cfg["classifier"]}
    facts |= {"mean": OWN["mean"][:channels], "std": OWN["std"][:channels]}
    model_args = {"in_chans": channels, **options}
    config = {"architecture": architecture, "num_classes": 5, "model_args": model_args, "pretrained_cfg": facts}
    (folder / "config.json").write_text(json.dumps(config))
    return network


def save_vit(folder, *, kind="Dinov2"):
    """A tiny transformer, as RAD-DINO is a large one."""
    shape = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIDE, "patch_size": 8}
    config = getattr(transformers, f"{kind}Config")(**shape)
    network = getattr(transformers, f"{kind}Model")(config).eval()
    network.save_pretrained(folder)
    prepared = {"image_mean": OWN["mean"], "image_std": OWN["std"], "crop_size": {"height": SIDE, "width": SIDE}}
    (folder / "preprocessor_config.json").write_text(json.dumps(prepared))
    return network


def own(grey, channels=3):
    """Grey pictures (B, 1, S, S) as a network of so many channels was trained on them."""
    mean, std = (torch.tensor(OWN[name][:channels]).view(1, channels, 1, 1) for name in ("mean", "std"))
    return (grey.expand(-1, channels, -1, -1) - mean) / std


@pytest.mark.parametrize(("architecture", "channels"), [("test_resnet", 3), ("test_vit", 3), ("test_efficientnet", 1)])
def test_a_network_of_timm_gets_its_own_pictures(tmp_path, architecture, channels):
    oracle = save_timm(
        tmp_path / "repo", architecture, channels=channels, **({"img_size": SIDE} if "vit" in architecture else {})
    )
    trunk, origin = load_trunk(f"hf:{tmp_path / 'repo'}", "auto")
    grey, images = normalised()
    with torch.inference_mode():
        oracle.reset_classifier(0)
        torch.testing.assert_close(trunk.eval()(images), oracle(own(grey, channels)), atol=1e-4, rtol=1e-4)
    assert origin.name == "auto" and len(origin.sha256) == 64


@pytest.mark.slow
def test_a_network_of_transformers_gets_its_own_pictures(tmp_path):
    oracle = save_vit(tmp_path / "repo")
    trunk, _ = load_trunk(f"hf:{tmp_path / 'repo'}", "auto")
    for side in (SIDE, 2 * SIDE):  # another size: its positional encodings are interpolated by its library
        grey, images = normalised(side=side)
        with torch.inference_mode():
            expected = oracle(pixel_values=own(grey)).pooler_output
            torch.testing.assert_close(trunk.eval()(images), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_a_pooler_that_was_never_trained_is_not_used(tmp_path):
    oracle = save_vit(tmp_path / "repo", kind="ViT")
    state = {name: value for name, value in oracle.state_dict().items() if not name.startswith("pooler")}
    save_file(state, tmp_path / "repo" / "model.safetensors", metadata={"format": "pt"})
    trunk, _ = load_trunk(f"hf:{tmp_path / 'repo'}", "auto")
    grey, images = normalised()
    with torch.inference_mode():
        expected = oracle(pixel_values=own(grey)).last_hidden_state[:, 0]
        torch.testing.assert_close(trunk.eval()(images), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "output"), [(3, ""), (1, ""), (1, "layer2")])
def test_a_file_of_ones_own(tmp_path, channels, output):
    network = torchvision_trunks.build("resnet18").eval()
    if channels == 1:
        network.conv1 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    save_file(network.state_dict(), tmp_path / "mine.safetensors")
    facts = {"network": "resnet18", "size": SIDE, "mean": OWN["mean"][:channels], "std": OWN["std"][:channels]}
    (tmp_path / "mine.json").write_text(json.dumps(facts | ({"output": output} if output else {})))
    trunk, _ = load_trunk(f"file:{tmp_path / 'mine.safetensors'}", "auto")
    grey, images = normalised()
    if output:
        network = torch.nn.Sequential(*list(network.children())[:6], torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    with torch.inference_mode():
        torch.testing.assert_close(trunk.eval()(images), network(own(grey, channels)), atol=1e-4, rtol=1e-4)


def test_a_network_that_takes_our_pictures_stays_as_it_is():
    trunk, _ = load_trunk("timm:test_resnet", "none")
    wanted = timm.get_pretrained_cfg("test_resnet")
    assert isinstance(trunk, Adapted) == ((wanted.mean, wanted.std) != (IMAGENET_MEAN, IMAGENET_STD))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["test_resnet", "vit"])
def test_a_run_on_such_a_trunk_reloads_bit_for_bit(tiny_data, tmp_path, kind):
    if kind == "vit":
        save_vit(tmp_path / "repo")
    else:
        save_timm(tmp_path / "repo", kind, channels=1)
    config = TrainConfig(str(tiny_data), architecture=f"hf:{tmp_path / 'repo'}", image_size=SIDE, epochs=1, views=1)
    run = train_run(config, folder=tmp_path / "runs" / "one")
    again, (_, images) = load_run(run.folder), normalised()
    assert torch.equal(run.model.predict_proba(images), again.model.predict_proba(images))
    if kind == "vit":
        with pytest.raises(EvaluationError, match="this trunk has no maps"):
            grad_cam(run.model, images)
    else:
        assert grad_cam(run.model, images).shape == (2, SIDE, SIDE)


@pytest.mark.slow
def test_a_run_on_a_file_names_no_absolute_path_and_moves_with_it(tiny_data, tmp_path):
    network = torchvision_trunks.build("resnet18")
    save_file(network.state_dict(), tmp_path / "mine.safetensors")
    (tmp_path / "mine.json").write_text(
        json.dumps({"network": "resnet18", "size": 64, "mean": [0.5] * 3, "std": [0.2] * 3})
    )
    config = TrainConfig(str(tiny_data), architecture=f"file:{tmp_path / 'mine.safetensors'}", image_size=32, epochs=1)
    run = train_run(config, folder=tmp_path / "runs" / "one")
    assert str(tmp_path) not in (run.folder / "config.json").read_text()
    images = normalised()[1]
    assert torch.equal(load_run(run.folder).model.predict_proba(images), run.model.predict_proba(images))


def test_stages_within_what_adapts_a_network_can_be_unfrozen(tmp_path):
    save_timm(tmp_path / "repo", "test_resnet")
    config = TrainConfig(architecture=f"hf:{tmp_path / 'repo'}", image_size=SIDE, unfreeze="layer4")
    model = build_model(config)
    assert model.trained_modules[0] == "network.layer4"
    with pytest.raises(ConfigError, match="layer1, "):
        build_model(replace(config, unfreeze="layer9"))


def broken(tmp_path, what):
    """A repository with something wrong, and how the message begins."""
    folder = tmp_path / "repo"
    save_timm(folder, "test_resnet")
    weights, config = folder / "model.safetensors", folder / "config.json"
    if what == "pickled":
        weights.rename(folder / "pytorch_model.bin")
    elif what == "cut short":
        weights.write_bytes(weights.read_bytes()[:5000])
    elif what == "no JSON":
        config.write_text("{")
    elif what == "no network":
        config.write_text("{}")
    elif what == "unknown network":
        config.write_text(json.dumps({"architecture": "resnet_of_nobody"}))
    elif what == "other network":
        config.write_text(json.dumps({"architecture": "test_vit"}))
    elif what == "not finite":
        save_vit(tmp_path / "vit")
        state = load_file(tmp_path / "vit" / "model.safetensors")
        state["layernorm.bias"][0] = float("inf")
        save_file(state, tmp_path / "vit" / "model.safetensors", metadata={"format": "pt"})
        return f"hf:{tmp_path / 'vit'}"
    elif what == "code":
        config.write_text(json.dumps({"model_type": "mine", "auto_map": {"AutoModel": "code.Mine"}}))
        (folder / "code.py").write_text("raise SystemExit('code of a repository was run')")
    return f"hf:{folder}"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("pickled", "pickle can execute code"),
        ("cut short", "cannot be read"),
        ("no JSON", "cannot be read"),
        ("no network", "no repository of timm or transformers"),
        ("unknown network", "cannot be built"),
        ("other network", "do not fit"),
        ("not finite", "NaN"),
        ("code", "cannot be built"),
    ],
)
def test_a_broken_repository_is_told_in_one_message(tmp_path, what, said):
    with pytest.raises(WeightsError) as caught:
        load_trunk(broken(tmp_path, what), "auto")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("GatedRepoError", "gated"),
        ("RepositoryNotFoundError", "no repository"),
        ("LocalEntryNotFoundError", "not on this machine"),
        ("EntryNotFoundError", "has no config.json"),
    ],
)
def test_what_the_hub_refuses_is_told_in_one_message(monkeypatch, kind, said):
    hub = pytest.importorskip("huggingface_hub")
    error = getattr(pytest.importorskip("huggingface_hub.errors"), kind)

    def refuse(*_, **__):
        raise error.__new__(error)

    monkeypatch.setattr(hub, "hf_hub_download", refuse)
    with pytest.raises(WeightsError, match=said):
        load_trunk("hf:somebody/something", "auto")


def test_offline_the_cache_is_all(monkeypatch, tmp_path):
    monkeypatch.setenv("FRACTURELIB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="FRACTURELIB_OFFLINE"):
        load_trunk("hf:nobody/nothing", "auto")


def test_a_missing_package_names_the_extra(monkeypatch, tmp_path):
    save_timm(tmp_path / "repo", "test_resnet")
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(WeightsError, match=r"fracturelib\[trunks\]"):
        load_trunk(f"hf:{tmp_path / 'repo'}", "auto")


def test_a_file_with_weights_takes_no_others(tmp_path):
    with pytest.raises(WeightsError, match="brings its own weights"):
        load_trunk(f"file:{tmp_path / 'mine.safetensors'}", "none")
    with pytest.raises(WeightsError, match="safetensors"):
        load_trunk(f"file:{tmp_path / 'mine.pth'}", "auto")


@pytest.mark.parametrize("facts", [{}, {"network": "resnet18", "size": 64, "mean": [0.5], "std": [0.0]}, {"sizes": 3}])
def test_a_description_that_says_too_little_is_refused(tmp_path, facts):
    save_file({"a": torch.zeros(1)}, tmp_path / "mine.safetensors")
    (tmp_path / "mine.json").write_text(json.dumps(facts))
    with pytest.raises(WeightsError, match="does not say what it must"):
        load_trunk(f"file:{tmp_path / 'mine.safetensors'}", "auto")


def test_another_size_is_refused_with_the_usual_one(tmp_path):
    save_timm(tmp_path / "repo", "test_vit", img_size=SIDE)
    with pytest.raises(ConfigError, match="64 × 64"):
        build_model(TrainConfig(architecture=f"hf:{tmp_path / 'repo'}", image_size=50))


def test_weights_of_such_a_trunk_are_listed_without_the_network():
    assert available_weights("timm:resnet10t")[0]["status"] == "takes"


def test_one_channel_gets_the_grey_picture():
    seen = []
    network = torch.nn.Identity()
    network.forward = lambda images: seen.append(images) or images
    grey, images = normalised()
    Adapted(network, TrunkInputs(SIDE, (0.0,), (1.0,)))(images)
    torch.testing.assert_close(seen[0], grey, atol=1e-6, rtol=1e-5)
