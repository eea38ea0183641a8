"""The one way to write a number, a share and an interval; a missing value is None or not-a-number."""

from __future__ import annotations

import math

UNKNOWN = "not estimable"


def number(value: float | None, digits: int = 3, *, signed: bool = False, missing: str = "–") -> str:
    """A rounded number, with its sign if it is a difference: 0.412, +0.020."""
    if value is None or math.isnan(value):
        return missing
    return f"{round(value, digits) + 0.0:{'+' * signed}.{digits}f}"  # + 0.0: no "-0.000"


def percent(count: float | None, total: float = 1, digits: int = 0) -> str:
    """A share in per cent that is rounded to neither 0 % nor 100 % unless it is exactly that: 12 %, < 1 %, 99.5 %."""
    if count is None or math.isnan(count) or total == 0:
        return "–"
    step = 10.0**-digits  # the last digit that is written, in per cent
    value = 100 * count / total
    if 0 < value <= step / 2:
        return f"< {step:.{digits}f} %"
    return f"> {100 - step:.{digits}f} %" if 100 - step / 2 <= value < 100 else f"{value:.{digits}f} %"


def interval(low: float | None, high: float | None, digits: int = 3, *, signed: bool = False) -> str:
    """Both ends, or nothing where they are not known: 0.353 to 0.471."""
    ends = [number(end, digits, signed=signed, missing="") for end in (low, high)]
    return " to ".join(ends) if all(ends) else ""


def in_brackets(text: str) -> str:
    """The text in brackets; nothing stays nothing."""
    return f"({text})" if text else ""


def estimate(
    value: float | None,
    low: float | None,
    high: float | None,
    digits: int = 3,
    *,
    signed: bool = False,
    missing: str = UNKNOWN,
) -> str:
    """A number with its interval, where there is one: 0.412 (0.353 to 0.471)."""
    ends = in_brackets(interval(low, high, digits, signed=signed))
    return f"{number(value, digits, signed=signed, missing=missing)} {ends}".rstrip()
