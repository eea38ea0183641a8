"""The simulated data set: files, labels, determinism, safety of writing."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fracturelib.catalog import read_catalog, source_id_from_name
from fracturelib.config import CLASS_NAMES, SPLITS
from fracturelib.errors import FracturelibError
from fracturelib.simulation import ensure_simulated, simulate, writer
from fracturelib.simulation.home import one_builder
from fracturelib.simulation.mixture import SHARES
from fracturelib.simulation.plan import DEFAULT_COUNTS, SECOND_TURN, is_fractured, jobs, make_plan

SMALL = {"train": 20, "val": 2, "test": 3}
COLUMNS = [
    "file", "patient_id", "source_id", "view", "region", "age_group", "fracture_type", "displacement_mm", "conspicuity",
    "bbox_x", "bbox_y", "bbox_w", "bbox_h", "hardware", "cast", "device",
]  # fmt: skip


def fingerprints(root: Path) -> dict[str, str]:
    """SHA-256 of every file of a set."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# What uses these is slow.
SLOW_FIXTURES = ("small",)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("simulated") / "set"
    simulate(root, counts=SMALL, seed=3, image_side=64, progress=False)
    return root


def test_layout_and_metadata(small):
    table = pd.read_csv(small / "metadata.csv")
    assert list(table.columns) == COLUMNS
    assert len(table) == sum(SMALL.values())
    for row in table.itertuples():
        with Image.open(small / row.file) as picture:
            assert picture.mode == "L"
            assert min(picture.size) == 64
            if row.fracture_type != "none":
                assert row.bbox_x >= 0 and row.bbox_x + row.bbox_w <= picture.size[0]
                assert row.bbox_y >= 0 and row.bbox_y + row.bbox_h <= picture.size[1]
        assert ("/fractured/" in row.file) == (row.fracture_type != "none")
    assert not (small.parent / ".set.partial").exists()
    assert not (small.parent / ".set.lock").exists()


def test_catalog_reads_it_with_both_classes_and_no_shared_patient(small):
    table = read_catalog(small)
    assert table.groupby("split")["label"].nunique().eq(2).all()
    assert table.groupby("split")["split"].size().to_dict() == SMALL
    assert table.groupby("patient_id")["split"].nunique().eq(1).all()
    assert (table["source_id"] == [Path(path).stem for path in table["path"]]).all()


def test_same_seed_same_bytes_other_seed_other_bytes(small, tmp_path):
    simulate(tmp_path / "again", counts=SMALL, seed=3, image_side=64, progress=False)
    simulate(tmp_path / "other", counts=3, seed=4, image_side=64, progress=False)
    assert fingerprints(tmp_path / "again") == fingerprints(small)
    assert not set(fingerprints(tmp_path / "other").values()) & set(fingerprints(small).values())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_give_the_same_bytes(small, tmp_path, method):
    plan = make_plan(seed=3, counts=SMALL, image_side=64)
    for split in SPLITS:
        for name in CLASS_NAMES:
            (tmp_path / split / name).mkdir(parents=True)
    rows = list(writer.run_pool(list(jobs(plan))[:3], tmp_path, plan, 2, method))
    written = fingerprints(tmp_path)
    assert [row["file"] for part in rows for row in part] == list(
        pd.read_csv(small / "metadata.csv")["file"][: len(written)]
    )
    assert written.items() <= fingerprints(small).items()


def test_a_patient_does_not_depend_on_how_many_follow():
    plans = [make_plan(counts=total) for total in (480, 100_000)]
    few, many = ([(job.entropy, job.setting, job.fractured) for job in islice(jobs(plan), 50)] for plan in plans)
    assert few == many


def planned(**settings) -> pd.DataFrame:
    """One row per planned file: split, view, label and setting."""
    rows = [
        {"split": file.split, "view": file.view, "name": file.name, "fractured": job.fractured, **asdict(job.setting)}
        for job in jobs(make_plan(**settings))
        for file in job.files
    ]
    return pd.DataFrame(rows)


MIXED = ["region", "age_group", "view", "hardware", "cast"]


@pytest.mark.slow
@pytest.mark.parametrize(("counts", "bar"), [(None, 0.05), ({"train": 12000, "val": 2400, "test": 4800}, 0.02)])
def test_every_split_has_the_same_mixture(counts, bar):
    table = planned(counts=counts)
    assert table["split"].value_counts().to_dict() == (counts or DEFAULT_COUNTS)
    assert table["name"].is_unique
    for column in MIXED:
        shares = pd.crosstab(table[column], table["split"], normalize="columns")
        assert (shares.max(axis=1) - shares.min(axis=1)).max() <= bar


def test_no_setting_tells_the_label():
    table = planned()
    # The patients of a block share every setting, and each block has the same share of fractures.
    for columns in (
        [[name] for name in MIXED] + [["region", name] for name in MIXED[1:]] + [["long_side"], ["landscape"]]
    ):
        assert table.groupby(columns)["fractured"].mean().eq(0.4).all()
    assert all(is_fractured(seed, 0, 0) != is_fractured(seed, 0, 1) for seed in range(20))


def test_a_leaky_set_is_mixed_before_its_copies_are_dealt():
    table = planned(counts=1440, leaky=True)
    sources = table[~table["name"].str.contains("rotated")]
    shares = sources["region"].value_counts(normalize=True)
    assert (shares - pd.Series(SHARES["region"])).abs().max() < 0.03


def test_the_mixture_differs_on_purpose_when_asked():
    table = planned(mixture_shift=True)
    hands = (table["region"] == "hand").groupby(table["split"]).mean()
    assert hands["train"] < 0.05 and hands["val"] < 0.05
    assert hands["test"] == pytest.approx(0.3, abs=0.03)


def test_names_do_not_betray_the_class(small):
    table = pd.read_csv(small / "metadata.csv")
    assert table["file"].str.split("/").str[-1].str.fullmatch(r"P\d{6}-(frontal|lateral)\.png").all()


@pytest.mark.slow
def test_leaky_set_spreads_rotated_copies_over_the_splits(tmp_path):
    table = simulate(
        tmp_path / "leaky", counts={"train": 30, "val": 9, "test": 9}, leaky=True, image_side=64, progress=False
    )
    split = table["file"].str.split("/").str[0]
    assert split.value_counts().to_dict() == {"train": 30, "val": 9, "test": 9}
    assert table["source_id"].nunique() == 8
    assert split.groupby(table["source_id"]).nunique().gt(1).mean() > 0.5
    for row in table.itertuples():
        assert source_id_from_name(row.file).split("/")[-1] == row.source_id
    turned = table["file"].str.contains(r"-rotated\d-rotated\d\.png")
    assert turned.sum() == 48 - 8
    steep = table[table["file"].str.contains("rotated3-rotated3")].iloc[0]
    with Image.open(tmp_path / "leaky" / steep["file"]) as picture:
        corners = np.asarray(picture)[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.max() < 8 and max(SECOND_TURN.values()) > 0


@pytest.mark.slow
def test_device_shift_changes_the_test_split_only(tmp_path):
    few = {"train": 2, "val": 2, "test": 3}
    plain = simulate(tmp_path / "plain", counts=few, image_side=64, progress=False)
    shifted = simulate(tmp_path / "shifted", counts=few, device_shift=True, image_side=64, progress=False)
    test = plain["file"].str.startswith("test/")
    assert (plain["device"] == "A").all()
    assert (shifted["device"] == np.where(test, "B", "A")).all()
    assert plain["file"].equals(shifted["file"])
    before, after = fingerprints(tmp_path / "plain"), fingerprints(tmp_path / "shifted")
    changed = {name for name in before if before[name] != after[name] and name.endswith(".png")}
    assert changed == set(plain["file"][test])


def test_ensure_leaves_a_complete_set_alone_and_repairs_a_damaged_one(small, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*")}
    assert ensure_simulated(small, counts=SMALL, seed=3, image_side=64, progress=False) == small
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*")} == before
    root = tmp_path / "set"
    ensure_simulated(root, counts=6, image_side=64, progress=False)
    whole = fingerprints(root)
    next(root.rglob("*.png")).unlink()
    ensure_simulated(root, counts=6, image_side=64, progress=False)
    assert fingerprints(root) == whole


def add_notes(root: Path) -> dict[str, str]:
    """Put a user's own files into a set."""
    (root / "train" / "fractured" / ".DS_Store").write_bytes(b"mine")
    (root / "NOTES.txt").write_text("my notes")
    (root / "clean_split.csv").write_text("path,split\n")
    return fingerprints(root)


@pytest.mark.slow
def test_repair_leaves_what_the_user_put_into_a_set(tmp_path):
    root = tmp_path / "set"
    simulate(root, counts=6, image_side=64, progress=False)
    (root / "metadata.csv").write_text((root / "metadata.csv").read_text() + "\n")  # edited
    kept = add_notes(root)
    ensure_simulated(root, counts=6, image_side=64, progress=False)
    assert fingerprints(root) == kept
    next(root.rglob("*.png")).unlink()
    ensure_simulated(root, counts=6, image_side=64, progress=False)
    assert fingerprints(root) == kept


@pytest.mark.slow
def test_another_set_asks_for_another_folder_or_to_be_replaced(tmp_path):
    root = tmp_path / "set"
    simulate(root, counts=6, image_side=64, progress=False)
    kept = add_notes(root)
    with pytest.raises(FracturelibError, match="another simulated set"):
        simulate(root, counts=8, image_side=64, progress=False)
    assert fingerprints(root) == kept
    simulate(root, counts=8, image_side=64, replace=True, progress=False)
    assert len(list(root.rglob("*.png"))) == 8
    notes = ("NOTES.txt", "clean_split.csv", "train/fractured/.DS_Store")
    assert {name: fingerprints(root)[name] for name in notes} == {name: kept[name] for name in notes}
    assert not [path for path in tmp_path.iterdir() if path.name != "set"]


@pytest.mark.slow
def test_a_set_of_an_older_version_stays_and_the_new_one_is_made_beside_it(tmp_path):
    root = tmp_path / "set"
    simulate(root, counts=6, image_side=64, progress=False)
    manifest = json.loads((root / "simulation.json").read_text())
    (root / "simulation.json").write_text(json.dumps({**manifest, "version": 1}))
    kept = add_notes(root)
    with pytest.raises(FracturelibError) as refused:
        simulate(root, counts=6, image_side=64, progress=False)
    assert "older version" in refused.value.cause
    beside = ensure_simulated(root, counts=6, image_side=64, progress=False)
    assert beside != root and beside.parent == root.parent
    assert writer.is_complete(root, make_plan(counts=6, image_side=64))
    assert fingerprints(root) == kept


@pytest.mark.slow
def test_a_link_is_followed(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    simulate(tmp_path / "link", counts=4, image_side=64, progress=False)
    assert (tmp_path / "link").is_symlink()
    assert len(list((tmp_path / "target").rglob("*.png"))) == 4
    assert {path.name for path in tmp_path.iterdir()} == {"link", "target"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a matter of Unix")
def test_workers_end_with_their_parent_and_let_go_of_the_lock(tmp_path):
    script = f"from fracturelib.simulation import simulate; simulate({str(tmp_path / 'set')!r}, counts=400, workers=2)"
    parent = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    rows = tmp_path / ".set.partial" / writer.ROWS
    _wait_for(lambda: rows.is_file() and rows.stat().st_size > 0)
    parent.kill()
    parent.wait()
    free = threading.Event()

    def hold() -> None:
        with one_builder(tmp_path / "set"):
            free.set()

    threading.Thread(target=hold, daemon=True).start()
    assert free.wait(20)


def _wait_for(done) -> None:
    end = time.monotonic() + 60
    while not done() and time.monotonic() < end:
        time.sleep(0.05)
    assert done()


@pytest.mark.parametrize("make", [simulate, ensure_simulated])
def test_a_foreign_folder_is_never_touched(tmp_path, make):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "holiday.jpg").write_bytes(b"precious")
    with pytest.raises(FracturelibError, match="other than a simulated set"):
        make(tmp_path / "mine", counts=6, progress=False)
    assert fingerprints(tmp_path / "mine").keys() == {"holiday.jpg"}
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(FracturelibError):
        make(tmp_path / "file", counts=6, progress=False)


def test_interrupted_generation_leaves_no_set_and_is_taken_up_again(small, tmp_path, monkeypatch):
    root, made = tmp_path / "set", []

    def stop_at_the_fifth(job, folder, plan):
        if len(made) == 4:
            raise KeyboardInterrupt
        made.append(job.patient_id)
        return original(job, folder, plan)

    original = writer.write_patient
    monkeypatch.setattr(writer, "write_patient", stop_at_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        simulate(root, counts=SMALL, seed=3, image_side=64, progress=False, workers=1)
    assert not root.exists()
    # A crash in the middle of a line of the log must not matter either.
    with (tmp_path / ".set.partial" / writer.ROWS).open("a") as log:
        log.write('[{"file": "tr')
    monkeypatch.setattr(writer, "write_patient", lambda *job: made.append(job[0].patient_id) or original(*job))
    simulate(root, counts=SMALL, seed=3, image_side=64, progress=False, workers=1)
    assert fingerprints(root) == fingerprints(small)
    assert len(made) == len(set(made))


def test_a_manifest_names_the_parameters(small):
    manifest = json.loads((small / "simulation.json").read_text())
    assert manifest["generator"] == "fracturelib.simulation"
    assert manifest["parameters"]["counts"] == SMALL


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1},
        {"seed": 1.5},
        {"counts": 0},
        {"counts": {"training": 5}},
        {"counts": {"train": -1}},
        {"image_side": 4},
        {"device_shift": -1.0},
        {"format": "tiff"},
        {"format": "dicom", "leaky": True},
    ],
)
def test_wrong_parameters_are_refused(tmp_path, wrong):
    with pytest.raises(FracturelibError):
        simulate(tmp_path / "set", progress=False, **wrong)
    assert not list(tmp_path.iterdir())
