"""Which files show the same radiograph: pairs that were compared and found equal, and the groups that they form."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import DisjointSet
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from fracturelib.audit.candidates import Signatures, neighbours, signatures
from fracturelib.audit.pictures import Picture
from fracturelib.audit.reading import Read
from fracturelib.audit.registration import compare
from fracturelib.runtime import available_cores

NEIGHBOURS, MIRROR_NEIGHBOURS = 6, 3  # pictures that each one is compared with, as it is and mirrored
ROUNDS = 3  # after the first, groups are compared with groups
BATCH = 256  # pairs compared before the groups are looked at again
LINK_COLUMNS = ("one", "other", "how", "correlation", "overlap", "points", "degrees", "scale", "mirrored")

Pair = tuple[int, int, bool]  # two row numbers, and whether the first is to be mirrored


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


def find_copies(reads: Sequence[Read], *, progress: bool = True) -> Copies:
    """Group files that were all read; exact copies are known by the hash of their pixels, without a comparison.

    Every picture is compared with its nearest neighbours by signature; then groups with the groups nearest to them,
    until nothing joins any more. Pairs that are together already are not compared. A picture that is not square takes
    part twice, as it is and squeezed into a square.
    """
    links = _same_pixels([read.pixels_sha256 for read in reads])
    copies = {link["other"] for link in links}
    owners = [row for row in range(len(reads)) if row not in copies]
    owners += [row for row in owners if reads[row].square is not None]
    forms = [reads[row].picture for row in range(len(reads)) if row not in copies]
    pictures = [form for form in [*forms, *(reads[row].square for row in owners[: len(forms)])] if form is not None]
    groups = DisjointSet(range(len(reads)))
    for link in links:
        groups.merge(link["one"], link["other"])
    found = signatures(pictures) if len(pictures) > 1 else None
    seen: set[Pair] = set()
    for stage in range(ROUNDS):
        fresh = [pair for pair in _candidates(found, owners, groups, stage) if pair not in seen]
        seen.update(fresh)
        joined = _compare_all(pictures, owners, fresh, groups, progress=progress)
        links += joined
        if stage and not joined:
            break
    return Copies(_numbers(groups, range(len(reads))), pd.DataFrame(links, columns=list(LINK_COLUMNS)))


def _numbers(groups: DisjointSet, files: Sequence[int]) -> np.ndarray:
    """(n,) the number of each file's group, counted in the order of the files."""
    return pd.factorize(np.array([groups[file] for file in files], dtype=int))[0]


def _same_pixels(hashes: Sequence[str]) -> list[dict]:
    """A link from each file to the first one with the same pixels."""
    first: dict[str, int] = {}
    places = [(first.setdefault(pixels, row), row) for row, pixels in enumerate(hashes)]
    return [{"one": one, "other": row, "how": "same pixels"} for one, row in places if one != row]


def _candidates(found: Signatures | None, owners: Sequence[int], groups: DisjointSet, stage: int) -> list[Pair]:
    """Pairs of pictures worth a comparison, the most similar first; all of them where hardly a keypoint was found.

    `owners` (k,) are the files that the pictures belong to.
    """
    if found is None:
        rows = range(len(owners))
        return [] if stage else [(a, b, flip) for a in rows for b in rows if a < b for flip in (False, True)]
    if stage == 0:
        return _nearest(found)
    return _nearest_groups(found, _numbers(groups, owners))


def _nearest(found: Signatures) -> list[Pair]:
    """Each signature with its nearest ones, as it is and mirrored; the nearest pairs first, each pair once."""
    ranked: dict[Pair, float] = {}
    for flip, queries, count in ((False, found.plain, NEIGHBOURS), (True, found.mirrored, MIRROR_NEIGHBOURS)):
        near, distances = neighbours(queries, found.plain, count + 1)  # the picture itself may be among them
        for one, (others, far) in enumerate(zip(near.tolist(), distances.tolist(), strict=True)):
            for other, distance in zip(others, far, strict=True):
                if one != other:
                    ranked[min(one, other), max(one, other), flip] = distance
    return sorted(ranked, key=ranked.__getitem__)


def _nearest_groups(found: Signatures, numbers: np.ndarray) -> list[Pair]:
    """The most similar members of each group and of the groups nearest to it; single pictures were compared before."""
    members = [np.flatnonzero(numbers == number) for number in range(numbers.max() + 1)]
    means = [np.stack([_unit(part[rows].mean(axis=0)) for rows in members]) for part in (found.plain, found.mirrored)]
    pairs = []
    for one, other, flip in _nearest(Signatures(*means)):
        if len(members[one]) + len(members[other]) > 2:
            left = (found.mirrored if flip else found.plain)[members[one]]
            similar = left @ found.plain[members[other]].T
            a, b = np.unravel_index(similar.argmax(), similar.shape)
            pairs.append((int(members[one][a]), int(members[other][b]), flip))
    return pairs


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-6)


def _compare_all(
    pictures: Sequence[Picture], owners: Sequence[int], pairs: list[Pair], groups: DisjointSet, *, progress: bool
) -> list[dict]:
    """Compare batch by batch, in threads; the links that joined two groups."""

    def apart(pair: Pair) -> bool:
        return not groups.connected(owners[pair[0]], owners[pair[1]])

    links = []
    bar = tqdm(total=len(pairs), desc="Comparing", unit="pair", delay=2, disable=not progress)
    # Small products of matrices: threads of our own are faster than those of the matrix library.
    with bar, threadpool_limits(1), ThreadPoolExecutor(available_cores()) as pool:
        for start in range(0, len(pairs), BATCH):
            batch = list(filter(apart, pairs[start : start + BATCH]))
            verdicts = pool.map(lambda pair: compare(pictures[pair[0]], pictures[pair[1]], mirrored=pair[2]), batch)
            for (one, other, _), evidence in zip(batch, verdicts, strict=True):
                one, other = sorted((owners[one], owners[other]))
                if evidence and groups.merge(one, other):
                    links.append({"one": one, "other": other, "how": "registered", **evidence.to_dict()})
            bar.update(len(pairs[start : start + BATCH]))
    return links
