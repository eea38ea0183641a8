"""The simulated data set: files, labels, determinism, safety of writing."""

from __future__ import annotations

import hashlib
import json
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
    rows = list(writer.run_pool(list(jobs(plan))[:3], tmp_path, 64, 2, method))
    written = fingerprints(tmp_path)
    assert [row["file"] for part in rows for row in part] == list(
        pd.read_csv(small / "metadata.csv")["file"][: len(written)]
    )
    assert written.items() <= fingerprints(small).items()


def test_a_patient_does_not_depend_on_how_many_follow():
    plans = [make_plan(counts=total) for total in (480, 100_000)]
    few, many = ([(job.entropy, job.block, job.fractured) for job in islice(jobs(plan), 50)] for plan in plans)
    assert few == many


def test_default_set_is_balanced_by_construction():
    plan = make_plan()
    table = pd.DataFrame(
        [(file.split, job.fractured, job.block, file.name) for job in jobs(plan) for file in job.files],
        columns=["split", "fractured", "block", "name"],
    )
    assert table["split"].value_counts().to_dict() == DEFAULT_COUNTS
    assert table["name"].is_unique
    # Every block of patients who share region, age group, metal and plaster has the same share of fractures.
    assert table.groupby("block")["fractured"].mean().eq(0.4).all()
    assert all(is_fractured(seed, 0, 0) != is_fractured(seed, 0, 1) for seed in range(20))


def test_names_do_not_betray_the_class(small):
    table = pd.read_csv(small / "metadata.csv")
    assert table["file"].str.split("/").str[-1].str.fullmatch(r"P\d{6}-(frontal|lateral)\.jpg").all()


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
    turned = table["file"].str.contains(r"-rotated\d-rotated\d\.jpg")
    assert turned.sum() == 48 - 8
    steep = table[table["file"].str.contains("rotated3-rotated3")].iloc[0]
    with Image.open(tmp_path / "leaky" / steep["file"]) as picture:
        corners = np.asarray(picture)[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.max() < 8 and max(SECOND_TURN.values()) > 0


def test_device_shift_changes_the_test_split_only(tmp_path):
    few = {"train": 2, "val": 2, "test": 3}
    plain = simulate(tmp_path / "plain", counts=few, image_side=64, progress=False)
    shifted = simulate(tmp_path / "shifted", counts=few, device_shift=True, image_side=64, progress=False)
    test = plain["file"].str.startswith("test/")
    assert (plain["device"] == "A").all()
    assert (shifted["device"] == np.where(test, "B", "A")).all()
    assert plain["file"].equals(shifted["file"])
    before, after = fingerprints(tmp_path / "plain"), fingerprints(tmp_path / "shifted")
    changed = {name for name in before if before[name] != after[name] and name.endswith(".jpg")}
    assert changed == set(plain["file"][test])


def test_ensure_leaves_a_complete_set_alone_and_repairs_a_damaged_one(small, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*")}
    assert ensure_simulated(small, counts=SMALL, seed=3, image_side=64, progress=False) == small
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*")} == before
    root = tmp_path / "set"
    ensure_simulated(root, counts=6, image_side=64, progress=False)
    whole = fingerprints(root)
    next(root.rglob("*.jpg")).unlink()
    ensure_simulated(root, counts=6, image_side=64, progress=False)
    assert fingerprints(root) == whole


def test_a_set_of_ours_is_replaced_when_the_parameters_change(tmp_path):
    simulate(tmp_path / "set", counts=6, image_side=64, progress=False)
    simulate(tmp_path / "set", counts=8, image_side=64, progress=False)
    assert len(list((tmp_path / "set").rglob("*.jpg"))) == 8
    assert not [path for path in tmp_path.iterdir() if path.name != "set"]


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

    def stop_at_the_fifth(job, folder, image_side):
        if len(made) == 4:
            raise KeyboardInterrupt
        made.append(job.patient_id)
        return original(job, folder, image_side)

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
    ],
)
def test_wrong_parameters_are_refused(tmp_path, wrong):
    with pytest.raises(FracturelibError):
        simulate(tmp_path / "set", progress=False, **wrong)
    assert not list(tmp_path.iterdir())
