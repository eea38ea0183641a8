"""From any range of pixel values to 8 bits: the range of the anatomy counts, not that of padding and markers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_TABLE_LEVELS = 2**20  # integers within so wide a range are counted and scaled by table
_TAILS = (0.02, 0.98)
_MARGIN = 0.5  # of the distance between both, on either side


def to_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale values of any type to 0…255 by the range that `anatomy_range` finds; what lies outside is clipped.

    A constant picture becomes black, and so does NaN.
    """
    if values.dtype.kind in "iu" and values.size:
        start, end = int(values.min()), int(values.max())
        if end - start < _TABLE_LEVELS:
            places = (values if start == 0 else values.astype(np.int64) - start).ravel()
            counts = np.bincount(places, minlength=end - start + 1)
            return scaled_levels(np.arange(start, end + 1), counts)[places].reshape(values.shape)
    levels, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    return _scaled(values, *anatomy_range(levels, counts)) if levels.size else np.zeros(values.shape, np.uint8)


def scaled_levels(levels: NDArray[Any], counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The 8-bit value of each level (K,), whose pixels are counted (K,); all zero where nothing is counted."""
    order = np.argsort(levels, kind="stable")
    found = order[(counts[order] > 0) & np.isfinite(levels[order])]
    if not found.size:
        return np.zeros(levels.shape, np.uint8)
    return _scaled(levels, *anatomy_range(levels[found], counts[found]))


def anatomy_range(levels: NDArray[Any], counts: NDArray[np.int64]) -> tuple[Any, Any]:
    """The smallest and the largest value that count, of a picture's distinct values and their numbers of pixels.

    Padding, collimated borders, saturated markers and dead pixels are few values, however many or few pixels they have;
    anatomy and noise are many. So no value weighs more than the mean number of pixels per value. With p2 and p98 the
    percentiles of the values so weighted and s = (p98 - p2) / 2, the values in [p2 - s, p98 + s] count. The fences are
    Tukey's (Exploratory Data Analysis, 1977), with wider percentiles; s leaves the anatomy half of the grey scale at
    least. A picture that fills its range evenly keeps all of it.

    Args:
        levels: (K,) distinct finite values, ascending.
        counts: (K,) pixels of each, above 0.
    """
    weights = np.minimum(counts, counts.mean())
    share = np.cumsum(weights) / weights.sum()
    p2, p98 = (float(level) for level in levels[np.searchsorted(share, _TAILS)])
    margin = (p98 - p2) * _MARGIN
    inside = levels[(levels >= p2 - margin) & (levels <= p98 + margin)]
    return (inside[0], inside[-1]) if inside[0] < inside[-1] else (levels[0], levels[-1])


def _scaled(values: NDArray[Any], low: Any, high: Any) -> NDArray[np.uint8]:
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    low, high = float(low), float(high)
    values = np.clip(np.nan_to_num(values, nan=low, posinf=high, neginf=low), low, high)
    return np.rint((values - low) / (high - low) * 255).astype(np.uint8)
