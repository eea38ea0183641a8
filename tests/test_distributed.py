"""Two real processes give what one gives: features and predictions exactly, a fine-tuned run nearly."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fracturelib.catalog import read_catalog
from fracturelib.cli import main
from fracturelib.config import TrainConfig
from fracturelib.features import feature_loaders
from fracturelib.loaders import EpochSampler, is_shared, make_loader, make_loaders, set_epoch, share
from fracturelib.model import build_model
from fracturelib.training import fit

ROOT = Path(__file__).parents[1]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "train.py")
SETTINGS = ("--weights", "none", "--image-size", "32", "--epochs", "2", "--batch-size", "8", "--device", "cpu")


def said(command, *arguments):
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_of_two(folder, data, *options):
    output = said(TORCHRUN, "--data", str(data), "--name", "r", *SETTINGS, *options, "--runs", str(folder))
    assert output.count("epoch   1") == 1 and output.count("Report:") == 1  # the other process is silent
    assert {path.name for path in folder.iterdir() if path.suffix != ".lock"} == {".features", "r"}
    return folder / "r"


@pytest.mark.slow
def test_features_and_predictions_of_two_processes_are_those_of_one(tiny_data, tmp_path):
    two = run_of_two(tmp_path / "two", tiny_data)
    assert main(["train", "--data", str(tiny_data), "--name", "r", *SETTINGS, "--runs", str(tmp_path / "one")]) == 0
    one = tmp_path / "one" / "r"
    for file in ("predictions.csv", "history.csv"):
        pd.testing.assert_frame_equal(pd.read_csv(one / file), pd.read_csv(two / file), check_exact=True)
    values = [sorted(path.read_bytes() for path in folder.rglob("values.npy")) for folder in (one.parent, two.parent)]
    assert len(values[0]) == 4 and values[0] == values[1]


@pytest.mark.slow
def test_fine_tuning_by_two_processes_is_nearly_that_of_one_with_the_same_batch_norm(tiny_data, tmp_path):
    two = run_of_two(tmp_path, tiny_data, "--unfreeze", "layer4", "--learning-rate", "1e-4")
    record = json.loads((two / "config.json").read_text())
    assert record["processes"] == 2 and "eval mode" in record["batch_norm"]
    config = TrainConfig(**record["config"])
    model = build_model(config)
    model.still_norms = True
    loaders = feature_loaders(model, make_loaders(read_catalog(tiny_data), config), config)
    history = fit(model, loaders.train, loaders.val, config)
    np.testing.assert_allclose(pd.read_csv(two / "history.csv")["val_loss"], history["val_loss"], atol=0.03)


@pytest.mark.parametrize("parts", [True, False])
@pytest.mark.parametrize("rows", [1, 7, 24])
def test_the_shares_of_all_processes_are_the_batches(monkeypatch, parts, rows):
    class Numbers(torch.utils.data.Dataset):
        set_view = staticmethod(lambda view: None)
        __len__ = staticmethod(lambda: rows)
        __getitem__ = staticmethod(lambda row: row)

    loader = make_loader(Numbers(), TrainConfig(batch_size=4), shuffle=True)
    shared = share(loader, parts=parts)
    assert is_shared(shared) and not is_shared(loader)
    seen = []
    for rank in range(3):
        monkeypatch.setattr("fracturelib.loaders.rank_and_size", lambda rank=rank: (rank, 3))
        set_epoch(shared, 5)
        seen.append([batch.tolist() for batch in shared])
    order = EpochSampler(rows, seed=0)
    order.epoch = 5
    batches = [list(order)[start : start + 4] for start in range(0, rows, 4)]
    if parts:
        assert [set(itertools.chain(*places)) for places in zip(*seen, strict=True)] == [
            set(batch) for batch in batches
        ]
    else:
        assert sorted(batch for places in seen for batch in places) == sorted(batches)
