"""A table as people keep it (CSV, TSV or XLSX, in any usual encoding) → rows of text, and how it was read."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pandas as pd

from fracturelib.errors import CatalogError
from fracturelib.files.tables import from_text

SUFFIXES = (".csv", ".tsv", ".xlsx", ".txt")
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SAMPLE = 20  # lines that must agree on a separator


def read_rows(file: Path) -> tuple[pd.DataFrame, list[str]]:
    """Every cell as stripped text ("" where empty) under the names of the header, and what was guessed.

    Raises:
        CatalogError: no such file, no table, or an XLSX without the package that reads it.
    """
    try:
        if file.suffix.lower() in (".xlsx", ".xlsm", ".xls"):
            rows, said = _read_workbook(file)
        else:
            rows, said = _read_text(file.read_bytes())
    except (OSError, ValueError, KeyError, csv.Error) as error:  # a broken workbook raises any of them
        reason = getattr(error, "strerror", None) or error
        cure = "check the path; save the table as CSV in UTF-8, with one line of names first"
        raise CatalogError(f"the table cannot be read ({reason})", file=file, cure=cure) from error
    if not len(rows.columns) or rows.empty:
        raise CatalogError(
            "the table has no rows", file=file, cure="give it a line of names, then one line per picture"
        )
    return rows, said


def _read_text(data: bytes) -> tuple[pd.DataFrame, list[str]]:
    text, encoding = _decode(data)
    first, _, rest = text.partition("\n")
    told = re.fullmatch(r"sep=(.)\s*", first, re.IGNORECASE)
    separator = told[1] if told else _separator(text)
    cells = list(csv.reader(io.StringIO(rest if told else text), delimiter=separator, skipinitialspace=True))
    cells = [line for line in cells if any(cell.strip() for cell in line)]
    if not cells:
        return pd.DataFrame(), []
    width = len(cells[0])
    long = next((number for number, line in enumerate(cells, 1) if any(cell.strip() for cell in line[width:])), None)
    if long:
        raise ValueError(f"row {long} has more cells than the header")
    lines = [(line + [""] * width)[:width] for line in cells]
    rows = pd.DataFrame(lines[1:], columns=[name.strip() for name in lines[0]], dtype=object)
    said = [f"{_SEPARATORS.get(separator, separator)} between its columns"] * (separator != ",")
    said += [f"in {encoding}"] * (encoding != "UTF-8")
    return rows.map(lambda cell: str(from_text(cell)).strip()), said


def _decode(data: bytes) -> tuple[str, str]:
    """The text, and the name of its encoding: what Excel and old programs write is Windows-1252."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16"), "UTF-16"
    try:
        return data.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError:
        if b"\0" in data:
            raise ValueError("it is no text") from None
        return data.decode("cp1252", errors="replace"), "Windows-1252"


def _separator(text: str) -> str:
    """The mark that stands in the first lines equally often; ties go to the one that stands there more often."""
    lines = [line for line in text.splitlines()[:_SAMPLE] if line.strip()] or [""]

    def score(mark: str) -> tuple[bool, int]:
        widths = {len(line) for line in csv.reader(lines, delimiter=mark, skipinitialspace=True)}
        return len(widths) == 1 and widths != {1}, lines[0].count(mark)

    return max(_SEPARATORS, key=score)


def _read_workbook(file: Path) -> tuple[pd.DataFrame, list[str]]:
    try:
        with pd.ExcelFile(file) as book:
            rows = pd.read_excel(book, dtype=str, keep_default_na=False).astype(object)
            said = [f"the first of its {len(book.sheet_names)} sheets"] * (len(book.sheet_names) > 1)
    except ImportError as error:
        cure = "pip install 'fracturelib[xlsx]', or save the table as CSV"
        raise CatalogError("XLSX tables need the package openpyxl", file=file, cure=cure) from error
    except Exception as error:  # a zip that is no workbook, XML that is none
        raise ValueError(f"no workbook: {error}") from error
    rows.columns = [str(name).strip() for name in rows.columns]
    return rows.fillna("").map(lambda cell: str(from_text(str(cell))).strip()), said
