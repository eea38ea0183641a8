"""Which files show the same radiograph: pairs that were compared and found equal, and the groups that they form."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import DisjointSet
from tqdm import tqdm

from fracturelib.audit.candidates import Signatures, searcher, signatures
from fracturelib.audit.pictures import Form, Picture
from fracturelib.audit.reading import Read, one_thread_each
from fracturelib.audit.registration import Evidence, compare
from fracturelib.runtime import available_cores

NEIGHBOURS = {Form.AS_IT_IS: 6, Form.MIRRORED: 3, Form.INVERTED: 2}  # pictures that each one is compared with
ROUNDS = 3  # after the first, groups are compared with groups
BATCH = 256  # pairs compared before the groups are looked at again
EVIDENCE = tuple(one.name for one in fields(Evidence))
LINK_COLUMNS = ("one", "other", "how", *EVIDENCE)

Pair = tuple[int, int, Form]  # two row numbers, and the form of the first


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
        return [] if stage else [(a, b, form) for a in rows for b in rows if a < b for form in Form]
    if stage == 0:
        return _nearest(found)
    return _nearest_groups(found, _numbers(groups, owners))


def _nearest(found: Signatures) -> list[Pair]:
    """Each signature with its nearest ones, in every form; the nearest pairs first, each pair once."""
    search, parts = searcher(found.plain), []
    for place, (form, count) in enumerate(NEIGHBOURS.items()):
        near, distances = search(found.of(form), count + 1)  # the picture itself may be among them
        one = np.repeat(np.arange(len(near)), near.shape[1])
        other = near.ravel()
        low, high, forms = np.minimum(one, other), np.maximum(one, other), np.full(len(one), place)
        parts.append(np.column_stack([low, high, forms, distances.ravel()])[(one != other) & (other >= 0)])
    pairs = np.concatenate(parts)  # (m, 4)
    pairs = pairs[np.unique(pairs[:, :3], axis=0, return_index=True)[1]]
    pairs = pairs[np.argsort(pairs[:, 3], kind="stable")]
    kinds = list(NEIGHBOURS)
    return [(int(low), int(high), kinds[int(place)]) for low, high, place, _ in pairs]


def _nearest_groups(found: Signatures, numbers: np.ndarray) -> list[Pair]:
    """The most similar members of each group and of the groups nearest to it; single pictures were compared before."""
    members = np.split(np.argsort(numbers, kind="stable"), np.cumsum(np.bincount(numbers))[:-1])
    means = [np.stack([_unit(found.of(form)[rows].mean(axis=0)) for rows in members]) for form in Form]
    pairs = []
    for one, other, form in _nearest(Signatures(*means)):
        if len(members[one]) + len(members[other]) > 2:
            left = found.of(form)[members[one]]
            similar = left @ found.plain[members[other]].T
            a, b = np.unravel_index(similar.argmax(), similar.shape)
            pairs.append((int(members[one][a]), int(members[other][b]), form))
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
    with bar, one_thread_each(), ThreadPoolExecutor(available_cores()) as pool:
        for start in range(0, len(pairs), BATCH):
            batch = list(filter(apart, pairs[start : start + BATCH]))
            verdicts = pool.map(lambda pair: compare(pictures[pair[0]], pictures[pair[1]], form=pair[2]), batch)
            for (one, other, _), evidence in zip(batch, verdicts, strict=True):
                one, other = sorted((owners[one], owners[other]))
                if evidence and groups.merge(one, other):
                    links.append({"one": one, "other": other, "how": "registered", **evidence.to_dict()})
            bar.update(len(pairs[start : start + BATCH]))
    return links
