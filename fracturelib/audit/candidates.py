"""Which pairs of pictures are worth a close comparison? Those with similar keypoints, wherever these lie.

Each picture's keypoints are summed up in one vector (VLAD: Jégou, Douze, Schmid and Pérez, CVPR 2010): for each of
some typical keypoints ("words"), how the picture's own ones differ from it. Places do not enter, so that a rotated or
cropped copy has nearly the same vector. No network is used: the result depends on no weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.neighbors import NearestNeighbors

from fracturelib.audit.pictures import INVERTED, MIRRORED, Form, Picture, unit_descriptors
from fracturelib.errors import FracturelibWarning

WORDS, SHORT = 32, 24  # typical keypoints; numbers that are left of a descriptor's 128
SAMPLED_PICTURES, SAMPLED_POINTS = 1500, 30  # that the words are learnt from
EXACT = 20_000  # pictures up to which every vector is compared with every other
CELLS, PROBED = 2, 24  # cells per square root of the number of pictures; cells that a query looks into
Search = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
FEWEST_SAMPLED = 4 * WORDS  # keypoints; below it every pair is a candidate


@dataclass(frozen=True)
class Signatures:
    """One vector per picture, (n, WORDS * SHORT) float32 of length 1, one for its mirror image and one for its inverse.

    A picture without keypoints has zeros.
    """

    plain: np.ndarray
    mirrored: np.ndarray
    inverted: np.ndarray

    def of(self, form: Form) -> np.ndarray:
        """The vectors of the pictures in one form."""
        return {Form.AS_IT_IS: self.plain, Form.MIRRORED: self.mirrored, Form.INVERTED: self.inverted}[form]


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
    return Signatures(*(np.stack(vectors) for vectors in zip(*rows, strict=True)))


def searcher(among: np.ndarray) -> Search:
    """What finds the nearest rows of `among` (n, d), float32: exactly, or nearly so where there are many.

    It gives the row numbers for queries (m, d), (m, count), nearest first and -1 where fewer were found, and their
    distances. Above `EXACT` rows, faiss puts them into cells around centres (an inverted file: Jégou, Douze and
    Schmid, IEEE PAMI 33 (2011), 117–128) and looks at those nearest to a query; without that package it is exact, and
    takes a time that grows with the square of the files, which a warning says.
    """
    if len(among) > EXACT:
        try:
            import faiss
        except ImportError:
            said = f"each of {len(among):,} pictures is held against all; pip install 'fracturelib[large]' is faster"
            warnings.warn(said, FracturelibWarning, stacklevel=2)
        else:
            return _by_cells(faiss, np.ascontiguousarray(among, np.float32))
    exact = NearestNeighbors(algorithm="brute").fit(among)

    def search(queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        distances, rows = exact.kneighbors(queries, min(count, len(among)))
        return rows, distances

    return search


def _by_cells(faiss: Any, among: np.ndarray) -> Search:
    """`searcher` by an inverted file. The same rows give the same cells, whatever the number of threads."""
    cells = round(CELLS * len(among) ** 0.5)
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(among.shape[1]), among.shape[1], cells, faiss.METRIC_L2)
    index.cp.seed, index.cp.niter, index.cp.max_points_per_centroid = 0, 10, 64
    index.cp.min_points_per_centroid = 1
    index.train(among)
    index.add(among)
    index.nprobe = PROBED

    def search(queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        squares, rows = index.search(np.ascontiguousarray(queries, np.float32), min(count, len(among)))
        return rows, np.sqrt(np.maximum(squares, 0))

    return search


def _vectors(picture: Picture, centres: np.ndarray, mean: np.ndarray, axes: np.ndarray) -> list[np.ndarray]:
    """The picture's vector, that of its mirror image and that of its inverse."""
    values = unit_descriptors(picture)
    forms = (values, values[:, MIRRORED], values[:, INVERTED])
    return [_vector((part - mean) @ axes.T, centres) for part in forms]


def _vector(values: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """VLAD of shortened descriptors (k, SHORT); each word's part is scaled to the root of its length."""
    if not len(values):
        return np.zeros(centres.size, np.float32)
    word = ((centres**2).sum(axis=1) - 2 * values @ centres.T).argmin(axis=1)  # (k,)
    belongs = np.eye(len(centres), dtype=np.float32)[word]  # (k, WORDS)
    sums = belongs.T @ values - belongs.sum(axis=0)[:, None] * centres  # (WORDS, SHORT)
    sums /= np.sqrt(np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-6))
    return (sums / max(np.linalg.norm(sums), 1e-6)).astype(np.float32).ravel()
