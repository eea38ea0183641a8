"""What kind of object a DICOM file holds, by its SOP class (PS3.4, annex B.5)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from fracturelib.images.dicom.parsing import value_of

_CLASSES = "1.2.840.10008.5.1.4.1.1."


class Kind(StrEnum):
    """An object in a DICOM file; only an IMAGE is read as a radiograph."""

    IMAGE = "image"
    SECONDARY_CAPTURE = "secondary capture"
    REPORT = "structured report"
    KEY_IMAGES = "key image note"
    DIRECTORY = "DICOMDIR"
    DOCUMENT = "encapsulated document"
    PRESENTATION = "presentation state"
    WAVEFORM = "waveform"
    RADIOTHERAPY = "radiotherapy object"
    OTHER = "unknown object"


# The longest beginning of the SOP class that is listed decides.
_KINDS = {
    "1.2.840.10008.1.3.10": Kind.DIRECTORY,
    _CLASSES + "7": Kind.SECONDARY_CAPTURE,
    _CLASSES + "9": Kind.WAVEFORM,
    _CLASSES + "11": Kind.PRESENTATION,
    _CLASSES + "66": Kind.OTHER,  # raw data, registrations, segmentations
    _CLASSES + "88": Kind.REPORT,
    _CLASSES + "88.59": Kind.KEY_IMAGES,
    _CLASSES + "104": Kind.DOCUMENT,
    _CLASSES + "481": Kind.RADIOTHERAPY,
    _CLASSES + "481.1": Kind.IMAGE,  # RT Image, a radiograph
}


def kind_of(dataset: Any) -> Kind:
    """The kind of a parsed file; one of another class is an image if that is called so, or if it has rows."""
    from pydicom.uid import UID

    uid = str(value_of(dataset, "SOPClassUID") or value_of(dataset.file_meta, "MediaStorageSOPClassUID") or "")
    parts = uid.split(".")
    for end in range(len(parts), 0, -1):
        kind = _KINDS.get(".".join(parts[:end]))
        if kind is not None:
            return kind
    return Kind.IMAGE if "Image Storage" in UID(uid).name or "Rows" in dataset else Kind.OTHER
