"""The numbers: against scikit-learn and SciPy, by their properties, and where they cannot be estimated."""

import json
import time

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as oracle
from torch import nn
from torch.utils.data import DataLoader, Dataset

from fracturelib.catalog import read_catalog
from fracturelib.errors import EvaluationError
from fracturelib.evaluation import compare, comparison_table, evaluate, predict, predictive_values, worst_errors
from fracturelib.evaluation.baselines import MAJORITY, METADATA, Scored, baseline_predictions
from fracturelib.evaluation.calibration import (
    apply_temperature,
    brier_decomposition,
    calibration_table,
    fit_temperature,
)
from fracturelib.evaluation.comparison import subgroup_table
from fracturelib.evaluation.metrics import METRICS, choose_threshold, scores, weighted_metrics, wilson_interval


@st.composite
def predictions_of_both_classes(draw):
    """Labels and probabilities with many ties."""
    size = draw(st.integers(2, 40))
    labels = draw(st.lists(st.integers(0, 1), min_size=size, max_size=size))
    steps = draw(st.lists(st.integers(0, 16), min_size=size, max_size=size))
    assume(0 < sum(labels) < size)
    return np.array(labels), np.array(steps) / 16


def simulated(sources=120, copies=1, skill=1.0, seed=0):
    """Predictions in which the copies of one source differ little."""
    rng = np.random.default_rng(seed)
    label = np.arange(sources) % 2
    score = rng.normal(skill * (2 * label - 1), 1)
    score = np.repeat(score, copies) + rng.normal(0, 0.1, sources * copies)
    return pd.DataFrame(
        {
            "path": [f"test/IMG{number:05d}.png" for number in range(sources * copies)],
            "label": np.repeat(label, copies),
            "probability": 1 / (1 + np.exp(-score)),
            "source_id": [f"s{source}" for source in np.repeat(np.arange(sources), copies)],
        }
    )


def scored(table, **options):
    options = {"threshold": 0.5, "sources": table["source_id"], "resamples": 300} | options
    return scores(table["label"], table["probability"], **options).set_index("metric")


# --- values -----------------------------------------------------------------------------------------------


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


# --- intervals --------------------------------------------------------------------------------------------


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
    monkeypatch.setattr("fracturelib.evaluation.metrics._CELLS", 1000)
    assert scored(simulated()).loc["auc", ["low", "high"]].notna().all()


def test_a_source_with_files_of_both_classes_is_allowed():
    table = simulated(sources=60)
    table["source_id"] = [f"s{number // 4}" for number in range(60)]
    assert scored(table)["note"].eq("").all()


@pytest.mark.parametrize(("successes", "total"), [(0, 10), (3, 10), (10, 10), (181, 263)])
def test_wilson_interval_agrees_with_scipy(successes, total):
    expected = stats.binomtest(successes, total).proportion_ci(method="wilson")
    assert wilson_interval(successes, total) == pytest.approx(tuple(expected))


# --- what cannot be estimated -----------------------------------------------------------------------------


def no_silent_nan(table):
    return table.loc[table[["value", "low", "high"]].isna().any(axis=1), "note"].str.contains("not estimable").all()


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


# --- threshold --------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(predictions_of_both_classes())
def test_no_threshold_has_a_higher_youden_index(data):
    labels, chances = data
    chances = (1 + 14 * chances) / 16  # inside (0, 1), so that a threshold can lie beyond every file
    threshold = choose_threshold(labels, chances)
    assert 0 < threshold < 1
    false_positives, true_positives, _ = oracle.roc_curve(labels, chances)
    index = (chances[labels == 1] >= threshold).mean() - (chances[labels == 0] >= threshold).mean()
    assert index == pytest.approx((true_positives - false_positives).max())


def test_ties_go_to_the_threshold_nearest_to_one_half():
    assert choose_threshold([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]) == 0.5
    # the index is 0.5 both at 0.15 and at 0.85
    assert choose_threshold([0, 1, 0, 1], [0.1, 0.2, 0.8, 0.9]) == pytest.approx(0.15)
    assert choose_threshold([0, 1], [1.0, 1.0]) == 0.5


def test_neighbours_without_a_middle_are_still_told_apart():
    low = 0.3
    high = np.nextafter(low, 1)
    assert choose_threshold([0, 1], [low, high]) == high


@pytest.mark.parametrize("rule", ["0.3", 0.3])
def test_a_fixed_threshold_is_returned_as_it_is(rule):
    assert choose_threshold([0, 0], [0.5, 0.5], rule=rule) == 0.3


@pytest.mark.parametrize("rule", ["best", 0, 1.5, float("nan")])
def test_an_unknown_rule_is_refused(rule):
    with pytest.raises(EvaluationError, match="threshold rule"):
        choose_threshold([0, 1], [0.2, 0.7], rule=rule)


def test_one_class_gives_no_threshold():
    with pytest.raises(EvaluationError, match="one class"):
        choose_threshold([1, 1], [0.2, 0.7])


# --- calibration ------------------------------------------------------------------------------------------


def test_calibration_table_agrees_with_scikit_learn():
    from sklearn.calibration import calibration_curve

    table = simulated()
    found = calibration_table(table["label"], table["probability"])
    shares, means = calibration_curve(table["label"], table["probability"], n_bins=10)
    np.testing.assert_allclose(found["share_fractured"], shares)
    np.testing.assert_allclose(found["mean_probability"], means)
    gap = (found["n"] * (found["share_fractured"] - found["mean_probability"]).abs()).sum() / len(table)
    assert scored(table).loc["ece", "value"] == pytest.approx(gap)


def test_temperature_undoes_overconfidence_and_keeps_the_ranking():
    rng = np.random.default_rng(0)
    honest = rng.uniform(0.02, 0.98, 4000)
    labels = (rng.uniform(size=4000) < honest).astype(int)
    overconfident = apply_temperature(honest, 1 / 3)
    temperature = fit_temperature(labels, overconfident)
    assert temperature == pytest.approx(3, rel=0.1)
    assert oracle.log_loss(labels, apply_temperature(overconfident, temperature)) < oracle.log_loss(
        labels, overconfident
    )
    np.testing.assert_array_equal(np.argsort(overconfident), np.argsort(apply_temperature(overconfident, temperature)))


def test_brier_decomposition_adds_up_when_bins_are_exact():
    labels, chances = np.tile([0, 0, 1, 0, 1, 1], 20), np.tile([0.25, 0.25, 0.25, 0.75, 0.75, 0.75], 20)
    parts = brier_decomposition(labels, chances)
    total = parts["reliability"] - parts["resolution"] + parts["uncertainty"]
    assert total == pytest.approx(oracle.brier_score_loss(labels, chances))


# --- tables -----------------------------------------------------------------------------------------------


def test_predictive_values_follow_bayes():
    assert predictive_values(0.9, 0.8, 0.5) == pytest.approx((0.9 / 1.1, 0.8 / 0.9))
    assert np.isnan(predictive_values(0.0, 1.0, 0.5)[0])


def test_comparison_puts_models_under_each_other_and_refuses_other_files():
    table = simulated()
    found = comparison_table(
        {"model": Scored(table, 0.5), "noise": (table.sample(frac=1, random_state=0), 0.5)}, resamples=20
    )
    assert list(found.columns[:3]) == ["model", "metric", "value"]
    assert found["value"][: len(METRICS)].tolist() == pytest.approx(found["value"][len(METRICS) :].tolist())
    with pytest.raises(EvaluationError, match="'other' do not match"):
        comparison_table({"model": (table, 0.5), "other": (table[:-1], 0.5)})


def test_paired_comparison_sees_a_difference_only_where_there_is_one():
    good = simulated(skill=1.0)
    worse = good.assign(probability=np.random.default_rng(0).permutation(good["probability"].to_numpy()))
    shuffled = worse.sample(frac=1, random_state=1)
    found = compare((good, 0.5), (shuffled, 0.5), resamples=300).set_index("metric")
    assert found.loc["auc", "verdict"] == "first is higher"
    same = compare((good, 0.5), (good, 0.5), resamples=300)
    assert (same["verdict"] == "no difference shown").all()
    assert same["difference"].eq(0).all()


def test_subgroups_use_columns_with_few_values_and_warn_of_small_groups():
    table = simulated()
    table["region"] = ["hand"] * 110 + ["hip"] * 10
    table["age"] = np.linspace(20, 80, 120)
    found = subgroup_table(table, threshold=0.5, resamples=100).set_index("group")
    assert set(found["column"]) == {"region"}
    assert found.loc["hand", "note"] == ""
    assert "small group: 5 fractured" in found.loc["hip", "note"]
    assert np.isnan(found.loc["hip", "sensitivity_low"])
    assert found.loc["hand", "n"] == 110


def test_subgroups_of_yes_and_no_and_gaps_are_named():
    table = simulated().assign(hardware=[0.0, 1.0, np.nan] * 40)
    found = subgroup_table(table, threshold=0.5, resamples=20)
    assert found["group"].tolist() == ["no", "not stated", "yes"]


def test_worst_errors_come_first():
    table = simulated()
    found = worst_errors(table, threshold=0.5, count=5)
    assert found["error"].is_monotonic_decreasing
    assert ((found["probability"] >= 0.5) != found["label"]).all()
    assert "error" not in table.columns


def test_evaluation_is_json_ready_and_counts_sources():
    table = simulated(sources=60, copies=2)
    result = evaluate(
        table, threshold=0.5, baselines={"none": Scored(table.assign(probability=0.5), 0.5)}, resamples=50
    )
    content = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert (result.n_files, result.n_sources, result.n_fractured) == (120, 60, 60)
    assert content["threshold"] == 0.5
    assert content["confusion"][0]["truth"] == "not fractured"
    assert {row["model"] for row in content["comparison"]} == {"model", "none"}
    assert content["scores"][1]["value"] == result.value("auc")
    assert any("60 original images" in line for line in result.warnings)


def test_evaluation_of_one_class_and_few_files_says_so():
    table = simulated()
    result = evaluate(table[table["label"] == 1][:6], threshold=0.5, resamples=20)
    json.dumps(result.to_dict(), allow_nan=False)
    assert any("only 6 sources" in line for line in result.warnings)
    assert any("every file is fractured" in line for line in result.warnings)


# --- predict ----------------------------------------------------------------------------------------------


class _Numbers(Dataset):
    """Image i is filled with i / 10; its row in the table is i."""

    def __init__(self, table):
        self.table = table

    def __len__(self):
        return len(self.table)

    def __getitem__(self, index):
        return torch.full((3, 2, 2), index / 10), torch.tensor(float(self.table["label"].iloc[index])), index


class _Mean(nn.Module):
    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.9)

    def forward(self, images):
        return self.dropout(images).mean(dim=(1, 2, 3))  # (B,)


@pytest.fixture
def numbers():
    rows = 10
    return _Numbers(
        pd.DataFrame(
            {
                "path": [f"{i}.png" for i in range(rows)],
                "split": "test",
                "label": [i % 2 for i in range(rows)],
                "source_id": [f"s{i}" for i in range(rows)],
                "width": 2,
                "height": 2,
                "truncated": False,
                "sha256": "0",
                "region": "hand",
            },
            index=range(100, 100 + rows),
        )
    )


def test_predict_restores_the_row_order_and_the_mode(numbers):
    model = _Mean().train()
    found = predict(model, DataLoader(numbers, batch_size=3, shuffle=True))
    assert list(found.columns) == ["path", "label", "probability", "source_id", "region"]
    np.testing.assert_allclose(found["probability"], np.arange(10) / 10, atol=1e-6)
    assert found["path"].tolist() == numbers.table["path"].tolist()
    assert model.training


def test_predict_refuses_a_loader_that_drops_files_and_a_model_of_another_shape(numbers):
    with pytest.raises(EvaluationError, match="left out 1 files"):
        predict(_Mean(), DataLoader(numbers, batch_size=3, drop_last=True))
    with pytest.raises(EvaluationError, match="shape"):
        predict(nn.Flatten(), DataLoader(numbers, batch_size=5))


# --- baselines --------------------------------------------------------------------------------------------


def test_baselines_never_look_at_the_bones_and_see_what_gives_the_answer_away(make_tree):
    root = make_tree({"train": 20, "val": 8, "test": 12})
    table = read_catalog(root)
    plain = baseline_predictions(table, progress=False)
    assert plain[MAJORITY].predictions["probability"].eq(0.5).all()
    assert plain[METADATA].predictions["path"].tolist() == table.loc[table["split"] == "test", "path"].tolist()
    given_away = table.assign(width=table["width"] + 40 * table["label"])
    found = baseline_predictions(given_away, root=root, progress=False)[METADATA]
    assert oracle.roc_auc_score(found.predictions["label"], found.predictions["probability"]) == 1
    assert 0 < found.threshold < 1


def test_baselines_judge_another_folder(make_tree):
    table, other = (
        read_catalog(make_tree({"train": 6, "val": 4, "test": 4})),
        read_catalog(make_tree({"test": 4}, seed=1) / "test"),
    )
    found = baseline_predictions(table, test=other, progress=False)
    assert len(found[METADATA].predictions) == 8
    assert 0 < found[METADATA].threshold < 1
    with pytest.raises(EvaluationError, match="train split with both classes"):
        baseline_predictions(table[table["label"] == 1], test=other, progress=False)
