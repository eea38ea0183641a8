"""Stored values → a grey picture: modality LUT, VOI LUT or window, photometric interpretation (PS3.3, C.11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fracturelib.images.contrast import scaled_levels, to_bytes

_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as for the other formats
_FAR = 1e30  # beyond any window
_SPARE_BITS = 2  # a VOI LUT that leaves so many of its bits unused says too many
_GROUPS_OF_A_FRAME = ("PixelValueTransformationSequence", "FrameVOILUTSequence")


def grey_picture(stored: NDArray[Any], dataset: Any) -> NDArray[np.uint8]:
    """uint8 (H, W), bright bone, of the stored values (H, W) or (H, W, 3) of the first frame."""
    if stored.ndim == 3 or dataset.get("PhotometricInterpretation") == "PALETTE COLOR":
        return _grey_of_colour(stored, dataset)
    if stored.dtype.kind == "f" or stored.dtype.itemsize > 2:
        levels, inverse, counts = np.unique(stored, return_inverse=True, return_counts=True)
        return _greys(levels, lambda: counts, dataset)[inverse].reshape(stored.shape)
    # Each of the 256 or 65,536 bit patterns is worked out once; the pixels look their grey up.
    stored = np.ascontiguousarray(stored, stored.dtype.newbyteorder("="))
    patterns = stored.view(f"u{stored.dtype.itemsize}")
    every = np.arange(2 ** (8 * stored.dtype.itemsize), dtype=patterns.dtype)
    values = every.view(stored.dtype).astype(np.int32)
    return _greys(values, lambda: np.bincount(patterns.ravel(), minlength=len(every)), dataset)[patterns]


def _greys(values: NDArray[Any], count: Callable[[], NDArray[np.int64]], dataset: Any) -> NDArray[np.uint8]:
    """The greys of distinct stored values (K,); `count` gives how many pixels have each, where that matters."""
    from pydicom.pixels import apply_modality_lut

    described = _with_first_frame(dataset)
    padded = _is_padding(values, dataset)
    modality = apply_modality_lut(values, described)
    greys = _windowed(modality, described)
    if greys is None:
        greys = scaled_levels(modality, np.where(padded, 0, count()))
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        greys = 255 - greys
    greys[padded] = 0  # the colour of air: padding is no part of the picture (C.7.5.1.1.2)
    return greys


def _with_first_frame(dataset: Any) -> Any:
    """The data set with what an enhanced multi-frame file says of its frames, or of the first one (C.7.6.16)."""
    from pydicom.dataset import Dataset

    groups = [dataset.get("SharedFunctionalGroupsSequence"), dataset.get("PerFrameFunctionalGroupsSequence")]
    firsts = [group[0] for group in groups if group]
    if not firsts:
        return dataset
    merged = Dataset()
    merged.update(dataset)
    merged.file_meta = dataset.file_meta
    for first in firsts:
        for keyword in _GROUPS_OF_A_FRAME:
            if first.get(keyword):
                merged.update(first.get(keyword)[0])
    return merged


def _is_padding(values: NDArray[Any], dataset: Any) -> NDArray[np.bool_]:
    """Which stored values are PixelPaddingValue, or lie between it and PixelPaddingRangeLimit."""
    ends = [dataset.get(keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    try:
        numbers = [int(end) for end in ends if end is not None]
    except (TypeError, ValueError):
        numbers = []
    if not numbers or ends[0] is None:
        return np.zeros(values.shape, bool)
    if dataset.get("PixelRepresentation") == 1:  # some files write a negative padding value as if it were unsigned
        numbers = [number - 2**16 if number >= 2**15 and values.max() < 2**15 else number for number in numbers]
    return (values >= min(numbers)) & (values <= max(numbers))


def _windowed(modality: NDArray[Any], dataset: Any) -> NDArray[np.uint8] | None:
    """0…255 by the first VOI LUT or window; None where there is none, or it makes all values alike."""
    from pydicom.pixels import apply_voi, apply_windowing

    lut = dataset.get("VOILUTSequence")
    try:
        if lut and lut[0].get("LUTDescriptor") and lut[0].get("LUTData"):
            shown = apply_voi(np.rint(modality).astype(np.int64), dataset).astype(np.float64)
            low, high = 0.0, float(2 ** _bits_in_use(shown, int(lut[0].LUTDescriptor[2])) - 1)
        elif dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
            with np.errstate(over="ignore"):
                shown = apply_windowing(modality, dataset)
                low, high = apply_windowing(np.array([-_FAR, _FAR]), dataset)
        else:
            return None
    except (AttributeError, IndexError, NotImplementedError, TypeError, ValueError):
        return None  # a window of width 0, a LUT without entries: as if there were none
    greys = np.rint(np.clip((shown - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    return greys if greys.min() < greys.max() else None


def _bits_in_use(shown: NDArray[Any], said: int) -> int:
    used = int(shown.max()).bit_length()
    return used if said - used >= _SPARE_BITS and used else said


def _grey_of_colour(stored: NDArray[Any], dataset: Any) -> NDArray[np.uint8]:
    from pydicom.pixels import apply_color_lut

    if stored.ndim == 2:
        stored = apply_color_lut(stored, dataset)
    colour = stored[..., :3]
    if colour.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(colour)).convert("L"))
    return to_bytes(colour.astype(np.float64) @ _LUMINANCE)
