import shutil
import warnings
from dataclasses import replace

import pandas as pd
import pytest
import torch

from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.errors import CatalogError, SplitLeakWarning
from fracturelib.loaders import RadiographDataset, make_loaders, set_epoch, training_dataset
from fracturelib.transforms import eval_transform, split_transform, train_transform

CONFIG = TrainConfig(image_size=32, batch_size=5, weights="none")


@pytest.fixture
def table(tiny_data):
    return read_catalog(tiny_data)


def test_the_data_set_keeps_the_rows_and_their_order(table):
    dataset = RadiographDataset(table, eval_transform(CONFIG))
    assert dataset.table["path"].tolist() == table["path"].tolist()
    for row in (0, 7, len(dataset) - 1):
        image, label, number = dataset[row]
        assert image.shape == (3, 32, 32) and image.dtype == torch.float32
        assert (label.item(), number) == (table["label"].iloc[row], row)


def test_its_repr_tells_what_is_inside(table):
    text = repr(RadiographDataset(table, eval_transform(CONFIG)))
    assert "32 images from 32 sources" in text and "16 fractured, 16 not fractured" in text


def test_a_table_without_a_root_is_an_error(table):
    bare = pd.DataFrame(table.to_dict("list"))
    with pytest.raises(CatalogError, match="root="):
        RadiographDataset(bare, eval_transform(CONFIG))


def test_views_are_a_function_of_seed_view_and_row(table):
    def dataset(seed=0):
        return RadiographDataset(table, train_transform(CONFIG), seed=seed)

    first, second = dataset(), dataset()
    first[3]  # another draw before must not matter
    for view in (0, 1):
        first.set_view(view)
        second.set_view(view)
        assert torch.equal(first[5][0], second[5][0])
    second.set_view(0)
    assert not torch.equal(first[5][0], second[5][0])
    assert not torch.equal(dataset(1)[5][0], second[5][0])


def test_grey_images_and_the_batch_part_are_the_whole_transform(table):
    """The fast path of features: random numbers are drawn in the same order, and no bit differs."""
    for transform in (train_transform(CONFIG), eval_transform(CONFIG)):
        dataset = RadiographDataset(table, transform, seed=3)
        _, finish = split_transform(transform)
        for view in range(4):
            grey = torch.stack([dataset.grey_image(row, view) for row in range(6)])
            assert grey.dtype == torch.uint8 and grey.shape == (6, 1, 32, 32)
            assert torch.equal(finish(grey), torch.stack([dataset.image(row, view) for row in range(6)]))


@pytest.mark.parametrize("views", [0, 1, 2, 5])
def test_the_first_of_several_views_is_the_picture_as_it_is(table, views):
    config = replace(CONFIG, views=views)
    learnt, plain = training_dataset(table, config), RadiographDataset(table, eval_transform(config))
    augmented = RadiographDataset(table, train_transform(config), side=learnt.side)
    _, finish = split_transform(train_transform(config))
    for view in (0, 1, 4):
        expected = plain if view == 0 and views > 1 else augmented
        assert torch.equal(learnt.image(3, view), expected.image(3, view))
        assert torch.equal(finish(learnt.grey_image(3, view)[None])[0], expected.image(3, view))
    assert not torch.equal(plain.image(3, 0), augmented.image(3, 0))


def test_a_view_of_a_file_does_not_depend_on_the_other_files(table):
    few = table.iloc[4:9]
    whole, part = (RadiographDataset(rows, train_transform(CONFIG), root=table.attrs["root"]) for rows in (table, few))
    assert torch.equal(whole.image(6, 1), part.image(2, 1))


def test_loaders_follow_the_splits_and_only_training_is_shuffled(table):
    loaders = make_loaders(table, CONFIG)
    for split, loader in zip(("train", "val", "test"), loaders, strict=True):
        rows = torch.cat([rows for _, _, rows in loader])
        labels = torch.cat([labels for _, labels, _ in loader])
        expected = table[table["split"] == split]
        assert loader.dataset.table["path"].tolist() == expected["path"].tolist()
        assert sorted(rows.tolist()) == list(range(len(expected)))
        assert (rows.tolist() == list(range(len(expected)))) == (split != "train")
        assert labels.sum() == expected["label"].sum()


def test_validation_and_test_images_are_not_augmented(table):
    loaders = make_loaders(table, CONFIG)
    for loader in (loaders.val, loaders.test):
        before = torch.cat([images for images, _, _ in loader])
        set_epoch(loader, 3)
        assert torch.equal(torch.cat([images for images, _, _ in loader]), before)


@pytest.mark.slow
def test_the_epoch_decides_the_order_and_the_view(table):
    def epoch(number):
        loader = make_loaders(table, CONFIG).train
        set_epoch(loader, number)
        batches = list(loader)
        return torch.cat([b[2] for b in batches]), torch.cat([b[0] for b in batches])

    assert torch.equal(epoch(1)[0], epoch(1)[0]) and torch.equal(epoch(1)[1], epoch(1)[1])
    assert not torch.equal(epoch(1)[0], epoch(2)[0])


@pytest.mark.slow
def test_worker_processes_give_the_same_batches_in_every_epoch(table):
    def pictures(workers):
        loader = make_loaders(table, TrainConfig(image_size=32, batch_size=5, workers=workers)).train
        for epoch in (0, 1):
            set_epoch(loader, epoch)
            batches = list(loader)
        return torch.cat([images for images, _, _ in batches])

    assert torch.equal(pictures(0), pictures(2))


def test_a_clean_split_is_silent(table):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_loaders(table, CONFIG)


def test_shared_sources_are_said_with_counts(table):
    leaky = table.copy()
    leaky.loc[leaky["split"] == "val", "source_id"] = leaky["source_id"].iloc[0]
    with pytest.warns(SplitLeakWarning, match=r"1 sources \(9 files\).*train\+val"):
        make_loaders(leaky, CONFIG)


def test_an_empty_split_is_an_error(table):
    with pytest.raises(CatalogError, match="'val' has no images"):
        make_loaders(table[table["split"] != "val"], CONFIG)


def test_copies_under_other_names_are_a_leak_that_is_counted(make_tree):
    root = make_tree()
    for file in (root / "train/fractured").iterdir():
        shutil.copy(file, root / f"test/fractured/scan_{file.name}")
    with pytest.warns(SplitLeakWarning, match=r"8 sources \(16 files\) are in both splits of train\+test"):
        make_loaders(read_catalog(root), CONFIG)
