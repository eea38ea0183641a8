"""A picture's signature: words are learnt from a sample of keypoints, and each picture is summed up by them."""

from __future__ import annotations

import hashlib
import warnings
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from tqdm import tqdm

from fracturelib.audit import neighbours
from fracturelib.audit.candidates import FORMS, Signatures
from fracturelib.audit.pictures import INVERTED, METHOD, MIRRORED, Picture, unit_descriptors
from fracturelib.audit.shelf import Pictures, Place, picture_at
from fracturelib.files.arrays import packed, read_arrays, unpacked, write_arrays
from fracturelib.runtime.pool import ordered

WORDS, SHORT = 32, 24  # typical keypoints; numbers that are left of a descriptor's 128
SAMPLED_PICTURES, SAMPLED_POINTS = 1500, 30  # that the words are learnt from
FEWEST_SAMPLED = 4 * WORDS  # keypoints; below it every pair is a candidate
# Numbers that are left of a signature's WORDS * SHORT where there are many pictures. Among 10,000 synthetic ones, an
# exact search brings 0.946 of the pairs of copies together by 128 numbers, 0.978 by 256, 0.988 by 384, 0.995 by all.
PROJECTED = 384
OUTGROWN = 2  # times as many pictures as the words were learnt from: they are learnt again
TOGETHER = 128  # pictures that a worker sums up at once
VECTORS = "vectors.npz"
BY = f"{METHOD} {WORDS} {SHORT} {PROJECTED}"  # what other numbers summed up is not taken over


class Words(NamedTuple):
    """What turns keypoints into a signature: centres (WORDS, SHORT) of shortened descriptors, mean (128,) and axes
    (SHORT, 128) that shorten them, a projection (d, WORDS * SHORT) of the result, (0, …) where it stays as it is, and
    among how many pictures they were learnt.
    """

    centres: np.ndarray
    mean: np.ndarray
    axes: np.ndarray
    projection: np.ndarray
    learnt: np.ndarray

    @property
    def name(self) -> str:
        """What tells these words from others."""
        return hashlib.sha256(b"".join(part.tobytes() for part in self)).hexdigest()


def signatures(pictures: Pictures, pool: Executor, folder: Path, *, progress: bool = True) -> Signatures | None:
    """The vectors of all pictures, with words learnt from a sample; None where there is too little to learn from.

    Above `neighbours.EXACT` pictures, vectors are projected on what varies most (Jégou and Chum, ECCV 2012), and kept
    in the folder with their words, which serve until there are `OUTGROWN` times as many pictures.
    """
    large = len(pictures.keys) > neighbours.EXACT
    words, known = (_load(folder, len(pictures.keys)) if large else None) or (None, {})
    if words is None:
        words = _learn(pictures, project=large)
    if words is None:
        return None
    vectors = np.zeros((len(pictures.keys), 3, len(words.projection) or words.centres.size), np.float32)
    missing = []
    for row, key in enumerate(pictures.keys):
        if key in known:
            vectors[row] = known[key]
        else:
            missing.append(row)
    known.clear()
    _sum_up(pictures, words, pool, vectors, missing, progress=progress)
    if large and missing:
        _save(folder, words, pictures, vectors)
    return Signatures({form: np.ascontiguousarray(vectors[:, place]) for place, form in enumerate(FORMS)}, words.name)


def _sum_up(
    pictures: Pictures, words: Words, pool: Executor, vectors: np.ndarray, missing: list[int], *, progress: bool
) -> None:
    """Fill in the vectors of the rows `missing`."""
    places = [pictures.places[row] for row in missing]
    found = ordered(pool, partial(_vectors_at, pictures.shelf, words), places, together=TOGETHER)
    bar = tqdm(missing, desc="Summing up", unit="picture", delay=2, disable=not progress)
    for row, vector in zip(bar, found, strict=True):
        vectors[row] = vector


def _learn(pictures: Pictures, *, project: bool) -> Words | None:
    chosen = np.random.default_rng(0).permutation(len(pictures.keys))[:SAMPLED_PICTURES].tolist()
    with pictures.shelf.open("rb") as shelf:
        drawn = [picture_at(shelf, pictures.places[row]) for row in chosen]
    sample = np.concatenate([unit_descriptors(picture)[:SAMPLED_POINTS] for picture in drawn])
    if len(sample) < FEWEST_SAMPLED:
        return None
    shorten = PCA(SHORT, random_state=0).fit(sample)
    centres = MiniBatchKMeans(WORDS, n_init=1, batch_size=4096, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # identical pictures have fewer distinct keypoints
        centres.fit(shorten.transform(sample))
    whole, count = np.zeros((0, WORDS * SHORT), np.float32), np.array(len(pictures.keys))
    words = Words(centres.cluster_centers_, shorten.mean_, shorten.components_, whole, count)
    if not project:
        return words
    plain = np.stack([_vectors(picture, words)[0] for picture in drawn])
    return words._replace(projection=np.linalg.svd(plain, full_matrices=False)[2][:PROJECTED])


def _load(folder: Path, count: int) -> tuple[Words, dict[bytes, np.ndarray]] | None:
    """The words and the vectors by key that are kept; None where there are none, or too few by now."""
    kept = read_arrays(folder / VECTORS, method=BY)
    if kept is None or count > OUTGROWN * int(kept["learnt"]):
        return None
    return Words(*(kept[name] for name in Words._fields)), dict(
        zip(unpacked(kept["keys"]), kept["vectors"], strict=True)
    )


def _save(folder: Path, words: Words, pictures: Pictures, vectors: np.ndarray) -> None:
    write_arrays(
        folder / VECTORS,
        method=BY,
        keys=packed(pictures.keys),
        vectors=vectors,
        **words._asdict(),
    )


def _vectors_at(file: Path, words: Words, places: list[Place]) -> np.ndarray:
    """The vectors (k, 3, d) of the pictures at some places of a shelf's file."""
    with file.open("rb") as shelf:
        found = np.stack([_vectors(picture_at(shelf, place), words) for place in places])
    if not len(words.projection):
        return found
    short = found @ words.projection.T
    return short / np.maximum(np.linalg.norm(short, axis=2, keepdims=True), 1e-6)


def _vectors(picture: Picture, words: Words) -> np.ndarray:
    """The picture's vector, that of its mirror image and that of its inverse, (3, WORDS * SHORT)."""
    values = unit_descriptors(picture)
    forms = (values, values[:, MIRRORED], values[:, INVERTED])
    return np.stack([_vector((part - words.mean) @ words.axes.T, words.centres) for part in forms])


def _vector(values: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """VLAD of shortened descriptors (k, SHORT); each word's part is scaled to the root of its length."""
    if not len(values):
        return np.zeros(centres.size, np.float32)
    word = ((centres**2).sum(axis=1) - 2 * values @ centres.T).argmin(axis=1)  # (k,)
    belongs = np.eye(len(centres), dtype=np.float32)[word]  # (k, WORDS)
    sums = belongs.T @ values - belongs.sum(axis=0)[:, None] * centres  # (WORDS, SHORT)
    sums /= np.sqrt(np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-6))
    return (sums / max(np.linalg.norm(sums), 1e-6)).astype(np.float32).ravel()
