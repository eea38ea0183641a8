"""Of a DICOM file's tags, what the table of a data set needs, and nothing else."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from fracturelib.errors import ImageError
from fracturelib.images.dicom.kinds import Kind, kind_of
from fracturelib.images.dicom.parsing import is_dicom, parse, value_of
from fracturelib.images.limits import read_bytes

# Every element that is ever read. No name, no date, no address, no free text about the patient.
WANTED = (
    *("SOPClassUID", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "AccessionNumber", "PatientAge"),
    *("PatientSex", "ViewPosition", "ImageLaterality", "Laterality", "BodyPartExamined", "Modality"),
    *("Manufacturer", "ManufacturerModelName", "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"),
    *("PixelAspectRatio", "PhotometricInterpretation", "Rows", "Columns", "NumberOfFrames"),
)
_PER_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0}


class Tags(NamedTuple):
    """What is taken of one file; "" and None where a file does not say.

    Attributes:
        kind: what the file holds.
        patient_id, study_id, series_id: as stored; the first is replaced by a number in all that is written.
        accession: the accession number, for joining with a table of labels; it is never written.
        view: ViewPosition ("AP", "LL", …).
        laterality: "L", "R", "B" or "U".
        region: BodyPartExamined.
        device: manufacturer and model.
        modality: "DX", "CR", …
        age: in years.
        sex: "F", "M" or "O".
        row_spacing, column_spacing: mm between the centres of rows and of columns, at the patient or at the detector.
        aspect: height of a pixel divided by its width.
        photometric: "MONOCHROME1", "MONOCHROME2", "RGB", …
        frames: pictures in the file.
    """

    kind: Kind
    patient_id: str = ""
    study_id: str = ""
    series_id: str = ""
    accession: str = ""
    view: str = ""
    laterality: str = ""
    region: str = ""
    device: str = ""
    modality: str = ""
    age: float | None = None
    sex: str = ""
    row_spacing: float | None = None
    column_spacing: float | None = None
    aspect: float = 1.0
    photometric: str = ""
    frames: int = 1


def read_tags(path: str | Path) -> Tags:
    """The tags of a DICOM file that a table needs; its pixels are not decoded.

    Raises:
        ImageError: it cannot be read, is no DICOM, is damaged, or pydicom is missing.
    """
    try:
        data = read_bytes(path)
        if not is_dicom(data):
            raise ImageError("not a DICOM file", cure="leave it out")
        return tags_of(parse(data, pixels=False, only=WANTED))
    except ImageError as error:
        raise error.at(path) from error.__cause__


def tags_of(dataset: Any) -> Tags:
    """The tags of a parsed file; values that cannot be read count as absent."""
    spacing, aspect = _spacing(dataset)
    return Tags(
        kind=kind_of(dataset),
        patient_id=_text(dataset, "PatientID"),
        study_id=_text(dataset, "StudyInstanceUID"),
        series_id=_text(dataset, "SeriesInstanceUID"),
        accession=_text(dataset, "AccessionNumber"),
        view=_text(dataset, "ViewPosition").upper(),
        laterality=(_text(dataset, "ImageLaterality") or _text(dataset, "Laterality")).upper(),
        region=_text(dataset, "BodyPartExamined").upper(),
        device=" ".join(filter(None, (_text(dataset, "Manufacturer"), _text(dataset, "ManufacturerModelName")))),
        modality=_text(dataset, "Modality").upper(),
        age=_years(_text(dataset, "PatientAge")),
        sex=_text(dataset, "PatientSex").upper(),
        row_spacing=spacing[0] if spacing else None,
        column_spacing=spacing[1] if spacing else None,
        aspect=aspect,
        photometric=_text(dataset, "PhotometricInterpretation").upper(),
        frames=_frames(dataset),
    )


def _frames(dataset: Any) -> int:
    """How many pictures the file says it has, 1 at least."""
    found = numbers(dataset, "NumberOfFrames")
    return max(1, int(found[0])) if found else 1


def _text(dataset: Any, keyword: str) -> str:
    """The first value of an element as text without padding."""
    value = value_of(dataset, keyword)
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        value = value[0] if len(value) else ""
    return "" if value is None or isinstance(value, bytes) else str(value).strip(" \0\t\r\n")


def numbers(dataset: Any, keyword: str) -> list[float]:
    """All values of an element as finite numbers; none where one of them is no number."""
    value = value_of(dataset, keyword)
    values = list(value) if type(value).__name__ == "MultiValue" or isinstance(value, (list, tuple)) else [value]
    try:
        found = [float(one) for one in values]
    except (TypeError, ValueError):
        return []
    return found if all(map(math.isfinite, found)) else []


def _years(age: str) -> float | None:
    """Years of an age string such as "034Y" or "006M" (PS3.5, 6.2: VR AS)."""
    number, unit = age[:-1], age[-1:].upper()
    if not number.isdecimal() or unit not in _PER_YEAR:
        return None
    return round(int(number) / _PER_YEAR[unit], 2)


def _spacing(dataset: Any) -> tuple[tuple[float, float] | None, float]:
    """(mm between rows, mm between columns), and their ratio, which a file may say alone (PS3.3, 10.7)."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        values = numbers(dataset, keyword)
        if len(values) == 2 and min(values) > 0:
            return (values[0], values[1]), values[0] / values[1]
    values = numbers(dataset, "PixelAspectRatio")
    return None, values[0] / values[1] if len(values) == 2 and min(values) > 0 else 1.0
