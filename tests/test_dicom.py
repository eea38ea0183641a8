"""DICOM files: which bytes are one, what is taken of its tags, and what a DICOMDIR names."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fracturelib.catalog import read_catalog
from fracturelib.cli import main
from fracturelib.errors import DataWarning, ImageError
from fracturelib.images import inspect_image, iterate_images, read_radiograph
from fracturelib.images.dicom import Kind, is_dicom_file, list_dicomdir, read_tags
from tests.helpers.dicom import RADIOGRAPH, make_dataset, save_dicom

pydicom = pytest.importorskip("pydicom")
TEST_FILES = Path(pydicom.__file__).parent / "data" / "test_files"
RNG = np.random.default_rng(5)
VALUES = RNG.integers(0, 4096, (40, 30)).astype(np.uint16)


@pytest.mark.parametrize("name", ["a.dcm", "IM000001", "1.2.840.113619.2", "a.png"])
@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("preamble", [False, True])
def test_content_makes_a_dicom_file_not_its_name(tmp_path: Path, name: str, implicit: bool, preamble: bool) -> None:
    path = save_dicom(tmp_path / name, make_dataset(VALUES), implicit=implicit, preamble=preamble)
    assert is_dicom_file(path)
    assert list(iterate_images(tmp_path)) == [path]
    assert read_radiograph(path).shape == VALUES.shape


@pytest.mark.parametrize(
    "content", [b"", b"\2\0", b"plain text, no more", b"\x08\0rest of some file " * 9, b"BM" + bytes(200)]
)
def test_other_files_are_no_dicom(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "README").write_bytes(content)
    assert not is_dicom_file(tmp_path / "README")
    assert not is_dicom_file(tmp_path) and not is_dicom_file(tmp_path / "none")


def test_tags_are_what_the_table_needs(tmp_path: Path) -> None:
    given = {
        "PatientID": " 4711 ", "StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4", "AccessionNumber": "A-17",
        "ViewPosition": "LL", "ImageLaterality": "R", "BodyPartExamined": "wrist", "Manufacturer": "ACME",
        "ManufacturerModelName": "DX 9", "Modality": "DX", "PatientAge": "006M", "PatientSex": "F",
        "ImagerPixelSpacing": [0.2, 0.1], "PhotometricInterpretation": "MONOCHROME1",
    }  # fmt: skip
    hidden = {"PatientName": "Doe^Jane", "PatientBirthDate": "19800102", "InstitutionName": "St Elsewhere"}
    tags = read_tags(save_dicom(tmp_path / "a", make_dataset(VALUES, **given, **hidden)))
    assert tags == (
        Kind.IMAGE, "4711", "1.2.3", "1.2.3.4", "A-17", "LL", "R", "WRIST", "ACME DX 9", "DX", 0.5, "F", 0.2, 0.1, 2.0,
        "MONOCHROME1", 1,
    )  # fmt: skip
    assert not any(value in repr(tags) for value in ("Doe", "Jane", "1980", "Elsewhere"))


def test_absent_empty_and_senseless_tags_count_as_unknown(tmp_path: Path) -> None:
    dataset = make_dataset(VALUES, PatientAge="old", PixelSpacing=[0, 0], ViewPosition="", PatientID=None)
    tags = read_tags(save_dicom(tmp_path / "a", dataset))
    assert (tags.age, tags.row_spacing, tags.view, tags.patient_id, tags.aspect) == (None, None, "", "", 1.0)
    (tmp_path / "b.txt").write_text("no DICOM at all, but text of some length")
    with pytest.raises(ImageError, match="not a DICOM file"):
        read_tags(tmp_path / "b.txt")


@pytest.mark.parametrize(
    ("uid", "kind"),
    [
        ("1.2.840.10008.5.1.4.1.1.7", Kind.SECONDARY_CAPTURE),
        ("1.2.840.10008.5.1.4.1.1.7.2", Kind.SECONDARY_CAPTURE),
        ("1.2.840.10008.5.1.4.1.1.88.11", Kind.REPORT),
        ("1.2.840.10008.5.1.4.1.1.88.59", Kind.KEY_IMAGES),
        ("1.2.840.10008.5.1.4.1.1.104.1", Kind.DOCUMENT),
        ("1.2.840.10008.5.1.4.1.1.11.1", Kind.PRESENTATION),
        ("1.2.840.10008.5.1.4.1.1.481.5", Kind.RADIOTHERAPY),
        ("1.2.840.10008.5.1.4.1.1.481.1", Kind.IMAGE),
        ("1.2.840.10008.5.1.4.1.1.1", Kind.IMAGE),
        (RADIOGRAPH, Kind.IMAGE),
    ],
)
def test_only_images_are_read_and_the_kind_of_others_is_named(tmp_path: Path, uid: str, kind: Kind) -> None:
    path = save_dicom(tmp_path / "a.dcm", make_dataset(VALUES, SOPClassUID=uid))
    assert read_tags(path).kind is kind
    assert inspect_image(path).problem == (None if kind is Kind.IMAGE else f"a DICOM {kind}, not a radiograph")


def test_a_dicomdir_names_its_images() -> None:
    top = TEST_FILES / "dicomdirtests"
    files = list_dicomdir(top / "DICOMDIR")
    assert len(files) == len(set(files)) == 31
    assert all(file.is_file() and top in file.parents for file in files)
    assert inspect_image(top / "DICOMDIR").problem == "a DICOMDIR, not a radiograph"
    with pytest.raises(ImageError, match="not a DICOMDIR"):
        list_dicomdir(files[0])


@pytest.fixture(scope="module")
def disc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a hospital burns: 6 pictures of 3 patients, two studies each, under a DICOMDIR; read-only by agreement."""
    from pydicom.fileset import FileSet
    from pydicom.uid import generate_uid

    files = FileSet()
    for number in range(6):
        dataset = make_dataset(
            VALUES,
            PatientID=f"00{number // 2 + 7}",
            PatientName="Doe^Jane",
            StudyID=str(number),
            StudyDate="20200101",
            StudyTime="120000",
            AccessionNumber=f"ACC{number}",
            Modality="DX",
            SeriesNumber=1,
            InstanceNumber=1,
            StudyInstanceUID=generate_uid(entropy_srcs=[f"study {number}"]),
            SeriesInstanceUID=generate_uid(entropy_srcs=[f"series {number}"]),
        )
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[f"picture {number}"])
        file = tmp_path_factory.mktemp("one") / "a.dcm"
        files.add(pydicom.dcmread(save_dicom(file, dataset)))
    top = tmp_path_factory.mktemp("disc")
    files.write(top)
    return top


def test_a_disc_is_read_and_pictures_missing_from_it_are_said(disc: Path, tmp_path: Path, capsys) -> None:
    assert main(["catalog", str(disc), "--csv", str(tmp_path / "rows.csv")]) == 0
    said = capsys.readouterr().out
    assert "read as a tree of DICOM files: 6 files" in said and "give --labels FILE" in said
    assert "patients" in said and "studies" in said, "the table counts them"
    assert "Doe" not in said + (tmp_path / "rows.csv").read_text(encoding="utf-8")
    torn = shutil.copytree(disc, tmp_path / "torn")
    list_dicomdir(torn / "DICOMDIR")[2].unlink()
    assert main(["catalog", str(torn)]) == 0
    assert "1 picture that its DICOMDIR names is missing" in capsys.readouterr().out
    (torn / "DICOMDIR").write_bytes(b"damaged")
    assert main(["catalog", str(torn)]) == 0
    assert "5 files" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("column", "keys", "by"),
    [
        ("Accession Number", [f"ACC{number}" for number in range(6)], "accession number"),
        ("PatientID", ["007", "008", "009"], "patient"),
        ("patient id", ["7", "8", "9"], "patient"),  # a spreadsheet has eaten the zeros
    ],
)
def test_labels_find_their_dicom_files_by_number(disc: Path, tmp_path: Path, capsys, column, keys, by) -> None:
    table = pd.DataFrame({column: keys, "Fracture": ["yes" if place % 2 else "no" for place in range(len(keys))]})
    table.to_csv(tmp_path / "labels.csv", index=False)
    assert main(["catalog", str(disc), "--labels", str(tmp_path / "labels.csv"), "--csv", str(tmp_path / "r.csv")]) == 0
    assert f"labels.csv, by {by} in “{column}”" in capsys.readouterr().out
    rows = pd.read_csv(tmp_path / "r.csv")
    stored = [pydicom.dcmread(disc / path) for path in rows["path"]]
    number = [int(one.StudyID) if by == "accession number" else int(one.PatientID) - 7 for one in stored]
    assert rows["label"].tolist() == [one % 2 for one in number]
    assert rows["patient_id"].str.fullmatch(r"P\d{4}").all()


def test_labels_by_study(disc: Path, tmp_path: Path, capsys) -> None:
    studies = [pydicom.dcmread(file).StudyInstanceUID for file in list_dicomdir(disc / "DICOMDIR")]
    table = pd.DataFrame({"StudyInstanceUID": studies, "label": [0, 1] * 3})
    table.to_csv(tmp_path / "labels.csv", index=False)
    assert main(["catalog", str(disc), "--labels", str(tmp_path / "labels.csv"), "--csv", str(tmp_path / "r.csv")]) == 0
    assert "by study in “StudyInstanceUID”" in capsys.readouterr().out
    rows = pd.read_csv(tmp_path / "r.csv").set_index("path")
    for uid, label in zip(studies, [0, 1] * 3, strict=True):
        (path,) = (path for path in rows.index if pydicom.dcmread(disc / path).StudyInstanceUID == uid)
        assert rows.loc[path, "label"] == label


def test_a_set_of_dicom_files_is_read_and_other_objects_are_counted_by_kind(tmp_path: Path) -> None:
    capture, report = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.88.11"
    for number in range(16):
        folder = tmp_path / ("train", "val", "test")[number % 3] / ("fractured", "not fractured")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        values = RNG.integers(0, 900, (40, 30)).astype(np.uint16)
        values[:, 10:20] += 3000
        save_dicom(folder / f"IM{number:06}", make_dataset(values, PhotometricInterpretation="MONOCHROME2"))
    for name, uid in {"a": capture, "b": capture, "c": report}.items():
        save_dicom(tmp_path / "train/fractured" / name, make_dataset(VALUES, SOPClassUID=uid))
    save_dicom(tmp_path / "val/fractured/m", make_dataset(VALUES[:20], NumberOfFrames=2, Rows=20, PixelData=b""))
    dataset = pydicom.dcmread(tmp_path / "val/fractured/m")
    dataset.PixelData = VALUES.tobytes()
    dataset.save_as(tmp_path / "val/fractured/m")
    with pytest.warns(DataWarning) as caught:
        table = read_catalog(tmp_path)
    said = " | ".join(str(warning.message) for warning in caught)
    assert "3 files (2 secondary captures, 1 structured report), skipped" in said
    assert "several pictures in one file: 1 file, the first one is read: val/fractured/m" in said
    assert len(table) == 17 and sorted(one["kind"] for one in table.attrs["skipped"]) == ["secondary capture"] * 2 + [
        "structured report"
    ]
