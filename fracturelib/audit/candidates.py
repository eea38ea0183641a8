"""Which pairs of pictures are worth a close comparison? Those with similar keypoints, wherever these lie.

Each picture's keypoints are summed up in one vector (VLAD: Jégou, Douze, Schmid and Pérez, CVPR 2010): for each of
some typical keypoints ("words"), how the picture's own ones differ from it. Places do not enter, so that a rotated or
cropped copy has nearly the same vector. No network is used: the result depends on no weights.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from fracturelib.audit.neighbours import NEIGHBOURS, Neighbours, columns
from fracturelib.audit.pictures import Form

FORMS = tuple(NEIGHBOURS)
Pair = tuple[int, int, Form]  # two row numbers, and the form of the first


@dataclass(frozen=True)
class Pairs:
    """Pairs of pictures, (m,) each: the numbers of both, and the place in `FORMS` of the first one's form."""

    one: np.ndarray
    other: np.ndarray
    form: np.ndarray

    @classmethod
    def of(cls, pairs: list[tuple[int, int, int]]) -> Pairs:
        """Pairs from tuples."""
        one, other, form = np.array(pairs, dtype=int).reshape(-1, 3).T
        return cls(one, other, form)

    @classmethod
    def all(cls, count: int) -> Pairs:
        """Each of so many pictures with every later one, in every form."""
        rows = range(count)
        return cls.of([(a, b, form) for a in rows for b in rows if a < b for form in range(len(FORMS))])

    def __len__(self) -> int:
        return len(self.one)

    def __getitem__(self, part: slice) -> list[Pair]:
        one, other, form = (values[part].tolist() for values in (self.one, self.other, self.form))
        return [(a, b, FORMS[place]) for a, b, place in zip(one, other, form, strict=True)]

    @property
    def codes(self) -> np.ndarray:
        """One whole number (m,) for each pair."""
        return (self.one.astype(np.int64) << 33) | (self.other.astype(np.int64) << 2) | self.form

    def without(self, seen: np.ndarray) -> Pairs:
        """Those whose code is not among some, (k,), each once."""
        first = np.zeros(len(self), bool)
        first[np.unique(self.codes, return_index=True)[1]] = True
        kept = first & ~np.isin(self.codes, seen)
        return Pairs(self.one[kept], self.other[kept], self.form[kept])


@dataclass(frozen=True)
class Signatures:
    """One vector per picture for each form it is looked for in, (n, d) float32 of length 1; as it is among them.

    A picture without keypoints has zeros. `name` tells these words from others.
    """

    forms: dict[Form, np.ndarray]
    name: str = ""


def nearest_pairs(found: Signatures, keys: list[bytes], kept: Neighbours, *, progress: bool = True) -> Pairs:
    """Each picture with its nearest ones, in every form; the nearest pairs first, each pair once."""
    lists, parts = kept.find(found, keys, progress=progress), []
    for form, part in columns(found.forms).items():
        other, distances = lists.rows[:, part], lists.distances[:, part]
        one = np.repeat(np.arange(len(other)), other.shape[1])
        other, distances = other.ravel(), distances.ravel()
        good = (one != other) & (other >= 0)  # a picture may be among its own neighbours
        low, high = np.minimum(one, other)[good], np.maximum(one, other)[good]
        parts.append((low, high, np.full(len(low), FORMS.index(form)), distances[good]))
    low, high, places, distances = (np.concatenate(values) for values in zip(*parts, strict=True))
    first = np.unique(Pairs(low, high, places).codes, return_index=True)[1]
    chosen = first[np.argsort(distances[first], kind="stable")]
    return Pairs(low[chosen], high[chosen], places[chosen])


def nearest_groups(
    found: Signatures, numbers: np.ndarray, keys: list[bytes], kept: Neighbours, *, progress: bool = True
) -> Pairs:
    """The most similar members of each group and of the groups nearest to it; single pictures were compared before.

    `numbers` (n,) are the pictures' groups, counted from 0. Groups are compared as they are: a copy that is mirrored or
    inverted was found when each picture was held against its own neighbours.
    """
    order, sizes = np.argsort(numbers, kind="stable"), np.bincount(numbers)
    starts = np.cumsum(sizes) - sizes
    members, vectors = np.split(order, starts[1:]), found.forms[Form.AS_IT_IS]
    means = {Form.AS_IT_IS: _unit_rows(np.add.reduceat(vectors[order], starts))}
    group_keys = [_joint_key([keys[row] for row in rows]) for rows in members]
    near = nearest_pairs(Signatures(means, found.name), group_keys, kept, progress=progress)
    some = sizes[near.one] + sizes[near.other] > 2
    pairs = []
    for one, other, form in zip(near.one[some], near.other[some], near.form[some], strict=True):
        similar = vectors[members[one]] @ vectors[members[other]].T
        a, b = np.unravel_index(similar.argmax(), similar.shape)
        pairs.append((members[one][a], members[other][b], form))
    return Pairs.of(pairs)


def _joint_key(keys: list[bytes]) -> bytes:
    return keys[0] if len(keys) == 1 else hashlib.blake2b(b"".join(sorted(keys)), digest_size=len(keys[0])).digest()


def _unit_rows(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
