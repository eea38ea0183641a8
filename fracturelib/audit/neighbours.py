"""The nearest pictures of each one by signature: exactly, or where there are many by an index, and kept for later."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from fracturelib.audit.pictures import METHOD, Form
from fracturelib.errors import FracturelibWarning
from fracturelib.files.arrays import packed, read_arrays, unpacked, write_arrays
from fracturelib.runtime import available_cores

NEIGHBOURS = {Form.AS_IT_IS: 6, Form.MIRRORED: 3, Form.INVERTED: 2}  # pictures that each one is compared with
EXACT = 5_000  # pictures up to which all lists are made anew
# Comparisons of two vectors without an index, of each form: 100,000 pictures with all, in some 2 minutes. At 100,000 an
# index that is as fast misses an eighth of the pairs of copies; exact search misses a twentieth.
AFFORDED = 1e10
LINKS, BUILT, LOOKED = 16, 80, 256  # of the index: links of a vector; vectors weighed when it is built, and in a search
AT_ONCE = 2048  # vectors that are looked for together
Search = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


class Vectors(Protocol):
    """What is searched: for each form one vector per picture, (n, d) float32, and which signatures they are."""

    @property
    def forms(self) -> Mapping[Form, np.ndarray]: ...
    @property
    def name(self) -> str: ...


class Lists(NamedTuple):
    """Row numbers (n, k) of the nearest vectors, -1 where fewer were found, and their distances; forms side by side.

    A picture itself may be among its own.
    """

    rows: np.ndarray
    distances: np.ndarray


def columns(forms: Iterable[Form]) -> dict[Form, slice]:
    """Where in `Lists` the neighbours of a form are: one more than are compared, as the picture may find itself."""
    ends = np.cumsum([0, *(NEIGHBOURS[form] + 1 for form in forms)]).tolist()
    return {form: slice(start, end) for form, (start, end) in zip(forms, pairwise(ends), strict=True)}


class Neighbours:
    """The lists of one stage of the search, kept in a folder.

    Up to `EXACT` vectors all are searched anew. Above it, a vector that was searched before keeps its list: what is new
    is compared with all, all with what is new, and a vector whose list names one that is gone is searched again.
    """

    def __init__(self, folder: Path, stage: int) -> None:
        self.stage, self.file = stage, folder / f"neighbours-{stage}.npz"

    def find(self, found: Vectors, keys: Sequence[bytes], *, progress: bool = True) -> Lists:
        """The lists of all vectors; `keys` (n,) of 16 bytes each tell them from others."""
        width = max(part.stop for part in columns(found.forms).values())
        lists = Lists(np.full((len(keys), width), -1), np.full((len(keys), width), np.inf, np.float32))
        many, added = len(keys) > EXACT, np.arange(len(keys))
        if many:
            added = self._take_over(lists, _name(found), keys)
        fresh = np.flatnonzero((lists.rows < 0).all(axis=1))
        stale = np.setdiff1d(np.arange(len(keys)), fresh, assume_unique=True)
        bar = tqdm(total=len(found.forms) * len(keys), desc="Searching", unit="vector", delay=2, disable=not progress)
        with bar, threadpool_limits(available_cores()):  # the workers, who keep to one thread each, wait
            for done in self._look(found, lists, fresh):
                bar.update(done)
            for done in _look_among(found, lists, stale, added) if len(stale) and len(added) else ():
                bar.update(done)
        if many and len(fresh):
            self._save(lists, _name(found), keys)
        return lists

    def _look(self, found: Vectors, lists: Lists, fresh: np.ndarray) -> Iterator[int]:
        """Search the vectors `fresh` among all; yields how many are done."""
        if not len(fresh):
            return
        search = searcher(found.forms[Form.AS_IT_IS], len(fresh))
        for form, part in columns(found.forms).items():
            for rows in _pieces(fresh):
                near, distances = search(found.forms[form][rows], part.stop - part.start)
                lists.rows[rows, part.start : part.start + near.shape[1]] = near
                lists.distances[rows, part.start : part.start + near.shape[1]] = distances
                yield len(rows)

    def _take_over(self, lists: Lists, name: str, keys: Sequence[bytes]) -> np.ndarray:
        """Fill in what is kept; the row numbers of the keys that are not."""
        kept = self._load(name)
        if kept is None:
            return np.arange(len(keys))
        old_keys, old = kept
        place = {key: row for row, key in enumerate(keys)}
        now = np.array([*(place.get(key, -1) for key in old_keys), -2])  # -2: there was none, and there need be none
        named = now[old.rows]
        whole = (now[:-1] >= 0) & (named != -1).all(axis=1)
        lists.rows[now[:-1][whole]] = np.maximum(named[whole], -1)
        lists.distances[now[:-1][whole]] = old.distances[whole]
        return np.setdiff1d(np.arange(len(keys)), now)

    def _load(self, name: str) -> tuple[list[bytes], Lists] | None:
        """The kept keys and lists; None where there are none, or of other signatures."""
        kept = read_arrays(self.file, name=name, method=METHOD)
        if kept is None:
            return None
        return unpacked(kept["keys"]), Lists(kept["rows"], kept["distances"])

    def _save(self, lists: Lists, name: str, keys: Sequence[bytes]) -> None:
        write_arrays(
            self.file,
            name=name,
            method=METHOD,
            keys=packed(keys),
            rows=lists.rows.astype(np.int32),
            distances=lists.distances,
        )


def _name(found: Vectors) -> str:
    """What tells lists of these signatures in these forms from others."""
    return " ".join([found.name, *found.forms])


def _look_among(found: Vectors, lists: Lists, stale: np.ndarray, added: np.ndarray) -> Iterator[int]:
    """Put into the lists of `stale` those of `added` that are nearer than what these name; yields how many are done."""
    near = found.forms[Form.AS_IT_IS][added]
    squares = (near**2).sum(axis=1)
    for form, part in columns(found.forms).items():
        for rows in _pieces(stale):
            queries = found.forms[form][rows]
            distances = (queries**2).sum(axis=1)[:, None] + squares - 2 * queries @ near.T  # (B, m)
            distances = np.sqrt(np.maximum(distances, 0))
            some = np.flatnonzero((distances < lists.distances[rows, part.stop - 1, None]).any(axis=1))
            here, rows_here = distances[some], rows[some]
            all_rows = np.hstack([lists.rows[rows_here, part], np.broadcast_to(added, here.shape)])
            all_distances = np.hstack([lists.distances[rows_here, part], here])
            order = np.argsort(all_distances, axis=1, kind="stable")[:, : part.stop - part.start]
            lists.rows[rows_here, part] = np.take_along_axis(all_rows, order, axis=1)
            lists.distances[rows_here, part] = np.take_along_axis(all_distances, order, axis=1)
            yield len(rows)


def _pieces(rows: np.ndarray) -> list[np.ndarray]:
    return np.array_split(rows, range(AT_ONCE, len(rows), AT_ONCE))


def searcher(among: np.ndarray, queries: int) -> Search:
    """What finds the nearest rows of `among` (n, d), float32: exactly, or nearly so where there are many `queries`.

    It gives the row numbers for queries (m, d), (m, count), nearest first and -1 where fewer were found, and their
    distances. Where all with all are more than `AFFORDED` comparisons, it walks along a graph of near vectors (HNSW:
    Malkov and Yashunin, IEEE PAMI 42 (2020), 824–836) by faiss; without that package it is exact, and a warning says
    that this takes a time that grows with the square of the files.
    """
    if len(among) * queries > AFFORDED:
        try:
            import faiss
        except ImportError:
            said = f"each of {queries:,} pictures is held against all; pip install 'fracturelib[large]' is faster"
            warnings.warn(said, FracturelibWarning, stacklevel=2)
        else:
            return _by_graph(faiss, np.ascontiguousarray(among, np.float32))
    exact = NearestNeighbors(algorithm="brute").fit(among)

    def search(queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        distances, rows = exact.kneighbors(queries, min(count, len(among)))
        return rows, distances

    return search


def _by_graph(faiss: Any, among: np.ndarray) -> Search:
    """`searcher` by HNSW. One thread builds it, so that the same rows give the same graph."""
    index = faiss.IndexHNSWFlat(among.shape[1], LINKS)
    index.hnsw.efConstruction, index.hnsw.efSearch = BUILT, LOOKED
    with threadpool_limits(1):
        index.add(among)

    def search(queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        squares, rows = index.search(np.ascontiguousarray(queries, np.float32), min(count, len(among)))
        return rows, np.sqrt(np.maximum(squares, 0))

    return search
