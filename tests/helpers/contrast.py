"""How well a colour can be told from another: the ratio of WCAG 2.2 (text needs 4.5, a line 3)."""

from typing import Any

import numpy as np
from matplotlib.colors import to_rgb


def contrast(one: Any, other: Any) -> float:
    """Ratio of the luminances of two colours, 1…21."""
    light = sorted(_luminance(colour) + 0.05 for colour in (one, other))
    return light[1] / light[0]


def _luminance(colour: Any) -> float:
    parts = np.array(to_rgb(colour))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))
