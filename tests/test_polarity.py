"""Pictures of the wrong polarity are told, and turned where asked: in the table, in batches, in features."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fracturelib.catalog import read_catalog, survey
from fracturelib.config import TrainConfig
from fracturelib.errors import ConfigError, DataWarning
from fracturelib.features.computing import _keys
from fracturelib.images import inspect_image, looks_inverted, read_radiograph
from fracturelib.loaders import make_loaders


def limb(seed: int) -> np.ndarray:
    """A bright bone in soft tissue before dark air, uint8 (120, 90), with a marker and some noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:120, :90]
    centre, width = rng.uniform(35, 55), rng.uniform(14, 20)
    picture = 0.05 + 0.35 * (abs(x - centre) < width) + 0.4 * (abs(x - centre + y / 20) < width / 3)
    picture[5:12, 5:10] = 1
    return np.rint(np.clip(picture + rng.normal(0, 0.02, picture.shape), 0, 1) * 255).astype(np.uint8)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A data set in which the fractured training pictures are negatives."""
    for number in range(24):
        split, name = ("train", "val", "test")[number // 8], ("fractured", "not fractured")[number % 2]
        (tmp_path / split / name).mkdir(parents=True, exist_ok=True)
        grey = 255 - limb(number) if split == "train" and name == "fractured" else limb(number)
        Image.fromarray(grey).save(tmp_path / split / name / f"p{number}.png")
    return tmp_path


def test_negatives_are_told_from_radiographs(tmp_path: Path) -> None:
    for seed in range(20):
        Image.fromarray(limb(seed)).save(tmp_path / "a.png")
        Image.fromarray(255 - limb(seed)).save(tmp_path / "b.png")
        one, other = inspect_image(tmp_path / "a.png", polarity="fix"), inspect_image(tmp_path / "b.png")
        fixed = inspect_image(tmp_path / "b.png", polarity="fix")
        assert (one.inverted, one.turned, other.inverted, other.turned) == (False, False, True, False)
        assert fixed.turned and (fixed.content, fixed.grey_mean) == (one.content, pytest.approx(one.grey_mean))
        assert fixed.sha256 == other.sha256
        assert np.array_equal(read_radiograph(tmp_path / "b.png", polarity="turn"), limb(seed))


def test_kept_polarity_is_said_once_and_changes_nothing(mixed: Path) -> None:
    with pytest.warns(DataWarning, match="dark bone before bright air, as it seems: 4 files") as caught:
        table = read_catalog(mixed)
    assert len(caught) == 1 and "'fix'" in str(caught[0].message)
    assert table["inverted"].sum() == 4 and not table["turned"].any()


def test_fixed_polarity_reaches_the_table_the_batches_and_the_features(mixed: Path) -> None:
    with pytest.warns(DataWarning, match="4 files, turned"):
        fixed = read_catalog(mixed, polarity="fix")
    with pytest.warns(DataWarning):
        kept = read_catalog(mixed)
    rows = fixed["turned"].to_numpy()
    assert rows.sum() == 4 and fixed.loc[rows, "path"].str.startswith("train/fractured").all()
    assert fixed["grey_mean"].max() < 0.5 < kept.loc[rows, "grey_mean"].min()
    assert survey(mixed, polarity="fix")["turned"].sum() == 4
    config = TrainConfig(data=str(mixed), image_size=64, flip_probability=0, rotation_degrees=0, crop_fraction=1)
    one, other = (make_loaders(table, config).train.dataset for table in (fixed, kept))
    for row in range(len(one)):
        same = np.allclose(one[row][0], other[row][0])
        assert same != bool(one.table["turned"][row])
        assert (_keys(one)[row] == _keys(other)[row]).all() == same  # features of the other polarity are not taken


def test_a_set_without_negatives_has_no_columns_about_them(mixed: Path) -> None:
    for file in (mixed / "train/fractured").iterdir():
        Image.fromarray(limb(1)).save(file)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        assert not {"inverted", "turned"} & set(read_catalog(mixed, polarity="fix", keep_conflicts=True))


def test_other_words_are_refused() -> None:
    assert TrainConfig().polarity == "keep"
    with pytest.raises(ConfigError, match="polarity is 'flip'"):
        TrainConfig(polarity="flip")


def test_real_limbs_are_told_from_their_negatives(real_data: Path) -> None:
    files = sorted((real_data / "fracatlas_slice").rglob("*.jpg"))[::20]
    pictures = [read_radiograph(file, target_side=96) for file in files]
    assert not any(map(looks_inverted, pictures))
    assert np.mean([looks_inverted(255 - picture) for picture in pictures]) > 0.9
