"""The numbers: against scikit-learn and SciPy, by their properties, and where they cannot be estimated."""

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as oracle

from fracturelib.errors import EvaluationError
from fracturelib.evaluation import evaluate, mean_interval, scores, units_of, wilson_interval
from fracturelib.evaluation.metrics import METRICS, weighted_metrics
from fracturelib.writing.verdicts import Reason
from tests.helpers.predictions import predictions_of_both_classes, scored, simulated

# --- values ------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(predictions_of_both_classes(), st.sampled_from([0.25, 0.5, 0.51]))
def test_values_agree_with_scikit_learn(data, threshold):
    labels, chances = data
    found = scores(labels, chances, threshold=threshold, resamples=1).set_index("metric")["value"]
    called = chances >= threshold
    assert found["auc"] == pytest.approx(oracle.roc_auc_score(labels, chances))
    assert found["average_precision"] == pytest.approx(oracle.average_precision_score(labels, chances))
    assert found["brier"] == pytest.approx(oracle.brier_score_loss(labels, chances))
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(labels, called))
    assert found["sensitivity"] == pytest.approx(oracle.recall_score(labels, called))
    assert found["specificity"] == pytest.approx(oracle.recall_score(labels, called, pos_label=0))
    if called.any():
        assert found["ppv"] == pytest.approx(oracle.precision_score(labels, called))
    else:
        assert np.isnan(found["ppv"])


@settings(max_examples=30, deadline=None)
@given(predictions_of_both_classes(), st.integers(0, 1000))
def test_weights_act_as_repeated_files(data, seed):
    labels, chances = data
    counts = np.random.default_rng(seed).integers(0, 4, len(labels))
    assume(len(set(labels[counts > 0])) == 2)
    found = weighted_metrics(labels, chances, threshold=0.5, weights=counts[None].astype(float))
    repeated = weighted_metrics(
        np.repeat(labels, counts), np.repeat(chances, counts), threshold=0.5, weights=np.ones((1, counts.sum()))
    )
    for metric in METRICS:
        np.testing.assert_allclose(found[metric], repeated[metric], err_msg=metric)


@settings(max_examples=40, deadline=None)
@given(predictions_of_both_classes())
def test_auc_ignores_monotone_maps_and_mirrors_with_the_labels(data):
    labels, chances = data
    auc = scores(labels, chances, threshold=0.5, resamples=1)["value"][1]
    assert scores(labels, chances**3, threshold=0.5, resamples=1)["value"][1] == pytest.approx(auc)
    assert scores(1 - labels, chances, threshold=0.5, resamples=1)["value"][1] == pytest.approx(1 - auc)


def test_sensitivity_and_specificity_swap_with_the_classes():
    table = simulated()
    straight = scored(table)["value"]
    mirrored = scored(table.assign(label=1 - table["label"], probability=1 - table["probability"]))["value"]
    assert straight["sensitivity"] == pytest.approx(mirrored["specificity"])
    assert straight["ppv"] == pytest.approx(mirrored["npv"])


def test_report_and_confusion_agree_with_scikit_learn():
    table = simulated()
    result = evaluate(table, threshold=0.4, resamples=50)
    called = (table["probability"] >= 0.4).astype(int)
    assert (result.confusion.to_numpy() == oracle.confusion_matrix(table["label"], called)).all()
    expected = oracle.classification_report(table["label"], called, output_dict=True)
    assert result.report.loc["fractured", "f1-score"] == pytest.approx(expected["1"]["f1-score"])
    assert result.report.loc["not fractured", "support"] == expected["0"]["support"]
    assert list(result.confusion.index) == ["not fractured", "fractured"]


# --- intervals ----------------------------------------------------------------------------------------


def test_intervals_agree_with_scipy_where_every_file_is_a_source():
    table = simulated(sources=150)
    found = scored(table, resamples=4000)
    groups = [table.loc[table["label"] == label, "probability"].to_numpy() for label in (0, 1)]

    def auc(negative, positive, axis=-1):
        return (positive[..., :, None] > negative[..., None, :]).mean(axis=(-2, -1))

    options = {"method": "percentile", "vectorized": True, "n_resamples": 2000, "rng": 1, "batch": 200}
    expected = stats.bootstrap(groups, auc, **options).confidence_interval
    assert (found.loc["auc", "low"], found.loc["auc", "high"]) == pytest.approx(tuple(expected), abs=0.006)
    hits = (groups[1] >= 0.5).astype(float)
    expected = stats.bootstrap([hits], np.mean, **options).confidence_interval
    row = found.loc["sensitivity"]
    assert (row["low"], row["high"]) == pytest.approx(tuple(expected), abs=0.015)


def test_copies_add_no_certainty():
    once, copied = simulated(sources=60), simulated(sources=60, copies=10)
    width = {
        name: row["high"] - row["low"]
        for name, row in {
            "once": scored(once).loc["auc"],
            "by source": scored(copied).loc["auc"],
            "by file": scored(copied, sources=None).loc["auc"],
        }.items()
    }
    assert width["by source"] == pytest.approx(width["once"], rel=0.25)
    assert width["by file"] < 0.5 * width["by source"]


@pytest.mark.slow
def test_the_interval_over_sources_covers_the_truth_and_the_one_over_files_does_not():
    truth = stats.norm.cdf(1.0)  # sensitivity at 0.5 of a score drawn from N(1, 1)
    covered = {"source": [], "file": []}
    for seed in range(80):
        table = simulated(sources=100, copies=6, seed=seed)
        table = table[table["label"] == 1]
        for by, sources in (("source", table["source_id"]), ("file", None)):
            row = scored(table, sources=sources, resamples=200, seed=seed).loc["sensitivity"]
            covered[by].append(row["low"] <= truth <= row["high"])
    assert np.mean(covered["source"]) > 0.88
    assert np.mean(covered["file"]) < 0.6


def test_two_thousand_resamples_of_500_predictions_take_less_than_a_second():
    table = simulated(sources=250, copies=2)
    start = time.perf_counter()
    scored(table, resamples=2000)
    assert time.perf_counter() - start < 1


def test_intervals_repeat_with_the_seed_and_differ_without():
    table = simulated()
    pd.testing.assert_frame_equal(scored(table, seed=3), scored(table, seed=3))
    assert scored(table, seed=3).loc["auc", "low"] != scored(table, seed=4).loc["auc", "low"]


def test_memory_bound_blocks_give_all_resamples(monkeypatch):
    monkeypatch.setattr("fracturelib.evaluation.intervals._CELLS", 1000)
    assert scored(simulated()).loc["auc", ["low", "high"]].notna().all()


def test_a_source_with_files_of_both_classes_is_allowed():
    table = simulated(sources=60)
    table["source_id"] = [f"s{number // 4}" for number in range(60)]
    assert scored(table)["reason"].eq(Reason.NONE).all()


@pytest.mark.parametrize(("successes", "total"), [(0, 10), (3, 10), (10, 10), (181, 263)])
def test_wilson_interval_agrees_with_scipy(successes, total):
    expected = stats.binomtest(successes, total).proportion_ci(method="wilson")
    assert wilson_interval(successes, total) == pytest.approx(tuple(expected))


def test_views_of_one_patient_count_once():
    table = simulated(sources=80)
    table["patient_id"] = [f"p{number // 4}" for number in range(80)]
    table["patient_id"] = table["patient_id"].where(table.index < 40, None)
    assert units_of(table).count == 10 + 40
    assert "unknown" in units_of(table).name
    all_known = table.assign(patient_id=[f"p{number // 4}" for number in range(80)])
    assert units_of(all_known).name == "patients" and units_of(all_known).count == 20
    assert units_of(table.drop(columns="patient_id")).name == "sources"
    assert units_of(table.assign(patient_id=None)).count == 80


def test_a_source_in_two_patients_joins_them():
    table = pd.DataFrame({"source_id": ["a", "a", "b", "c"], "patient_id": ["p", "q", "q", "r"]})
    assert units_of(table).codes.tolist() == [0, 0, 0, 1]


def test_intervals_over_patients_are_wider_when_their_views_agree():
    table = simulated(sources=60, copies=4)
    table["source_id"] = [f"file{number}" for number in range(len(table))]  # each view is an original image
    by_file = evaluate(table, threshold=0.5, resamples=300).scores.set_index("metric").loc["auc"]
    table["patient_id"] = [f"p{number // 4}" for number in range(len(table))]
    by_patient = evaluate(table, threshold=0.5, resamples=300).scores.set_index("metric").loc["auc"]
    assert by_patient["unit"] == "patients" and by_patient["units"] == 60 and by_patient["n"] == 240
    assert by_patient["high"] - by_patient["low"] > 1.5 * (by_file["high"] - by_file["low"])


def test_wilson_stands_beside_the_bootstrap_only_where_files_are_independent():
    single, copied = scored(simulated(sources=100)), scored(simulated(sources=50, copies=2))
    row = single.loc["sensitivity"]
    assert (row["wilson_low"], row["wilson_high"]) == pytest.approx((row["low"], row["high"]), abs=0.05)
    assert copied["wilson_low"].isna().all()
    assert np.isnan(single.loc["auc", "wilson_low"])


def test_the_interval_of_a_mean_agrees_with_scipy():
    values = np.random.default_rng(0).exponential(size=80)
    found = mean_interval(values, np.arange(80), resamples=4000)
    expected = stats.bootstrap([values], np.mean, method="percentile", n_resamples=4000, rng=1).confidence_interval
    assert (found["low"], found["high"]) == pytest.approx(tuple(expected), abs=0.02)
    assert mean_interval([], np.arange(0))["reason"] == Reason.NO_FILES


# --- what cannot be estimated -----------------------------------------------------------------------------


def no_silent_nan(table):
    return table.loc[table[["value", "low", "high"]].isna().any(axis=1), "reason"].ne(Reason.NONE).all()


def test_few_sources_have_values_but_no_intervals():
    found = scored(simulated(sources=8, copies=5))
    assert found["value"].notna().all()
    assert found["low"].isna().all()
    assert no_silent_nan(found)


def test_one_class_keeps_what_is_defined():
    table = simulated()
    found = scored(table[table["label"] == 1])
    assert found.loc["sensitivity", ["value", "low", "high"]].notna().all()
    assert found.loc[["auc", "specificity"], "value"].isna().all()
    assert no_silent_nan(found)


def test_a_perfect_score_has_a_wilson_interval_instead_of_none():
    table = simulated().assign(probability=lambda rows: 0.2 + 0.6 * rows["label"] + np.linspace(0, 0.1, len(rows)))
    found = scored(table)
    assert found.loc["sensitivity", "high"] == 1
    assert 0.9 < found.loc["sensitivity", "low"] < 1
    assert np.isnan(found.loc["auc", "low"])
    assert no_silent_nan(found)


def test_a_constant_prediction_is_described_without_intervals():
    found = scored(simulated().assign(probability=0.4))
    assert found.loc["auc", "value"] == 0.5
    assert no_silent_nan(found)


@pytest.mark.parametrize(
    ("labels", "chances", "words"),
    [
        ([0, 1], [0.2, np.nan], "not numbers between 0 and 1"),
        ([0, 1], [0.2, 1.2], "not numbers between 0 and 1"),
        ([0, 2], [0.2, 0.3], "labels must be"),
        ([0, 1], [0.2], "do not match"),
        ([], [], "no predictions"),
    ],
)
def test_bad_predictions_are_refused(labels, chances, words):
    with pytest.raises(EvaluationError, match=words):
        scores(labels, chances, threshold=0.5)


def test_a_file_without_a_source_is_refused():
    with pytest.raises(EvaluationError, match="source"):
        scores([0, 1], [0.2, 0.3], threshold=0.5, sources=["a", None])
