"""What every reader of a file format offers, and the step from any range of values to 8 bits."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Decoder(Protocol):
    """One file of a known format: what its header says, and its pixels when they are asked for.

    Attributes:
        size: (width, height) in pixels, as stored.
        mode: how the format itself calls its kind of pixels ("L", "RGB", "I;16", …).
        bit_depth: bits per channel.
        reduces: whether `grey` can decode a smaller picture faster.
    """

    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def mode(self) -> str: ...

    @property
    def bit_depth(self) -> int: ...

    @property
    def reduces(self) -> bool: ...

    def grey(self, target_side: int | None) -> tuple[NDArray[np.uint8], bool]:
        """The upright grey picture (H, W), bright bone as stored, and whether the file ended early.

        With a `target_side` the picture may be smaller, as long as its short side is not below it.

        Raises:
            ImageError: a variant of the format that is not supported.
            Exception: whatever the decoder raises for damaged files; the caller turns it into an ImageError.
        """
        ...


class Family(Protocol):
    """A module of this package that reads one family of formats; `formats.FAMILIES` lists them."""

    NAMES: tuple[str, ...]
    SUFFIXES: tuple[str, ...]

    def open_file(self, data: bytes) -> Decoder | None:
        """The decoder of a file's bytes; None where they are of no format of this family.

        Raises:
            ImageError: a file of this family that is no picture, or one that is too large.
        """
        ...


def to_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale values of any range to 0…255 by the range of what is no padding, marker or hot pixel.

    With p2 and p98 the percentiles of the values strictly between the smallest and the largest one (padding and markers
    are constant extremes), and s = p98 - p2: all values in [p2 - s, p98 + s] count; the smallest of them becomes 0, the
    largest 255, and what lies outside is clipped. A picture that fills its range evenly is thus scaled by its smallest
    and largest value. The fences are Tukey's (Exploratory Data Analysis, 1977), with wider percentiles. A constant
    image becomes black, and so does NaN.
    """
    finite = values[np.isfinite(values)]
    low, high = _range(finite) if finite.size else (0.0, 0.0)
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    values = np.clip(np.nan_to_num(values, nan=low, posinf=high, neginf=low), low, high)
    return np.rint((values - low) / (high - low) * 255).astype(np.uint8)


def _range(finite: NDArray[Any]) -> tuple[Any, Any]:
    """The smallest and the largest value that count."""
    ends = finite.min(), finite.max()
    between = finite[(finite > ends[0]) & (finite < ends[1])]
    if not between.size:
        return ends
    low, high = np.percentile(between, (2, 98))
    inside = finite[(finite >= low - (high - low)) & (finite <= high + (high - low))]
    return (inside.min(), inside.max()) if inside.size and inside.min() < inside.max() else ends
