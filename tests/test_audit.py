"""The audit's search for copies: every kind of copy is found, two patients in one pose are kept apart."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fracturelib.audit import audit, findings, neighbours
from fracturelib.audit.copies import LINK_COLUMNS, Copies, find_copies
from fracturelib.audit.neighbours import searcher
from fracturelib.audit.pictures import INVERTED, MIRRORED, describe_picture, unit_descriptors
from fracturelib.audit.reading import Read, measure_appearance, read_one
from fracturelib.audit.registration import compare, compare_either_way
from fracturelib.audit.shelf import Shelf
from fracturelib.audit.shortcuts import find_shortcuts
from fracturelib.audit.sources import sample_size
from fracturelib.catalog import read_catalog, survey
from fracturelib.errors import FracturelibWarning
from fracturelib.simulation import simulate, simulate_one

REAL = Path(os.environ.get("FRACTURELIB_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
PATIENTS = 4


@pytest.fixture(scope="module")
def forearms() -> list[np.ndarray]:
    """Different patients in the same pose."""
    return [simulate_one(patient, region="forearm", view="frontal").picture for patient in range(PATIENTS)]


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five radiographs, six rotated files each, spread over the splits."""
    root = tmp_path_factory.mktemp("leaky") / "set"
    simulate(root, counts=30, leaky=True, seed=3, progress=False, workers=1, image_side=192)
    return root


def turned(pixels: np.ndarray, degrees: float) -> np.ndarray:
    """Rotated counter-clockwise inside its frame, with black corners."""
    height, width = pixels.shape
    return cv2.warpAffine(pixels, cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0), (width, height))


def cropped(pixels: np.ndarray, share: float, x: float, y: float) -> np.ndarray:
    """The part of the picture whose sides are `share` of it; x, y in 0…1 place it."""
    height, width = pixels.shape
    h, w = round(share * height), round(share * width)
    top, left = round(y * (height - h)), round(x * (width - w))
    return np.ascontiguousarray(pixels[top : top + h, left : left + w])


def saved_again(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Through JPEG and back."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


KINDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "saved again": lambda pixels: saved_again(pixels, 50),
    "half size": lambda pixels: cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "larger": lambda pixels: cv2.resize(pixels, None, fx=1.7, fy=1.7),
    "brighter": lambda pixels: np.clip(1.2 * pixels + 15.0, 0, 255).astype(np.uint8),
    "darker": lambda pixels: (0.5 * pixels).astype(np.uint8),
    "other gamma": lambda pixels: (255 * (pixels / 255) ** 0.7).astype(np.uint8),
    "mirrored": lambda pixels: np.ascontiguousarray(pixels[:, ::-1]),
    "upside down": lambda pixels: np.ascontiguousarray(pixels[::-1]),
    "inverted": lambda pixels: 255 - pixels,
    "CLAHE": lambda pixels: cv2.createCLAHE(3.0, (8, 8)).apply(pixels),
    "a coarse JPEG": lambda pixels: saved_again(pixels, 30),
    "a painted marker": lambda pixels: cv2.putText(pixels.copy(), "R", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 2, 255, 4),
    "a square": lambda pixels: cv2.resize(pixels, (224, 224), interpolation=cv2.INTER_AREA),
    "a turned square": lambda pixels: turned(cv2.resize(pixels, (224, 224), interpolation=cv2.INTER_AREA), 40),
    "turned, darker, saved again": lambda pixels: saved_again((0.6 * turned(pixels, 25)).astype(np.uint8), 60),
}


def as_read(pixels: np.ndarray, tmp_path: Path) -> Read:
    file = tmp_path / "picture.png"
    Image.fromarray(pixels).save(file)
    return read_one(file)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_copy_is_recognised(kind, forearms, tmp_path):
    evidence = compare_either_way(as_read(forearms[0], tmp_path), as_read(KINDS[kind](forearms[0]), tmp_path))
    assert evidence is not None
    assert evidence.mirrored == (kind in ("mirrored", "upside down"))
    assert evidence.inverted == (kind == "inverted")


@pytest.mark.parametrize("degrees", [-170, -131, -90, -44, -7, 3, 30, 61, 90, 118, 180])
def test_any_angle_is_recognised_and_told(degrees, forearms):
    evidence = compare(describe_picture(forearms[1]), describe_picture(turned(forearms[1], degrees)))
    assert evidence is not None
    assert abs((evidence.degrees - degrees + 180) % 360 - 180) < 2
    assert evidence.scale == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("corner", [(0, 0), (1, 0), (0.5, 1), (1, 1)])
def test_a_crop_by_a_fifth_is_recognised(corner, forearms):
    for pixels in forearms[:2]:
        evidence = compare(describe_picture(pixels), describe_picture(cropped(pixels, 0.8, *corner)))
        assert evidence is not None
        assert evidence.scale == pytest.approx(1.25, abs=0.1)


def test_different_patients_in_one_pose_are_no_copies(forearms, tmp_path):
    reads = [as_read(pixels, tmp_path) for pixels in forearms]
    for row, one in enumerate(reads):
        assert all(compare_either_way(one, other) is None for other in reads[row + 1 :])


def shaft(patient: int) -> np.ndarray:
    """A smooth shaft in soft tissue with a joint at one end, and noise: nearly all there is to see is its outline."""
    rng = np.random.default_rng(patient)
    y, x = np.mgrid[:240, :200].astype(float)
    across = np.abs(x - 100 - 0.02 * (patient % 4) * (y - 120))
    picture = 40 + 0.8 * np.clip(90 - across, 0, None) + 70 * np.exp(-(((across - 14) / 4) ** 2)) + 30 * (across < 14)
    joint = (210, 40, 30, 200)[patient % 4]
    from_joint = np.hypot(x - 100 - 25 * (patient % 3 - 1), y - joint)
    picture += 60 * np.exp(-(((from_joint - 30) / 5) ** 2))
    picture += 50 * np.exp(-(((from_joint - 60) / 5) ** 2)) * (y > joint - 20)
    return np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8)


@pytest.mark.slow
def test_shafts_whose_outlines_fit_are_no_copies_but_a_turned_one_is():
    shafts = [shaft(patient) for patient in range(12)]
    pictures = [describe_picture(pixels) for pixels in shafts]
    merged = [(a, b) for a in range(12) for b in range(12) if a != b and compare(pictures[a], pictures[b])]
    assert merged == []
    assert all(compare(one, describe_picture(turned(pixels, 20))) for one, pixels in zip(pictures, shafts, strict=True))


def test_a_mirrored_descriptor_is_that_of_the_mirrored_picture(forearms):
    plain = describe_picture(forearms[0])
    mirror = describe_picture(np.ascontiguousarray(forearms[0][:, ::-1]))
    similar = unit_descriptors(plain)[:, MIRRORED] @ unit_descriptors(mirror).T
    assert np.median(similar.max(axis=1)) > 0.95
    np.testing.assert_array_equal(MIRRORED[MIRRORED], np.arange(128))


def test_an_inverted_descriptor_is_that_of_the_inverted_picture(forearms):
    plain, negative = describe_picture(forearms[0]), describe_picture(255 - forearms[0])
    similar = unit_descriptors(plain)[:, INVERTED] @ unit_descriptors(negative).T
    assert np.median(similar.max(axis=1)) > 0.9
    np.testing.assert_array_equal(INVERTED[INVERTED], np.arange(128))


def test_the_index_of_many_pictures_finds_what_exact_search_finds(monkeypatch):
    pytest.importorskip("faiss")
    draw = np.random.default_rng(0)
    count, copied = 3000, 300
    views = draw.normal(size=(20, 64)).astype(np.float32)
    vectors = views[draw.integers(20, size=count)] + draw.normal(size=(count, 64)).astype(np.float32)
    vectors[-copied:] = vectors[:copied] + 0.4 * draw.normal(size=(copied, 64))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    exact_rows, exact_distances = searcher(vectors, count)(vectors, 7)
    monkeypatch.setattr(neighbours, "AFFORDED", count**2 - 1)
    rows, distances = searcher(vectors, count)(vectors, 7)
    assert (rows[:, 0] == np.arange(count)).all()  # a different path, and each finds itself
    shared = [len(set(one) & set(other)) for one, other in zip(rows.tolist(), exact_rows.tolist(), strict=True)]
    assert np.mean(shared) / 7 > 0.9
    assert np.mean([count - copied + row in rows[row] for row in range(copied)]) > 0.99
    np.testing.assert_allclose(distances[:, 1], exact_distances[:, 1], atol=0.2)
    np.testing.assert_array_equal(searcher(vectors, count)(vectors, 7)[0], rows)  # the same index again
    monkeypatch.setitem(sys.modules, "faiss", None)  # without the package the search is exact
    with pytest.warns(FracturelibWarning, match=r"fracturelib\[large\]"):
        np.testing.assert_array_equal(searcher(vectors, count)(vectors, 7)[0], exact_rows)


def copies_of(reads: list[Read], tmp_path: Path) -> Copies:
    """The copies among files that were read."""
    shelf, keys = Shelf(tmp_path), [bytes([number]) * 16 for number in range(len(reads))]
    for key, read in zip(keys, reads, strict=True):
        shelf.add(key, read)
    return find_copies(shelf, shelf.rows(keys), progress=False)


def test_groups_are_transitive_and_exact_copies_need_no_keypoints(forearms, tmp_path):
    black = np.zeros((64, 64), np.uint8)
    pictures = [forearms[0], turned(forearms[0], 20), forearms[1], turned(forearms[0], 45), black, black, forearms[1]]
    copies = copies_of([as_read(pixels, tmp_path) for pixels in pictures], tmp_path)
    assert copies.groups.tolist() == [0, 0, 1, 0, 2, 2, 1]
    assert (copies.links["how"] == "same pixels").sum() == 2
    assert len(copies.links) == len(pictures) - 3  # a tree in each group


def test_no_picture_and_one_picture(forearms, tmp_path):
    assert copies_of([], tmp_path).groups.tolist() == []
    assert copies_of([as_read(forearms[0], tmp_path)], tmp_path).groups.tolist() == [0]


@pytest.mark.slow
@pytest.mark.parametrize("names", [True, False])
def test_the_leaky_set_has_as_many_sources_as_were_drawn(leaky, names):
    table = read_catalog(leaky)
    result = audit(table, names=names, progress=False)
    assert (result.n_files, result.n_sources) == (30, 5)
    assert result.table["path"].tolist() == table["path"].tolist()
    pd.testing.assert_series_equal(
        result.table.groupby("source_id", sort=False).ngroup(), table.groupby("source_id", sort=False).ngroup()
    )
    crossing = table.groupby("source_id")["split"].agg(set).map(len) > 1
    assert (result.leaks["kind"] == "split").sum() == crossing.sum()


@pytest.mark.slow
def test_a_second_audit_takes_the_findings_from_its_memory(leaky, tmp_path, monkeypatch):
    table = read_catalog(leaky)
    first = audit(table, names=False, memory=tmp_path, progress=False)
    monkeypatch.setattr("fracturelib.audit.findings.find", lambda *_, **__: pytest.fail("searched again"))
    second = audit(table, names=False, memory=tmp_path, progress=False)
    for name, content in first.tables().items():
        pd.testing.assert_frame_equal(content, second.tables()[name], check_dtype=False, atol=1e-5, obj=name)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["another file", "half a memory"])
def test_a_memory_that_does_not_fit_is_not_used(damage, leaky, tmp_path):
    table = read_catalog(leaky).head(6)
    audit(table, memory=tmp_path, progress=False)
    file = tmp_path / "findings.npz"
    if damage == "half a memory":
        file.write_bytes(file.read_bytes()[:500])
    else:
        table = table.iloc[::-1].reset_index(drop=True)
    assert audit(table, root=leaky, memory=tmp_path, progress=False).n_files == 6


def test_findings_of_a_set_without_copies_are_remembered(tmp_path):
    links = pd.DataFrame([], columns=list(LINK_COLUMNS))
    found = findings.Findings(np.arange(2), Copies(np.arange(2), links), pd.DataFrame({"grey": [0.5, 0.25]}), [])
    findings.save(found, tmp_path / "findings.npz", ["a", "b"])
    again = findings.load(tmp_path / "findings.npz", ["a", "b"])
    assert again is not None and again.copies.links.empty
    pd.testing.assert_frame_equal(again.appearance, found.appearance, check_dtype=False, check_column_type=False)


@pytest.mark.slow
def test_names_and_pictures_join(forearms, tmp_path):
    for path, pixels in {
        "train/fractured/7.png": forearms[0],
        "train/fractured/7-rotated1.png": forearms[1],  # the name lies; it is believed, and told
        "val/fractured/9.png": turned(forearms[0], 15),
        "val/not fractured/8.png": turned(forearms[2], 15),
        "train/not fractured/8.png": forearms[2],
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / path)
    result = audit(survey(tmp_path), progress=False)
    assert result.n_sources == 2
    how = result.table.set_index("path")["source_by"]
    assert how["train/not fractured/8.png"] == "pictures"  # a counter that begins anew in each folder says nothing
    assert how["val/fractured/9.png"] == "pictures"
    assert how["train/fractured/7-rotated1.png"] == "names"


@pytest.mark.slow
def test_contradicting_labels_are_a_leak_of_their_own(forearms, tmp_path):
    for path, pixels in {
        "train/fractured/a.png": forearms[0],
        "train/not fractured/b.png": turned(forearms[0], 30),
        "train/not fractured/c.png": forearms[1],
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / path)
    leaks = audit(survey(tmp_path), progress=False).leaks
    assert leaks["kind"].tolist() == ["label"]
    assert set(leaks.loc[0, ["one", "other"]]) == {"train/fractured/a.png", "train/not fractured/b.png"}
    assert leaks.loc[0, "correlation"] > 0.9


def test_effective_sample_size_is_kishs():
    table = pd.DataFrame(
        {
            "path": [f"{row}" for row in range(12)],
            "split": "test",
            "label": [1] * 6 + [0] * 6,
            "source_id": ["a"] * 6 + list("bcdefg"),
        }
    )
    rows = sample_size(table).set_index("class")
    assert rows.loc["fractured", ["files", "sources", "effective"]].tolist() == [6, 1, 1]
    assert rows.loc["not fractured", ["files", "sources", "effective"]].tolist() == [6, 6, 6]
    assert rows.loc["both", "effective"] == pytest.approx(144 / 42)
    assert rows.loc["both", "low"] < rows.loc["both", "by_files_low"]
    assert rows.loc["not fractured", "low"] == rows.loc["not fractured", "by_files_low"]


def shortcut_table(count: int = 80, **columns: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Files of noise without any sign, and their appearance; the caller plants one."""
    rng = np.random.default_rng(0)
    label = np.arange(count) % 2
    table = pd.DataFrame({"path": [f"{n}.png" for n in range(count)], "label": label, "width": 200, "height": 220})
    table["source_id"] = table["path"]
    looks = pd.DataFrame([measure_appearance(rng.integers(60, 180, (40, 40)).astype(np.uint8)) for _ in range(count)])
    return table.assign(**columns), looks


@pytest.mark.slow
def test_planted_shortcuts_are_flagged_with_their_carrier():
    table, looks = shortcut_table()
    label = table["label"].to_numpy()
    rng = np.random.default_rng(1)
    table = table.assign(height=220 + 40 * label * (rng.random(80) < 0.8), scanner=np.where(label, "north", "south"))
    table.loc[:15, "scanner"] = "north"
    looks["border: top, cell 3"] += 0.2 * label * (rng.random(80) < 0.9)
    found = find_shortcuts(table, looks).set_index("signs")
    assert found.loc["size and mode", "flagged"] and found.loc["size and mode", "carrier"] in (
        "height in pixels",
        "width over height",
    )
    assert found.loc["border and corners only", "carrier"] == "top, cell 3"
    assert found.loc["border and corners only", "direction"] == "higher"
    assert found.loc["metadata columns", "flagged"] and "scanner" in found.loc["metadata columns", "carrier"]
    for _, row in found[found["flagged"]].iterrows():
        assert row["low"] <= row["auc"] <= row["high"]


@pytest.mark.slow
def test_noise_is_no_shortcut_and_a_copy_gives_nothing_away():
    table, looks = shortcut_table()
    copies = pd.concat([table.assign(path=table["path"] + str(n)) for n in range(3)], ignore_index=True)
    found = find_shortcuts(copies, pd.concat([looks] * 3, ignore_index=True))
    assert not found["flagged"].any(), found[["signs", "auc"]]
    assert (found["sources"] == 80).all()


@pytest.mark.slow
def test_a_column_that_states_the_answer_is_named_and_left_out():
    table, looks = shortcut_table(kind=["oblique" if n % 2 else "none" for n in range(80)])
    metadata = find_shortcuts(table, looks).set_index("signs").loc["metadata columns"]
    assert not metadata["flagged"] and "kind" in metadata["note"]


def test_too_few_sources_give_a_sentence_and_no_number():
    table, looks = shortcut_table(12)
    found = find_shortcuts(table, looks)
    assert found["auc"].isna().all() and found["note"].str.len().gt(0).all()
    assert find_shortcuts(table.assign(label=1), looks).empty


@pytest.mark.slow
@pytest.mark.skipif(not (REAL / "wrist_rotated").is_dir(), reason="the public wrist set is not here")
def test_the_copy_across_splits_of_the_wrist_set_is_found(tmp_path):
    for path in (
        "val/not fractured/3*",
        "train/not fractured/69*",
        "train/not fractured/7*",
        "train/not fractured/57*",
    ):
        for file in (REAL / "wrist_rotated").glob(path):
            target = tmp_path / file.relative_to(REAL / "wrist_rotated")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    result = audit(survey(tmp_path), names=False, progress=False)
    source = result.table.set_index("path")["source_id"]
    three = {source[path] for path in source.index if Path(path).name.split("-")[0].split(".")[0] in ("3", "69")}
    assert len(three) == 1
    assert (result.leaks["kind"] == "split").sum() == 1
