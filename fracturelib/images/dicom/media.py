"""DICOMDIR: the directory of a CD or an export (PS3.10, 8; PS3.3, F)."""

from __future__ import annotations

from pathlib import Path

from fracturelib.errors import ImageError
from fracturelib.images.dicom.kinds import Kind, kind_of
from fracturelib.images.dicom.parsing import is_dicom, parse
from fracturelib.images.limits import read_bytes


def list_dicomdir(path: str | Path) -> list[Path]:
    """The image files that a DICOMDIR names, in its order, each once; they lie below its folder, or are missing there.

    A name that leads out of the folder is left out.

    Raises:
        ImageError: it cannot be read, or is no DICOMDIR.
    """
    path = Path(path)
    try:
        data = read_bytes(path)
        dataset = parse(data, pixels=False) if is_dicom(data) else None
    except ImageError as error:
        raise error.at(path) from error.__cause__
    if dataset is None or kind_of(dataset) is not Kind.DIRECTORY:
        raise ImageError("not a DICOMDIR", file=path, cure="give the folder that the files are in")
    names: dict[Path, None] = {}
    for record in dataset.get("DirectoryRecordSequence") or []:
        parts = record.get("ReferencedFileID") if record.get("DirectoryRecordType") == "IMAGE" else None
        parts = [parts] if isinstance(parts, str) else list(parts or [])
        if parts and all(part not in ("", ".", "..") and not set(part) & set("/\\:\0") for part in parts):
            names[_as_stored(path.parent, parts)] = None
    return list(names)


def _as_stored(folder: Path, parts: list[str]) -> Path:
    """The path of a named file; ISO 9660 names on a disk may be in small letters, or end in ';1'."""
    place = folder.joinpath(*parts)
    if place.exists():
        return place
    for part in parts:
        beside = {child.name.upper().removesuffix(";1"): child for child in folder.iterdir()} if folder.is_dir() else {}
        folder = beside.get(part.upper(), folder / part)
    return folder
