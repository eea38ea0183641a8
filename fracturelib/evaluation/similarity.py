"""How far a picture lies from the training pictures in feature space, and which of them lie nearest.

Pictures are points (F,), the trunk's outputs, scaled to length 1. The distance is Mahalanobis' from the mean of the
training pictures, with the covariance shrunk as Ledoit and Wolf say (Journal of Multivariate Analysis 88 (2004),
365–411); as a sign of pictures of another kind: Lee et al., NeurIPS 2018. `benchmarks.prediction` has it beside nearest
neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]
FEWEST = 30  # validation pictures below which no limit can be told
# Standard deviations above the mean log distance of validation pictures.
SPREADS_OF_LIMIT, SPREADS_OF_USUAL = 3.5, 1.0


@dataclass(frozen=True)
class Reference:
    """Training pictures that new ones are compared with.

    Attributes:
        table: one row per picture: path, label, unit (a number for the patient or source).
        features: (N, F) float16, each row of length 1.
        limit: the distance beyond which a picture is of another kind; None where too few pictures were there to tell.
        usual: the distance within which five in six validation pictures lie; None as above.
        gaussian: mean (F,) and inverse covariance (F, F) of the training pictures; None: fitted when it is needed.
    """

    table: pd.DataFrame
    features: NDArray[np.float16]
    limit: float | None = None
    usual: float | None = None
    gaussian: tuple[Array, Array] | None = None

    def distances(self, features: NDArray[np.floating]) -> Array:
        """How far each picture (n, F) lies from the training pictures (n,)."""
        centre, precision = self._known_gaussian
        away = scaled(features) - centre
        return np.sqrt(np.einsum("ij,jk,ik->i", away, precision, away))

    def nearest(self, features: Array, *, count: int = 3) -> list[pd.DataFrame]:
        """For each picture (n, F) up to `count` rows of `table`, the most similar first, one per unit.

        A further column `similarity` has the cosine of the angle between both pictures' features.
        """
        found = []
        for row in scaled(features) @ self._scaled.T:  # (n, N)
            order = np.argsort(-row, kind="stable")
            nearest = self.table.iloc[order].assign(similarity=row[order])
            found.append(nearest.drop_duplicates("unit").head(count).reset_index(drop=True))
        return found

    def vote(self, features: Array, column: str, *, count: int = 5) -> list[str]:
        """What most of the `count` nearest pictures have in a column of `table`, for each picture (n, F)."""
        groups, names = pd.factorize(self.table[column].fillna("not stated").astype(str))
        near = np.argsort(-(scaled(features) @ self._scaled.T), axis=1, kind="stable")[:, :count]  # (n, count)
        return [names[np.bincount(groups[row]).argmax()] for row in near]

    @cached_property
    def _scaled(self) -> Array:
        return self.features.astype(np.float64)

    @cached_property
    def _known_gaussian(self) -> tuple[Array, Array]:
        if self.gaussian is not None:
            return self.gaussian
        from sklearn.covariance import LedoitWolf  # a second to load, which `predict` can do without

        fitted = LedoitWolf().fit(self._scaled)
        return fitted.location_, fitted.get_precision()


def make_reference(table: pd.DataFrame, features: Array, validation: Array) -> Reference:
    """The reference of training pictures (N, F), with the limit that validation pictures (M, F) set."""
    reference = Reference(table, scaled(features).astype(np.float16))
    if len(validation) < FEWEST or len(features) < FEWEST:
        return reference
    reference = replace(reference, gaussian=reference._known_gaussian)
    logs = np.log(np.maximum(reference.distances(validation), 1e-12))
    limit, usual = (float(np.exp(logs.mean() + n * logs.std(ddof=1))) for n in (SPREADS_OF_LIMIT, SPREADS_OF_USUAL))
    return replace(reference, limit=limit, usual=usual)


def scaled(features: NDArray[np.floating]) -> Array:
    """The rows (n, F) scaled to length 1."""
    rows = np.asarray(features, dtype=np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
