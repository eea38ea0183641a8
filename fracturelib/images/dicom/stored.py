"""The stored values of a DICOM file's first frame, decompressed."""

from __future__ import annotations

import io
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fracturelib.errors import ImageError
from fracturelib.images.dicom.parsing import damaged, missing_package, value_of

# GDCM ends the whole program on some damaged files of these; Pillow, with the same OpenJPEG inside, says what is wrong.
_BY_PILLOW = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_MOST_STEPS = 3  # of halving; Pillow fails at 1/16
# Start of a frame in JPEG (ITU-T T.81, table B.1: all of its processes) and in JPEG-LS (T.87); start of its scan.
_FRAME_HEADERS, _SCAN = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}, 0xDA
_MARKERS = {*_FRAME_HEADERS, _SCAN, 0xC4, 0xCC, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xF8, 0xFE, 0xFF}
_MOST_BITS = 16
_COD, _LEVELS = b"\xff\x52", 9  # a marker of JPEG 2000, and where after it the number of decompositions stands


def can_reduce(dataset: Any) -> bool:
    """Whether a smaller picture can be decoded much faster: JPEG 2000 of unsigned greys with a window.

    Without a window the range of grey values decides, and that depends on the size; padding would mix with the rest.
    """
    syntax = value_of(dataset.file_meta, "TransferSyntaxUID")
    plain = (value_of(dataset, "SamplesPerPixel"), value_of(dataset, "PixelRepresentation")) == (1, 0)
    shown = value_of(dataset, "WindowCenter") is not None and value_of(dataset, "PixelPaddingValue") is None
    return (
        syntax in _BY_PILLOW and plain and shown and value_of(dataset, "PhotometricInterpretation") != "PALETTE COLOR"
    )


def reduced_values(dataset: Any, target_side: int) -> NDArray[Any]:
    """The first frame at 1/2, 1/4, … of its size, its short side at least twice `target_side`; see `can_reduce`.

    Twice, since the small sizes of JPEG 2000 are sharper than averages over pixels; the caller's resize mends that.
    Where this does not work, it is the whole picture.

    Raises:
        ImageError: as `stored_values`.
    """
    from pydicom.pixels.utils import get_j2k_parameters

    try:
        frame = _first_frame(dataset)
        coded = get_j2k_parameters(frame)
        image: Any = Image.open(io.BytesIO(frame), formats=["JPEG2000"])
        if image.size != (dataset.Columns, dataset.Rows) or image.mode not in ("L", "I;16") or coded["is_signed"]:
            return stored_values(dataset)
        sizes = frame[frame.index(_COD) + _LEVELS]  # how often the encoder halved the picture (ITU-T T.800, A.6.1)
        steps = range(min(sizes, _MOST_STEPS) + 1)
        image.reduce = max(step for step in steps if min(image.size) >> step >= 2 * target_side or not step)
        values = np.asarray(image)
        return values >> (8 * values.itemsize - coded["precision"])  # Pillow fills up the bits
    except ImageError:
        raise
    except Exception:  # few sizes in the file, or a damaged one; the decoder of the whole picture knows
        return stored_values(dataset)


def stored_values(dataset: Any) -> NDArray[Any]:
    """The first frame as stored, (H, W) or (H, W, 3).

    Raises:
        ImageError: it is cut short or cannot be decompressed, or python-gdcm is missing.
    """
    from pydicom.pixels import pixel_array

    plugin = _plugin(dataset)
    if plugin == "gdcm" and not _is_as_described(dataset):
        raise damaged("its compressed picture is not the one that its tags describe")
    try:
        return pixel_array(dataset, index=0, decoding_plugin=plugin)
    except Exception as error:  # each decoder has its own kinds of error for damaged pixels
        raise damaged("its pixels are cut short or wrong") from error


def _is_as_described(dataset: Any) -> bool:
    """Whether the header of a JPEG or JPEG-LS is whole, and says the rows, columns and samples that the tags say.

    GDCM ends the whole program over some headers that are damaged, and where JPEG-LS writes beyond what the tags say.
    """
    frame, found, place = _first_frame(dataset), (0, 0, 0), 2
    while place + 10 <= len(frame) and frame[place] == 0xFF and frame[place + 1] in _MARKERS:
        marker, length = frame[place + 1], int.from_bytes(frame[place + 2 : place + 4])
        if marker in _FRAME_HEADERS and 2 <= frame[place + 4] <= _MOST_BITS:
            rows, columns = (int.from_bytes(frame[at : at + 2]) for at in (place + 5, place + 7))
            found = rows, columns, frame[place + 9]
        if marker == _SCAN:
            return found == tuple(value_of(dataset, keyword) for keyword in ("Rows", "Columns", "SamplesPerPixel"))
        place += 1 if marker == 0xFF else 2 + length  # any number of 0xFF may stand before a marker
    return False


def _first_frame(dataset: Any) -> bytes:
    """The compressed first picture; "" where the fragments of the file are damaged."""
    from pydicom.encaps import get_frame

    try:
        return get_frame(dataset.PixelData, 0, number_of_frames=int(value_of(dataset, "NumberOfFrames") or 1))
    except Exception:  # pydicom and struct raise several kinds
        return b""


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
