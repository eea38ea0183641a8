"""Stored values → a grey picture: modality LUT, VOI LUT or window, photometric interpretation (PS3.3, C.11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fracturelib.images.contrast import scaled_levels, to_bytes
from fracturelib.images.dicom.parsing import value_of
from fracturelib.images.dicom.tags import numbers

_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as for the other formats
_SPARE_BITS = 2  # a VOI LUT that leaves so many of its bits unused says too many
_GROUPS_OF_A_FRAME = ("PixelValueTransformationSequence", "FrameVOILUTSequence")


def grey_picture(stored: NDArray[Any], dataset: Any) -> NDArray[np.uint8]:
    """uint8 (H, W), bright bone, of the stored values (H, W) or (H, W, 3) of the first frame."""
    if stored.ndim == 3 or value_of(dataset, "PhotometricInterpretation") == "PALETTE COLOR":
        return _grey_of_colour(stored, dataset)
    if stored.dtype.kind == "f" or stored.dtype.itemsize > 2:
        levels, places, counts = np.unique(stored, return_inverse=True, return_counts=True)
        return _greys(levels, lambda: counts, (levels[0], levels[-1]), dataset)[places].reshape(stored.shape)
    # Each of the 256 or 65,536 bit patterns is worked out once; the pixels look their grey up.
    stored = np.ascontiguousarray(stored, stored.dtype.newbyteorder("="))
    patterns = stored.view(f"u{stored.dtype.itemsize}")
    every = np.arange(2 ** (8 * stored.dtype.itemsize), dtype=patterns.dtype)
    values = every.view(stored.dtype).astype(np.int32)
    ends = int(stored.min()), int(stored.max())
    return _greys(values, lambda: np.bincount(patterns.ravel(), minlength=len(every)), ends, dataset)[patterns]


def _greys(
    values: NDArray[Any], count: Callable[[], NDArray[np.int64]], ends: tuple[Any, Any], dataset: Any
) -> NDArray[np.uint8]:
    """The greys of distinct values (K,), of which those between the ends are in the picture.

    `count` gives how many pixels have each; that takes time, and matters only where no window is given, or one that
    makes the whole picture black or white.
    """
    described = _with_first_frame(dataset)
    padded = _is_padding(values, dataset)
    modality = _modality(values, described)
    greys = _windowed(modality, described)
    seen = (values >= ends[0]) & (values <= ends[1]) & ~padded
    if greys is None or not seen.any() or greys[seen].min() == greys[seen].max():
        greys = scaled_levels(modality, np.where(padded, 0, count()))
    if value_of(dataset, "PhotometricInterpretation") == "MONOCHROME1":
        greys = 255 - greys
    greys[padded] = 0  # the colour of air: padding is no part of the picture (C.7.5.1.1.2)
    return greys


def _with_first_frame(dataset: Any) -> Any:
    """The data set with what an enhanced multi-frame file says of its frames, or of the first one (C.7.6.16)."""
    from pydicom.dataset import Dataset

    groups = (value_of(dataset, f"{whose}FunctionalGroupsSequence") for whose in ("Shared", "PerFrame"))
    firsts = [group[0] for group in groups if group]
    if not firsts:
        return dataset
    merged = Dataset()
    merged.update(dataset)
    merged.file_meta = dataset.file_meta
    for first in firsts:
        for keyword in _GROUPS_OF_A_FRAME:
            if value_of(first, keyword):
                merged.update(value_of(first, keyword)[0])
    return merged


def _is_padding(values: NDArray[Any], dataset: Any) -> NDArray[np.bool_]:
    """Which stored values are PixelPaddingValue, or lie between it and PixelPaddingRangeLimit."""
    ends = numbers(dataset, "PixelPaddingValue")[:1]
    if not ends:
        return np.zeros(values.shape, bool)
    ends += numbers(dataset, "PixelPaddingRangeLimit")[:1]
    if values.max() < 2**15:  # signed: some files call a negative padding value unsigned
        ends = [end - 2**16 if end >= 2**15 else end for end in ends]
    return (values >= min(ends)) & (values <= max(ends))


def _modality(values: NDArray[Any], dataset: Any) -> NDArray[Any]:
    """Modality LUT, or rescale slope and intercept (C.11.1)."""
    luts = value_of(dataset, "ModalityLUTSequence")
    if luts and _has_entries(luts[0]):
        return _look_up(values, luts[0])[0]
    slope, intercept = value_of(dataset, "RescaleSlope"), value_of(dataset, "RescaleIntercept")
    if slope is None or intercept is None or not float(slope):
        return values
    return values * float(slope) + float(intercept)


def _windowed(modality: NDArray[Any], dataset: Any) -> NDArray[np.uint8] | None:
    """0…255 by the first VOI LUT or window (C.11.2); None where there is none that can be used."""
    luts = value_of(dataset, "VOILUTSequence")
    if luts and _has_entries(luts[0]):
        entries, bits = _look_up(np.rint(modality).astype(np.int64), luts[0])
        shown = entries / (2**bits - 1)
    else:
        shown = _window(modality.astype(np.float64), dataset)
    return None if shown is None else np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8)


def _window(modality: NDArray[np.float64], dataset: Any) -> NDArray[np.float64] | None:
    """0…1 inside the first window, by its function (C.11.2.1.2 and C.11.2.1.3)."""
    centre, width = numbers(dataset, "WindowCenter")[:1], numbers(dataset, "WindowWidth")[:1]
    function = value_of(dataset, "VOILUTFunction") or "LINEAR"
    if not centre or not width or width[0] < (1 if function == "LINEAR" else 1e-9):
        return None
    if function == "LINEAR":  # a width of 1 is a step
        return (modality - (centre[0] - 0.5)) / max(width[0] - 1, 1e-9) + 0.5
    if function == "LINEAR_EXACT":
        return (modality - centre[0]) / width[0] + 0.5
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (modality - centre[0]) / width[0], -700, 700)))
    return None


def _has_entries(lut: Any) -> bool:
    return len(value_of(lut, "LUTDescriptor") or ()) == 3 and value_of(lut, "LUTData") is not None


def _look_up(values: NDArray[Any], lut: Any) -> tuple[NDArray[Any], int]:
    """The entries of a LUT for whole numbers, and their bits (C.11.1.1)."""
    _, first, bits = (int(number) for number in lut.LUTDescriptor)
    if first >= 2**15 and values.max() < 2**15:  # a negative number in a file that calls it unsigned
        first -= 2**16
    data = lut.LUTData
    if isinstance(data, bytes):  # two bytes for each entry; some files pack entries of 8 bits
        wide = ">u2" if lut.original_encoding[1] is False else "<u2"
        data = np.frombuffer(data, np.uint8 if len(data) == (int(lut.LUTDescriptor[0]) or 2**16) else wide)
    entries = np.atleast_1d(np.asarray(data)).astype(np.int64) & 0xFFFF
    used = int(entries.max()).bit_length()
    bits = used if used > bits or bits - used >= _SPARE_BITS else bits
    return entries[np.clip(values - first, 0, len(entries) - 1)], max(bits, 1)


def _grey_of_colour(stored: NDArray[Any], dataset: Any) -> NDArray[np.uint8]:
    from pydicom.pixels import apply_color_lut

    if stored.ndim == 2:
        stored = apply_color_lut(stored, dataset)
    colour = stored[..., :3]
    if colour.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(colour)).convert("L"))
    return to_bytes(colour.astype(np.float64) @ _LUMINANCE)
