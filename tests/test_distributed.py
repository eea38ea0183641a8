"""Two real processes give what one gives: features, gradients, and the history of a fine-tuned run."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
SETTINGS = ("--weights", "none", "--image-size", "32", "--epochs", "2", "--batch-size", "8", "--device", "cpu")

# One step on one batch of a half frozen model: what the gradients are, before the optimiser makes use of them.
GRADIENTS = """
import json, sys
import torch
from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.distributed import is_first, joined_processes, shared_work
from fracturelib.features import feature_loaders
from fracturelib.loaders import make_loaders
from fracturelib.model import build_model
from fracturelib.runtime import seeded

with joined_processes():
    config = TrainConfig(weights="none", image_size=64, batch_size=13, views=1, unfreeze="layer4", device="cpu")
    loaders, model = make_loaders(read_catalog(sys.argv[1]), config), build_model(config)
    loaders = feature_loaders(model, loaders, config)
    with shared_work(model, loaders) as shared, seeded(0, "dropout"):
        model.train()
        inputs, labels, rows = next(iter(shared.train))
        loss = torch.nn.functional.binary_cross_entropy(model(inputs), labels)
        loss.backward()
    found = {name: value.grad.norm().item() for name, value in model.named_parameters() if value.grad is not None}
    found["loss"], found["mean"] = loss.item(), model.trunk.layer4[0].bn1.running_mean.norm().item()
    found["variance"] = model.trunk.layer4[0].bn1.running_var.norm().item()
    if is_first():
        print(json.dumps({"inputs": len(inputs), "rows": rows.tolist(), "found": found}))
"""


def said(command, *arguments):
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_gradients_of_two_processes_are_those_of_one(tiny_data, tmp_path):
    script = tmp_path / "gradients.py"
    script.write_text(GRADIENTS)
    one = json.loads(said((sys.executable,), str(script), str(tiny_data)))
    two = json.loads(said(TORCHRUN, str(script), str(tiny_data)))
    assert (one["inputs"], two["inputs"]) == (13, 7) and one["rows"] == two["rows"]
    assert set(one["found"]) == set(two["found"]) and len(one["found"]) > 15
    for name, value in one["found"].items():
        assert two["found"][name] == pytest.approx(value, rel=1e-3, abs=1e-6), name


@pytest.mark.slow
@pytest.mark.parametrize("how", [("--views", "2"), ("--unfreeze", "layer4", "--views", "2")], ids=["head", "layer4"])
def test_a_run_of_two_processes_is_that_of_one(tiny_data, tmp_path, how):
    options = ("train.py", "--data", str(tiny_data), "--name", "r", *SETTINGS, *how)
    said((sys.executable,), *options, "--runs", str(tmp_path / "one"))
    output = said(TORCHRUN, *options, "--runs", str(tmp_path / "two"))
    assert output.count("epoch   1") == 1 and output.count("Report:") == 1  # the other process is silent
    one, two = (pd.read_csv(tmp_path / name / "r" / "history.csv") for name in ("one", "two"))
    # A head sees the same features in both; above a frozen boundary, Adam makes more of the last digits.
    tolerance = 1e-5 if "--unfreeze" not in how else 0.05
    np.testing.assert_allclose(one["train_loss"], two["train_loss"], rtol=tolerance)
    np.testing.assert_allclose(one["val_loss"], two["val_loss"], rtol=tolerance)
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == [".features", "r"]
