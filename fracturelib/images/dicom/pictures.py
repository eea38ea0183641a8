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
from fracturelib.images.dicom.stored import can_reduce, reduced_values, stored_values
from fracturelib.images.dicom.tags import numbers, tags_of

NAMES: tuple[str, ...] = ("DICOM",)
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
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
        raise _no_radiograph(kind)
    if not any(keyword in dataset for keyword in _PIXELS):
        cause = "only its tags were exported, or it is cut short"
        raise ImageError("a DICOM file without a picture", cause=cause, cure="export it again, or leave it out")
    return _DicomPicture(dataset)


def _no_radiograph(kind: Kind) -> ImageError:
    what = f"a DICOM {kind}, not a radiograph".replace("DICOM DICOMDIR", "DICOMDIR")
    error = ImageError(what, cure="leave it out; if it shows a radiograph, save that as 16-bit PNG")
    error.kind = kind.value
    return error


class _DicomPicture:
    """See `Decoder`."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        columns, rows = numbers(dataset, "Columns"), numbers(dataset, "Rows")
        if not columns or not rows:
            raise damaged("it does not say how large its picture is")
        self.size = int(columns[0]), int(rows[0])
        self.bit_depth = int((numbers(dataset, "BitsStored") or numbers(dataset, "BitsAllocated") or [0])[0])
        self.tags, self.reduces = tags_of(dataset), can_reduce(dataset)
        self.mode, self.frames = self.tags.photometric, self.tags.frames

    def grey(self, target_side: int | None) -> tuple[NDArray[np.uint8], bool]:
        if target_side is not None and self.reduces:
            stored = reduced_values(self._dataset, target_side)
        else:
            stored = stored_values(self._dataset)
        try:
            return grey_picture(stored, self._dataset), False
        except Exception as error:  # a LUT or a palette that is no list of numbers; the error's text may hold values
            raise damaged("what says how its values are shown is wrong") from error
