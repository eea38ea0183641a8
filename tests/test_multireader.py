"""Multi-reader multi-case analysis: a published study, second implementations, refusals, and its type I error."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from benchmarks.readers import STRUCTURES, roe_metz, type_one_error
from fracturelib.course.figures.reading import readers_by_modality
from fracturelib.course.reader_study import Random, multireader_analysis, simulated_class
from fracturelib.course.reader_study.multireader import (
    auc_covariances,
    f_test,
    mean_covariances,
    mean_over_readers,
)
from fracturelib.course.reader_study.scoring import ratings
from fracturelib.errors import DataWarning, EvaluationError
from fracturelib.writing.verdicts import Verdict


def a_study(t: int = 2, r: int = 4, n: int = 40, *, seed: int = 0, steps: int | None = 6):
    """Scores (t, r, n) of a made-up study, and the truth (n,)."""
    rng = np.random.default_rng(seed)
    truth = (np.arange(n) % 3 == 0).astype(int)
    case = rng.normal(size=n) + 1.2 * truth
    case = case + 0.7 * rng.normal(size=(t, 1, n))
    scores = case + rng.normal(size=(t, r, n)) + truth * rng.normal(0, 0.3, size=(t, r, 1))
    return (np.round(scores * steps / 4) if steps else scores), truth


def as_table(scores: np.ndarray, truth: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {"reader": f"r{j}", "modality": f"m{i}", "case": k, "truth": truth[k], "confidence": scores[i, j, k]}
        for i, j, k in np.ndindex(scores.shape)
    )


# --- a published study ----------------------------------------------------------------------------------------------


# Van Dyke and others' study of aortic dissection (79th RSNA Meeting, 1993), the field's usual example: five readers,
# spin-echo and cine MRI. Each reader's AUCs, the mean covariances of their errors, and what programs for such studies
# print for them: F (chi-square over its degrees of freedom where cases alone are random), its df, and p.
VAN_DYKE = np.array(
    [
        [0.91964573, 0.85877617, 0.90386473, 0.97310789, 0.82979066],
        [0.94782609, 0.90531401, 0.92173913, 0.99935588, 0.92995169],
    ]
)
COVARIANCES = {"error": 0.0008022883, "cov1": 0.0003466137, "cov2": 0.0003440748, "cov3": 0.0002390284}
PUBLISHED = {
    Random.BOTH: (4.456319, 15.25967, 0.05166569),
    Random.CASES: (5.47595, np.inf, 0.0193),
    Random.READERS: (8.70, 4, 0.0420),
}


@pytest.mark.parametrize("random", list(Random))
def test_van_dykes_aucs_and_covariances_give_the_published_test(random):
    one, other = np.eye(2, dtype=bool)[:, None, :, None], np.eye(5, dtype=bool)[None, :, None, :]
    names = np.where(one & other, "error", np.where(other, "cov1", np.where(one, "cov2", "cov3")))
    errors = np.vectorize(COVARIANCES.get)(names)  # (2, 5, 2, 5)
    assert vars(mean_covariances(errors)) == pytest.approx(COVARIANCES)
    f, df1, df2, p = f_test(VAN_DYKE, errors, random=random)
    assert df1 == 1 and (f, df2) == pytest.approx(PUBLISHED[random][:2], rel=1e-3)
    assert p == pytest.approx(PUBLISHED[random][2], abs=6e-5)
    if random == Random.BOTH:  # published with all its digits
        assert (f, df2, p) == pytest.approx(PUBLISHED[random], rel=1e-5)


def test_the_order_of_rows_and_the_unit_of_the_scale_do_not_matter():
    table = as_table(*a_study())
    one = multireader_analysis(table)
    mixed = table.sample(frac=1, random_state=1)
    mixed = mixed.assign(confidence=np.exp(3 * mixed["confidence"]), case="c" + mixed["case"].astype(str))
    other = multireader_analysis(mixed)
    assert (one.f, one.df2, one.p) == pytest.approx((other.f, other.df2, other.p))


# --- second implementations -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("steps", [3, 6, None], ids=["many ties", "few ties", "no ties"])
def test_aucs_and_the_jackknife_are_those_of_leaving_out_case_after_case(steps):
    scores, truth = a_study(r=2, n=25, steps=steps)
    rows = scores.reshape(4, -1)
    without = np.array(
        [[roc_auc_score(np.delete(truth, case), np.delete(row, case)) for row in rows] for case in range(25)]
    )
    found, errors = auc_covariances(scores, truth)
    assert found.ravel() == pytest.approx([roc_auc_score(truth, row) for row in rows])
    expected = (len(truth) - 1) ** 2 / len(truth) * np.cov(without.T)
    assert errors.reshape(expected.shape) == pytest.approx(expected)


def test_delongs_covariances_are_those_of_all_pairs():
    scores, truth = a_study()
    _, errors = auc_covariances(scores, truth, covariance="delong")
    broken, whole = scores[..., truth == 1].reshape(8, -1), scores[..., truth == 0].reshape(8, -1)
    wins = np.heaviside(broken[:, :, None] - whole[:, None, :], 0.5)  # (8, n1, n0)
    expected = np.cov(wins.mean(axis=2)) / broken.shape[1] + np.cov(wins.mean(axis=1)) / whole.shape[1]
    assert errors.reshape(8, 8) == pytest.approx(expected)


@pytest.mark.parametrize("t", [2, 3])
def test_the_f_test_is_that_of_pseudovalues(t):
    """Dorfman, Berbaum and Metz's analysis, an ANOVA of (n AUC - (n-1) AUC without the case): Hillis et al. (2005)."""
    scores, truth = a_study(t=t, seed=4)
    n = len(truth)
    aucs, errors = auc_covariances(scores, truth)
    without = np.stack([auc_covariances(np.delete(scores, k, -1), np.delete(truth, k))[0] for k in range(n)], axis=-1)
    values = n * aucs[..., None] - (n - 1) * without  # (t, r, n)

    def mean_square(*kept):
        """Of the interaction of these axes, by inclusion and exclusion of means."""
        effect = 0
        for signs in np.ndindex(*[2] * len(kept)):
            axes = tuple(axis for axis in range(3) if axis not in [kept[i] for i, s in enumerate(signs) if s])
            effect = effect + (-1) ** (len(kept) - sum(signs)) * values.mean(axis=axes, keepdims=True)
        effect = np.broadcast_to(effect, values.shape)
        return (effect**2).sum() / np.prod([values.shape[axis] - 1 for axis in kept])

    ms_tr = mean_square(0, 1)
    noise = ms_tr + max(mean_square(0, 2) - mean_square(0, 1, 2), 0)
    df2 = noise**2 / (ms_tr**2 / ((t - 1) * (scores.shape[1] - 1)))
    f = mean_square(0) / noise
    assert f_test(aucs, errors) == pytest.approx((f, t - 1, df2, stats.f.sf(f, t - 1, df2)))


def test_with_the_readers_fixed_it_is_delongs_z_of_the_mean_difference():
    scores, truth = a_study(r=5, seed=2)
    found = multireader_analysis(as_table(scores, truth), random=Random.CASES, covariance="delong")
    assert found.covariances.cov2 > found.covariances.cov3
    aucs, errors = auc_covariances(scores, truth, covariance="delong")
    contrast = np.repeat([-1, 1], 5) / 5
    variance = contrast @ errors.reshape(10, 10) @ contrast
    z = contrast @ aucs.ravel() / np.sqrt(variance)
    assert found.differences["error"].item() == pytest.approx(np.sqrt(variance))
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(z)))


def test_with_the_cases_fixed_it_is_a_paired_t_test_and_an_anova_of_repeated_measures():
    scores, truth = a_study(seed=3)
    found = multireader_analysis(as_table(scores, truth), random=Random.READERS)
    expected = stats.ttest_rel(found.aucs["m1"], found.aucs["m0"])
    assert found.p == pytest.approx(expected.pvalue) and found.f == pytest.approx(expected.statistic**2)
    ends = expected.confidence_interval()
    assert found.differences[["low", "high"]].iloc[0].tolist() == pytest.approx([ends.low, ends.high])


def test_three_modalities_have_one_test_and_three_differences():
    found = multireader_analysis(as_table(*a_study(t=3, seed=5)))
    assert found.df1 == 2 and found.differences[["first", "second"]].to_numpy().tolist() == [
        ["m0", "m1"],
        ["m0", "m2"],
        ["m1", "m2"],
    ]
    assert found.differences["df"].eq(found.df2).all()


# --- at the edges ---------------------------------------------------------------------------------------------------


def test_a_covariance_estimated_below_zero_counts_as_zero():
    """Two readers who err on opposite cases: cov2 - cov3 < 0, and only the spread of the readers is left."""
    rng = np.random.default_rng(1)
    truth = np.repeat([0, 1], 15)
    noise = rng.normal(size=30)
    scores = truth + np.array([[noise, -noise], [0.1 * rng.normal(size=30), 0.1 * rng.normal(size=30)]])
    aucs, errors = auc_covariances(scores, truth)
    found = mean_covariances(errors)
    assert found.cov2 < found.cov3
    expected = stats.ttest_rel(aucs[1], aucs[0])
    assert f_test(aucs, errors) == pytest.approx((expected.statistic**2, 1, 1, expected.pvalue))


def test_readers_who_make_no_error_at_all_have_no_test_and_no_interval():
    truth = np.repeat([0, 1], 10)
    found = multireader_analysis(as_table(np.tile(truth, (2, 3, 1)), truth))
    assert np.isnan(found.f) and np.isnan(found.p)
    assert found.differences["difference"].item() == 0 and found.differences["low"].isna().all()
    assert found.differences["verdict"].item() == Verdict.UNKNOWN
    assert found.means["auc"].eq(1).all() and found.means["low"].isna().all()


def test_readers_who_all_gain_the_same_leave_the_noise_of_the_cases():
    one, truth = a_study(r=1, n=60)
    found = multireader_analysis(as_table(np.repeat(one, 3, axis=1), truth))  # three times the same reader
    alone = multireader_analysis(as_table(one, truth), random=Random.CASES)
    assert found.df2 == np.inf and found.p == pytest.approx(alone.p)
    assert found.differences["error"].item() == pytest.approx(alone.differences["error"].item())


def test_the_interval_of_a_mean_ends_at_one():
    scores, truth = a_study(r=2, seed=8)
    found = multireader_analysis(as_table(scores + 4 * truth, truth))
    assert (found.means["high"] <= 1).all() and (found.means["low"] >= 0).all()


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.integers(2, 3), st.integers(2, 5), st.integers(8, 30), st.integers(0, 10_000), st.sampled_from([2, 5, None]))
def test_any_study_has_a_p_between_0_and_1_or_none(t, r, n, seed, steps):
    found = multireader_analysis(as_table(*a_study(t, r, n, seed=seed, steps=steps)))
    assert np.isnan(found.p) or 0 <= found.p <= 1
    assert np.isnan(found.f) or (found.f >= 0 and found.df2 >= (t - 1) * (r - 1) - 1e-9)
    known = found.differences.dropna()
    assert ((known["low"] > 0) | (known["high"] < 0)).eq(known["p"] < 0.05).all(), "interval and test say the same"


# --- what is refused ------------------------------------------------------------------------------------------------


def test_one_reader_is_refused_with_a_cure_that_works():
    scores, truth = a_study(r=1)
    with pytest.raises(EvaluationError, match="1 reader tells nothing about other readers") as refusal:
        multireader_analysis(as_table(scores, truth))
    assert "Random.CASES" in str(refusal.value)
    found = multireader_analysis(as_table(scores, truth), random=Random.CASES, covariance="delong")
    _, errors = auc_covariances(scores, truth, covariance="delong")
    variance = errors[0, 0, 0, 0] + errors[1, 0, 1, 0] - 2 * errors[0, 0, 1, 0]
    assert found.differences["error"].item() == pytest.approx(np.sqrt(variance)), "DeLong's test of two ROC curves"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="truth"), "lack the column truth"),
        (lambda t: t[t["modality"] == "m0"], "nothing to compare"),
        (lambda t: pd.concat([t, t.iloc[:3]]), "3 readings are there twice"),
        (lambda t: t.assign(truth=t["truth"].where(t.index > 0, 1 - t["truth"])), "fractured in one row and not"),
        (lambda t: t.assign(truth=t["truth"] + 1), "neither 0 nor 1"),
        (lambda t: t.assign(confidence="certain"), "320 confidences are no numbers"),
        (lambda t: t.assign(reader=t["reader"].where(t.index > 4)), "without a reader"),
        (lambda t: t[t["truth"] == 1], "14 fractured and 0 other cases"),
        (lambda t: t[(t["truth"] == 1) | (t["case"] == 1)], "14 fractured and 1 other cases"),
        (lambda t: t.assign(truth=-1), "nothing to compare|0 fractured"),
        (lambda t: t.iloc[:0], "nothing to compare"),
        (lambda t: t.iloc[7:], "7 of 320 readings are missing, of 7 of 40 cases"),
        (lambda t: t.assign(confidence=t["confidence"].where(t.index > 0)), "1 of 320 readings are missing"),
        (lambda t: t[(t["reader"] != "r2") | (t["modality"] != "m1")], "reader r2 has none of “m1”"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, message):
    table = as_table(*a_study())
    before = table.copy()
    with pytest.raises(EvaluationError, match=message):
        multireader_analysis(change(table))
    assert table.equals(before)


@pytest.mark.parametrize("options", [{"random": "reader"}, {"covariance": "DeLong"}])
def test_an_analysis_that_does_not_exist_is_refused_and_never_replaced_by_another(options):
    with pytest.raises(EvaluationError, match="there is no analysis with"):
        multireader_analysis(as_table(*a_study()), **options)


def test_what_is_left_to_chance_may_be_given_in_words():
    table = as_table(*a_study())
    found = multireader_analysis(table, random="readers")
    assert found.random is Random.READERS and found.p == multireader_analysis(table, random=Random.READERS).p


def test_missing_readings_leave_whole_cases_out_if_asked_and_it_is_said():
    scores, truth = a_study()
    table = as_table(scores, truth)
    holes = table.drop(index=table.index[(table["case"].isin([3, 4])) & (table["reader"] == "r1")])
    holes = holes.assign(truth=holes["truth"].where(holes["case"] != 9, -1))
    with pytest.warns(DataWarning, match="3 of 40 cases are left out: 2 are not read by everybody .* 1 have no known"):
        found = multireader_analysis(holes, complete_cases=True)
    assert (found.cases, found.left_out) == (37, 3)
    kept = np.setdiff1d(np.arange(40), [3, 4, 9])
    assert found.p == pytest.approx(multireader_analysis(as_table(scores[..., kept], truth[kept])).p)


# --- the mean of a class --------------------------------------------------------------------------------------------


def test_the_mean_of_a_share_counts_readers_and_cases():
    rng = np.random.default_rng(0)
    alike = np.repeat(rng.random((1, 30)) < 0.8, 8, axis=0)  # all readers find the same: only the cases count
    mean, low, high = mean_over_readers(alike)
    error = np.sqrt(mean * (1 - mean) / 29)
    assert (low, high) == pytest.approx((mean - 1.96 * error, min(1, mean + 1.96 * error)), abs=1e-3)
    apart = rng.random((8, 30)) < np.linspace(0.2, 0.9, 8)[:, None]
    mean, low, high = mean_over_readers(apart)
    by_readers = stats.sem(apart.mean(axis=1)) * stats.t.ppf(0.975, 7)
    assert high - low > 1.9 * by_readers, "never narrower than by the readers alone, up to the degrees of freedom"
    for nothing in (np.ones((4, 6)), np.ones((1, 6)), rng.random((1, 5)) < 0.5):
        assert np.isnan(mean_over_readers(nothing)[1:]).all()


# --- the figure and the made-up class -------------------------------------------------------------------------------


def test_each_reader_is_a_line_and_the_mean_has_its_interval():
    found = multireader_analysis(as_table(*a_study()))
    ax = readers_by_modality(found.aucs, found.means, ax=plt.figure().subplots())
    lines = [line.get_ydata() for line in ax.lines if line.get_marker() == "^"]
    assert np.array(lines) == pytest.approx(found.aucs.to_numpy())
    (mean,) = ax.containers
    assert mean.lines[0].get_ydata() == pytest.approx(found.means["auc"])
    low, high = np.array(mean.lines[2][0].get_segments())[:, :, 1].T
    assert low == pytest.approx(found.means["low"]) and high == pytest.approx(found.means["high"])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["m0", "m1"]
    plt.close("all")


def test_a_made_up_class_is_a_table_of_readings_that_can_be_analysed():
    cases = pd.DataFrame({"path": [f"{row}.png" for row in range(20)], "label": [0, 1] * 10})
    made_up = simulated_class(cases, readers=5)
    assert made_up.groupby("reader")["case"].nunique().tolist() == [20] * 5
    alone = made_up.assign(modality="alone", confidence=ratings(made_up["called"], made_up["sure"]))
    helped = alone.assign(modality="with the truth", confidence=alone["confidence"] + made_up["label"])
    found = multireader_analysis(pd.concat([alone, helped]).rename(columns={"label": "truth"}))
    assert found.aucs.shape == (5, 2) and (found.aucs["with the truth"] == 1).all()


# --- how often it is wrong ------------------------------------------------------------------------------------------


def test_scores_of_roe_and_metz_have_the_variances_that_were_asked_for():
    structure = STRUCTURES["low reader variance, high correlation"]
    scores, truth = roe_metz(structure, auc=0.855, readers=4, cases=(4000, 4000), seed=1)
    for label, mean in ((0, 0.0), (1, 1.5)):
        found = scores[..., truth == label]
        assert found.mean() == pytest.approx(mean, abs=0.2)
        assert found.var(axis=-1).mean() == pytest.approx(1, abs=0.05), "the parts of a case sum to 1"
    whole = scores[..., truth == 0]
    assert np.cov(whole[0, 0], whole[0, 1])[0, 1] == pytest.approx(0.6, abs=0.06), "case, and modality with case"
    assert np.cov(whole[0, 0], whole[1, 1])[0, 1] == pytest.approx(0.3, abs=0.06), "case alone"


@pytest.mark.slow
def test_where_nothing_differs_it_says_so_in_nineteen_of_twenty_studies():
    structure = STRUCTURES["high reader variance, low correlation"]
    found = type_one_error(structure, auc=0.855, readers=5, cases=(25, 25), studies=600, seed=0)
    low, high = stats.binom.ppf([0.001, 0.999], 600, 0.05) / 600
    assert low <= found["both"] <= high
    assert found["cases only"] > 0.08, "who counts cases only is wrong too often where readers differ"
