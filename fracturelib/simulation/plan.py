"""Which files a set holds: splits, patients, labels and names, all derived from the seed without making a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice

import numpy as np

from fracturelib.config import SPLITS
from fracturelib.errors import FracturelibError
from fracturelib.simulation.mixture import SHARES, Shares, deal_mixtures, shifted_shares
from fracturelib.simulation.patient import VIEWS, Setting, draw_setting

GENERATOR = "fracturelib.simulation"
VERSION = 5  # raise it whenever the same parameters give other bytes
FORMATS = ("png", "png16", "jpeg", "dicom")
DEFAULT_COUNTS = {"train": 1200, "val": 240, "test": 480}
BLOCK = 5  # patients of one setting (region, age group, metal, plaster), so that none of it tells the label
FRACTURED_IN_BLOCK = 2
COPIES = 6  # files made of one radiograph in a leaky set
SHARED_POOL = len(SPLITS)  # the leaky set's patients belong to no split

# Degrees by which "-rotatedN" turns a picture, first and second time.
FIRST_TURN = {1: 9.0, 2: -13.0, 3: 21.0}
SECOND_TURN = {1: -4.0, 2: 6.0, 3: 15.0}


@dataclass(frozen=True)
class Plan:
    """The parameters of a set; two equal plans give the same bytes."""

    seed: int
    counts: tuple[tuple[str, int], ...]
    leaky: bool
    device_shift: float
    mixture_shift: bool
    image_side: int
    format: str

    def manifest(self) -> dict:
        """The parameters as JSON values, with the generator's name and version."""
        values = {**asdict(self), "counts": dict(self.counts)}
        return {"generator": GENERATOR, "version": VERSION, "parameters": values}

    @property
    def total(self) -> int:
        """Number of files."""
        return sum(count for _, count in self.counts)


@dataclass(frozen=True)
class File:
    """One file to write: its place, and how often and how far the picture is turned."""

    split: str
    name: str
    view: str
    degrees: float = 0.0


@dataclass(frozen=True)
class Job:
    """One patient: the entropy of all draws, the setting of the block, the label, and the files to write."""

    entropy: tuple[int, ...]
    setting: Setting
    patient_id: str
    fractured: bool
    shift: float
    files: tuple[File, ...]


def make_plan(
    *,
    seed: int = 0,
    counts: Mapping[str, int] | int | None = None,
    leaky: bool = False,
    device_shift: bool | float = False,
    mixture_shift: bool = False,
    image_side: int = 256,
    format: str = "png",
) -> Plan:
    """Check the parameters of a set.

    Args:
        seed: the same seed gives the same bytes (with the same library versions).
        counts: images per split, or their total (shared out 5 : 1 : 2), or None for 1200, 240 and 480.
        leaky: spread rotated copies of few radiographs over the splits, the way some public sets do.
        device_shift: take the test split with another machine (column `device`): how far it differs, True for 1.
        mixture_shift: few hands in train and val, many in test, where usually all splits have the same mixture.
        image_side: short side in pixels.
        format: how files are written: one of FORMATS.

    Raises:
        FracturelibError: a number is out of range, or a split is unknown.
    """
    if not isinstance(seed, int) or seed < 0:
        raise FracturelibError(f"seed is {seed!r}", cure="give a whole number of 0 or more")
    if not 64 <= image_side <= 2048:
        raise FracturelibError(f"image_side is {image_side}", cure="choose 64 to 2048 pixels")
    counts = DEFAULT_COUNTS if counts is None else counts
    if isinstance(counts, int):
        counts = _share_out(counts)
    unknown = sorted(set(counts) - set(SPLITS))
    if unknown:
        raise FracturelibError(f"unknown split: {', '.join(unknown)}", cure=f"use {', '.join(SPLITS)}")
    if any(count < 0 for count in counts.values()) or not any(counts.values()):
        raise FracturelibError(
            f"cannot make {dict(counts)} images", cure="give each split 0 or more, and one at least 1"
        )
    if not 0 <= float(device_shift) <= 2:
        raise FracturelibError(f"device_shift is {device_shift}", cause="0 is the own machine, 1 the usual other one",
                               cure="choose 0 to 2")  # fmt: skip
    if format not in FORMATS:
        raise FracturelibError(f"format is '{format}'", cure=f"choose one of {', '.join(FORMATS)}")
    if format == "dicom" and leaky:
        raise FracturelibError("a leaky set has no DICOM files", cause="its copies were turned after an export",
                               cure="choose another format")  # fmt: skip
    rows = tuple((split, int(counts.get(split, 0))) for split in SPLITS)
    return Plan(seed, rows, leaky, float(device_shift), mixture_shift, image_side, format)


def jobs(plan: Plan) -> Iterator[Job]:
    """All patients of a set, in the order of metadata.csv (a leaky set: in the order of its sources)."""
    yield from _leaky_jobs(plan) if plan.leaky else _clean_jobs(plan)


def job_count(plan: Plan) -> int:
    """How many patients a set has."""
    if plan.leaky:
        return -(-plan.total // COPIES)
    return sum(-(-count // _views_each(count)) for _, count in plan.counts)


def is_fractured(seed: int, pool: int, patient: int) -> bool:
    """The label: 2 of every 5 patients, in random order; the first two always differ, so that tiny sets have both."""
    block, place = divmod(patient, BLOCK)
    order = np.random.default_rng([seed, pool, block, 40]).permutation(BLOCK) < FRACTURED_IN_BLOCK
    if block == 0 and order[0] == order[1]:
        other = int(np.flatnonzero(order != order[0])[0])
        order[1], order[other] = order[other], order[1]
    return bool(order[place])


def _views_each(count: int) -> int:
    """Two views per patient, but one in a tiny split, so that it has enough patients for two classes."""
    return 2 if count >= 20 else 1


def _clean_jobs(plan: Plan) -> Iterator[Job]:
    number = 0
    for pool, (split, count) in enumerate(plan.counts):
        each = _views_each(count)
        shift = plan.device_shift if split == "test" else 0.0
        shares = shifted_shares(split) if plan.mixture_shift else SHARES
        for patient, (setting, fractured) in zip(
            range(-(-count // each)), _deal(plan.seed, pool, shares), strict=False
        ):
            number += 1
            patient_id = f"P{number:06d}"
            views = VIEWS[: min(each, count - patient * each)]
            if each == 1:
                views = (VIEWS[patient // 2 % 2],)
            files = tuple(File(split, f"{patient_id}-{view}", view) for view in views)
            yield Job((plan.seed, pool, patient), setting, patient_id, fractured, shift, files)


def _deal(seed: int, pool: int, shares: Shares) -> Iterator[tuple[Setting, bool]]:
    """Setting and label of one patient after another; the patients of a block share the setting."""
    mixtures = deal_mixtures(np.random.default_rng([seed, pool, 44]), shares)
    for block, mixture in enumerate(mixtures):
        setting = draw_setting((seed, pool, block, 43), mixture)
        for place in range(BLOCK):
            yield setting, is_fractured(seed, pool, block * BLOCK + place)


def _leaky_jobs(plan: Plan) -> Iterator[Job]:
    """Rotated copies of few radiographs, spread over the splits at random, as in some public sets."""
    slots = np.repeat(np.arange(len(SPLITS)), [count for _, count in plan.counts])
    slots = np.random.default_rng([plan.seed, SHARED_POOL, 41]).permutation(slots)
    turns = [(a, b) for a in FIRST_TURN for b in SECOND_TURN]
    sources = islice(_deal(plan.seed, SHARED_POOL, SHARES), job_count(plan))
    for source, (setting, fractured) in enumerate(sources):
        patient_id = f"P{source + 1:06d}"
        view = VIEWS[source // 2 % 2]
        chosen = np.random.default_rng([plan.seed, SHARED_POOL, source, 42]).permutation(len(turns))
        files = []
        for copy, slot in enumerate(slots[source * COPIES : (source + 1) * COPIES]):
            first, second = turns[chosen[copy]]
            turned = copy > 0
            suffix = f"-rotated{first}-rotated{second}" if turned else ""
            degrees = FIRST_TURN[first] + SECOND_TURN[second] if turned else 0.0
            files.append(File(SPLITS[slot], f"{patient_id}-{view}{suffix}", view, degrees))
        yield Job((plan.seed, SHARED_POOL, source), setting, patient_id, fractured, 0.0, tuple(files))


def _share_out(total: int) -> dict[str, int]:
    """5 : 1 : 2, with at least 2 files for each split where there are 6 or more."""
    least = 2 if total >= 6 else 0
    val, test = max(round(total / 8), least), max(round(total / 4), least)
    return {"train": max(total - val - test, 0), "val": val, "test": test}
