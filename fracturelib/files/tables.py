"""Tables as CSV: no cell of ours becomes a formula where a spreadsheet opens it, and our readers get the same text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fracturelib.files.replacing import replaced

if TYPE_CHECKING:
    import pandas as pd

# What spreadsheets take for a formula (OWASP, "CSV injection"); text that looks escaped already is escaped once more.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def as_text(value: Any) -> Any:
    """A cell for a CSV: text that a spreadsheet would run gets an apostrophe before it; all else stays."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def from_text(value: Any) -> Any:
    """The inverse of `as_text`."""
    return value[1:] if isinstance(value, str) and value[:1] == "'" and _FORMULA.match(value) else value


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Replace the file by the table, without its index, in UTF-8; bytes of names that are no UTF-8 are escaped."""
    with replaced(path) as partial:
        safe_table(table).to_csv(partial, index=False, lineterminator="\n", errors="backslashreplace")


def safe_table(table: pd.DataFrame) -> pd.DataFrame:
    """A copy with `as_text` applied to every text and to the names of the columns."""
    return _with_texts(table, as_text)


def plain_table(table: pd.DataFrame) -> pd.DataFrame:
    """A table that was read from a CSV of ours, as it was before it was written."""
    return _with_texts(table, from_text)


def _with_texts(table: pd.DataFrame, change: Any) -> pd.DataFrame:
    changed = table.copy()
    for place, kind in enumerate(table.dtypes):
        if kind.kind not in "biufcmM":  # numbers and dates are no text
            changed.isetitem(place, table.iloc[:, place].map(change))
    return changed.rename(columns=change)
