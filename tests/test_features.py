"""The feature bank: what it computes again, what it does not, and what it survives."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.errors import DataWarning, ImageError
from fracturelib.features import FeatureBank, FeatureDataset, compute_features, feature_loaders
from fracturelib.features.store import SUMS, VALUES, FeatureSet
from fracturelib.files.locks import exclusive
from fracturelib.loaders import make_loader, make_loaders
from fracturelib.model import build_model

CONFIG = TrainConfig(weights="none", image_size=32, batch_size=5, epochs=3, views=3)
IMAGES, VIEWS, WIDTH = 16, 3, 512


class Counted:
    """Features of a folder's training images from a bank, counting the pictures that went through the trunk."""

    def __init__(self, root, bank, config=CONFIG, monkeypatch=None):
        self.dataset = make_loaders(read_catalog(root), config).train.dataset
        self.bank, self.config, self.model, self.passes = bank, config, build_model(config), 0

    def __call__(self, views=VIEWS, stop_after=None):
        usual = self.model.frozen_features

        def counting(images):
            if len(images) > 1 or images.abs().sum() > 0:  # not the black picture that asks for the shape
                if stop_after is not None and self.passes >= stop_after:
                    raise KeyboardInterrupt
                self.passes += len(images)
            return usual(images)

        self.passes, self.model.frozen_features = 0, counting
        try:
            return compute_features(self.model, self.dataset, self.config, views=views, bank=self.bank)
        finally:
            del self.model.frozen_features


@pytest.fixture
def bank(tmp_path):
    return FeatureBank(tmp_path / "bank")


@pytest.fixture
def root(make_tree):
    return make_tree()


def only_set(bank):
    (found,) = bank._sets()
    return found


@pytest.mark.slow
def test_the_bank_gives_what_computing_gives_and_computes_once(root, bank):
    counted = Counted(root, bank)
    first = counted()
    assert counted.passes == IMAGES * VIEWS
    again = counted()
    assert counted.passes == 0
    fresh = compute_features(counted.model, counted.dataset, CONFIG, views=VIEWS)
    assert first.shape == (VIEWS, IMAGES, WIDTH) and torch.equal(first, fresh) and torch.equal(again, fresh)


@pytest.mark.slow
def test_interrupted_work_is_resumed(root, bank):
    counted = Counted(root, bank)
    with pytest.raises(KeyboardInterrupt):
        counted(stop_after=20)
    found = counted()
    assert counted.passes == IMAGES * VIEWS - 20
    torch.testing.assert_close(found, compute_features(counted.model, counted.dataset, CONFIG, views=VIEWS))


@pytest.mark.slow
def test_a_changed_image_costs_its_own_passes_only(root, bank):
    before = Counted(root, bank)()
    changed = root / "train/fractured/s0010.png"
    Image.fromarray(255 - np.asarray(Image.open(changed))).save(changed)
    counted = Counted(root, bank)
    after = counted()
    assert counted.passes == VIEWS
    row = [path.endswith("s0010.png") for path in counted.dataset.table["path"]].index(True)
    others = [i for i in range(IMAGES) if i != row]
    assert torch.equal(before[:, others], after[:, others]) and not torch.equal(before[:, row], after[:, row])


@pytest.mark.slow
def test_a_picture_that_was_replaced_since_the_catalogue_is_no_entry_of_the_bank(root, bank):
    counted = Counted(root, bank)
    first, second = (counted.dataset.root / path for path in counted.dataset.table["path"][:2])
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    with pytest.raises(ImageError, match="changed") as caught:
        counted()
    assert caught.value.file == first
    first.write_bytes(kept)
    again = Counted(root, bank)()
    assert torch.equal(again, compute_features(counted.model, counted.dataset, CONFIG, views=VIEWS))


@pytest.mark.slow
def test_a_new_image_and_further_views_cost_their_own_passes_only(root, bank):
    Counted(root, bank)()
    Image.fromarray(np.full((64, 48), 9, np.uint8)).save(root / "train/fractured/a.png")  # before all others
    counted = Counted(root, bank)
    found = counted(views=VIEWS + 1)
    assert counted.passes == VIEWS + (IMAGES + 1)
    fresh = compute_features(counted.model, counted.dataset, CONFIG, views=VIEWS + 1)
    torch.testing.assert_close(found, fresh, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"rotation_degrees": 20.0}, {"seed": 1}, {"image_size": 40}])
def test_other_settings_of_the_pictures_are_computed_anew(root, bank, change):
    Counted(root, bank)()
    counted = Counted(root, bank, TrainConfig(**{**CONFIG.to_dict(), **change}))
    counted()
    assert counted.passes == IMAGES * VIEWS


@pytest.mark.slow
def test_the_bank_tells_a_plain_first_view_from_an_augmented_one(root, bank):
    both, augmented = Counted(root, bank), Counted(root, bank, replace(CONFIG, views=1))
    first, second = both(views=2), augmented(views=2)
    assert augmented.passes == 2 * IMAGES, "nothing is lent between the two"
    assert torch.equal(first[1], second[1]) and not torch.equal(first[0], second[0])


@pytest.mark.slow
def test_settings_of_the_head_compute_nothing(root, bank):
    Counted(root, bank)()
    other = {"learning_rate": 0.1, "hidden_units": 8, "dropout": 0.0, "batch_size": 9}
    counted = Counted(root, bank, TrainConfig(**{**CONFIG.to_dict(), **other}))
    counted()
    assert counted.passes == 0


@pytest.mark.slow
def test_other_weights_are_noticed_even_if_changed_in_place(root, bank):
    counted = Counted(root, bank)
    before = counted()
    with torch.no_grad():
        counted.model.trunk.conv1.weight.mul_(1.5)
    after = counted()
    assert counted.passes == IMAGES * VIEWS and not torch.allclose(before, after)


@pytest.mark.slow
def test_a_damaged_entry_is_noticed_and_rebuilt(root, bank):
    counted = Counted(root, bank)
    expected = counted().clone()
    values = only_set(bank).folder / VALUES
    with values.open("r+b") as file:
        file.seek(-WIDTH * 4 * 2 + 100, os.SEEK_END)
        file.write(b"damage")
    with pytest.warns(DataWarning, match="1 damaged"):
        found = counted()
    assert counted.passes == 1
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["header.json", VALUES, SUMS, "keys.npy"])
@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_set_with_a_broken_file_is_made_anew(root, bank, file, content):
    counted = Counted(root, bank)
    expected = counted().clone()
    path = only_set(bank).folder / file
    path.unlink() if content is None else path.write_bytes(content)
    assert torch.equal(counted(), expected)


@pytest.mark.slow
def test_the_sets_that_were_not_used_for_longest_go_first(root, tmp_path):
    one_set = IMAGES * VIEWS * WIDTH * 4
    bank = FeatureBank(tmp_path / "bank", limit=int(2.5 * one_set))
    seeds = [Counted(root, bank, TrainConfig(**{**CONFIG.to_dict(), "seed": seed})) for seed in range(3)]
    for age, counted in ((30, seeds[0]), (20, seeds[1])):
        counted()
        newest = bank._sets()[-1]
        os.utime(newest.folder / "header.json", (1e9 - age, 1e9 - age))
    seeds[0]()  # used again, so the second one is now the oldest
    seeds[2]()
    assert bank.size() <= bank.limit
    assert [(counted(), counted.passes)[1] for counted in (seeds[0], seeds[2], seeds[1])] == [0, 0, IMAGES * VIEWS]


@pytest.mark.slow
def test_a_set_in_use_is_not_removed(root, tmp_path):
    bank = FeatureBank(tmp_path / "bank", limit=IMAGES * VIEWS * WIDTH * 4 + 10_000)
    Counted(root, bank)()
    kept = only_set(bank)
    with exclusive(kept.folder.with_suffix(".lock")):
        Counted(root, bank, TrainConfig(**{**CONFIG.to_dict(), "seed": 1}))()
        assert FeatureSet.open(kept.folder) is not None


def test_what_only_fits_in_half_precision_is_kept_so(tmp_path):
    bank = FeatureBank(tmp_path, limit=3000)
    assert bank.dtype((1, 10, 50)) == np.float32 and bank.dtype((1, 10, 100)) == np.float16
    assert bank.holds((1, 10, 100)) and not bank.holds((1, 10, 200))


@pytest.mark.slow
def test_two_processes_share_one_bank(tiny_data, tmp_path):
    code = (
        "import sys; from fracturelib.catalog import read_catalog; from fracturelib.config import TrainConfig\n"
        "from fracturelib.features import FeatureBank, feature_loaders; from fracturelib.loaders import make_loaders\n"
        "from fracturelib.model import build_model\n"
        "config = TrainConfig(weights='none', image_size=32, batch_size=5, epochs=3, views=3)\n"
        "loaders = make_loaders(read_catalog(sys.argv[1]), config)\n"
        "found = feature_loaders(build_model(config), loaders, config, bank=FeatureBank(sys.argv[2]))\n"
        "print(found.train.dataset.features.double().sum().item())\n"
    )
    command = [sys.executable, "-c", code, str(tiny_data), str(tmp_path / "bank")]
    pair = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in pair]
    assert [process.returncode for process in pair] == [0, 0] and said[0] == said[1] != b""
    assert len(FeatureBank(tmp_path / "bank")._sets()) == 3


@pytest.mark.slow
def test_maps_below_an_unfrozen_stage_are_kept_too(root, bank):
    config = TrainConfig(**{**CONFIG.to_dict(), "unfreeze": "layer4"})
    loaders = make_loaders(read_catalog(root), config)
    model = build_model(config)
    found = feature_loaders(model, loaders, config, bank=bank)
    assert found.train.dataset.features.shape == (3, IMAGES, 256, 2, 2)
    image, _, _ = loaders.val.dataset[3]
    from_image, from_maps = (model.predict_proba(x[None]) for x in (image, found.val.dataset[3][0]))
    torch.testing.assert_close(from_image, from_maps, rtol=1e-5, atol=1e-6)


def test_whole_batches_come_in_the_order_of_single_items():
    import pandas as pd

    table = pd.DataFrame({"path": [f"{i}.png" for i in range(13)], "label": np.arange(13) % 2})
    dataset = FeatureDataset(table, torch.randn(2, 13, 4))
    for shuffle in (False, True):
        batches = list(make_loader(dataset, CONFIG, shuffle=shuffle))
        assert [len(batch[1]) for batch in batches] == [5, 5, 3]
        for values, labels, rows in batches:
            single = [dataset[row] for row in rows.tolist()]
            assert torch.equal(values, torch.stack([item[0] for item in single]))
            assert torch.equal(labels, torch.stack([item[1] for item in single]))
