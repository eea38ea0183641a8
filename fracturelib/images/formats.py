"""The formats that are read: one line for each family."""

from __future__ import annotations

from fracturelib.errors import ImageError
from fracturelib.images import dicom, photographs
from fracturelib.images.decoder import Decoder, Family

FAMILIES: tuple[Family, ...] = (dicom, photographs)  # asked in this order whether they know a file
IMAGE_SUFFIXES = tuple(suffix for family in FAMILIES for suffix in family.SUFFIXES)
_names = [name for family in FAMILIES for name in family.NAMES]
FORMAT_NAMES = f"{', '.join(_names[:-1])} or {_names[-1]}"


def open_image(data: bytes) -> Decoder:
    """The decoder that knows a file's bytes; the name of the file does not matter.

    Raises:
        ImageError: no family knows them, or the one that does says that they are no picture.
    """
    for family in FAMILIES:
        decoder = family.open_file(data)
        if decoder is not None:
            return decoder
    raise ImageError(
        "not an image that can be read",
        cause=f"the file is damaged, or is no {FORMAT_NAMES}",
        cure="convert it to one of these formats, or leave it out",
    )
