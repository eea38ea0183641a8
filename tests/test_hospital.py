"""Notebook 07's numbers, figures and panel, on small DICOM sets."""

import numpy as np
import pandas as pd
import pydicom
import pytest
from matplotlib.figure import Figure
from pydicom.pixels import apply_windowing

from fracturelib.catalog import read_catalog
from fracturelib.course.figures.hospital import deals_figure
from fracturelib.course.studies.hospital import (
    COVERED,
    Use,
    deal_table,
    difference_interval,
    find_dicom,
    held_out,
    leak_study,
    tag_table,
    windowed,
)
from fracturelib.course.widgets.hospital import MONOCHROME1, MONOCHROME2, window_panel, window_view
from fracturelib.errors import CatalogError, EvaluationError
from fracturelib.simulation import simulate


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hospital") / "set"
    simulate(folder, counts=16, format="dicom", progress=False, workers=1)
    return folder


def people(patients=60, *, memory=0.0, seed=0):
    """Two pictures of each patient: features with some of the label in them, and a mark of the person's own."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(patients) % 2, 2)
    marks = np.repeat(rng.normal(size=(patients, 40)), 2, axis=0)
    features = rng.normal(size=(2 * patients, 40)) + memory * marks
    features[:, 0] += labels
    table = pd.DataFrame(
        {
            "label": labels,
            "source_id": [f"s{n}" for n in range(2 * patients)],
            "patient_id": np.repeat([f"P{n}" for n in range(patients)], 2),
        }
    )
    return features, table


def test_files_without_a_radiograph_are_left_out_and_a_folder_without_any_is_told(root, tmp_path):
    assert len(find_dicom(root)) == 16
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(CatalogError, match="no DICOM radiograph"):
        find_dicom(tmp_path)


def test_nothing_that_names_somebody_is_in_the_table_of_tags(root, tmp_path):
    dataset = pydicom.dcmread(find_dicom(root)[0])
    planted = {
        "PatientName": "PLANTED^NAME", "PatientID": "PLANTED-1", "PatientBirthDate": "19700102",
        "OtherPatientIDs": "PLANTED-2",
        "AccessionNumber": "PLANTED-3", "ReferringPhysicianName": "PLANTED^DOCTOR", "StudyDate": "19990909",
        "PatientAddress": "PLANTED street", "StudyDescription": "PLANTED words", "InstitutionName": "PLANTED hospital",
        "StudyInstanceUID": "1.2.3.4567", "SeriesInstanceUID": "1.2.3.4568", "SOPInstanceUID": "1.2.3.4569",
    }  # fmt: skip
    for keyword, value in planted.items():
        setattr(dataset, keyword, value)
    dataset.save_as(tmp_path / "planted.dcm")
    found = tag_table(tmp_path / "planted.dcm")
    text = found.to_csv()
    assert not [value for value in planted.values() if value in text]
    uses = found.set_index("keyword")["use"]
    assert uses["PatientID"] == uses["StudyInstanceUID"] == Use.REPLACED and uses["AccessionNumber"] == Use.UNWRITTEN
    assert uses["PatientName"] == Use.LEFT and uses["ViewPosition"] == Use.TAKEN and uses["Rows"] == Use.PICTURE
    shown = found.set_index("keyword")["value"]
    assert shown["Rows"] == str(dataset.Rows) and shown["PatientName"] == COVERED


def test_a_window_is_that_of_the_standard(root):
    dataset = pydicom.dcmread(find_dicom(root)[0])
    for centre, width in ((2048, 4096), (900, 300), (1500.5, 77)):
        dataset.WindowCenter, dataset.WindowWidth = str(centre), str(width)
        expected = apply_windowing(dataset.pixel_array, dataset) / (2**dataset.BitsStored - 1) * 255
        made = windowed(dataset.pixel_array, centre, width)
        assert np.abs(made - expected).max() <= 0.51
        assert np.array_equal(windowed(dataset.pixel_array, centre, width, monochrome1=True), 255 - made)


def test_by_file_the_patient_is_known_and_by_patient_never():
    features, table = people()
    assert held_out(features, table, by="source_id", seed=0)[1].mean() > 0.5
    assert not held_out(features, table, by="patient_id", seed=0)[1].any()
    few = table["patient_id"].isin(["P0", "P1"])
    with pytest.raises(EvaluationError, match="too few patients"):
        held_out(features[few], table[few].reset_index(drop=True), by="patient_id", seed=0)


@pytest.mark.slow
def test_a_leak_shows_where_features_know_the_person_and_not_where_they_do_not():
    found = {}
    for memory in (0.0, 3.0):
        features, table = people(memory=memory)
        study = leak_study(features, table, deals=2)
        found[memory] = difference_interval(study, table, resamples=100)
        deals = deal_table(study)
        assert deals["difference"].mean() == pytest.approx(found[memory]["value"])
        assert isinstance(deals_figure(deals, found[memory]), Figure)
    assert found[3.0]["low"] > 0.1
    assert found[0.0]["low"] < 0.05 and found[0.0]["value"] < found[3.0]["value"]


@pytest.mark.slow
def test_the_panel_shows_what_the_function_says_at_every_end_of_its_controls(root):
    values = pydicom.dcmread(find_dicom(root)[0]).pixel_array
    panel = window_panel(values, photometric=MONOCHROME2)
    for centre in (panel.controls["centre"].min, panel.controls["centre"].max):
        for width in (panel.controls["width"].min, panel.controls["width"].max):
            figure, text = window_view(values, centre=centre, width=width, photometric=MONOCHROME1)
            assert isinstance(figure, Figure) and "different greys" in text
    before = panel.result.value
    panel.controls["photometric"].value = MONOCHROME1
    assert panel.result.value != before
    assert window_view(np.zeros((4, 4)), centre=0.0, width=1.0)


def test_the_set_is_read_with_its_labels_and_numbers_in_place_of_patients(root):
    table = read_catalog(root)
    assert table["patient_id"].str.fullmatch(r"P\d{4}").all() and set(table["label"]) == {0, 1}
    folders = table["path"].str.split("/").str[1]
    pairs = pd.DataFrame({"folder": folders, "patient": table["patient_id"]}).drop_duplicates()
    assert pairs["folder"].is_unique and pairs["patient"].is_unique, "one number for each patient's folder"
