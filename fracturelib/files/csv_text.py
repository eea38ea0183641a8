"""A CSV as it was written, cell by cell: what is not edited keeps its quotes, spaces, line ends and encoding."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field

SEPARATORS = (",", ";", "\t")
_LINE_END = re.compile(r"\r\n|\n|\r|\Z")
_WIDE = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


@dataclass
class Record:
    """One line of the table: its cells as written, quotes and all, and the characters that end it."""

    cells: list[str]
    end: str

    @property
    def is_blank(self) -> bool:
        """Nothing stands on this line."""
        return not any(cell.strip() for cell in self.cells)


@dataclass
class CsvText:
    """A table as text; `str(…).encode(encoding)` of an unedited one gives the bytes that were parsed.

    Attributes:
        prefix: what stands before the header: a byte order mark, Excel's line "sep=;".
        separator: between the cells.
        records: header and rows.
        encoding: of the file.
    """

    prefix: str
    separator: str
    records: list[Record] = field(default_factory=list)
    encoding: str = "utf-8"

    @classmethod
    def parse(cls, data: bytes) -> CsvText:
        """Split the bytes of a file; a UnicodeDecodeError where they are neither UTF-8 nor UTF-16."""
        encoding = _WIDE.get(data[:2], "utf-8")
        text = data.decode(encoding)
        start, separator = opening(text)
        return cls(text[:start], separator, _records(text, start, separator), encoding)

    def values(self, record: Record) -> list[str]:
        """The cells of a record without quotes, as a reader of CSV gives them."""
        return [_value(cell) for cell in record.cells]

    def cell(self, value: str) -> str:
        """A value as a cell, in quotes only where it needs them."""
        needs = value != value.strip() or any(mark in value for mark in (self.separator, '"', "\n", "\r"))
        return '"' + value.replace('"', '""') + '"' if needs else value

    def append(self, values: list[str]) -> None:
        """One more row at the end, with the header's line end."""
        end = next((record.end for record in self.records if record.end), "\n")
        if self.records and not self.records[-1].end:
            self.records[-1].end = end
        self.records.append(Record([self.cell(value) for value in values], end))

    def __str__(self) -> str:
        return self.prefix + "".join(self.separator.join(record.cells) + record.end for record in self.records)


def opening(text: str) -> tuple[int, str]:
    """Where the header begins, after a byte order mark and Excel's line "sep=;", and what separates the columns."""
    start = int(text.startswith("\ufeff"))
    end = _LINE_END.search(text, start)
    assert end  # \Z always matches
    first = text[start : end.start()]
    if first.lower().startswith("sep=") and first[4:5] in SEPARATORS:
        return end.end(), first[4]
    return start, max(SEPARATORS, key=first.count)


def _records(text: str, start: int, separator: str) -> list[Record]:
    """Every record from a place on; a quoted cell may hold separators and line ends."""
    mark = re.escape(separator)
    cell = re.compile(rf'[ ]*"(?:[^"]|"")*"[^{mark}\r\n]*|[^{mark}\r\n]*')
    records, cells = [], []
    while start < len(text):
        found = cell.match(text, start)
        assert found  # the second alternative matches nothing, too
        cells.append(found.group())
        start = found.end()
        if text.startswith(separator, start):
            start += 1
            if start < len(text):
                continue
            cells.append("")  # the text ends after a separator
        end = _LINE_END.match(text, start)
        assert end  # a cell ends at a separator, a line end or the end
        records.append(Record(cells, end.group()))
        start, cells = end.end(), []
    return records


def _value(cell: str) -> str:
    quoted = cell.lstrip(" ")
    if not quoted.startswith('"') or quoted.count('"') < 2:
        return quoted
    inner, _, rest = quoted[1:].rpartition('"')
    return inner.replace('""', '"') + rest
