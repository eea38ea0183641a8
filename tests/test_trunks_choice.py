"""`fracturelib trunks`: which trunk for these pictures, from the training part alone."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from fracturelib.catalog import read_catalog
from fracturelib.cli import main
from fracturelib.config import TrainConfig
from fracturelib.course.studies import trunks as study
from fracturelib.errors import CatalogError, WeightsError
from fracturelib.features import FeatureBank
from fracturelib.plots import trunk_costs
from tests.helpers.trees import write_tree

CONFIG = TrainConfig(precision="float32", device="cpu", batch_size=8)


@pytest.fixture
def small(monkeypatch):
    """Trunks at 32 pixels."""
    monkeypatch.setattr(study, "usual_size", lambda _: 32)


def without_times(found):
    return found.drop(columns="seconds")


@pytest.mark.slow
def test_the_table_is_that_of_the_training_part(tiny_data, tmp_path, small):
    names = ["resnet18@none", "resnet18@distilled", "no_such_network", "hf:/nowhere"]
    table = read_catalog(tiny_data)
    found = study.compare_trunks(table, names, CONFIG)
    assert found["trunk"].tolist() == names
    assert found["problem"].ne("").tolist() == [False, False, True, True]
    tried = found[found["problem"] == ""]
    assert tried["difference"].iloc[0] == 0 and (tried["seconds"] > 0).all() and tried["auc"].between(0, 1).all()
    only = tmp_path / "only"  # validation and test pictures are never opened: here there are none
    shutil.copytree(tiny_data, only)
    for split in ("val", "test"):
        for file in (only / split).rglob("*.png"):
            file.write_bytes(b"")
    moved = table.copy()
    moved.attrs["root"] = str(only)
    pd.testing.assert_frame_equal(without_times(study.compare_trunks(moved, names, CONFIG)), without_times(found))
    assert trunk_costs(found).get_xlabel().startswith("seconds")


@pytest.mark.slow
def test_what_was_interrupted_goes_on_and_repeats_nothing(tiny_data, tmp_path, small, monkeypatch):
    table, bank, calls = read_catalog(tiny_data), FeatureBank(tmp_path / "bank"), []
    names = ["resnet18@none", "resnet18@distilled"]

    def stop(row):
        if row["trunk"] == names[0]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study.compare_trunks(table, names, CONFIG, bank=bank, on_trunk=stop)
    compute = study.compute_features

    def counted(model, dataset, config, *, bank=None):
        if bank is not None:
            calls.append(len(list((tmp_path / "bank").glob("*/header.json"))))
        return compute(model, dataset, config, bank=bank)

    monkeypatch.setattr(study, "compute_features", counted)
    first = study.compare_trunks(table, names, CONFIG, bank=bank)
    second = study.compare_trunks(table, names, CONFIG, bank=bank)
    assert calls == [1, 1, 2, 2]  # one set was there, one was added, and no more
    pd.testing.assert_frame_equal(without_times(first), without_times(second))


def test_the_first_trunk_must_be_there(tiny_data, small):
    with pytest.raises(WeightsError):
        study.compare_trunks(read_catalog(tiny_data), ["no_such_network"], CONFIG)


def test_too_few_sources_are_told(tmp_path, small):
    table = read_catalog(write_tree(tmp_path / "few", {"train": 1, "val": 1, "test": 1}))
    with pytest.raises(CatalogError, match="too few sources"):
        study.compare_trunks(table, ["resnet18@none"], CONFIG)


def test_a_trunk_comes_at_its_own_size_and_with_its_weights():
    config = study.trunk_config("inception_v3@none", CONFIG)
    assert (config.architecture, config.weights, config.image_size) == ("inception_v3", "none", 299)
    assert study.trunk_config("resnet18", CONFIG).weights == "auto"


@pytest.mark.parametrize(("facts", "said"), [({}, "not said"), ({"licence": "CC0"}, "CC0")])
def test_a_file_may_name_its_licence(tmp_path, facts, said):
    (tmp_path / "mine.json").write_text(json.dumps({"network": "resnet18", **facts}))
    assert study.licence_of(f"file:{tmp_path / 'mine.safetensors'}") == said


def test_the_list_says_what_is_here(capsys):
    assert main(["trunks", "--suggest"]) == 0
    assert "rad-dino" in capsys.readouterr().out
    assert np.isfinite(study.suggested_trunks()["megabytes"]).all()


def test_without_pictures_there_is_nothing_to_compare(capsys):
    assert main(["trunks"]) == 2
    assert "--data" in capsys.readouterr().err


def test_the_table_keeps_its_columns_under_long_names(tiny_data, tmp_path, small, capsys):
    name = f"file:{tmp_path}/a_trunk_with_a_rather_long_name.json"
    asked = ["trunks", name, "--data", str(tiny_data), "--runs", str(tmp_path / "runs")]
    assert main(asked) == 0
    lines = capsys.readouterr().out.splitlines()
    head, first, other = (
        next(line for line in lines if line.startswith(start)) for start in ("trunk ", "resnet18 ", name)
    )
    assert other.startswith(f"{name}  ")
    place = head.index("AUC")
    assert place == len(name) + 2 and first[place - 1] == other[place - 1] == " " and " " not in first[place]
