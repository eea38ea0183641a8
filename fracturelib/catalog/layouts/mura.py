"""MURA v1.1: `{train,valid}/XR_WRIST/patient00011/study1_positive/image1.png`, labels of studies, no test set.

Rajpurkar et al., MURA: Large Dataset for Abnormality Detection in Musculoskeletal Radiographs, MIDL 2018.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from fracturelib.catalog.about import Meaning
from fracturelib.catalog.layouts.contract import Listing, images_below, missing_splits, rows_for, sentence
from fracturelib.catalog.naming import UNKNOWN, split_name
from fracturelib.catalog.options import DataOptions
from fracturelib.catalog.who import MURA, who_from_paths
from fracturelib.errors import CatalogError
from fracturelib.images import folders_in

NAME, TITLE = "mura", "MURA"
_REGION = re.compile(r"XR_[A-Z]+", re.IGNORECASE)
_PATIENT = re.compile(r"patient\d+", re.IGNORECASE)
_TABLES = ("train_labeled_studies.csv", "valid_labeled_studies.csv")
_POSITIVE, _NEGATIVE = "positive", "negative"


def fits(top: Path, options: DataOptions) -> bool:
    """Folders named after regions (XR_WRIST …), in the folder or in one of its splits."""
    inside = folders_in(top)
    places = [top, *(child for child in inside if split_name(child.name))]
    regions = (child for place in places for child in folders_in(place) if _REGION.fullmatch(child.name))
    return any(_PATIENT.fullmatch(child.name) for region in regions for child in folders_in(region))


def read(root: Path, top: Path, options: DataOptions) -> Listing:
    """Label, patient, study and region of every file from its path; a study without a suffix from the tables."""
    paths = [path for path in images_below(root, top) if MURA.search(path)]
    if not paths:
        raise CatalogError(
            "no picture lies in XR_REGION/patient…/study…", file=root, cure="give the folder as MURA comes, unpacked"
        )
    table = rows_for(paths)
    listed = _listed(top)
    keys = table["path"].map(_key)
    table["label"] = [_suffix(path) for path in paths]
    given = keys.map(listed).fillna(UNKNOWN).astype(int)
    differ = int(((table["label"] != given) & (table["label"] != UNKNOWN) & (given != UNKNOWN)).sum())
    table["label"] = table["label"].where(table["label"] != UNKNOWN, given)
    table = table.join(who_from_paths(table["path"]))
    said = sentence(
        f"{table['region'].nunique()} regions, {table['patient_id'].nunique():,} patients, "
        f"{table['study_id'].nunique():,} studies, {len(table):,} files",
        missing_splits(table),
        f"{differ} files have another label in the table of studies; the folder counts" if differ else "",
    )
    return Listing(table, said, meaning=Meaning.ABNORMAL_STUDY)


def _suffix(path: str) -> int:
    study = path.split("/")[-2].casefold()
    return 1 if study.endswith(_POSITIVE) else 0 if study.endswith(_NEGATIVE) else UNKNOWN


def _key(path: str) -> str:
    """Region, patient and study, without the suffix and whatever stands before."""
    found = MURA.search(path if path.endswith("/") else path.rsplit("/", 1)[0] + "/")
    return f"{found['region']}/{found['patient']}/{found['study']}".casefold() if found else ""


def _listed(top: Path) -> pd.Series:
    """The label of each study that the tables name; they have no header."""
    rows = [
        pd.read_csv(top / name, header=None, names=["study", "label"], dtype={"study": str}, encoding="utf-8-sig")
        for name in _TABLES
        if (top / name).is_file()
    ]
    if not rows:
        return pd.Series(dtype=int)
    listed = pd.concat(rows)
    labels = pd.to_numeric(listed["label"], errors="coerce").fillna(UNKNOWN).astype(int)
    found = pd.Series(labels.to_numpy(), index=listed["study"].map(lambda study: _key(str(study).rstrip("/") + "/")))
    return found[~found.index.duplicated()]
