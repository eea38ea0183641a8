"""DICOM files as a PACS exports them: any tree, or a DICOMDIR; without a table their labels are unknown."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from fracturelib.catalog.layouts.contract import Listing, counts_of, images_below, label_of, rows_for, sentence
from fracturelib.catalog.naming import UNKNOWN
from fracturelib.catalog.options import DataOptions
from fracturelib.catalog.who import without_other_objects
from fracturelib.errors import ImageError
from fracturelib.images import dicom, named_like_an_image, visible_files
from fracturelib.writing.words import counted

NAME, TITLE = "dicom", "a tree of DICOM files"
_LOOKED_AT = 50  # files; an export begins with its pictures, or with the directory that names them


def fits(top: Path, options: DataOptions) -> bool:
    """A DICOMDIR, or DICOM files among the first ones."""
    if _directory(top) is not None:
        return True
    files = islice((file for file in visible_files(top) if named_like_an_image(file)), _LOOKED_AT)
    return any(dicom.is_dicom_file(file) for file in files)


def read(root: Path, top: Path, options: DataOptions) -> Listing:
    """Every DICOM file; which of them hold no radiograph is known once they are opened."""
    paths, others = without_other_objects(root, images_below(root, top))
    table = rows_for(paths)
    table["label"] = table["path"].map(label_of)
    missing = _missing(root, top)
    said = sentence(
        counts_of(table),
        "without labels it can be shown and predicted, not trained on; give --labels FILE"
        if (table["label"] == UNKNOWN).all()
        else "",
        f"{counted(len(missing), 'picture')} that its DICOMDIR names {'is' if len(missing) == 1 else 'are'} missing"
        if missing
        else "",
    )
    return Listing(table, said, skipped=(*others, *missing))


def _directory(top: Path) -> Path | None:
    return next((file for file in top.iterdir() if file.is_file() and file.name.upper() == "DICOMDIR"), None)


def _missing(root: Path, top: Path) -> list[dict[str, str]]:
    """What the DICOMDIR names and the folder lacks."""
    directory = _directory(top)
    if directory is None:
        return []
    try:
        named = dicom.list_dicomdir(directory)
    except ImageError:  # damaged: the files speak for themselves
        return []
    problem = "named in the DICOMDIR, and not there"
    return [
        {"path": file.relative_to(root).as_posix(), "problem": problem, "kind": ""}
        for file in named
        if not file.is_file()
    ]
