"""Is bone bright? What a picture of the wrong polarity looks like, and what is done about one."""

from __future__ import annotations

from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

_SIDE = 96
_MEAN = 0.5
_DARK, _DARK_SHARE = 0.15, 0.1
_BRIGHT, _BRIGHT_SHARE = 0.75, 0.3


class Polarity(StrEnum):
    """How a picture is read: KEEP it as stored; FIX it, if it looks inverted; TURN it, as was decided before."""

    KEEP = "keep"
    FIX = "fix"
    TURN = "turn"


def looks_inverted(grey: NDArray[np.uint8]) -> bool:
    """Whether a radiograph (H, W) seems to show bone dark before bright air.

    Its mean is above half the grey scale, under a tenth of it is darker than 0.15, and three tenths, the air, are
    brighter than 0.75, at 96×96 pixels. A rule of thumb of our own, chosen on the same pictures: of 800 limbs of
    FracAtlas, 599 wrists of another set and 800 simulated radiographs it calls none inverted, and of the same pictures
    turned 95, 96 and 79 %. Where a limb fills the picture there is no air to judge by, and nothing is said.
    """
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    if small.mean() <= 255 * _MEAN:
        return False
    return bool((small < 255 * _DARK).mean() < _DARK_SHARE and (small > 255 * _BRIGHT).mean() >= _BRIGHT_SHARE)


def is_turned(grey: NDArray[np.uint8], polarity: str) -> bool:
    """Whether bright and dark of a picture (H, W) are to be exchanged."""
    return polarity == Polarity.TURN or (polarity == Polarity.FIX and looks_inverted(grey))
