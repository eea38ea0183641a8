"""The stored values of a DICOM file's first frame, decompressed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from numpy.typing import NDArray

from fracturelib.errors import ImageError
from fracturelib.images.dicom.parsing import damaged, missing_package

_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def stored_values(dataset: Any) -> NDArray[Any]:
    """The first frame as stored, (H, W) or (H, W, 3).

    Raises:
        ImageError: there are no pixels, they are cut short or cannot be decompressed, or python-gdcm is missing.
    """
    from pydicom.pixels import pixel_array

    if not any(keyword in dataset for keyword in _PIXELS):
        raise ImageError("a DICOM file without a picture", cause="only its tags were exported", cure="leave it out")
    _settle_syntax(dataset)
    try:
        return pixel_array(dataset, index=0)
    except Exception as error:  # each decoder has its own kinds of error for damaged pixels
        raise damaged("its pixels are cut short or wrong") from error


def _settle_syntax(dataset: Any) -> None:
    """Give a file without a transfer syntax the one it was parsed by; raise ImageError for one that is not decoded."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if not syntax:
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    elif syntax.is_encapsulated and not _can_decode(syntax):
        if find_spec("gdcm") is None:
            raise missing_package("python-gdcm")
        cure = "export it again without compression, or leave it out"
        raise ImageError(f"a DICOM file compressed as {syntax.name}, which is not read", cure=cure)


def _can_decode(syntax: Any) -> bool:
    from pydicom.pixels import get_decoder

    try:
        return get_decoder(syntax).is_available
    except NotImplementedError:
        return False
