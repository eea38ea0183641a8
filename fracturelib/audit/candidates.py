"""Which pairs of pictures are worth a close comparison? Those with similar keypoints, wherever these lie.

Each picture's keypoints are summed up in one vector (VLAD: Jégou, Douze, Schmid and Pérez, CVPR 2010): for each of
some typical keypoints ("words"), how the picture's own ones differ from it. Places do not enter, so that a rotated or
cropped copy has nearly the same vector. No network is used: the result depends on no weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import NearestNeighbors

from fracturelib.audit.pictures import MIRRORED, Picture, unit_descriptors

WORDS, SHORT = 32, 24  # typical keypoints; numbers that are left of a descriptor's 128
SAMPLED_PICTURES, SAMPLED_POINTS = 1500, 30  # that the words are learnt from
FEWEST_SAMPLED = 4 * WORDS  # keypoints; below it every pair is a candidate


@dataclass(frozen=True)
class Signatures:
    """One vector per picture, (n, WORDS * SHORT) float32 of length 1, and one for its mirror image.

    A picture without keypoints has zeros.
    """

    plain: np.ndarray
    mirrored: np.ndarray


def signatures(pictures: Sequence[Picture]) -> Signatures | None:
    """The vectors of all pictures, with words learnt from a sample; None where there is too little to learn from."""
    chosen = np.random.default_rng(0).permutation(len(pictures))[:SAMPLED_PICTURES]
    sample = np.concatenate([unit_descriptors(pictures[row])[:SAMPLED_POINTS] for row in chosen])
    if len(sample) < FEWEST_SAMPLED:
        return None
    shorten = PCA(SHORT, random_state=0).fit(sample)
    words = MiniBatchKMeans(WORDS, n_init=1, batch_size=4096, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # identical pictures have fewer distinct keypoints
        words.fit(shorten.transform(sample))
    centres, mean, axes = words.cluster_centers_, shorten.mean_, shorten.components_
    rows = [_vectors(picture, centres, mean, axes) for picture in pictures]
    return Signatures(np.stack([plain for plain, _ in rows]), np.stack([mirror for _, mirror in rows]))


def neighbours(queries: np.ndarray, among: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers in `among` of the nearest ones of each query, (n, count), nearest first, and their distances."""
    count = min(count, len(among))
    search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(among)
    distances, rows = search.kneighbors(queries)
    return rows, distances


def _vectors(
    picture: Picture, centres: np.ndarray, mean: np.ndarray, axes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The picture's vector and that of its mirror image."""
    values = unit_descriptors(picture)
    return tuple(_vector((part - mean) @ axes.T, centres) for part in (values, values[:, MIRRORED]))  # type: ignore


def _vector(values: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """VLAD of shortened descriptors (k, SHORT); each word's part is scaled to the root of its length."""
    if not len(values):
        return np.zeros(centres.size, np.float32)
    word = ((centres**2).sum(axis=1) - 2 * values @ centres.T).argmin(axis=1)  # (k,)
    belongs = np.eye(len(centres), dtype=np.float32)[word]  # (k, WORDS)
    sums = belongs.T @ values - belongs.sum(axis=0)[:, None] * centres  # (WORDS, SHORT)
    sums /= np.sqrt(np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-6))
    return (sums / max(np.linalg.norm(sums), 1e-6)).astype(np.float32).ravel()
