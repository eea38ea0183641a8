"""What a column of somebody's table is about, by its name or because the user says so."""

from __future__ import annotations

from collections.abc import Sequence

from fracturelib.catalog.naming import plain
from fracturelib.catalog.selecting import BOX
from fracturelib.errors import CatalogError

# Meaning: names under which it is found, most telling first; case, spaces, "_" and "-" do not matter.
MEANINGS = {
    "path": "path, file, file path, filename, file name, image path, image file, image, image id, image name, img, "
    "picture, filestem, relative path, full path, dicom path, x-ray, xray, name, id",
    "label": "label, fractured, fracture visible, fracture, is fractured, class, target, ground truth, truth, "
    "diagnosis, dx, result, finding, outcome, abnormal, abnormality, y",
    "patient_id": "patient id, patient, patientid, patient no, patient number, patient nr, mrn, pid, subject id, "
    "subject",
    "study_id": "study id, study instance uid, study uid, study, study number, exam id, exam, visit",
    "accession": "accession, accession number, accession no, accession nr, order number",
    "view": "view, view position, projection, position",
    "laterality": "laterality, side, image laterality",
    "region": "region, body part, body part examined, anatomy",
    "device": "device, manufacturer, device manufacturer, scanner, machine",
    "split": "split, set, subset, fold, partition, dataset split",
    "source_id": "source id",
    "age": "age, patient age",
    "sex": "sex, gender, patient sex",
    "bbox_x": "bbox x",
    "bbox_y": "bbox y",
    "bbox_w": "bbox w, bbox width",
    "bbox_h": "bbox h, bbox height",
    "xmin": "xmin, x min, x1",
    "ymin": "ymin, y min, y1",
    "xmax": "xmax, x max, x2",
    "ymax": "ymax, y max, y2",
}
_SHORT = {"patient": "patient_id", "study": "study_id", "source": "source_id", "file": "path"}
WHO = ("patient_id", "study_id", "view", "laterality", "region", "device")
CORNERS = ("xmin", "ymin", "xmax", "ymax")
BOXES = (*BOX, *CORNERS)
# What tells who somebody is, and is never taken from any table: a run's files would carry it on.
IDENTIFYING = frozenset(
    [
        "name",
        "patientname",
        "patientsname",
        "firstname",
        "lastname",
        "surname",
        "givenname",
        "familyname",
        "forename",
        "nachname",
        "vorname",
        "birthdate",
        "patientbirthdate",
        "dateofbirth",
        "birthday",
        "dob",
        "geburtsdatum",
        "accession",
        "accessionnumber",
        "accessionno",
        "mrn",
        "ssn",
        "address",
        "phone",
        "email",
        "insurance",
        "insurancenumber",
        "referringphysician",
        "referringphysicianname",
        "physician",
        "operator",
        "operatorsname",
        "studydate",
        "seriesdate",
        "acquisitiondate",
        "examdate",
        "date",
        "seriesinstanceuid",
        "sopinstanceuid",
        "seriesuid",
        "institution",
        "institutionname",
    ]
)


def find_columns(header: Sequence[str], given: str, file: object) -> dict[str, str]:
    """Meaning → name of the column; what the user gives comes first.

    Raises:
        CatalogError: `given` is no such list, names a column that is not there, or an unknown meaning.
    """
    found = _given(header, given, file)
    taken = set(found.values())
    by_name = {plain(name): name for name in reversed(header) if name not in taken}
    for meaning, names in MEANINGS.items():
        column = next((by_name[plain(name)] for name in names.split(", ") if plain(name) in by_name), None)
        if meaning not in found and column is not None and column not in found.values():
            found[meaning] = column
    return found


def _given(header: Sequence[str], given: str, file: object) -> dict[str, str]:
    """The user's own "path=Image,label=Dx"."""
    spelled = {plain(name): name for name in header}
    known = {plain(meaning): meaning for meaning in MEANINGS} | {plain(k): v for k, v in _SHORT.items()}
    found = {}
    for part in filter(str.strip, given.split(",")):
        meaning, equals, column = part.partition("=")
        name = known.get(plain(meaning.strip()))
        if not equals or name is None:
            cure = "write --columns path=Image,label=Dx,patient=MRN; meanings are " + ", ".join([*MEANINGS][:10])
            raise CatalogError(f"'{part.strip()}' says of no column what it means", cure=cure)
        if plain(column.strip()) not in spelled:
            cause = f"its columns are {', '.join(header[:20])}"
            raise CatalogError(f"the table has no column '{column.strip()}'", file=str(file), cause=cause)
        found[name] = spelled[plain(column.strip())]
    return found
