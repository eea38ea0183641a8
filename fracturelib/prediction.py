"""P(fractured) for files and folders of X-rays without labels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from fracturelib.config import CLASS_NAMES
from fracturelib.errors import DataWarning, ImageError
from fracturelib.images import list_images, read_radiograph
from fracturelib.runs import Run
from fracturelib.transforms import eval_transform

NAMED_AT_MOST = 5  # files in one warning


def predict_files(run: Run, paths: Sequence[str | Path], *, strict: bool = False) -> pd.DataFrame:
    """P(fractured) for files and folders of X-rays without labels.

    Args:
        run: from `load_run`.
        paths: image files, and folders that are searched through.

    Returns:
        One row per readable file: path, probability, prediction (a class name).

    Raises:
        ImageError: a path is missing, nothing can be read, or (`strict`) one file cannot be read.

    Warns:
        DataWarning: files were skipped.
    """
    files = [file for path in paths for file in list_images(path)]
    transform = eval_transform(run.config)
    device = next(run.model.parameters()).device
    rows, skipped, cut, batch = [], [], [], []
    for position, file in enumerate(tqdm(files, desc="predicting", unit="image", delay=2), start=1):
        try:
            radiograph, truncated = _read_as_far_as_possible(file, side=run.config.image_size, strict=strict)
            batch.append((file, transform(radiograph)))
            cut += [file] * truncated
        except ImageError as error:
            if strict:
                raise
            skipped.append((file, error.what))
        if batch and (len(batch) == run.config.batch_size or position == len(files)):
            probabilities = run.model.predict_proba(torch.stack([image for _, image in batch]).to(device))
            rows += [(str(file), value) for (file, _), value in zip(batch, probabilities.tolist(), strict=True)]
            batch = []
    _report_problems(skipped, cut, nothing_left=not rows)
    table = pd.DataFrame(rows, columns=["path", "probability"])
    table["prediction"] = [CLASS_NAMES[int(value >= run.threshold)] for value in table["probability"]]
    return table


def _read_as_far_as_possible(file: Path, *, side: int, strict: bool) -> tuple[np.ndarray, bool]:
    """The radiograph (H, W), and whether its file ends early."""
    try:
        return read_radiograph(file, target_side=side, strict=True), False
    except ImageError:
        if strict:
            raise
        return read_radiograph(file, target_side=side), True


def _report_problems(skipped: list[tuple[Path, str]], cut: list[Path], *, nothing_left: bool) -> None:
    """One sentence for all files that could not be read, and for those that end early; up to five are named."""
    named = "; ".join(f"{file} ({what})" for file, what in skipped[:NAMED_AT_MOST])
    if nothing_left:
        raise ImageError("none of the files can be read", file=named, cure="give JPEG, PNG, TIFF, BMP or WebP files")
    sentences = []
    if skipped:
        sentences.append(f"not usable as radiographs: {len(skipped)} of the files, skipped: {named}")
    if cut:
        files = ", ".join(map(str, cut[:NAMED_AT_MOST]))
        sentences.append(f"truncated: {len(cut)} of the files, decoded as far as possible: {files}")
    if sentences:
        warnings.warn("; ".join(sentences), DataWarning, stacklevel=3)
