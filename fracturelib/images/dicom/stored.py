"""The stored values of a DICOM file's first frame, decompressed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from numpy.typing import NDArray

from fracturelib.errors import ImageError
from fracturelib.images.dicom.parsing import damaged, missing_package, value_of

# GDCM ends the whole program on some damaged files of these; Pillow, with the same OpenJPEG inside, says what is wrong.
_BY_PILLOW = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")


def stored_values(dataset: Any) -> NDArray[Any]:
    """The first frame as stored, (H, W) or (H, W, 3).

    Raises:
        ImageError: it is cut short or cannot be decompressed, or python-gdcm is missing.
    """
    from pydicom.pixels import pixel_array

    plugin = _plugin(dataset)
    try:
        return pixel_array(dataset, index=0, decoding_plugin=plugin)
    except Exception as error:  # each decoder has its own kinds of error for damaged pixels
        raise damaged("its pixels are cut short or wrong") from error


def _plugin(dataset: Any) -> str:
    """Which of pydicom's decoders to use, "" for no particular one.

    Raises:
        ImageError: the file's transfer syntax is not decoded by what is installed.
    """
    from pydicom.pixels import get_decoder

    syntax = _transfer_syntax(dataset)
    if not syntax.is_encapsulated:
        return ""
    try:
        available = get_decoder(syntax).available_plugins
    except NotImplementedError:
        available = ()
    preferred = "pillow" if syntax in _BY_PILLOW else "gdcm"
    if preferred in available:
        return preferred
    if available:
        return available[0]
    if find_spec("gdcm") is None:
        raise missing_package("python-gdcm")
    cure = "export it again without compression, or leave it out"
    raise ImageError(f"a DICOM file compressed as {syntax.name}, which is not read", cure=cure)


def _transfer_syntax(dataset: Any) -> Any:
    """The transfer syntax; a file that names none gets the one by which it was parsed."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if not value_of(dataset.file_meta, "TransferSyntaxUID"):
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset.file_meta.TransferSyntaxUID
