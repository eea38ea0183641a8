"""How numbers are written: tables for the templates, rounded values, intervals in brackets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

MISSING = "not available"


def grid(
    head: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    numeric: Sequence[int] = (),
    wide: int = -1,
    caption: str = "",
) -> dict[str, Any]:
    """A table for the template: `numeric` columns are right-aligned, the column `wide` holds running text."""
    return {"head": head, "rows": rows, "numeric": numeric, "wide": wide, "caption": caption}


def number(value: float, digits: int = 3) -> str:
    """A rounded number; a dash where there is none."""
    return "–" if pd.isna(value) else f"{round(float(value), digits) + 0.0:.{digits}f}"  # + 0.0: no "-0.000"


def interval(low: float, high: float, digits: int = 3) -> str:
    """Both ends, or nothing where they are not known."""
    return "" if pd.isna(low) else f"{low:.{digits}f} to {high:.{digits}f}"


def cell(value: float, low: float, high: float, digits: int = 3) -> dict[str, str]:
    """A value with its interval in small print."""
    ends = interval(low, high, digits)
    return {"main": number(value, digits), "small": f"({ends})" if ends else ""}


def signed_cell(value: float, low: float, high: float) -> dict[str, str]:
    """A difference with its sign and its interval in small print."""
    main = "–" if pd.isna(value) else f"{value:+.3f}"
    return {"main": main, "small": "" if pd.isna(low) else f"({low:+.3f} to {high:+.3f})"}


def share(value: float) -> str:
    """A share in per cent with one decimal, where whole numbers would hide an interval."""
    return f"{100 * value:.1f} %"
