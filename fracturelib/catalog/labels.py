"""From the words that people use for a class to a label: 1 fractured, 0 not fractured, −1 unknown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from fracturelib.catalog.naming import UNKNOWN, class_label, plain
from fracturelib.config import CLASS_NAMES
from fracturelib.errors import CatalogError
from fracturelib.writing.words import few

_YES = ("1", "1.0", "yes", "y", "true", "t", "ja", "j", "oui", "si")
_NO = ("0", "0.0", "no", "n", "false", "f", "nein", "non")
_NOTHING = ("", "nan", "none", "null", "na", "n/a", "unknown", "?", "1.0?", "tbd", "uncertain", "unclear", "notread")
_WORDS = dict.fromkeys(_NO, 0) | dict.fromkeys(_YES, 1) | dict.fromkeys(_NOTHING, UNKNOWN)
_SIDES = {"fractured": 1, "notfractured": 0, "unknown": UNKNOWN, "leaveout": UNKNOWN}
_FRACTURE = re.compile(r"(?<![a-z])(fractur\w*|broken|positive)(?![a-z])", re.IGNORECASE)
_NEGATED = re.compile(r"(?<![a-z])(no|not|non|without|un\w*|absent|negative|healed)(?![a-z])", re.IGNORECASE)
EXAMPLE = '--classes "fractured=Comminuted,Greenstick; not fractured=Healthy"'


class Classes:
    """What the names of classes mean: the user's mapping first, then the words that are known anyway.

    Args:
        text: as "fractured=Comminuted,Greenstick; not fractured=Healthy; leave out=Other"; "" for no mapping.

    Raises:
        CatalogError: the text is no such mapping, or names a class twice.
    """

    def __init__(self, text: str = "") -> None:
        self.given: dict[str, int] = {}
        for part in filter(str.strip, text.split(";")):
            side, equals, names = part.partition("=")
            label = _SIDES.get(plain(side.strip()))
            if not equals or label is None or not names.strip():
                what = f"'{part.strip()}' says no class"
                raise CatalogError(what, cure=f"write {EXAMPLE}; a third side may be 'leave out'")
            for name in filter(None, map(plain, names.split(","))):
                if self.given.setdefault(name, label) != label:
                    raise CatalogError(f"'{name}' stands on two sides of --classes", cure="name it once")

    def __bool__(self) -> bool:
        return bool(self.given)

    def of_folder(self, name: str) -> int | None:
        """The label of a folder's name; None where it names no class."""
        return self.given.get(plain(name), class_label(name))

    def of_cell(self, text: str) -> int | None:
        """The label of a cell in a column of labels (yes/no, 1/0, fracture/normal …); None for any other word."""
        text = text.strip()
        named = self.of_folder(text)
        if named is not None:
            return named
        known = _WORDS.get(plain(text))
        return UNKNOWN if text in ("-1", "-1.0", "-") else known

    def of_box(self, name: str) -> bool:
        """Whether a box of this class shows a fracture ("wrist fracture" does, "metal" and "no fracture" do not)."""
        named = self.of_folder(name)
        if named is not None:
            return named == 1
        words = re.sub(r"[_-]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))
        return bool(_FRACTURE.search(words)) and not _NEGATED.search(words)

    def of_cells(self, cells: Iterable[str], *, column: str, file: object) -> list[int]:
        """The labels of a whole column.

        Raises:
            CatalogError: a cell says neither.
        """
        cells = list(cells)
        found = {cell: self.of_cell(cell) for cell in set(cells)}
        strange = sorted(cell for cell, label in found.items() if label is None)
        if strange:
            raise unknown_words(strange, f"the column '{column}'", file)
        return [found[cell] for cell in cells]  # type: ignore[misc]  # None was refused


def unknown_words(names: list[str], where: str, file: object) -> CatalogError:
    """The error for names of classes that nobody has explained."""
    return CatalogError(
        f"{where} has values that say neither '{CLASS_NAMES[1]}' nor '{CLASS_NAMES[0]}': {few(names)}",
        file=str(file),
        cause="they are kinds of fractures or findings, and which of them count as fractured is yours to say",
        cure=f"name them all, as in {EXAMPLE}",
    )
