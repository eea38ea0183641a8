"""Which patient and which study a file belongs to: by a table, its tags or its path."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from fracturelib.catalog.assembling import find_data
from fracturelib.catalog.metadata_file import nfc, read_metadata
from fracturelib.catalog.options import DEFAULTS, DataOptions
from fracturelib.catalog.pseudonyms import PREFIXES, numbered
from fracturelib.catalog.who import who_from_path
from fracturelib.config import SPLITS
from fracturelib.errors import CatalogError
from fracturelib.images.dicom import is_dicom_file, read_tags

METADATA = "metadata.csv"
IDS = ("patient_id", "study_id")


class Identities:
    """Ids of files below some folders: from the `metadata.csv` there, or above a folder of one split; from DICOM tags
    or paths; from a layout or a table of labels where the user names one.

    Args:
        paths: the files and folders that are read.
        options: how they are read. Unless it keeps ids, each is replaced by a number, in the order in which they come.

    Raises:
        CatalogError: a table cannot be read, or does not fit the files.
    """

    def __init__(self, paths: Iterable[str | Path], *, options: DataOptions = DEFAULTS) -> None:
        self._keep = options.keep_ids
        places = [Path(path) for path in paths]
        named = replace(options, keep_ids=False) != DEFAULTS
        self._tables = {path: _listed(path, options) for path in places if named and path.is_dir()}
        self._tables |= {root: rows for path in places for root, rows in _tables(path) if root not in self._tables}
        self._numbers: dict[str, dict[str, str]] = {name: {} for name in IDS}

    def of(self, file: Path) -> tuple[str, str]:
        """Patient and study of a file, "" where they are not known."""
        return self.shown(self.as_stored(file))

    def shown(self, stored: tuple[str, str]) -> tuple[str, str]:
        """Patient and study as they are given to the user."""
        patient, study = (self._shown(kind, name) for kind, name in zip(IDS, stored, strict=True))
        return patient, study

    def device(self, file: Path) -> str:
        """The device that made a picture, "" where it is not known."""
        for root, rows in self._tables.items():
            name = _name_below(root, file)
            if name in rows.index and not pd.isna(rows.loc[name, "device"]):
                return str(rows.loc[name, "device"])
        return read_tags(file).device if is_dicom_file(file) else ""

    def as_stored(self, file: Path) -> tuple[str, str]:
        """Patient and study as the tables, the file or its path have them, "" where they are not known."""
        for root, rows in self._tables.items():
            name = _name_below(root, file)
            if name in rows.index:
                patient, study = rows.loc[name, [*IDS]].fillna("").astype(str)
                return patient, study
        if is_dicom_file(file):
            tags = read_tags(file)
            return tags.patient_id, tags.study_id
        named = who_from_path(file.as_posix())
        return str(named.get("patient_id", "")), str(named.get("study_id", ""))

    def _shown(self, kind: str, name: str) -> str:
        if not name or self._keep:
            return name
        numbers = self._numbers[kind]
        return numbers.setdefault(name, numbered(len(numbers), PREFIXES[kind]))


def _name_below(root: Path, file: Path) -> str:
    """How a metadata.csv in `root` names a file; "" for a file elsewhere."""
    return nfc(pd.Series([file.relative_to(root).as_posix()]))[0] if file.is_relative_to(root) else ""


def _listed(folder: Path, options: DataOptions) -> pd.DataFrame:
    """Ids by name from the layout that the user asked for, or from the table of labels."""
    found = find_data(folder, options)
    if found is None:
        raise CatalogError("the folder is in no layout that is known", file=folder, cure="name it with --layout")
    rows = found.listing.table.set_axis(nfc(found.listing.table["path"]))
    return rows.reindex(columns=[*IDS, "device"]).astype(object)


def _tables(path: Path) -> list[tuple[Path, pd.DataFrame]]:
    """The folder of a metadata.csv that speaks of the files below `path`, and its ids by name; none without one."""
    folder = path if path.is_dir() else path.parent
    above = [folder.parent] if folder.resolve().name in SPLITS else []
    for root in (folder, *above):
        if (root / METADATA).is_file():
            rows = read_metadata(root / METADATA).rows
            return [(root, rows.reindex(columns=[*IDS, "device"]).astype(object))]
    return []
