"""Each kind of bad data folder gives one clear message that says what, where, why and what to do."""

from __future__ import annotations

import shutil
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fracturelib.catalog import read_catalog
from fracturelib.errors import CatalogError, DataWarning
from tests.helpers.trees import write_tree

MakeTree = Callable[..., Path]


def huge_png() -> bytes:
    """101 megapixels in the header, a few bytes in the file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 10_100, 10_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def add_unusable(folder: Path) -> list[str]:
    """Six files that are no radiographs."""
    (folder / "u1.jpg").write_bytes(b"")
    (folder / "u2.jpg").write_bytes(b"no image at all")
    (folder / "u3.png").write_bytes(huge_png())
    Image.new("L", (1, 1)).save(folder / "u4.png")
    (folder / "u5.png").write_bytes((folder / "u3.png").read_bytes()[:40])
    (folder / "u6 notes.txt").write_text("seen by two readers")
    return sorted(path.name for path in folder.glob("u*"))


def add_truncated(folder: Path, count: int = 2) -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (200, 160), dtype=np.uint8)
    for number in range(count):
        path = folder / f"cut{number}.jpg"
        Image.fromarray(np.roll(pixels, number)).save(path)
        path.write_bytes(path.read_bytes()[:-900])


def empty_folder(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


def without_classes(root: Path) -> None:
    for folder in root.iterdir():
        for file in list(folder.rglob("*.png")):
            file.rename(folder / file.name)
        for child in folder.iterdir():
            if child.is_dir():
                child.rmdir()


LAYOUTS = {
    "missing": (shutil.rmtree, "does not exist"),
    "empty": (empty_folder, "holds no files"),
    "no class folders": (without_classes, "no class folders"),
    "train has one class": (lambda root: shutil.rmtree(root / "train/fractured"), "one class only: not fractured"),
    "test has one class": (lambda root: shutil.rmtree(root / "test/not fractured"), "one class only: fractured"),
    "no train": (lambda root: shutil.rmtree(root / "train"), "no training set"),
    "no val": (lambda root: shutil.rmtree(root / "val"), "'val' is missing"),
    "no val, no test": (lambda root: [shutil.rmtree(root / s) for s in ("val", "test")], "'val' and 'test' is missing"),
    "empty test": (lambda root: [path.unlink() for path in root.glob("test/*/*")], "'test' is missing or empty"),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_wrong_layout_shows_the_expected_tree_and_what_was_found(make_tree: MakeTree, case: str) -> None:
    root = make_tree({"train": 2, "val": 2, "test": 2})
    damage, message = LAYOUTS[case]
    damage(root)
    with pytest.raises(CatalogError, match=message) as caught:
        read_catalog(root)
    text = str(caught.value)
    assert str(root) in text
    for name in ("train/", "val/", "test/", "fractured/, not fractured/"):
        assert name in caught.value.cure
    for child in root.iterdir() if root.exists() else ():
        assert f"{child.name}/" in caught.value.cause
    if case.startswith(("no val", "empty test")):
        assert "--make-split" in caught.value.cure


def test_a_file_in_place_of_the_folder(make_tree: MakeTree) -> None:
    with pytest.raises(CatalogError, match="is a file"):
        read_catalog(make_tree({"train": 1}) / "train/fractured/s0002.png")


def test_a_data_set_one_level_further_down_is_read(tmp_path: Path) -> None:
    write_tree(tmp_path / "outer/inner", {"train": 1, "val": 1, "test": 1})
    table = read_catalog(tmp_path / "outer")
    assert len(table) == len(read_catalog(tmp_path / "outer/inner"))
    assert all((tmp_path / "outer" / path).is_file() for path in table["path"])


@pytest.mark.parametrize("split", ["train", "test"])
def test_unknown_class_folder_lists_the_recognised_names(make_tree: MakeTree, split: str) -> None:
    root = make_tree({"train": 1, "val": 1, "test": 1})
    (root / split / "fractured").rename(root / split / "abnormal")
    with pytest.raises(CatalogError, match="unknown class folder: abnormal") as caught:
        read_catalog(root)
    assert caught.value.file == root / split
    for name in ("fractured", "not fractured", "normal", "broken"):
        assert name in caught.value.cause


def test_only_unknown_class_folders_in_a_split(make_tree: MakeTree) -> None:
    root = make_tree({"train": 1, "val": 1, "test": 1})
    (root / "train/fractured").rename(root / "train/malign")
    (root / "train/not fractured").rename(root / "train/benign")
    with pytest.raises(CatalogError, match="unknown class folder: benign, malign"):
        read_catalog(root)


def test_unknown_class_folder_in_a_flat_root(make_tree: MakeTree) -> None:
    root = make_tree({"test": 1}) / "test"
    (root / "not fractured").rename(root / "unsure")
    with pytest.raises(CatalogError, match="unknown class folder: unsure"):
        read_catalog(root)


def test_unusable_files_are_skipped_with_one_warning(make_tree: MakeTree) -> None:
    root = make_tree()
    names = add_unusable(root / "train/fractured")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = read_catalog(root)
    assert [entry.category for entry in caught] == [DataWarning]
    text = str(caught[0].message)
    assert "6 files" in text
    assert "and 1 more" in text
    assert sum(name in text for name in names) == 5
    assert caught[0].filename == __file__
    assert len(table) == 32
    assert [Path(one["path"]).name for one in table.attrs["skipped"]] == names
    problems = {Path(one["path"]).name: one["problem"] for one in table.attrs["skipped"]}
    assert "empty" in problems["u1.jpg"]
    assert "megapixels" in problems["u3.png"]
    assert "1×1" in problems["u4.png"]
    with pytest.raises(CatalogError, match="6 files") as error:
        read_catalog(root, strict=True)
    assert "strict" in error.value.cure


def test_truncated_jpegs_are_counted_in_one_warning(make_tree: MakeTree) -> None:
    root = make_tree()
    add_truncated(root / "val/fractured")
    with pytest.warns(DataWarning, match=r"truncated: 2 JPEGs.*cut0\.jpg, val/fractured/cut1\.jpg") as caught:
        table = read_catalog(root)
    assert len(caught) == 1
    assert table["path"][table["truncated"]].tolist() == ["val/fractured/cut0.jpg", "val/fractured/cut1.jpg"]
    assert table.attrs["skipped"] == []
    with pytest.raises(CatalogError, match="truncated: 2 JPEGs"):
        read_catalog(root, strict=True)


def test_same_content_under_both_classes_is_left_out(make_tree: MakeTree) -> None:
    root = make_tree()
    one = root / "train/fractured/s0009.png"
    with Image.open(one) as image:
        image.convert("RGB").save(root / "test/not fractured/copy of it.bmp")  # other bytes, same pixels
    with pytest.warns(DataWarning, match="same content under both classes: 2 files") as caught:
        table = read_catalog(root)
    assert len(caught) == 1
    text = str(caught[0].message)
    pair = {"train/fractured/s0009.png", "test/not fractured/copy of it.bmp"}
    assert all(path in text for path in pair)
    assert not pair & set(table["path"])
    assert {one["path"] for one in table.attrs["skipped"]} == pair
    assert len(table) == 31
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = read_catalog(root, keep_conflicts=True)
    assert pair < set(kept["path"])


def test_same_content_under_one_class_is_no_conflict(make_tree: MakeTree) -> None:
    root = make_tree()
    shutil.copy(root / "train/fractured/s0009.png", root / "test/fractured/s9009.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read_catalog(root)) == 33


def test_a_class_of_unusable_files_only_counts_as_missing(make_tree: MakeTree) -> None:
    root = make_tree()
    for path in (root / "val/fractured").iterdir():
        path.write_bytes(b"")
    with (
        pytest.warns(DataWarning, match="4 files"),
        pytest.raises(CatalogError, match="'val' has usable images of one"),
    ):
        read_catalog(root)


def test_nothing_usable_at_all(make_tree: MakeTree) -> None:
    root = make_tree({"train": 1, "val": 1, "test": 1})
    for path in root.rglob("*.png"):
        path.write_bytes(b"x")
    with pytest.warns(DataWarning), pytest.raises(CatalogError, match="not one file"):
        read_catalog(root)


def test_too_few_sources_to_make_a_split(make_tree: MakeTree) -> None:
    root = make_tree({"train": 2})
    with pytest.raises(CatalogError, match="too few groups") as caught:
        read_catalog(root, make_split=True)
    assert caught.value.cure


def test_reading_writes_nothing(make_tree: MakeTree) -> None:
    root = make_tree()
    add_truncated(root / "train/fractured")
    before = sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*"))
    with pytest.warns(DataWarning):
        read_catalog(root)
    assert sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*")) == before
