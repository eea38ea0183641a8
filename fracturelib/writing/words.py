"""How text is written: names of splits, counts with their noun, long texts made short."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence

# What label 1 stands for (`catalog.Meaning`), where that is not a fracture.
LABEL_MEANINGS = {"abnormal study": "label of the study: abnormal, wider than fractured"}
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}


def few(names: Sequence[str], limit: int = 5) -> str:
    """Up to five names and how many more there are."""
    more = f", and {len(names) - limit} more" if len(names) > limit else ""
    return printable(", ".join(names[:limit]) + more)


def printable(name: str) -> str:
    """The name of a file with its bytes that are no UTF-8 escaped: a Latin-1 é becomes \\xe9."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def counted(number: int, noun: str) -> str:
    """The number with its noun: 1 file, 2 files."""
    return f"{number} {noun}{'s' * (number != 1)}"


def in_brackets(numbers: Mapping[str, int]) -> str:
    """How many of what, after a count: " (3 structured reports, 1 DICOMDIR)"; "" where there are none."""
    most_first = sorted(numbers.items(), key=lambda one: -one[1])
    return f" ({', '.join(counted(number, noun) for noun, number in most_first)})" if numbers else ""


def wrap(text: str, width: int) -> str:
    """Line breaks between words, so that no line is longer than `width` characters."""
    return "\n".join(textwrap.wrap(text, width, break_long_words=False))


def shorten(text: str, width: int) -> str:
    """The text with its middle left out, so that both the folder and the number of a long path stay
    readable."""
    if len(text) <= width:
        return text
    front = (width - 1) // 2
    return f"{text[:front]}…{text[len(text) - (width - 1 - front) :]}"
