"""Readings as small JSON files that a class can pool: numbers only, no name of a person or of a file.

A file is believed only as far as it was checked: anybody in the class can write into a shared folder.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from fracturelib.course.reader_study.session import SURENESS
from fracturelib.errors import DataWarning, EvaluationError

FORMAT = "fracturelib reading 1"
LARGEST = 200_000  # bytes; a reading of 20 cases has about 2,000
MOST_CASES = 1000
LONGEST = 86_400.0  # seconds for one case
KEYS = {"case", "label", "called", "sure", "seconds"}
_CASE, _READING = re.compile(r"[0-9a-f]{16}"), re.compile(r"[0-9a-f]{32}")


def case_keys(cases: pd.DataFrame) -> pd.Series:
    """What names a case in a file: 16 hex digits of the picture's SHA-256, or of its path's where that is unknown."""
    if "sha256" in cases:
        return cases["sha256"].str[:16]
    return cases["path"].map(lambda path: hashlib.sha256(path.encode()).hexdigest()[:16])


def save_reading(folder: str | Path, answers: pd.DataFrame, *, reading: str | None = None) -> Path:
    """Write the answers of `Reading.answers` to ``folder/reading-….json`` and return the file.

    Args:
        folder: shared by the class; made if missing.
        answers: one row per case, with label, called, sure and seconds.
        reading: the number that an earlier call drew, to replace that file; None draws a new one.

    Raises:
        EvaluationError: there is no answer, or the folder cannot be written to.
    """
    reading = reading or uuid.uuid4().hex
    seconds = answers["seconds"].clip(0, LONGEST).round(1)  # the page may have stood open over night
    columns = answers.assign(case=case_keys(answers), seconds=seconds)
    rows = [{key: row[key] for key in sorted(KEYS)} for row in columns.to_dict("records")]
    content = {"format": FORMAT, "reading": reading, "answers": rows}
    file = Path(folder) / f"reading-{reading[:12]}.json"
    _check(content, file)
    partial = file.with_suffix(".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        raise EvaluationError(
            "the reading cannot be saved", file=file, cause=str(error.strerror), cure="choose another folder"
        ) from error
    return file


def read_reading(file: str | Path) -> pd.DataFrame:
    """One file of `save_reading` as a table: reading, case, label, called, sure, seconds.

    Raises:
        EvaluationError: it is no such file, or a value in it is not what it must be.
    """
    file = Path(file)
    try:
        if file.stat().st_size > LARGEST:
            raise _refusal(file, f"it is larger than {LARGEST:,} bytes")
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _refusal(file, f"it cannot be read ({type(error).__name__})") from error
    _check(content, file)
    return pd.DataFrame(content["answers"]).assign(reading=content["reading"])


def pool_readings(folder: str | Path, *, cases: pd.DataFrame | None = None) -> pd.DataFrame:
    """All readings in a folder as one table; `reader` numbers them from 1. What is unusable is named in a DataWarning.

    Args:
        folder: with files of `save_reading`.
        cases: keep only readings of exactly these cases, so that readers can be compared; None keeps all.

    Raises:
        EvaluationError: the folder holds no usable reading.
    """
    wanted = None if cases is None else frozenset(case_keys(cases))
    kept, left_out = {}, []
    for file in sorted(Path(folder).glob("reading-*.json")):
        try:
            table = read_reading(file)
        except EvaluationError as error:
            left_out.append(f"{file.name}: {error.cause}")
            continue
        if wanted is not None and frozenset(table["case"]) != wanted:
            left_out.append(f"{file.name}: it is of other cases")
        else:
            kept[table["reading"].iloc[0]] = table  # a copy of the same reading counts once
    if left_out:
        warnings.warn(f"{len(left_out)} readings left out: {'; '.join(left_out[:5])}", DataWarning, stacklevel=2)
    if not kept:
        raise EvaluationError(
            "there is no usable reading in the folder",
            file=folder,
            cause="nobody saved one yet, or all are of other cases",
            cure="read the cases and save your answers first",
        )
    return pd.concat([table.assign(reader=number) for number, table in enumerate(kept.values(), 1)], ignore_index=True)


def _check(content: Any, file: Path) -> None:
    """Everything that a reading must be; no key is allowed beside the known ones, so that no name slips in."""
    if not isinstance(content, dict) or set(content) != {"format", "reading", "answers"} or content["format"] != FORMAT:
        raise _refusal(file, f"it is not of the format {FORMAT!r}")
    if not isinstance(content["reading"], str) or not _READING.fullmatch(content["reading"]):
        raise _refusal(file, "its number is not 32 hex digits")
    answers = content["answers"]
    if not isinstance(answers, list) or not 1 <= len(answers) <= MOST_CASES:
        raise _refusal(file, f"it must hold 1 to {MOST_CASES} answers")
    for number, answer in enumerate(answers, 1):
        if not isinstance(answer, dict) or set(answer) != KEYS or not _is_answer(**answer):
            raise _refusal(file, f"answer {number} is not valid")
    if len({answer["case"] for answer in answers}) != len(answers):
        raise _refusal(file, "a case is answered twice")


def _is_answer(*, case: Any, label: Any, called: Any, sure: Any, seconds: Any) -> bool:
    whole = all(type(value) is int for value in (label, called, sure))  # True is no number here
    named = isinstance(case, str) and _CASE.fullmatch(case) is not None
    timed = type(seconds) in (int, float) and 0 <= seconds <= LONGEST  # NaN is not
    return whole and named and timed and label in (0, 1) and called in (0, 1) and sure in SURENESS


def _refusal(file: Path, cause: str) -> EvaluationError:
    return EvaluationError("this is not a saved reading", file=file, cause=cause, cure="leave the file out")
