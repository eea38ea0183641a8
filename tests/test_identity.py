"""Nobody is identified: ids become numbers in all that is written or shown; names in paths are pointed out."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fracturelib.audit.identity import LETTERS, dates_and_names, letters_in_corners, masked
from fracturelib.catalog import DataOptions, read_catalog, shared_sources
from fracturelib.cli import main
from tests.helpers.dicom import make_dataset, save_dicom
from tests.helpers.trees import tiny_radiograph, write_tree

PLANTED = {
    "PatientName": "PLANTEDNAME^ANNA",
    "PatientID": "MRN-554433",
    "PatientBirthDate": "19610203",
    "AccessionNumber": "ACC998877",
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.777",
    "StudyDate": "20190817",
    "ReferringPhysicianName": "PLANTEDDOCTOR",
    "InstitutionName": "PLANTEDHOSPITAL",
}
NEVER = ("PLANTED", "554433", "19610203", "998877", "498.777", "20190817")


def planted_dicom(root: Path, *, patients: int = 24) -> Path:
    """Two views each; every tag of a patient holds something that tells who it is."""
    rng = np.random.default_rng(0)
    for number in range(patients):
        for view in ("AP", "LL"):
            pixels = tiny_radiograph(rng, fractured=number % 2 == 1).astype(np.uint16) * 16
            tags = {name: f"{value}{number:02d}" for name, value in PLANTED.items() if "Date" not in name}
            tags |= {name: value for name, value in PLANTED.items() if "Date" in name}
            dataset = make_dataset(pixels, bits=12, ViewPosition=view, BodyPartExamined="WRIST", **tags)
            file = root / f"s{number:02d}" / f"{view}.dcm"
            file.parent.mkdir(parents=True, exist_ok=True)
            save_dicom(file, dataset)
    rows = [["Accession", "Name", "Date of birth", "Result"]]
    rows += [[f"ACC998877{n:02d}", "PLANTEDNAME", "19610203", ("no", "yes")[n % 2]] for n in range(patients)]
    (root.parent / "results.csv").write_text("\n".join(";".join(row) for row in rows))
    return root


def everything_below(folder: Path) -> str:
    return "\n".join(file.read_bytes().decode("utf-8", "replace") for file in folder.rglob("*") if file.is_file())


@pytest.mark.slow
def test_no_planted_value_is_written_or_shown_by_any_command(tmp_path: Path, monkeypatch, capfd) -> None:
    data, work = planted_dicom(tmp_path / "export"), tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    reading = ["--labels", str(tmp_path / "results.csv")]
    small = ["--epochs", "1", "--weights", "none", "--views", "1", "--image-size", "64"]
    for command in (
        ["catalog", str(data), "--csv", "rows.csv", *reading],
        ["audit", str(data), *reading],
        ["train", "--data", str(data), "--name", "r", *small, *reading],
        ["evaluate", "runs/r", "--csv", "e.csv", "--report", "e"],
        ["evaluate", "runs/r", "--data", str(data), "--csv", "x.csv", *reading],
        ["predict", "runs/r", str(data), "--csv", "p.csv", "--csv-patients", "pp.csv", "--csv-studies", "ps.csv"],
    ):
        assert main(command) == 0, command
    screen = capfd.readouterr()
    written = everything_below(work) + screen.out + screen.err
    assert [value for value in NEVER if value in written] == []
    rows = pd.read_csv("rows.csv")
    assert rows["patient_id"].nunique() == 24 and set(rows["view"]) == {"AP", "LL"}
    assert main(["catalog", str(data), "--csv", "kept.csv", "--keep-ids", *reading]) == 0
    kept = pd.read_csv("kept.csv")
    assert kept["patient_id"].tolist() == ["MRN-554433" + path[1:3] for path in kept["path"]]
    shown = capfd.readouterr().out + Path("kept.csv").read_text()
    assert "PLANTED" not in shown and "998877" not in shown and "19610203" not in shown


@pytest.mark.parametrize("column", ["PatientID", "patient id", " patient_id", "Patient-ID", "MRN"])
def test_a_patient_in_two_splits_by_a_column(tmp_path: Path, column: str) -> None:
    root = write_tree(tmp_path / "data")
    files = sorted(file.relative_to(root).as_posix() for file in root.rglob("*.png"))
    rows = [f"file,{column}", *(f"{file},{number % 8}" for number, file in enumerate(files))]
    (root / "metadata.csv").write_text("\n".join(rows))
    shared = shared_sources(read_catalog(root))
    assert set(shared["by"]) == {"patient_id"} and len(shared) == 3


def test_a_patient_in_two_splits_by_path_and_never_with_make_split(tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(1)
    for number in range(36):
        split = "val" if number % 5 == 0 else "train"
        place = tmp_path / "data" / split / ("fractured" if number % 4 < 2 else "not fractured")
        folder = place / f"patient_{number % 18:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(tiny_radiograph(rng, fractured=number % 4 < 2)).save(folder / f"{number}.png")
    assert main(["catalog", str(tmp_path / "data")]) == 0
    said = capsys.readouterr().out
    assert "LEAK: 8 patients (16 files) are in both splits of train+val" in said
    (tmp_path / "data" / "val").rename(tmp_path / "elsewhere")
    table = read_catalog(tmp_path / "data", make_split=True)
    assert table["patient_id"].notna().all() and shared_sources(table).empty


def test_a_patient_in_two_splits_by_tag(tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(2)
    for number in range(24):
        split, label = ("train", "val", "test")[number % 3], number // 3 % 2
        folder = tmp_path / split / ("fractured" if label else "not fractured")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = tiny_radiograph(rng, fractured=bool(label)).astype(np.uint16) * 16
        save_dicom(folder / f"{number}.dcm", make_dataset(pixels, bits=12, PatientID=f"SECRET{number % 5}"))
    assert main(["catalog", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "5 patients" in said and "LEAK" in said and "SECRET" not in said


def test_dates_and_names_in_paths_are_pointed_out() -> None:
    paths = [
        "train/fractured/SMITH_JOHN_1980.png",
        "fractured/scan_19800517.png",
        "Müller, Änne/1.png",
        "Doe^Jane/IM0001",
        "a/17.05.1980.png",
        "2021-03-04/x.png",
    ]
    dates, names = dates_and_names(paths)
    assert dates == [paths[1], paths[4], paths[5]]
    assert names == [paths[0], paths[2], paths[3]]
    harmless = [
        "Bone_Fracture_Binary_Classification/train/Not_Fractured/57-rotated2-rotated3.jpg",
        "images_part1/0001_1297860395_01_WRI-L1_M014.png",
        "XR_WRIST/patient00011/study1_positive/image1.png",
        "train/images/wrist-12_jpg.rf.0123456789abcdef.jpg",
        "IMG0000012.jpg",
        "Left_Wrist/P000001-frontal.png",
    ]
    assert dates_and_names(harmless) == ([], [])
    assert masked("a/SMITH_19800517.png") == "xxxxx_99999999.xxx"


def test_letters_in_a_corner_are_found_and_a_side_marker_is_none() -> None:
    rng = np.random.default_rng(3)
    plain = np.pad(tiny_radiograph(rng, fractured=False, height=400, width=300), 40)
    marked, typed = plain.copy(), plain.copy()
    cv2.putText(marked, "R", (10, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2)
    cv2.putText(typed, "SMITH JOHN", (10, 25), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
    assert letters_in_corners(plain) < LETTERS and letters_in_corners(marked) < LETTERS
    assert letters_in_corners(typed) >= LETTERS


def test_ids_are_numbered_alike_every_time_and_kept_if_asked(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "data")
    files = sorted(file.relative_to(root).as_posix() for file in root.rglob("*.png"))
    rows = ["file,patient,patient name,dob", *(f"{file},ID{number // 2},X,1980" for number, file in enumerate(files))]
    (root / "metadata.csv").write_text("\n".join(rows))
    once, again = read_catalog(root), read_catalog(root)
    kept = read_catalog(root, options=DataOptions(keep_ids=True))
    assert once["patient_id"].tolist() == again["patient_id"].tolist() and set(once["patient_id"]) == {
        f"P{number:04d}" for number in range(1, 17)
    }
    assert kept["patient_id"].str.startswith("ID").all()
    for table in (once, kept):
        assert not {"patient name", "dob"} & set(table)
