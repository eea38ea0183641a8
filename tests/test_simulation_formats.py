"""The files of a simulated set: PNG of 8 and 16 bits, JPEG, DICOM."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fracturelib.errors import FracturelibError
from fracturelib.simulation import simulate
from fracturelib.simulation.formats import SHIFT

pydicom = pytest.importorskip("pydicom")
SETTINGS = {"counts": {"train": 2, "test": 20}, "device_shift": True, "image_side": 64, "seed": 5, "progress": False}

# What uses these is slow.
SLOW_FIXTURES = ("sets",)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("formats")
    for format in ("png", "png16", "jpeg", "dicom"):
        simulate(root / format, format=format, **SETTINGS)
    return root


def pixels(root, format) -> dict[tuple[str, str], np.ndarray]:
    """(patient, view) → numbers of the file."""
    table = pd.read_csv(root / format / "metadata.csv")
    keys = zip(table["patient_id"], table["view"], strict=True)
    files = [root / format / name for name in table["file"]]
    read = (
        (lambda file: pydicom.dcmread(file).pixel_array) if format == "dicom" else (lambda f: np.asarray(Image.open(f)))
    )
    return dict(zip(keys, map(read, files), strict=True))


def test_all_formats_hold_the_same_pictures(sets):
    deep, plain, lossy = (pixels(sets, format) for format in ("png16", "png", "jpeg"))
    for key, picture in deep.items():
        assert picture.dtype == np.uint16 and plain[key].dtype == np.uint8
        share = (picture >> SHIFT) / 4095 * 255
        assert np.abs(share - plain[key]).max() < 0.6
        assert np.abs(share - lossy[key]).mean() < 6


def test_dicom_equals_the_16_bit_png_after_polarity_and_shift(sets):
    table, deep = pd.read_csv(sets / "dicom" / "metadata.csv"), pixels(sets, "png16")
    seen = set()
    for row in table.itertuples():
        dataset = pydicom.dcmread(sets / "dicom" / row.file)
        assert dataset.SOPClassUID.name == "Computed Radiography Image Storage"
        assert (dataset.BitsAllocated, dataset.BitsStored, dataset.Modality) == (16, 12, "CR")
        kind = dataset.PhotometricInterpretation
        seen.add((row.device, kind))
        shown = dataset.pixel_array if kind == "MONOCHROME2" else 4095 - dataset.pixel_array
        np.testing.assert_array_equal(shown << SHIFT, deep[row.patient_id, row.view])
    assert seen == {("A", "MONOCHROME2"), ("B", "MONOCHROME1")}


def test_two_views_are_one_study_and_the_labels_table_knows_it(sets):
    table = pd.read_csv(sets / "dicom" / "metadata.csv")
    labels = pd.read_csv(sets / "dicom" / "labels.csv").set_index("accession_number")
    assert labels.index.is_unique and labels["study_instance_uid"].is_unique
    read = [pydicom.dcmread(sets / "dicom" / name, stop_before_pixels=True) for name in table["file"]]
    tags = ("PatientID", "StudyInstanceUID", "AccessionNumber", "SOPInstanceUID", "SeriesInstanceUID")
    found = pd.DataFrame([{tag: str(dataset[tag].value) for tag in tags} for dataset in read])
    assert found["SOPInstanceUID"].is_unique and found["SeriesInstanceUID"].is_unique
    studies = found.groupby("PatientID")[["StudyInstanceUID", "AccessionNumber"]].nunique()
    assert studies.eq(1).all(axis=None)
    broken = table.groupby("patient_id")["fracture_type"].first() != "none"
    for number, row in labels.iterrows():
        mine = found[found["AccessionNumber"] == number]
        assert set(mine["StudyInstanceUID"]) == {row["study_instance_uid"]} and set(mine["PatientID"]) == {
            row["patient_id"]
        }
        assert (row["label"] == "fractured") == broken[row["patient_id"]]


def test_the_same_seed_gives_the_same_dicom_bytes(sets, tmp_path):
    simulate(tmp_path / "again", format="dicom", **SETTINGS)
    for path in (sets / "dicom").rglob("*.dcm"):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(sets / "dicom")).read_bytes()


def test_without_pydicom_the_message_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(FracturelibError) as refused:
        simulate(tmp_path / "set", format="dicom", counts=4, progress=False)
    assert "fracturelib[dicom]" in refused.value.cure
    assert not list(tmp_path.iterdir())
