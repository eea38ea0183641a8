"""The family "DICOM" of `images.formats`: a decoder for every file that holds a radiograph."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracturelib.errors import ImageError
from fracturelib.images.decoder import Decoder
from fracturelib.images.dicom.kinds import Kind, kind_of
from fracturelib.images.dicom.parsing import damaged, is_dicom, parse
from fracturelib.images.dicom.rendering import grey_picture
from fracturelib.images.dicom.stored import stored_values
from fracturelib.images.dicom.tags import frames_of, tags_of

NAMES: tuple[str, ...] = ("DICOM",)
SUFFIXES: tuple[str, ...] = (".dcm", ".dicom", ".dic", ".ima")


def open_file(data: bytes) -> Decoder | None:
    """The decoder of a file's bytes; None where they are no DICOM.

    Raises:
        ImageError: a DICOM file that holds no radiograph, is damaged, or that needs a missing package.
    """
    if not is_dicom(data):
        return None
    dataset = parse(data)
    kind = kind_of(dataset)
    if kind is not Kind.IMAGE:
        cure = "leave it out; if it shows a radiograph, save that as 16-bit PNG"
        raise ImageError(f"a DICOM {kind}, not a radiograph".replace("DICOM DICOMDIR", "DICOMDIR"), cure=cure)
    return _DicomPicture(dataset)


class _DicomPicture:
    """See `Decoder`."""

    reduces = False

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        try:
            self.size = int(dataset.Columns), int(dataset.Rows)
            self.bit_depth = int(dataset.get("BitsStored") or dataset.get("BitsAllocated") or 0)
        except (AttributeError, TypeError, ValueError) as error:
            raise damaged("it does not say how large its picture is") from error
        self.mode = str(dataset.get("PhotometricInterpretation") or "")
        self.tags, self.frames = tags_of(dataset), frames_of(dataset)

    def grey(self, target_side: int | None) -> tuple[NDArray[np.uint8], bool]:
        return grey_picture(stored_values(self._dataset), self._dataset), False
