"""Whose picture a file is, and which: what its path says, and what its DICOM tags say."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path, PurePosixPath

import pandas as pd

from fracturelib.catalog.columns import WHO
from fracturelib.errors import ImageError
from fracturelib.images import photographs
from fracturelib.images.dicom import Kind, Tags, is_dicom_file, read_tags
from fracturelib.runtime import available_cores

MURA = re.compile(r"(?:^|/)XR_(?P<region>[A-Z]+)/(?P<patient>patient\d+)/(?P<study>study\d+)[^/]*/", re.IGNORECASE)
GRAZ = re.compile(
    r"(?P<patient>\d{4,})_\d{8,}_(?P<study>\d+)_(?P<region>[A-Z]{3})-(?P<side>[LR])(?P<view>\d)_(?P<sex>[MF])(?P<age>\d+)"
)
_PATIENT = re.compile(r"(?:patient|pat|subject|subj|sub|pid)[\s_-]*(?:id)?[\s_-]*[a-z]?\d+", re.IGNORECASE)
_STUDY = re.compile(r"(?:study|exam|visit|session|ses)[\s_-]*\d+", re.IGNORECASE)
_VIEWS = {"ap": "AP", "pa": "PA", "lat": "lateral", "lateral": "lateral", "frontal": "frontal", "oblique": "oblique"}
_SIDES = {"left": "L", "right": "R"}
_BONES = {"WRI": "wrist"}


def who_from_paths(paths: pd.Series) -> pd.DataFrame:
    """Columns of `WHO` (and sex, age) that the paths speak of, in the paths' order; those of no path are left out."""
    found = pd.DataFrame([who_from_path(path) for path in paths], index=paths.index, dtype=object)
    few = [name for name in ("view", "laterality") if name in found and found[name].notna().mean() < 0.5]
    return found.drop(columns=few)  # a word in a few names is chance


def who_from_path(path: str) -> dict[str, object]:
    """What one path speaks of, by the names of the columns."""
    known = MURA.search(path)
    if known:
        patient, region = known["patient"].casefold(), known["region"].upper()
        return {"patient_id": patient, "study_id": f"{region}/{patient}/{known['study']}", "region": region}
    *folders, name = PurePosixPath(path).parts
    known = GRAZ.match(name)
    if known:
        return {
            "patient_id": known["patient"],
            "study_id": f"{known['patient']}_{int(known['study'])}",
            "view": known["view"],
            "laterality": known["side"],
            "region": _BONES.get(known["region"], known["region"]),
            "sex": known["sex"],
            "age": int(known["age"]),
        }
    return _from_words(folders, name)


def _from_words(folders: list[str], name: str) -> dict[str, object]:
    """patient12/study1/left_ap.png, or patient12_left_ap.png."""
    found: dict[str, object] = {}
    patients = [folder for folder in folders if _PATIENT.fullmatch(folder)]
    named = _PATIENT.match(name)
    if patients or named:
        found["patient_id"] = _tidy(patients[-1] if patients else named[0])  # type: ignore[index]
        studies = [folder for folder in folders if _STUDY.match(folder)]
        if studies:
            found["study_id"] = f"{found['patient_id']}/{_tidy(_STUDY.match(studies[-1])[0])}"  # type: ignore[index]
    words = [word.casefold() for word in re.split(r"[^A-Za-z]+", name.rsplit(".", 1)[0])]
    for column, known in (("view", _VIEWS), ("laterality", _SIDES)):
        said = {known[word] for word in words if word in known}
        if len(said) == 1:
            found[column] = said.pop()
    return found


def _tidy(name: str) -> str:
    """One spelling of "Patient 007" and "patient_007"."""
    return re.sub(r"[\s_-]+", "", name).casefold()


def tags_of_files(root: Path, paths: pd.Series) -> pd.Series:
    """The tags of each file, None where it is no DICOM file or cannot be read: whoever reads its pixels says why."""
    asked = [row for row, path in enumerate(paths) if not path.lower().endswith(photographs.SUFFIXES)]
    found: list[Tags | None] = [None] * len(paths)
    with ThreadPoolExecutor(min(8, available_cores())) as pool:
        for row, tags in zip(asked, pool.map(lambda row: _tags(root / paths.iloc[row]), asked), strict=True):
            found[row] = tags
    return pd.Series(found, index=paths.index, dtype=object)


def _tags(file: Path) -> Tags | None:
    if not is_dicom_file(file):
        return None
    state = file.stat()
    return _tags_once(file, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2**16)
def _tags_once(file: Path, changed: int, size: int) -> Tags | None:
    """The tags of a file in this state; a table asks for them more than once."""
    try:
        return read_tags(file)
    except ImageError:
        return None


def without_other_objects(root: Path, paths: list[str]) -> tuple[list[str], list[dict[str, str]]]:
    """The paths without DICOM files that hold no radiograph (reports, secondary captures), and these by kind."""
    tags = tags_of_files(root, pd.Series(paths, dtype=object))
    others = [
        {"path": path, "problem": f"a DICOM {one.kind}, not a radiograph", "kind": str(one.kind)}
        for path, one in zip(paths, tags, strict=True)
        if one is not None and one.kind is not Kind.IMAGE
    ]
    skipped = {other["path"] for other in others}
    return [path for path in paths if path not in skipped], others


def who_from_tags(tags: pd.Series) -> pd.DataFrame:
    """Columns of `WHO` (and age, sex, spacings in mm) that the tags speak of."""
    found = []
    for one in tags:
        row = {} if one is None else {name: getattr(one, name) or None for name in (*WHO, "sex", "age")}
        if one is not None and one.row_spacing:
            row |= {"row_spacing": one.row_spacing, "column_spacing": one.column_spacing}
        found.append({name: value for name, value in row.items() if value is not None})
    return pd.DataFrame(found, index=tags.index, dtype=object)


def filled(table: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    """The table with further columns; what it knows already stays, and its gaps are filled."""
    for name in more:
        column = more[name].infer_objects()
        if name in table:
            column = table[name].astype(object).where(table[name].notna(), column.astype(object)).infer_objects()
        table = table.assign(**{name: column})
    return table
