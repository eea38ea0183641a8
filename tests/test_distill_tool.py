"""The pieces of `tools.distill_trunk`: crops, schedule, targets, checkpoints, export; no teacher is loaded."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors import safe_open
from torch import nn

from tools import distill_trunk
from tools.distillation import export, networks, pictures, state


@pytest.fixture
def folder(tmp_path):
    """A folder with three small grey pictures of different shapes."""
    rng = np.random.default_rng(0)
    for index, shape in enumerate([(120, 90), (80, 150), (200, 200)]):
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / f"{index}.png")
    return tmp_path


@pytest.fixture
def sources(folder):
    return pictures.load_sources({str(folder): 1.0})


@pytest.fixture
def settings(folder, tmp_path):
    text = f"--state {tmp_path / 'state'} --pictures {folder}=1 --stages 32:64 64:128 --images 128 --batch 4"
    return distill_trunk.parse(text.split())


def ramp(width: int, height: int) -> pictures.Pyramid:
    """A picture whose grey level is its column, so that a crop tells where it came from."""
    return [Image.fromarray(np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1)))]


PLAIN = pictures.CropStyle(
    whole=1.0, turn=0.0, tilt=0.0, coarse=0.0, mix=0.0, stretch=0.0, invert=0.0, noise=0.0, smallest_area=1.0
)


def test_the_same_step_gives_the_same_crops_and_another_step_others(sources):
    first, again, other = (pictures.random_batch(sources, seed=1, step=step, count=4, side=32) for step in (5, 5, 6))
    assert first.shape == (4, 32, 32, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_whole_crop_is_the_picture_squashed_to_a_square():
    crop = pictures._geometry(ramp(256, 64), 64, PLAIN, np.random.default_rng(3))
    columns = np.asarray(crop, float).mean(axis=0)
    columns = columns if columns[0] < columns[-1] else columns[::-1]  # it may be mirrored
    assert np.allclose(columns, (np.arange(64) + 0.5) * 4 - 0.5, atol=1.5)


def test_crops_without_rotation_stay_inside_the_picture():
    white = [Image.new("L", (300, 100), 255)]
    style = pictures.CropStyle(turn=0.0, tilt=0.0, coarse=0.0, mix=0.0)
    for seed in range(20):
        crop = pictures._geometry(white, 32, style, np.random.default_rng(seed))
        assert np.asarray(crop).min() == 255


def test_a_missing_folder_is_said_aloud_and_no_picture_at_all_stops(folder, capsys):
    found = pictures.load_sources({str(folder): 0.5, str(folder / "absent"): 0.5})
    assert [source.name for source in found] == [str(folder)]
    assert "left out" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="no pictures"):
        pictures.load_sources({str(folder / "absent"): 1.0})


def test_the_learning_rate_rises_stays_and_falls(settings):
    settings.images, settings.warmup, settings.decay, settings.batch = 1000, 100, 200, 10
    rate = [distill_trunk.learning_rate(images, settings) / settings.learning_rate for images in range(0, 1000, 10)]
    assert rate[0] == pytest.approx(0.1) and rate[10] == rate[79] == 1.0
    assert rate[90] == pytest.approx(0.5) and rate[-1] == pytest.approx(0.05)


def test_stages_follow_the_images_seen(settings):
    sides = [distill_trunk.side_at(images, settings.stages) for images in (0, 63, 64, 500)]
    assert sides == [32, 32, 64, 64]


@pytest.mark.parametrize("wrong", ["--stages 100:5", "--stages 96", "--pictures photographs"])
def test_wrong_options_are_refused(wrong, tmp_path, capsys):
    given = f"--state {tmp_path} --pictures photographs=1 {wrong}"
    with pytest.raises(SystemExit):
        distill_trunk.parse(given.split())
    assert "error" in capsys.readouterr().err


def fake_maps(rng: torch.Generator, count: int = 600) -> dict[str, torch.Tensor]:
    """Teacher maps with channels of very different scale."""
    maps = {}
    for name, (_, channels) in networks.CHANNELS.items():
        scale = torch.logspace(-2, 2, channels)[:, None, None]
        maps[name] = torch.randn(count, channels, 2, 2, generator=rng) * scale + scale
    return maps


def test_targets_are_standardised_and_pooled_features_can_be_decoded():
    maps = fake_maps(torch.Generator().manual_seed(0))
    targets = networks.Targets()
    targets.measure([maps])
    found = targets(maps)
    for name in networks.CHANNELS:
        assert found[name].mean().abs() < 1e-3 and found[name].std() == pytest.approx(1.0, abs=0.01)
    assert found["pooled"].square().mean() == pytest.approx(1.0, abs=1e-3)
    pooled = maps["final"].mean((2, 3))
    decoded = found["pooled"] @ targets.decode + targets.pooled_mean
    lost = (decoded - pooled).square().sum() / (pooled - targets.pooled_mean).square().sum()
    assert lost < 0.05  # the components left out carry little variance


def test_pooled_prediction_is_the_pooled_map_through_the_trunk():
    student = networks.Student().eval()
    pixels = torch.rand(2, 3, 64, 64) * 255
    with torch.inference_mode():
        predicted, features = student(pixels), student.trunk(networks.student_input(pixels))
        assert torch.allclose(predicted["pooled"], student.pooled(features), atol=1e-5)
    assert predicted["stride8"].shape == (2, 40, 8, 8) and predicted["final"].shape == (2, 1280, 2, 2)


def test_a_checkpoint_brings_everything_back(tmp_path):
    def made(seed: int):
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
        return module, state.Average(module), torch.optim.AdamW(module.parameters(), lr=0.1)

    def step(module, average, optimizer, seed):
        inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(seed))
        module(inputs).square().sum().backward()
        optimizer.step()
        average.update(module, step=seed, decay=0.9)

    first, second = made(0), made(1)
    step(*first, 1)
    keep = [{"modules": {"student": one[0]}, "average": one[1], "optimizer": one[2]} for one in (first, second)]
    state.save_checkpoint(tmp_path, **keep[0], progress={"step": 1, "images": 8})
    assert state.load_checkpoint(tmp_path, **keep[1]) == {"step": 1, "images": 8}
    for one in (first, second):
        one[2].zero_grad()
        step(*one, 2)
    for name, value in first[0].state_dict().items():
        assert torch.equal(value, second[0].state_dict()[name])
        assert torch.equal(first[1].values[name], second[1].values[name])


def test_two_runs_cannot_share_a_state(tmp_path):
    with state.claimed(tmp_path), pytest.raises(SystemExit, match="in use"), state.claimed(tmp_path):
        pass


def test_the_average_follows_and_forgets_the_start():
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, 0.0)
    average = state.Average(module)
    nn.init.constant_(module.weight, 1.0)
    for step in range(100):
        average.update(module, step=step, decay=0.9)
    assert average.values["weight"].item() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.slow
def test_the_export_is_a_plain_resnet18_in_half_precision(settings, sources, monkeypatch, tmp_path):
    monkeypatch.setattr(export, "BATCHES", 1)
    monkeypatch.setattr(export, "BATCH", 4)
    monkeypatch.setattr(export, "SIDE", 64)
    student = networks.Student()
    settings.state.mkdir()
    settings.export = tmp_path / "assets" / "trunk.safetensors"
    optimizer = torch.optim.AdamW(student.parameters())
    state.save_checkpoint(
        settings.state,
        modules={"student": student},
        average=state.Average(student),
        optimizer=optimizer,
        progress={"step": 1, "images": 4},
    )
    export.export_trunk(settings)
    tensors, header = state.read_tensors(settings.export)
    plain = torchvision.models.resnet18()
    plain.fc = nn.Identity()
    plain.load_state_dict(tensors)  # strict: the same names and shapes
    assert header["architecture"] == "resnet18" and header["images_seen"] == "4"
    assert tensors["conv1.weight"].dtype == torch.float16
    assert torch.allclose(tensors["conv1.weight"].float(), student.trunk.conv1.weight, atol=1e-3)
    with safe_open(settings.export, "pt") as file:
        assert file.get_tensor("bn1.running_mean").abs().sum() > 0  # measured anew on the crops


def test_batch_norm_is_measured_on_the_crops(sources, monkeypatch):
    monkeypatch.setattr(export, "BATCHES", 2)
    trunk = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    export.measure_batch_norm(trunk, sources, seed=0, side=32)
    crops = [
        pictures.random_batch(sources, seed=1, step=step, count=export.BATCH, side=32, style=pictures.STYLES["gentle"])
        for step in range(2)
    ]
    inputs = networks.student_input(torch.from_numpy(np.concatenate(crops)).permute(0, 3, 1, 2).float())
    with torch.no_grad():
        mean = trunk[0](inputs).mean((0, 2, 3))
    assert torch.allclose(trunk[1].running_mean, mean, atol=1e-4)
    assert not trunk.training and math.isfinite(float(trunk[1].running_var.sum()))


def test_rescaling_multiplies_the_features_and_nothing_else():
    torch.manual_seed(0)
    trunk = torchvision.models.resnet18()
    trunk.fc = torch.nn.Identity()
    trunk.eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before, lower = trunk(images), trunk.layer3[0].conv1.weight.clone()
        export.rescale_features(trunk, 8.0)
        torch.testing.assert_close(trunk(images), 8 * before, rtol=1e-3, atol=1e-4)
    assert torch.equal(trunk.layer3[0].conv1.weight, lower)


def test_measuring_again_leaves_what_the_student_predicts(monkeypatch):
    """Errors in the teacher's units are the same before and after; only their standardisation changes."""
    monkeypatch.setattr(networks, "POOLED", 6)
    generator = torch.Generator().manual_seed(0)

    def maps(scale: float) -> list[dict[str, torch.Tensor]]:
        return [
            {
                name: scale * torch.randn(4, channels, 2, 2, generator=generator) + scale
                for name, (_, channels) in networks.CHANNELS.items()
            }
            for _ in range(4)
        ]

    targets, student = networks.Targets().double(), networks.Student().double()
    targets.measure([{name: value.double() for name, value in batch.items()} for batch in maps(1.0)])
    inputs = {name: torch.randn(2, sizes[0], 1, 1).double() for name, sizes in networks.CHANNELS.items()}
    pooled = torch.randn(2, 512).double()

    def in_teacher_units() -> list[torch.Tensor]:
        found = []
        for name, value in inputs.items():
            mean, std = (getattr(targets, f"{name}_{part}") for part in ("mean", "std"))
            found.append(student.projectors[name](value)[:, :, 0, 0] * std + mean)
        return found

    before = in_teacher_units()
    predicted = student.pooled(pooled) @ targets.decode + targets.pooled_mean
    targets.measure_again([{name: value.double() for name, value in batch.items()} for batch in maps(3.0)], student)
    for old, new in zip(before, in_teacher_units(), strict=True):
        assert torch.allclose(old, new)
    # What the new principal components cannot express is lost; the rest is what was predicted before.
    wanted = (predicted - targets.pooled_mean) @ targets.encode
    assert torch.allclose(student.pooled(pooled), wanted)
