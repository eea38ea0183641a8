"""P(fractured) for files and folders of X-rays without labels, in constant memory."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from math import isnan, nan
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from fracturelib.catalog.naming import class_label
from fracturelib.catalog.options import DEFAULTS, DataOptions
from fracturelib.errors import DataWarning, ImageError
from fracturelib.evaluation import Combination, calibrated
from fracturelib.images import FORMAT_NAMES, iterate_images
from fracturelib.images.reading import read_picture
from fracturelib.prediction.answers import Group, GroupAnswer, Limits, doubt_about
from fracturelib.prediction.identity import IDS, Identities
from fracturelib.runs import KeptRun
from fracturelib.runs.network import Network
from fracturelib.runtime import read_batches
from fracturelib.runtime.processes import dealt, is_first, rank_and_size
from fracturelib.writing.verdicts import Answer, Doubt
from fracturelib.writing.words import in_brackets

NAMED_AT_MOST = 5  # files in one warning
FEW = 32  # pictures; NumPy takes at most 0.1 s longer than torch to resize one, and torch takes some 3 s to load
BATCH = {"cpu": 32, "mps": 64, "cuda": 256}  # images; a larger batch is no faster, and takes more memory


class Predicted(NamedTuple):
    """One file.

    Attributes:
        path: as it was given.
        probability: P(fractured), calibrated with the run's temperature where it has one; NaN where the picture is of
            no kind that the run knows.
        prediction: the class that the run's threshold makes of it; "" where the probability is NaN.
        raw: what the network gave, before the temperature.
        answer: fracture, no fracture, or a human must look.
        reason: why a human must look.
        distance: from the training pictures, in feature space; NaN where the run keeps none.
        patient_id, study_id: as `Identities` gives them, "" where they are not known.
    """

    path: str
    probability: float
    prediction: str
    raw: float
    answer: Answer
    reason: Doubt
    distance: float
    patient_id: str
    study_id: str


def predict_files(run: KeptRun, paths: Sequence[str | Path], *, strict: bool = False) -> pd.DataFrame:
    """P(fractured) for files and folders of X-rays without labels, as one table; see `predict_stream`.

    Returns:
        One row per readable file, with the columns of `Predicted`.
    """
    return pd.DataFrame(predict_stream(run, paths, strict=strict), columns=Predicted._fields)


def predict_stream(
    run: KeptRun,
    paths: Sequence[str | Path],
    *,
    strict: bool = False,
    limits: Limits | None = None,
    groups: Groups | None = None,
    options: DataOptions = DEFAULTS,
    polarity: str | None = None,
    on_features: Callable[[NDArray[np.float32]], None] | None = None,
) -> Iterator[Predicted]:
    """P(fractured) for files and folders of any size; rows are yielded before later files are listed.

    Args:
        run: from `load_run`, or `load_run_lightly`.
        paths: image files, and folders that are searched through.
        strict: stop at a file that cannot be read, or ends early.
        limits: where answers change; default: those of the run.
        groups: collects patients and studies, files that cannot be read included.
        options: how folders are read, for the ids of patients and studies; numbers stand for them unless it keeps them.
        polarity: "keep" or "fix" pictures that look inverted; default: as in training.
        on_features: called with what the trunk gives (B, F) for every batch of rows, before these are yielded; of
            several processes, each one's own.

    Yields:
        One row per readable file, in the order of the files; of several processes (`joined_processes`) the first one
        lists the files and yields, and all do the work.

    Raises:
        ImageError: a path is missing, nothing can be read, or (`strict`) one file cannot be read.
        CatalogError: a metadata.csv beside the files cannot be read.

    Warns:
        DataWarning: after the last row, if files were skipped, or lie in folders of classes, whose labels are not used.
    """
    for path in paths if is_first() else []:
        next(iterate_images(path))  # raises before any work is done
    files = chain.from_iterable(map(iterate_images, paths))
    network, troubles, any_read = run.network, _Troubles(), False
    looker = _Looker(run, network, limits or run_limits(run))
    identities = Identities(paths, options=options)

    def read(file: Path) -> _Read:
        how = polarity or run.config.polarity
        return _read_as_far_as_possible(file, network.grey, side=run.config.picture_side, strict=strict, polarity=how)

    def look(files: Iterable[Path]) -> Iterator[tuple[_Read, Predicted | None, tuple[str, str]]]:
        for batch in read_batches(read, files, size=BATCH[network.device], device=network.device):
            rows = iter(looker.look([one for one in batch if one.image is not None], on_features))
            for one in batch:
                row = None if one.image is None else next(rows)
                yield one._replace(image=None), row, identities.as_stored(one.file)

    files = tqdm(files, "predicting", unit="image", delay=2)
    alone = rank_and_size()[1] == 1
    for one, row, stored in look(files) if alone else dealt(look, files, size=BATCH[network.device]):
        troubles.note(one, read=row is not None)
        ids = identities.shown(stored)
        row = row and row._replace(patient_id=ids[0], study_id=ids[1])
        if groups is not None:
            groups.add(ids, row)
        if row is not None:
            any_read = True
            yield row
    if is_first():
        troubles.report(nothing_left=not any_read)


def are_few(paths: Iterable[str | Path]) -> bool:
    """Whether these files and folders hold at most `FEW` pictures; False where one is missing."""
    try:
        return len(list(islice(chain.from_iterable(map(iterate_images, paths)), FEW + 1))) <= FEW
    except ImageError:
        return False


def run_limits(run: KeptRun) -> Limits:
    """Where the run's own answers change."""
    return Limits(run.threshold, run.record.get("limit"))


class Groups:
    """Patients and studies of the files that were predicted; see `predict_stream`."""

    def __init__(self, run: KeptRun, limits: Limits | None = None) -> None:
        self.rule = Combination(run.record.get("combination", Combination.HIGHEST))
        self._limits = limits or run_limits(run)
        self._groups: dict[str, dict[str, Group]] = {name: {} for name in IDS}

    def add(self, ids: tuple[str, str], row: Predicted | None) -> None:
        """Add a file; None where it cannot be read."""
        for kind, name in zip(IDS, ids, strict=True):
            if name:
                group = self._groups[kind].setdefault(name, Group(self.rule))
                usable = row is not None and not isnan(row.probability)
                group.add(row.probability if usable and row else None, row.answer if row else Answer.HUMAN)

    def answers(self, kind: str) -> pd.DataFrame:
        """One row per patient (`kind` "patient_id") or study ("study_id"), with the columns of `GroupAnswer`."""
        found = [group.answer(name, self._limits) for name, group in self._groups[kind].items()]
        return pd.DataFrame(found, columns=GroupAnswer._fields)


class _Read(NamedTuple):
    """A file that was tried: its grey image, uint8 (1, S, S), or what is wrong with it; and whether it ends early."""

    file: Path
    image: NDArray[np.uint8] | None
    doubt: Doubt = Doubt.NONE
    problem: str = ""
    kind: str = ""
    truncated: bool = False


class _Looker:
    """The run's network, and what makes rows of its numbers."""

    def __init__(self, run: KeptRun, network: Network, limits: Limits) -> None:
        self._run, self._network, self._limits = run, network, limits

    def look(
        self, usable: Sequence[_Read], on_features: Callable[[NDArray[np.float32]], None] | None
    ) -> Iterator[Predicted]:
        """One row per picture, without ids."""
        if not usable:
            return
        grey = np.stack([one.image for one in usable if one.image is not None])  # all of them; said for the types
        features = self._network.features(grey)
        if on_features is not None:
            on_features(features)
        raw = self._network.probabilities(features)
        found = calibrated(pd.DataFrame({"probability": raw}), self._run.temperature)
        distances, doubts = self._compare(features, grey)
        for number, one in enumerate(usable):
            doubt = one.doubt or doubts[number]
            probability, network = float(found["probability"][number]), float(found["raw"][number])
            call, answer = self._limits.call(probability), self._limits.answer(probability)
            if doubt:
                probability, call, answer = nan, "", (Answer.HUMAN, doubt)
            yield Predicted(str(one.file), probability, call, network, *answer, distances[number], "", "")

    def _compare(self, features: NDArray[np.float32], grey: NDArray[np.uint8]) -> tuple[list[float], list[Doubt]]:
        """Each picture's distance from the training pictures, and whether that speaks against it.

        A picture that lies farther away than most is looked at as a negative too: it is inverted if that lies nearer,
        and among the pictures that the run knows.
        """
        reference = self._run.reference
        if reference is None or reference.limit is None or reference.usual is None:
            return [nan] * len(grey), [Doubt.NONE] * len(grey)
        distances = reference.distances(features)
        doubts = np.where(distances > reference.limit, Doubt.NOVEL, Doubt.NONE).astype(object)
        far = np.flatnonzero(distances > reference.usual)
        if len(far):
            turned = reference.distances(self._network.features(255 - grey[far]))
            doubts[far[(turned < distances[far]) & (turned <= reference.limit)]] = Doubt.INVERTED
        return distances.tolist(), [Doubt(doubt) for doubt in doubts]


def _read_as_far_as_possible(
    file: Path,
    grey: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
    *,
    side: int,
    strict: bool,
    polarity: str,
) -> _Read:
    try:
        found = read_picture(file, target_side=side, strict=strict, polarity=polarity)
    except ImageError as error:
        if strict:
            raise
        return _Read(file, None, problem=error.what, kind=error.kind)
    return _Read(file, grey(found.grey), doubt_about(found.grey, found.colour), truncated=found.truncated)


@dataclass
class _Troubles:
    """Files that could not be read, those that end early, and those with a label: how many, and the first by name."""

    labelled: int = 0
    skipped: int = 0
    cut: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    skipped_names: list[str] = field(default_factory=list)
    cut_names: list[str] = field(default_factory=list)

    def note(self, one: _Read, *, read: bool) -> None:
        bad = [] if read else [f"{one.file} ({one.problem})"]
        cut = [str(one.file)] if one.truncated else []
        self.labelled += class_label(one.file.parent.name) is not None
        self.kinds.update([one.kind] if one.kind else [])
        self.skipped, self.cut = self.skipped + len(bad), self.cut + len(cut)
        self.skipped_names = (self.skipped_names + bad)[:NAMED_AT_MOST]
        self.cut_names = (self.cut_names + cut)[:NAMED_AT_MOST]

    def report(self, *, nothing_left: bool) -> None:
        """One sentence for all kinds; an error when no file could be read."""
        named = "; ".join(self.skipped_names)
        if nothing_left:
            cure = f"give {FORMAT_NAMES} files"
            raise ImageError("none of the files can be read", file=named, cure=cure)
        sentences = []
        if self.skipped:
            kinds = in_brackets(self.kinds)
            sentences.append(f"not usable as radiographs: {self.skipped} of the files{kinds}, skipped: {named}")
        if self.cut:
            files = ", ".join(self.cut_names)
            sentences.append(f"truncated: {self.cut} of the files, decoded as far as possible: {files}")
        if self.labelled:
            sentences.append(
                f"the labels of these folders are not used: {self.labelled} of the files lie in a folder of a class "
                "(fracturelib evaluate RUN --data DIR tests a run on them)"
            )
        if sentences:
            warnings.warn("; ".join(sentences), DataWarning, stacklevel=4)
