"""Which files show the same radiograph: pairs that were compared and found equal, and the groups that they form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import DisjointSet
from tqdm import tqdm

from fracturelib.audit.candidates import Pair, Pairs, Signatures, nearest_groups, nearest_pairs
from fracturelib.audit.neighbours import Neighbours
from fracturelib.audit.pictures import Form
from fracturelib.audit.registration import Evidence, compare
from fracturelib.audit.shelf import Pictures, Place, Shelf, picture_at
from fracturelib.audit.signatures import signatures
from fracturelib.audit.verdicts import Verdicts
from fracturelib.runtime.pool import ordered, workers

ROUNDS = 3  # after the first, groups are compared with groups
BATCH = 256  # pairs compared before the groups are looked at again
TOGETHER = 16  # of these that a worker is given at once
EVIDENCE = tuple(one.name for one in fields(Evidence))
LINK_COLUMNS = ("one", "other", "how", *EVIDENCE)


@dataclass(frozen=True)
class Copies:
    """The groups of files that show one radiograph.

    Attributes:
        groups: (n,) group number per file; files of one group show the same radiograph.
        links: the pairs that hold the groups together, one row each: row numbers `one` and `other`, `how` ("same
            pixels" or "registered"), and the `Evidence` of a registration (NaN for the same pixels).
    """

    groups: np.ndarray
    links: pd.DataFrame


def find_copies(shelf: Shelf, rows: np.ndarray, *, progress: bool = True) -> Copies:
    """Group files by what lies of them on a shelf; exact copies are known by the hash of their pixels.

    Every picture is compared with its nearest neighbours by signature; then groups with the groups nearest to them,
    until nothing joins any more. Pairs that are together already are not compared, and neither are those whose verdict
    is kept beside the shelf. A picture that is not square takes part twice, as it is and squeezed into a square.

    Args:
        shelf: keeps all that is found out, so that a second search is done only where files are new.
        rows: (n,) the record of each file.
        progress: show progress bars.
    """
    links = _same_pixels([pixels.tobytes() for pixels in shelf.facts(rows)["pixels"]])
    copies = {link["other"] for link in links}
    alone = np.array([row for row in range(len(rows)) if row not in copies], dtype=int)
    groups = DisjointSet(range(len(rows)))
    for link in links:
        groups.merge(link["one"], link["other"])
    pictures = shelf.pictures(rows[alone]) if len(alone) else None
    if pictures is not None and len(pictures.keys) > 1:
        links += _registered(pictures._replace(owners=alone[pictures.owners]), groups, progress=progress)
    return Copies(_numbers(groups, range(len(rows))), pd.DataFrame(links, columns=list(LINK_COLUMNS)))


def _registered(pictures: Pictures, groups: DisjointSet, *, progress: bool) -> list[dict]:
    """The links that joined two groups; these are joined."""
    folder, links = pictures.shelf.parent, []
    verdicts, seen = Verdicts(folder), np.zeros(0, np.int64)
    with workers(len(pictures.keys)) as pool:
        found = signatures(pictures, pool, folder, progress=progress)
        for stage in range(ROUNDS):
            kept = Neighbours(folder, stage)
            pairs = _candidates(found, pictures, groups, kept, progress=progress).without(seen)
            seen = np.concatenate([seen, pairs.codes])
            joined = list(_compare_all(pictures, pairs, groups, verdicts, pool, progress=progress))
            links += joined
            if stage and not joined:
                break
    return links


def _numbers(groups: DisjointSet, files: Sequence[int] | np.ndarray) -> np.ndarray:
    """(n,) the number of each file's group, counted in the order of the files."""
    return pd.factorize(np.array([groups[int(file)] for file in files], dtype=int))[0]


def _same_pixels(hashes: Sequence[bytes]) -> list[dict]:
    """A link from each file to the first one with the same pixels."""
    first: dict[bytes, int] = {}
    places = [(first.setdefault(pixels, row), row) for row, pixels in enumerate(hashes)]
    return [{"one": one, "other": row, "how": "same pixels"} for one, row in places if one != row]


def _candidates(
    found: Signatures | None, pictures: Pictures, groups: DisjointSet, kept: Neighbours, *, progress: bool
) -> Pairs:
    """Pairs of pictures worth a comparison, the most similar first; all of them where hardly a keypoint was found."""
    if found is None:
        return Pairs.of([]) if kept.stage else Pairs.all(len(pictures.keys))
    if kept.stage == 0:
        return nearest_pairs(found, pictures.keys, kept, progress=progress)
    return nearest_groups(found, _numbers(groups, pictures.owners), pictures.keys, kept, progress=progress)


def _compare_all(
    pictures: Pictures, pairs: Pairs, groups: DisjointSet, verdicts: Verdicts, pool: Executor, *, progress: bool
) -> Iterator[dict]:
    """Compare batch by batch; yields the links that joined two groups."""
    owners = pictures.owners.tolist()
    with tqdm(total=len(pairs), desc="Comparing", unit="pair", delay=2, disable=not progress) as bar:
        for start in range(0, len(pairs), BATCH):
            drawn = pairs[start : start + BATCH]
            batch = [pair for pair in drawn if not groups.connected(owners[pair[0]], owners[pair[1]])]
            for (a, b, _), evidence in zip(batch, _judged(pictures, batch, verdicts, pool), strict=True):
                one, other = sorted((owners[a], owners[b]))
                if evidence and groups.merge(one, other):
                    yield {"one": one, "other": other, "how": "registered", **evidence.to_dict()}
            bar.update(len(drawn))


def _judged(pictures: Pictures, batch: list[Pair], verdicts: Verdicts, pool: Executor) -> list[Evidence | None]:
    """The verdict on every pair: what is kept, else what the workers find; then it is kept."""
    keys = [verdicts.key(pictures.keys[one], pictures.keys[other], form) for one, other, form in batch]
    missing = [number for number, key in enumerate(keys) if key not in verdicts]
    asked = [batch[number] for number in missing]
    places = [(pictures.places[one], pictures.places[other], form) for one, other, form in asked]
    found = list(ordered(pool, partial(_compared, pictures.shelf), places, together=TOGETHER))
    if missing:
        verdicts.add([keys[number] for number in missing], found)
    return [verdicts[key] for key in keys]


def _compared(shelf: Path, pairs: list[tuple[Place, Place, Form]]) -> list[Evidence | None]:
    """What comes of comparing the pictures at some places of a shelf's file."""
    with shelf.open("rb") as file:
        return [compare(picture_at(file, one), picture_at(file, other), form=form) for one, other, form in pairs]
