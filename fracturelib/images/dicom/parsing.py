"""Bytes → a parsed DICOM file, also without preamble, and never more than a radiograph may take."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from fracturelib.errors import ImageError
from fracturelib.images.limits import MAX_FILE_BYTES, too_large

HEAD = 160  # bytes of a file that tell whether it is DICOM
_VRS = b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UC UI UL UR US UT OB OW UN SQ".split()
_LONG_VRS = (b"OB", b"OW", b"UN", b"SQ", b"UT", b"UC", b"UR")
_FIRST_GROUPS = (0x0002, 0x0008)
_LARGEST_FIRST_VALUE = 1024
_DEFLATED = "1.2.840.10008.1.2.1.99"


def is_dicom(data: bytes) -> bool:
    """Whether bytes are DICOM: after a preamble, or beginning with an element of group 0002 or 0008 (PS3.5, 7.1)."""
    return data[128:132] == b"DICM" or any(_begins_with_element(data, byteorder) for byteorder in "<>")


def is_dicom_file(path: str | Path) -> bool:
    """Whether a file's content is DICOM, whatever its name; False where it cannot be read or is no file."""
    try:
        if not Path(path).is_file():  # a pipe would wait
            return False
        with Path(path).open("rb") as file:
            return is_dicom(file.read(HEAD))
    except OSError:
        return False


def _begins_with_element(data: bytes, byteorder: str) -> bool:
    if len(data) < 16:
        return False
    group, element, length = struct.unpack(f"{byteorder}HHI", data[:8])
    if group not in _FIRST_GROUPS:
        return False
    if data[4:6] in _VRS:
        return element <= 0x0100
    return byteorder == "<" and element <= 0x0100 and length <= _LARGEST_FIRST_VALUE  # implicit VR is little-endian


def parse(data: bytes, *, pixels: bool = True, only: Sequence[str] | None = None) -> Any:
    """The data set of a file's bytes.

    Args:
        data: the whole file.
        pixels: whether the pixel data are wanted.
        only: keywords of the elements that are wanted; all of them by default.

    Raises:
        ImageError: pydicom is missing, the file is damaged, or it unpacks to more than a radiograph may take.
    """
    pydicom = load_pydicom()
    try:
        _check_inflated(data)
        found = pydicom.dcmread(
            io.BytesIO(data), force=True, stop_before_pixels=not pixels, specific_tags=None if only is None else [*only]
        )
    except ImageError:
        raise
    except Exception as error:  # pydicom raises a dozen kinds on damaged files; their texts may hold values of tags
        raise damaged("its elements cannot be read") from error
    if not len(found) and not len(found.file_meta):
        raise damaged("it has no element that can be read")
    return found


def value_of(dataset: Any, keyword: str) -> Any:
    """The value of an element; None where it is absent, empty, or damaged: that must not cost the picture."""
    try:
        return dataset.get(keyword)
    except Exception:  # pydicom converts a value when it is asked for, and raises a dozen kinds
        return None


def load_pydicom() -> ModuleType:
    """pydicom, told not to complain: its warnings would repeat values of tags on the screen, file by file.

    What is wrong with a file is said by the ImageError alone.

    Raises:
        ImageError: it is not installed.
    """
    try:
        import pydicom
        import pydicom.config
    except ImportError as error:
        raise missing_package("pydicom") from error
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    if not any(getattr(module, "pattern", "") == "pydicom" for _, _, _, module, _ in warnings.filters):
        warnings.filterwarnings("ignore", module="pydicom")  # only once: every call makes Python repeat old warnings
    return pydicom


def missing_package(name: str) -> ImageError:
    """The error for a file that needs a package which is not installed."""
    cure = "install what reads DICOM: pip install 'fracturelib[dicom]'"
    return ImageError(f"a DICOM file, and the package {name} that reads it is not installed", cure=cure)


def damaged(how: str) -> ImageError:
    """The error for a DICOM file that is cut short or wrong inside."""
    cause = "the file is damaged or cut short"
    return ImageError(f"a DICOM file that cannot be read: {how}", cause=cause, cure="export it again, or leave it out")


def _check_inflated(data: bytes) -> None:
    """Raise ImageError where a deflated file (PS3.5, A.5) would unpack to more than a radiograph's file may have."""
    if _DEFLATED.encode() not in data[:2048]:
        return
    from pydicom.filereader import read_partial

    stream = io.BytesIO(data)
    meta = read_partial(stream, stop_when=lambda *_: True, force=True).file_meta
    if meta.get("TransferSyntaxUID") != _DEFLATED:
        return
    inflate, packed, size = zlib.decompressobj(-zlib.MAX_WBITS), data[_end_of_meta(data) :], 0
    while packed and not inflate.eof:
        size += len(inflate.decompress(packed, 2**24))
        packed = inflate.unconsumed_tail
        if size > MAX_FILE_BYTES:
            raise too_large(f"{size / 1e9:.0f} GB unpacked, ")


def _end_of_meta(data: bytes) -> int:
    """Where the elements of group 0002 end: each is explicit VR little-endian (PS3.10, 7.1)."""
    place = 132
    while place + 8 <= len(data) and data[place : place + 2] == b"\2\0":
        long = data[place + 4 : place + 6] in _LONG_VRS  # these have two spare bytes, then a length of four
        start = place + (12 if long else 8)
        place = start + int.from_bytes(data[place + 8 : start] if long else data[place + 6 : start], "little")
    return place
