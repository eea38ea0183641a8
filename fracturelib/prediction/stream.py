"""P(fractured) for files and folders of X-rays without labels, in constant memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torchvision.transforms import v2
from tqdm import tqdm

from fracturelib.config import CLASS_NAMES
from fracturelib.errors import DataWarning, ImageError
from fracturelib.evaluation import calibrated
from fracturelib.images import FORMAT_NAMES, iterate_images, read_radiograph
from fracturelib.runs import Run
from fracturelib.runtime import choose_device, read_batches
from fracturelib.transforms import eval_transform, split_transform

NAMED_AT_MOST = 5  # files in one warning
BATCH = {"cpu": 32, "mps": 64, "cuda": 256}  # images; a larger batch is no faster, and takes more memory


class Predicted(NamedTuple):
    """One file.

    Attributes:
        path: as it was given.
        probability: P(fractured), calibrated with the run's temperature where it has one.
        prediction: the class that the run's threshold makes of it.
        raw: what the network gave, before the temperature.
    """

    path: str
    probability: float
    prediction: str
    raw: float


def predict_files(run: Run, paths: Sequence[str | Path], *, strict: bool = False) -> pd.DataFrame:
    """P(fractured) for files and folders of X-rays without labels, as one table; see `predict_stream`.

    Returns:
        One row per readable file, with the columns of `Predicted`.
    """
    return pd.DataFrame(predict_stream(run, paths, strict=strict), columns=Predicted._fields)


def predict_stream(run: Run, paths: Sequence[str | Path], *, strict: bool = False) -> Iterator[Predicted]:
    """P(fractured) for files and folders of any size; rows are yielded before later files are listed.

    Args:
        run: from `load_run`.
        paths: image files, and folders that are searched through.
        strict: stop at a file that cannot be read, or ends early.

    Yields:
        One row per readable file, in the order of the files.

    Raises:
        ImageError: a path is missing, nothing can be read, or (`strict`) one file cannot be read.

    Warns:
        DataWarning: after the last row, if files were skipped.
    """
    for path in paths:
        next(iterate_images(path))  # raises before any work is done
    files = chain.from_iterable(map(iterate_images, paths))
    device, troubles, any_read = choose_device(), _Troubles(), False
    run.model.to(device)
    steps, finish = split_transform(eval_transform(run.config))
    grey = v2.Compose(steps)

    def read(file: Path) -> _Read:
        return _read_as_far_as_possible(file, grey, side=run.config.image_size, strict=strict)

    batches = read_batches(
        read, tqdm(files, "predicting", unit="image", delay=2), size=BATCH[device.type], device=device
    )
    for batch in batches:
        troubles.note(batch)
        usable = [one for one in batch if one.image is not None]
        if usable:
            grey_images = [one.image for one in usable if one.image is not None]  # all of them; said for the types
            images = finish(torch.stack(grey_images).to(device))
            any_read = True
            raw = pd.DataFrame({"probability": run.model.predict_proba(images).float().cpu().numpy()})
            yield from _rows(usable, calibrated(raw, run.temperature), run.threshold)
    troubles.report(nothing_left=not any_read)


class _Read(NamedTuple):
    """A file that was tried: its grey image, uint8 (1, S, S), or what is wrong with it; and whether it ends early."""

    file: Path
    image: torch.Tensor | None
    problem: str = ""
    truncated: bool = False


def _rows(usable: Iterable[_Read], found: pd.DataFrame, threshold: float) -> Iterator[Predicted]:
    for one, probability, raw in zip(usable, found["probability"].tolist(), found["raw"].tolist(), strict=True):
        yield Predicted(str(one.file), probability, CLASS_NAMES[int(probability >= threshold)], raw)


def _read_as_far_as_possible(file: Path, grey: v2.Compose, *, side: int, strict: bool) -> _Read:
    try:
        return _Read(file, grey(read_radiograph(file, target_side=side, strict=True)))
    except ImageError:
        if strict:
            raise
    try:
        return _Read(file, grey(read_radiograph(file, target_side=side)), truncated=True)
    except ImageError as error:
        return _Read(file, None, problem=error.what)


@dataclass
class _Troubles:
    """Files that could not be read, and those that end early: how many, and the first few by name."""

    skipped: int = 0
    cut: int = 0
    skipped_names: list[str] = field(default_factory=list)
    cut_names: list[str] = field(default_factory=list)

    def note(self, batch: list[_Read]) -> None:
        bad = [f"{one.file} ({one.problem})" for one in batch if one.image is None]
        cut = [str(one.file) for one in batch if one.truncated]
        self.skipped, self.cut = self.skipped + len(bad), self.cut + len(cut)
        self.skipped_names = (self.skipped_names + bad)[:NAMED_AT_MOST]
        self.cut_names = (self.cut_names + cut)[:NAMED_AT_MOST]

    def report(self, *, nothing_left: bool) -> None:
        """One sentence for both kinds; an error when no file could be read."""
        named = "; ".join(self.skipped_names)
        if nothing_left:
            cure = f"give {FORMAT_NAMES} files"
            raise ImageError("none of the files can be read", file=named, cure=cure)
        sentences = []
        if self.skipped:
            sentences.append(f"not usable as radiographs: {self.skipped} of the files, skipped: {named}")
        if self.cut:
            files = ", ".join(self.cut_names)
            sentences.append(f"truncated: {self.cut} of the files, decoded as far as possible: {files}")
        if sentences:
            warnings.warn("; ".join(sentences), DataWarning, stacklevel=4)
