"""How a table is handed to the templates of pages and cards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fracturelib.writing.numbers import in_brackets, interval, number

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


def cell(value: float, low: float, high: float, digits: int = 3, *, signed: bool = False) -> dict[str, str]:
    """A value with its interval in small print; a difference has its sign."""
    ends = interval(low, high, digits, signed=signed)
    return {"main": number(value, digits, signed=signed), "small": in_brackets(ends)}
