"""Several readers, the same cases, two or more ways to read them: does one way give a better AUC?

Readers differ, cases differ, and all readers read the same cases, so that their AUCs rise and fall together. An
analysis that counts cases only speaks of these very readers, and one that counts readers only of these very cases.
Obuchowski and Rockette's counts both (Communications in Statistics: Simulation and Computation 24 (1995), 285–308):
an analysis of variance of the readers' AUCs, whose error term is enlarged by the covariances that shared cases bring.
Denominator degrees of freedom: Hillis, Statistics in Medicine 26 (2007), 596–619. Single modalities, and readers or
cases held fixed: Hillis, Berbaum and Metz, Academic Radiology 15 (2008), 647–661.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special
from scipy.stats import rankdata

from fracturelib.course.reader_study.crossed import Random, crossed_study
from fracturelib.errors import EvaluationError
from fracturelib.evaluation.intervals import verdict_on

COVARIANCES = ("jackknife", "delong")
NO_NOISE = 1e-18  # a variance of AUCs below this is rounding


@dataclass(frozen=True)
class Covariances:
    """Mean error variance of one AUC, and mean covariance of two that share their cases and …"""

    error: float
    cov1: float  # … the reader, not the modality
    cov2: float  # … the modality, not the reader
    cov3: float  # … neither


@dataclass(frozen=True)
class MultiReader:
    """The result of `multireader_analysis`.

    Attributes:
        aucs: one row per reader, one column per modality.
        means: one row per modality: modality, auc (mean over readers), error (standard error), df, low, high (95 %, cut
            at 0 and 1). Each row rests on its own modality alone. Where the AUC is near 1 and the cases are few this
            interval is too narrow (`benchmarks/readers.py`).
        differences: one row per pair: first, second, difference (second - first), error, df, low, high, p, verdict.
            With more than two modalities p is not corrected for the number of pairs; `p` below is the global one.
        f, df1, df2, p: the test of "all modalities have the same mean AUC"; NaN where the noise is estimated as 0.
        covariances: of the AUCs' errors.
        random: what the result may be carried over to.
        cases, left_out: how many were used, and how many were not because a reading or the truth is missing.
    """

    aucs: pd.DataFrame
    means: pd.DataFrame
    differences: pd.DataFrame
    f: float
    df1: int
    df2: float
    p: float
    covariances: Covariances
    random: Random
    cases: int
    left_out: int


def multireader_analysis(
    readings: pd.DataFrame,
    *,
    random: Random = Random.BOTH,
    covariance: Literal["jackknife", "delong"] = "jackknife",
    complete_cases: bool = False,
) -> MultiReader:
    """Compare modalities by the readers' mean AUC (Obuchowski–Rockette, with Hillis' degrees of freedom).

    Args:
        readings: one row per reading: reader, modality, case, truth (0 or 1; -1 is unknown), confidence (any number;
            the larger, the more speaks for a fracture). Every reader reads every case in every modality. Cases must be
            independent: one per patient.
        random: by default the result speaks of other readers and of other cases. With `Random.CASES` it speaks of
            these readers alone, for which one reader is enough.
        covariance: how the AUCs' error covariances are estimated.
        complete_cases: leave out, with a warning, cases that somebody did not read in some modality.

    Raises:
        EvaluationError: too few readers, modalities or cases of a class; a missing, double or unusable reading; an
            unknown `random` or `covariance`.

    Warns:
        DataWarning: cases are left out.
    """
    if random not in list(Random) or covariance not in COVARIANCES:
        raise EvaluationError(
            f"there is no analysis with random={str(random)!r} and covariance={covariance!r}",
            cure=f"random is one of {', '.join(map(repr, map(str, Random)))}; covariance of {', '.join(COVARIANCES)}",
        )
    study = crossed_study(readings, random=Random(random), complete_cases=complete_cases)
    aucs, errors = auc_covariances(study.scores, study.truth, covariance=covariance)
    f, df1, df2, p = f_test(aucs, errors, random=random)
    intervals = pd.DataFrame(mean_intervals(aucs, errors, random=random), columns=["error", "df", "low", "high"])
    return MultiReader(
        aucs=pd.DataFrame(aucs.T, index=study.readers, columns=study.modalities),
        means=pd.DataFrame({"modality": study.modalities, "auc": aucs.mean(axis=1)}).join(intervals),
        differences=_differences(aucs, errors, list(study.modalities), random),
        f=f,
        df1=df1,
        df2=df2,
        p=p,
        covariances=mean_covariances(errors),
        random=Random(random),
        cases=len(study.truth),
        left_out=study.left_out,
    )


def auc_covariances(
    scores: NDArray[Any], truth: NDArray[Any], *, covariance: str = "jackknife"
) -> tuple[NDArray[Any], NDArray[Any]]:
    """AUCs (t, r) of scores (t, r, n), and the covariances (t, r, t, r) of their errors; truth (n,) of 0 and 1.

    Both estimates are made of *placements*: for a fractured case the share of the others that it outranks, and the
    other way round. Their means are the AUC. DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988), 837–845. The
    jackknife leaves out one case at a time.
    """
    broken, whole = scores[..., truth == 1], scores[..., truth == 0]
    ranks = rankdata(scores, axis=-1)
    n1, n0 = broken.shape[-1], whole.shape[-1]
    outranks = (ranks[..., truth == 1] - rankdata(broken, axis=-1)) / n0  # (t, r, n1)
    outranked = 1 - (ranks[..., truth == 0] - rankdata(whole, axis=-1)) / n1  # (t, r, n0)
    aucs = outranks.mean(axis=-1)
    above, below = (placed.reshape(aucs.size, -1) - aucs.reshape(-1, 1) for placed in (outranks, outranked))
    if covariance == "delong":
        errors = above @ above.T / (n1 * (n1 - 1)) + below @ below.T / (n0 * (n0 - 1))
    else:  # without case k the AUC is (n1 · AUC - placement of k) / (n1 - 1), and so for n0
        errors = above @ above.T / (n1 - 1) ** 2 + below @ below.T / (n0 - 1) ** 2
        errors *= (n1 + n0 - 1) / (n1 + n0)
    return aucs, errors.reshape(aucs.shape * 2)


def mean_covariances(errors: NDArray[Any]) -> Covariances:
    """Means of covariances (t, r, t, r) over what shares reader, modality, both or neither; 0 where there is none."""
    t, r = errors.shape[:2]
    whole = errors.sum()
    one = np.einsum("ijij->", errors)
    reader, modality = np.einsum("ijkj->", errors) - one, np.einsum("ijil->", errors) - one
    return Covariances(
        error=float(one / (t * r)),
        cov1=float(reader / (t * (t - 1) * r)) if t > 1 else 0.0,
        cov2=float(modality / (t * r * (r - 1))) if r > 1 else 0.0,
        cov3=float((whole - one - reader - modality) / (t * (t - 1) * r * (r - 1))) if t > 1 and r > 1 else 0.0,
    )


def mean_over_readers(values: NDArray[Any]) -> tuple[float, float, float]:
    """Mean of a share over readers, with its 95 % interval over readers *and* cases, cut at 0 and 1.

    Args:
        values: (readers, cases) of 0 and 1, for example "was found" for the fractured cases, which gives a sensitivity.

    Returns:
        mean, low, high; the ends are NaN for one reader or one case, and where nothing differs.
    """
    values = np.asarray(values, dtype=float)
    readers, cases = values.shape
    if readers < 2 or cases < 2:
        return float(values.mean()), np.nan, np.nan
    shares = values.mean(axis=1)[None]  # (1, readers)
    errors = (np.cov(values) / cases).reshape(1, readers, 1, readers)
    low, high = mean_intervals(shares, errors)[0, 2:].tolist()
    return float(values.mean()), low, high


# --- the analysis of variance -----------------------------------------------------------------------------------------


def f_test(
    aucs: NDArray[Any], errors: NDArray[Any], *, random: Random = Random.BOTH
) -> tuple[float, int, float, float]:
    """F, its two degrees of freedom and p of "all modalities have the same mean AUC"; arrays of `auc_covariances`."""
    noise, df2 = _noise_of_differences(aucs, errors, random)
    df1 = len(aucs) - 1
    f = _ratio(aucs.shape[1] * aucs.mean(axis=1).var(ddof=1), noise)
    p = special.chdtrc(df1, df1 * f) if np.isinf(df2) else special.fdtrc(df1, df2, f)
    return f, df1, df2, float(p)


def _noise(spread: float, shared: float, own: float, readers: int, df: int, random: Random) -> tuple[float, float]:
    """Variance of a mean over readers, times their number, and its degrees of freedom.

    `spread` is the mean square between readers with `df` degrees of freedom, `shared` the covariance between two
    readers and `own` the error variance of one. A covariance that is estimated below 0 counts as 0: two readers of the
    same cases do not err in opposite directions.
    """
    shared = max(shared, 0.0)
    if random == Random.CASES:
        return own + (readers - 1) * shared, np.inf
    if random == Random.READERS:
        return spread, df
    noise = spread + readers * shared
    return noise, df * (noise / spread) ** 2 if spread > NO_NOISE else np.inf


def _noise_of_differences(aucs: NDArray[Any], errors: NDArray[Any], random: Random) -> tuple[float, float]:
    """The denominator of F, and its degrees of freedom, for AUCs (t, r) with covariances (t, r, t, r)."""
    t, r = aucs.shape
    df = (t - 1) * (r - 1)
    rest = aucs - aucs.mean(axis=1, keepdims=True) - aucs.mean(axis=0) + aucs.mean()
    found = mean_covariances(errors)
    spread = float((rest**2).sum() / df) if df else 0.0  # the mean square of modality × reader
    return _noise(spread, found.cov2 - found.cov3, found.error - found.cov1, r, df, random)


def mean_intervals(aucs: NDArray[Any], errors: NDArray[Any], *, random: Random = Random.BOTH) -> NDArray[Any]:
    """For each modality (t, 4): standard error of the mean AUC, degrees of freedom, ends of the 95 % interval."""
    readers = aucs.shape[1]
    rows = []
    for number, own in enumerate(aucs):
        found = mean_covariances(errors[number, :, number, :][None, :, None, :])
        spread = float(own.var(ddof=1)) if readers > 1 else 0.0
        noise, df = _noise(spread, found.cov2, found.error, readers, readers - 1, random)
        error, low, high = _interval(own.mean(), noise / readers, df)
        rows.append((error, df, *np.clip((low, high), 0, 1)))
    return np.array(rows)


def _differences(aucs: NDArray[Any], errors: NDArray[Any], modalities: list[Any], random: Random) -> pd.DataFrame:
    """The table `MultiReader.differences`: every pair, second - first."""
    noise, df = _noise_of_differences(aucs, errors, random)
    means, rows = aucs.mean(axis=1), []
    for one, other in combinations(range(len(modalities)), 2):
        value = means[other] - means[one]
        error, low, high = _interval(value, 2 * noise / aucs.shape[1], df)
        p = 2 * special.stdtr(df, -_ratio(abs(value), error))
        rows.append((modalities[one], modalities[other], value, error, df, low, high, p, verdict_on(low, high)))
    columns = ["first", "second", "difference", "error", "df", "low", "high", "p", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def _interval(value: float, variance: float, df: float) -> tuple[float, float, float]:
    """Standard error and the ends of the 95 % interval by Student's t; NaN ends where there is no noise."""
    if variance <= NO_NOISE:
        return 0.0, np.nan, np.nan
    error = float(np.sqrt(variance))
    half = special.stdtrit(df, 0.975) * error
    return error, value - half, value + half


def _ratio(value: float, noise: float) -> float:
    return float(value / noise) if noise > NO_NOISE else np.nan
