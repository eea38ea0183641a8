"""Readings as small JSON files that a class can pool: numbers only, no name of a person or of a file.

Anybody in the class can write into a shared folder, so a file is used only if it is exactly what `save_reading` writes:
a key beside the known ones, for example, could carry a name.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
import warnings
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from fracturelib.errors import DataWarning, EvaluationError
from fracturelib.files import write_text

SURENESS = {1: "a guess", 2: "fairly sure", 3: "certain"}
MOST_BYTES = 200_000  # a reading of 20 cases has about 2,000
MOST_SECONDS = 86_400.0  # longest believable time for one case
# The JSON of a reading, keys in alphabetical order: numbers of a known form and nothing else.
_ANSWER = r'\{"called": [01], "case": "[0-9a-f]{16}", "label": [01], "seconds": \d{1,5}(\.\d+)?, "sure": [123]\}'
_ANSWERS, _NUMBER = rf'"answers": \[{_ANSWER}(, {_ANSWER})*\]', '"reading": "[0-9a-f]{32}"'
_DAY = r'"day": "20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"'
_READING = re.compile(
    rf'\{{"again": (true|false), {_ANSWERS}, {_DAY}, "format": "fracturelib reading 2", {_NUMBER}\}}'
    rf'|\{{{_ANSWERS}, "format": "fracturelib reading 1", {_NUMBER}\}}'  # of older copies: neither day nor "again"
)


def case_keys(cases: pd.DataFrame) -> pd.Series:
    """The name of each case in a file: 16 hex digits of the picture's SHA-256, or of its path's if that is unknown."""
    if "sha256" in cases:
        return cases["sha256"].str[:16]
    return cases["path"].map(lambda path: hashlib.sha256(path.encode()).hexdigest()[:16])


def save_reading(
    folder: str | Path,
    answers: pd.DataFrame,
    *,
    reading: str | None = None,
    again: bool = False,
    day: date | None = None,
) -> Path:
    """Write the answers of `Reading.answers` to ``folder/reading-….json`` and return the file.

    Args:
        folder: shared by the class; made if missing.
        answers: one row per case, with label, called, sure and seconds.
        reading: the number that an earlier call drew, to replace that file; None draws a new one.
        again: the reader knows these cases from an earlier reading.
        day: of the reading, so that classes can be told apart; None is today.

    Raises:
        EvaluationError: there is no answer, or the folder cannot be written to.
    """
    reading = reading or uuid.uuid4().hex
    seconds = answers["seconds"].clip(0, MOST_SECONDS).round(1)  # the page may have stood open over night
    table = answers.assign(case=case_keys(answers), seconds=seconds)
    rows = table[["called", "case", "label", "seconds", "sure"]].to_dict("records")
    content = {"again": bool(again), "answers": rows, "day": (day or date.today()).isoformat()}
    text = json.dumps(content | {"format": "fracturelib reading 2", "reading": reading}, sort_keys=True)
    if not _READING.fullmatch(text):
        raise EvaluationError("these answers cannot be saved", cause="no case is answered", cure="read a case first")
    return save_numbers(Path(folder) / f"reading-{reading[:12]}.json", text, "reading")


def save_numbers(file: Path, text: str, name: str) -> Path:
    """Write what `numbers_only` reads back; the folder is made if missing.

    Raises:
        EvaluationError: the folder cannot be written to.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, text + "\n")
    except OSError as error:
        raise EvaluationError(
            f"the {name} cannot be saved", file=file, cause=str(error.strerror), cure="choose another folder"
        ) from error
    return file


def _content(file: Path) -> dict[str, Any]:
    """A reading: its number, day, whether it is a second one, and answers (case, label, called, sure, seconds).

    An older file, without a day, has that of its last change, and counts as a first reading.

    Raises:
        ValueError: it is not a file of `save_reading`, or cannot be read.
    """
    content = numbers_only(file, _READING, "reading")
    if len({answer["case"] for answer in content["answers"]}) < len(content["answers"]):
        raise ValueError("a case is answered twice")
    changed = date.fromtimestamp(file.stat().st_mtime).isoformat()
    return {"again": False, "day": changed} | content


def numbers_only(file: Path, form: re.Pattern[str], name: str) -> dict[str, Any]:
    """The content of a JSON file that has exactly this form, its keys in alphabetical order.

    Raises:
        ValueError: it is larger than such a file can be, cannot be read, or has another form.
    """
    try:
        if file.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES:,} bytes")
        content = json.loads(file.read_text(encoding="utf-8"))
        text = json.dumps(content, sort_keys=True)
    except (OSError, RecursionError) as error:
        raise ValueError(f"it cannot be read ({type(error).__name__})") from error
    if not form.fullmatch(text):
        raise ValueError(f"it is not a saved {name}, or was changed")
    return content


def pool_readings(folder: str | Path, *, cases: pd.DataFrame | None = None) -> pd.DataFrame:
    """Read all readings in a folder as one table: case, label, called, sure, seconds, reading, reader, day, again.

    `reader` numbers the readings from 1, in the order of their days; `day` is "2026-11-28"; `again` marks the second
    readings, of somebody who knows the cases.

    Args:
        folder: with files of `save_reading`.
        cases: keep only readings of exactly these cases, so that readers can be compared; None keeps all.

    Raises:
        EvaluationError: no usable reading is there.

    Warns:
        DataWarning: files are left out; it names them with the reason.
    """
    wanted = None if cases is None else set(case_keys(cases))
    kept: dict[str, dict[str, Any]] = {}
    left_out = []
    for file in sorted(Path(folder).glob("reading-*.json")):
        try:
            content = _content(file)
            if wanted is not None and {answer["case"] for answer in content["answers"]} != wanted:
                raise ValueError("it is of other cases")
        except ValueError as error:
            left_out.append(f"{file.name}: {error}")
        else:
            kept[content["reading"]] = content  # a copy of the same reading counts once
    if left_out:
        warnings.warn(f"{len(left_out)} readings left out: {'; '.join(left_out[:5])}", DataWarning, stacklevel=2)
    if not kept:
        raise EvaluationError(
            "there is no usable reading in the folder",
            file=folder,
            cause="nobody saved one yet, or all are of other cases",
            cure="read the cases and save your answers first",
        )
    readings = sorted(kept.values(), key=lambda content: content["day"])
    return pd.DataFrame(
        {**answer, **{name: content[name] for name in ("reading", "day", "again")}, "reader": number}
        for number, content in enumerate(readings, 1)
        for answer in content["answers"]
    )
