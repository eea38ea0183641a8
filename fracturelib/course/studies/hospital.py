"""Notebook 07's numbers: what a DICOM file says, how stored values become greys, and what a split by file is worth."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fracturelib.catalog.splits import group_numbers, grouping_column
from fracturelib.config import TrainConfig
from fracturelib.errors import CatalogError, EvaluationError
from fracturelib.evaluation.intervals import percentile_interval, resample_weights
from fracturelib.features import compute_features
from fracturelib.images import visible_files
from fracturelib.images.dicom import Kind, is_dicom_file, read_tags
from fracturelib.images.dicom import tags as dicom_tags
from fracturelib.images.dicom.parsing import load_pydicom
from fracturelib.loaders import RadiographDataset
from fracturelib.model import build_model
from fracturelib.transforms import eval_transform

COVERED = "•••"
FOLDS = 5
STRENGTH = 0.01  # scikit-learn's C; little, since there are more features than pictures
_PICTURE_GROUPS = (0x0028, 0x7FE0)  # Image Pixel module and the pixels


class Use(StrEnum):
    """What becomes of an element of a DICOM file."""

    TAKEN = "taken into the table"
    REPLACED = "replaced by a number"
    UNWRITTEN = "read, never written"
    PICTURE = "makes the picture"
    LEFT = "left in the file"


_REPLACED = ("PatientID", "StudyInstanceUID")
_UNWRITTEN = ("AccessionNumber", "SeriesInstanceUID")


def find_dicom(root: str | Path) -> list[Path]:
    """The DICOM files below a folder that hold radiographs, in the order of their paths.

    Raises:
        CatalogError: there is none.
    """
    found = sorted(_dicom_radiographs(root))
    if not found:
        cure = "take notebook 01 for other pictures, or leave DATA at None here"
        raise CatalogError("there is no DICOM radiograph in this folder", file=root, cure=cure)
    return found


def holds_dicom(root: str | Path) -> bool:
    """Whether `find_dicom` would find anything."""
    return next(_dicom_radiographs(root), None) is not None


def _dicom_radiographs(root: str | Path) -> Iterator[Path]:
    files = (file for file in visible_files(Path(root)) if is_dicom_file(file))
    return (file for file in files if read_tags(file).kind is Kind.IMAGE)


def use_of(keyword: str, group: int) -> Use:
    """What becomes of an element, by its keyword and group."""
    if keyword in _REPLACED:
        return Use.REPLACED
    if keyword in _UNWRITTEN:
        return Use.UNWRITTEN
    if group in _PICTURE_GROUPS:
        return Use.PICTURE
    return Use.TAKEN if keyword in dicom_tags.WANTED else Use.LEFT


def tag_table(path: str | Path) -> pd.DataFrame:
    """The elements of a DICOM file: tag, keyword, value, use. Values that might name somebody are covered."""
    dataset = load_pydicom().dcmread(path, stop_before_pixels=True)
    rows = []
    for element in dataset:
        use = use_of(element.keyword, element.tag.group)
        shown = str(element.value)[:40] if use in (Use.TAKEN, Use.PICTURE) else COVERED
        tag = f"({element.tag.group:04X},{element.tag.element:04X})"
        rows.append({"tag": tag, "keyword": element.keyword or "private", "value": shown, "use": use})
    return pd.DataFrame(rows, columns=["tag", "keyword", "value", "use"])


def windowed(values: NDArray[Any], centre: float, width: float, *, monochrome1: bool = False) -> NDArray[np.uint8]:
    """Greys 0…255 of values (H, W) by a linear window (PS3.3, C.11.2.1.2); MONOCHROME1 shows small values bright."""
    share = np.clip((values - (centre - 0.5)) / max(width - 1, 1e-9) + 0.5, 0, 1)
    greys = np.rint(share * 255).astype(np.uint8)
    return 255 - greys if monochrome1 else greys


def features_of(table: pd.DataFrame, config: TrainConfig) -> NDArray[np.float32]:
    """What the frozen trunk says of each picture: (N, F).

    Raises:
        FracturelibError: as `build_model` and `compute_features`.
    """
    data = RadiographDataset(table, eval_transform(config))
    return compute_features(build_model(config), data, config)[0].numpy()


def held_out(
    features: NDArray[Any], table: pd.DataFrame, *, by: str, seed: int
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Five-fold cross-validation of a logistic regression: P(fractured) of each picture from a model without it.

    Args:
        features: (N, F), in the order of the table.
        table: with label, source_id and the patients, where they are known.
        by: column whose values stay together; "source_id" deals single radiographs.
        seed: of the deal.

    Returns:
        P (N,), and whether a picture's patient was among those that its model had learnt from (N,).

    Raises:
        EvaluationError: too few groups of a class.
    """
    labels, groups = table["label"].to_numpy(), group_numbers(table, by)
    people = group_numbers(table, grouping_column(table))
    folds = min(FOLDS, *(len(np.unique(groups[labels == label])) for label in (0, 1)))
    if folds < 2:
        raise EvaluationError("there are too few patients of a class for two parts", cure="take more pictures")
    chances, seen = np.empty(len(labels)), np.empty(len(labels), bool)
    for train, held in StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(features, labels, groups):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=2000))
        chances[held] = model.fit(features[train], labels[train]).predict_proba(features[held])[:, 1]
        seen[held] = np.isin(people[held], people[train])
    return chances, seen


def leak_study(features: NDArray[Any], table: pd.DataFrame, *, deals: int = 5) -> pd.DataFrame:
    """The same pictures dealt by radiograph and by patient, several times.

    Returns:
        one row per deal and picture: deal, row, label, by_file, by_patient (P(fractured) from a model without the
        picture, or without its patient), seen (whether the model by file knew the patient).
    """
    parts = []
    for deal in range(deals):
        by_file, seen = held_out(features, table, by="source_id", seed=deal)
        by_patient, _ = held_out(features, table, by=grouping_column(table), seed=deal)
        part = {"deal": deal, "row": np.arange(len(table)), "label": table["label"].to_numpy(), "by_file": by_file}
        parts.append(pd.DataFrame(part | {"by_patient": by_patient, "seen": seen}))
    return pd.concat(parts, ignore_index=True)


def deal_table(study: pd.DataFrame) -> pd.DataFrame:
    """AUC of every deal, by file and by patient, and how much higher it is by file."""
    rows = []
    for deal, part in study.groupby("deal"):
        auc = {by: roc_auc_score(part["label"], part[by]) for by in ("by_file", "by_patient")}
        rows.append({"deal": deal, **auc, "difference": auc["by_file"] - auc["by_patient"]})
    return pd.DataFrame(rows)


def difference_interval(study: pd.DataFrame, table: pd.DataFrame, *, resamples: int = 400) -> dict[str, Any]:
    """How much higher the AUC is by file, on average over the deals, with a 95 % bootstrap interval over patients."""
    labels, units = table["label"].to_numpy(), group_numbers(table, grouping_column(table))
    ordered = study.sort_values(["deal", "row"])
    wide = {by: ordered[by].to_numpy().reshape(-1, len(table)) for by in ("by_file", "by_patient")}  # (deals, N)

    def difference(weights: NDArray[Any] | None) -> float:
        return float(
            np.mean(
                [
                    roc_auc_score(labels, one, sample_weight=weights)
                    - roc_auc_score(labels, other, sample_weight=weights)
                    for one, other in zip(wide["by_file"], wide["by_patient"], strict=True)
                ]
            )
        )

    blocks = resample_weights(labels, units, resamples=resamples, seed=0)
    draws = np.array([difference(weights) for block in blocks for weights in block])
    return {"value": difference(None), **percentile_interval(draws, units=len(np.unique(units)))._asdict()}
