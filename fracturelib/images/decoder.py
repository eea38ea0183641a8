"""What every reader of a file format offers."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Decoder(Protocol):
    """One file of a known format: what its header says, and its pixels when they are asked for.

    Attributes:
        size: (width, height) in pixels, as stored.
        mode: how the format itself calls its kind of pixels ("L", "RGB", "I;16", …).
        bit_depth: bits per channel.
        reduces: whether `grey` can decode a smaller picture faster.

    A decoder of a format with several pictures in a file says how many as `frames` (the first is read), and one of
    DICOM has `tags`. One of a format with colours has `grey_and_colour`, which adds to `grey` how far the channels
    differ.
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
