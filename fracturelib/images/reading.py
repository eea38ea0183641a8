"""One file → its grey picture, or its facts."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fracturelib.errors import DataWarning, ImageError
from fracturelib.images.decoder import Decoder
from fracturelib.images.dicom import Tags
from fracturelib.images.formats import open_image
from fracturelib.images.limits import check_size, read_bytes
from fracturelib.images.polarity import Polarity, is_turned, looks_inverted

READING = 2  # raised when the same file gives other greys than before: features kept from earlier are computed anew
GREY_SIDE = 64  # brightness and contrast are measured where the short side has at least so many pixels


@dataclass(frozen=True)
class ImageFacts:
    """What is known about one file.

    Attributes:
        width, height: pixels, after EXIF orientation; 0 where the file could not be opened.
        mode: how its format calls its kind of pixels: Pillow's mode, as stored ("L", "RGB", "I;16", …).
        bit_depth: bits per channel.
        truncated: a JPEG that ends early; it is usable, its missing part is mid-grey.
        sha256: of the file's bytes.
        content: hash of the decoded grey pixels: equal for a PNG copy of a BMP.
        grey_mean, grey_std: brightness and contrast, as `measure_grey` gives them.
        problem: why the file is unusable, in one sentence; None where it is usable.
        kind: what an unusable file holds, where that is known, such as a structured report; "" otherwise.
        frames: pictures in the file; the first is read.
        inverted: the picture as stored shows dark bone, as far as `looks_inverted` can tell.
        tags: what a DICOM file says of patient, study and view; None for other formats.
        turned: its greys were turned, as whoever asked wanted; content, brightness and contrast are those after that.
    """

    width: int = 0
    height: int = 0
    mode: str = ""
    bit_depth: int = 0
    truncated: bool = False
    sha256: str = ""
    content: str = ""
    grey_mean: float = 0.0
    grey_std: float = 0.0
    problem: str | None = None
    kind: str = ""
    frames: int = 1
    inverted: bool = False
    turned: bool = False
    tags: Tags | None = None


def read_radiograph(
    path: str | Path,
    *,
    target_side: int | None = None,
    strict: bool = False,
    sha256: str | None = None,
    polarity: str = Polarity.KEEP,
) -> NDArray[np.uint8]:
    """Read one file as a greyscale radiograph, with bright bone as stored.

    EXIF orientation is applied. Integers wider than 8 bits and floats are scaled by their own range, without padding,
    markers and hot pixels (`contrast.anatomy_range` has the formula). A TIFF stored "white is zero" and a DICOM file of
    MONOCHROME1 are inverted. Colour becomes ITU-R BT.601 luminance. Transparent pixels are laid on black, the colour of
    air in a radiograph; any other ground would draw a bright frame. Of several pages or frames the first is read.

    Args:
        path: a file of one of the formats in `FORMAT_NAMES`.
        target_side: the caller will shrink the image so that its short side is about this many pixels. A
            JPEG may then be decoded at 1/2, 1/4 or 1/8 of its size; the result's short side is still at
            least `target_side`.
        strict: refuse a JPEG that ends early instead of decoding it as far as it goes.
        sha256: of the file as it was when it was listed; refuse one that was changed since.
        polarity: "keep", "fix" (exchange bright and dark if it looks inverted) or "turn" (in any case).

    Returns:
        uint8 array, (H, W).

    Raises:
        ImageError: no such file, not an image, damaged, too large, too small or changed.

    Warns:
        DataWarning: a DICOM file has several frames.
    """
    try:
        decoder = _opened(path, sha256)
        pixels, truncated = _decode(decoder, target_side)
    except ImageError as error:
        raise error.at(path) from error.__cause__
    if truncated and strict:
        raise _ends_early(path)
    return 255 - pixels if is_turned(pixels, polarity) else pixels


class Picture(NamedTuple):
    """A file as `predict` sees it: grey (H, W), whether it ends early, and its colour.

    `colour` is how far its channels differ on average, 0…255: 0 for grey pictures and formats without colour.
    """

    grey: NDArray[np.uint8]
    truncated: bool
    colour: float


def read_picture(path: str | Path, *, target_side: int, strict: bool = False, polarity: str = Polarity.KEEP) -> Picture:
    """What `read_radiograph` gives, and the colour beside it: of one reading and, where possible, one decoding."""
    try:
        decoder = _opened(path, None)
        way: Any = getattr(decoder, "grey_and_colour", None)
        found = _decode(decoder, target_side, way) if way else (*_decode(decoder, target_side), 0.0)
    except ImageError as error:
        raise error.at(path) from error.__cause__
    picture = Picture(*found)
    if picture.truncated and strict:
        raise _ends_early(path)
    return picture._replace(grey=255 - picture.grey) if is_turned(picture.grey, polarity) else picture


def _opened(path: str | Path, sha256: str | None) -> Decoder:
    """The decoder of a file, if it is the one whose hash is given."""
    data = read_bytes(path)
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        cause, cure = "it was replaced while the program ran", "start again, with files that stay as they are"
        raise ImageError("the file changed since the data set was read", cause=cause, cure=cure)
    decoder = open_image(data)
    if _frames(decoder) > 1:  # without the file's name: the same warning is then shown once
        warnings.warn("a file holds several pictures: the first one is read", DataWarning, stacklevel=3)
    return decoder


def _ends_early(path: str | Path) -> ImageError:
    return ImageError(
        "the JPEG ends early",
        file=path,
        cause="an interrupted copy or download",
        cure="fetch the file again, or read it without the strict setting",
    )


def inspect_image(path: str | Path, *, polarity: str = Polarity.KEEP) -> ImageFacts:
    """The facts of one file, read once and decoded wholly; never raises for bad content.

    With polarity "fix" a picture that looks inverted is turned before it is measured.
    """
    facts = ImageFacts()
    try:
        data = read_bytes(path)
        facts = replace(facts, sha256=hashlib.sha256(data).hexdigest())
        decoder = open_image(data)
        width, height = decoder.size
        facts = replace(facts, width=width, height=height, mode=decoder.mode, bit_depth=decoder.bit_depth)
        facts = replace(facts, frames=_frames(decoder), tags=getattr(decoder, "tags", None))
        pixels, truncated = _decode(decoder, None)
        small = _decode(decoder, GREY_SIDE)[0] if decoder.reduces else pixels
    except ImageError as error:
        return replace(facts, problem=error.what, kind=error.kind)
    inverted, turned = looks_inverted(pixels), is_turned(pixels, polarity)
    if turned:
        pixels, small = 255 - pixels, 255 - small
    height, width = pixels.shape
    digest = hashlib.sha256(f"{width}x{height}:".encode() + pixels.tobytes()).hexdigest()
    mean, spread = _mean_and_spread(small)
    return replace(
        facts,
        width=width,
        height=height,
        truncated=truncated,
        content=digest,
        grey_mean=mean,
        grey_std=spread,
        inverted=inverted,
        turned=turned,
    )


def measure_grey(path: str | Path) -> tuple[float, float]:
    """Mean and standard deviation of a file's grey values, 0…1, read at about 64 pixels; raises ImageError."""
    return _mean_and_spread(read_radiograph(path, target_side=GREY_SIDE))


def _frames(decoder: Decoder) -> int:
    return getattr(decoder, "frames", 1)


def _mean_and_spread(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    scaled = pixels / 255
    return float(scaled.mean()), float(scaled.std())


def _decode(decoder: Decoder, target_side: int | None, way: Any = None) -> Any:
    """Pixels, uint8 (H, W), and whether the file ended early; or what another way of the decoder's gives."""
    check_size(*decoder.size)
    try:
        return (way or decoder.grey)(target_side)
    except ImageError:
        raise
    except Exception as error:  # every decoder has its own kinds of error for damaged files
        raise ImageError(
            f"cannot be decoded ({error or type(error).__name__})",
            cause="the file is damaged or cut short",
            cure="fetch it again, or leave it out",
        ) from error
