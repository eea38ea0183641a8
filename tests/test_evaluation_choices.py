"""What is chosen on validation: thresholds and the temperature; and what probabilities and calls are worth."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle
from sklearn.calibration import calibration_curve

from fracturelib.config import TrainConfig
from fracturelib.errors import ConfigError, EvaluationError
from fracturelib.evaluation import (
    apply_temperature,
    brier_decomposition,
    calibrated,
    calibration_summary,
    calibration_table,
    choose_temperature,
    choose_threshold,
    describe_rule,
    fit_temperature,
    predictive_value_table,
    predictive_values,
    threshold_on,
)
from fracturelib.evaluation.calibration import Calibration, NoTemperature
from fracturelib.evaluation.thresholds import expected_cost
from fracturelib.writing.verdicts import Reason
from tests.helpers.predictions import predictions_of_both_classes, scored, simulated


def validation(labels, chances, split="val"):
    table = pd.DataFrame({"label": labels, "probability": chances, "split": split})
    return table.assign(source_id=[f"s{number}" for number in range(len(table))])


# --- threshold --------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(predictions_of_both_classes())
def test_no_threshold_has_a_higher_youden_index(data):
    labels, chances = data
    chances = (1 + 14 * chances) / 16  # inside (0, 1), so that a threshold can lie beyond every file
    threshold = choose_threshold(validation(labels, chances))
    assert 0 < threshold < 1
    false_positives, true_positives, _ = oracle.roc_curve(labels, chances)
    index = (chances[labels == 1] >= threshold).mean() - (chances[labels == 0] >= threshold).mean()
    assert index == pytest.approx((true_positives - false_positives).max())


def test_ties_go_to_the_threshold_nearest_to_one_half():
    assert choose_threshold(validation([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])) == 0.5
    # the index is 0.5 both at 0.15 and at 0.85
    assert choose_threshold(validation([0, 1, 0, 1], [0.1, 0.2, 0.8, 0.9])) == pytest.approx(0.15)
    assert choose_threshold(validation([0, 1], [1.0, 1.0])) == 0.5


def test_neighbours_without_a_middle_are_still_told_apart():
    low = 0.3
    high = np.nextafter(low, 1)
    assert choose_threshold(validation([0, 1], [low, high])) == high


@pytest.mark.parametrize("rule", ["0.3", 0.3])
def test_a_fixed_threshold_is_returned_as_it_is(rule):
    assert choose_threshold(validation([0, 0], [0.5, 0.5]), rule=rule) == 0.3


@pytest.mark.parametrize("rule", ["best", 0, 1.5, float("nan")])
def test_an_unknown_rule_is_refused(rule):
    with pytest.raises(EvaluationError, match="threshold rule"):
        choose_threshold(validation([0, 1], [0.2, 0.7]), rule=rule)


def test_one_class_gives_no_threshold():
    with pytest.raises(EvaluationError, match="one class"):
        choose_threshold(validation([1, 1], [0.2, 0.7]))


@settings(max_examples=30, deadline=None)
@given(predictions_of_both_classes(), st.sampled_from([0.5, 0.8, 0.95, 1.0]))
def test_the_sensitivity_rule_holds_and_no_higher_threshold_would(data, least):
    labels, chances = data
    chances = (1 + 14 * chances) / 16
    threshold = choose_threshold(validation(labels, chances), rule=f"sensitivity={least}")
    positives, others = chances[labels == 1], chances[labels == 0]
    assert (positives >= threshold).mean() >= least
    for higher in chances[chances > threshold]:  # between two files nothing changes
        cleared = (others < np.nextafter(higher, 1)).mean() > (others < threshold).mean()
        assert (positives >= np.nextafter(higher, 1)).mean() < least or not cleared


@settings(max_examples=30, deadline=None)
@given(predictions_of_both_classes(), st.sampled_from([(20, 1), (1, 1), (1, 7.5)]))
def test_no_threshold_costs_less(data, costs):
    labels, chances = data
    chances = (1 + 14 * chances) / 16

    def cost(threshold):
        called = chances >= threshold
        return costs[0] * (~called & (labels == 1)).sum() + costs[1] * (called & (labels == 0)).sum()

    threshold = choose_threshold(validation(labels, chances), rule=f"costs={costs[0]}:{costs[1]}")
    assert cost(threshold) == pytest.approx(min(cost(value) for value in [0, *np.nextafter(chances, 1)]))
    sensitivity, specificity = (chances[labels == 1] >= threshold).mean(), (chances[labels == 0] < threshold).mean()
    expected = expected_cost(sensitivity, specificity, share=labels.mean(), miss=costs[0], false_alarm=costs[1])
    assert expected == pytest.approx(cost(threshold) / len(labels))


def test_a_calibrated_model_is_cut_near_the_textbook_threshold():
    rng = np.random.default_rng(0)
    chances = rng.uniform(size=20_000)
    labels = (rng.uniform(size=20_000) < chances).astype(int)
    # call a fracture as soon as p * 4 > (1 - p) * 1
    assert choose_threshold(validation(labels, chances), rule="costs=4:1") == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize("choose", [choose_threshold, fit_temperature])
def test_choosing_takes_validation_rows_only(choose):
    good = validation([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])
    choose(good)
    with pytest.raises(EvaluationError, match="4 of the 4 rows are of the split test"):
        choose(good.assign(split="test"))
    with pytest.raises(EvaluationError, match="1 of the 4 rows are of the split train"):
        choose(good.assign(split=["val", "val", "train", "val"]))
    with pytest.raises(EvaluationError, match="do not say of which split"):
        choose(good.drop(columns="split"))
    with pytest.raises(EvaluationError, match="one class"):
        choose(good.assign(label=1))


@pytest.mark.parametrize(
    "rule", ["sensitivity=0", "sensitivity=1.2", "sensitivity=", "costs=20", "costs=0:1", "costs=inf:1", "costs=a:b",
             "youden=1", "0.5=3", ""],
)  # fmt: skip
def test_a_rule_out_of_range_is_refused_by_the_settings(rule):
    with pytest.raises(ConfigError, match="threshold"):
        TrainConfig(threshold=rule)


@pytest.mark.parametrize("rule", ["youden", "sensitivity=0.9", "costs=20:1", "0.3"])
def test_a_rule_is_a_setting_and_is_told_in_words(rule):
    assert TrainConfig(threshold=rule).threshold == rule
    assert "validation" in describe_rule(rule) or "fixed" in describe_rule(rule)


# --- calibration ------------------------------------------------------------------------------------------


def test_calibration_table_agrees_with_scikit_learn():
    table = simulated()
    found = calibration_table(table["label"], table["probability"])
    shares, means = calibration_curve(table["label"], table["probability"], n_bins=10)
    np.testing.assert_allclose(found["share_fractured"], shares)
    np.testing.assert_allclose(found["mean_probability"], means)
    gap = (found["n"] * (found["share_fractured"] - found["mean_probability"]).abs()).sum() / len(table)
    assert scored(table).loc["ece", "value"] == pytest.approx(gap)


@pytest.mark.parametrize("digits", [1, 2])
def test_edges_of_bins_are_those_of_scikit_learn(digits):
    table = simulated(sources=300).round({"probability": digits})  # many lie exactly on an edge
    found = calibration_table(table["label"], table["probability"])
    shares, _ = calibration_curve(table["label"], table["probability"], n_bins=10)
    np.testing.assert_allclose(found["share_fractured"], shares)


def test_temperature_undoes_overconfidence_and_keeps_the_ranking():
    rng = np.random.default_rng(0)
    honest = rng.uniform(0.02, 0.98, 4000)
    labels = (rng.uniform(size=4000) < honest).astype(int)
    overconfident = apply_temperature(honest, 1 / 3)
    temperature = fit_temperature(validation(labels, overconfident))
    assert temperature == pytest.approx(3, rel=0.1)
    assert oracle.log_loss(labels, apply_temperature(overconfident, temperature)) < oracle.log_loss(
        labels, overconfident
    )
    np.testing.assert_array_equal(np.argsort(overconfident), np.argsort(apply_temperature(overconfident, temperature)))


@given(st.floats(0.06, 15), st.lists(st.floats(0, 1, width=32), min_size=2, max_size=40), st.floats(0.001, 0.999))
def test_no_call_changes_when_threshold_and_probabilities_are_calibrated(temperature, chances, threshold):
    table = pd.DataFrame({"probability": chances})
    temperature = max(temperature, 0.55)  # as `fit_temperature` sees to it, whatever the probabilities
    found = calibrated(table, temperature)
    assert (found["raw"] == table["probability"]).all()
    told_apart = np.abs(np.array(chances) - threshold) > 1e-9
    called = found["probability"] >= threshold_on(threshold, temperature)
    np.testing.assert_array_equal(called[told_apart], (np.array(chances) >= threshold)[told_apart])


def test_a_temperature_is_chosen_where_it_helps_and_refused_where_it_does_not():
    rng = np.random.default_rng(1)
    honest = rng.uniform(0.02, 0.98, 400)
    labels = (rng.uniform(size=400) < honest).astype(int)
    found = choose_temperature(validation(labels, apply_temperature(honest, 1 / 3)))
    assert found.temperature == found.fitted and found.gain > found.error
    for good in (honest, np.full(400, labels.mean())):
        kept = choose_temperature(validation(labels, good))
        assert kept.temperature is None and kept.reason == NoTemperature.NO_HELP and kept.fitted > 0
    alone = choose_temperature(validation(np.ones(4), np.full(4, 0.7)))
    assert alone == Calibration(None, reason=NoTemperature.ONE_CLASS)


def test_files_told_apart_without_an_error_keep_different_probabilities():
    labels, chances = np.tile([0, 1], 20), np.tile([0.1, 0.9], 20) + np.linspace(0, 0.09, 40)
    found = apply_temperature(chances, fit_temperature(validation(labels, chances)))
    assert len(np.unique(found)) == 40 and found.max() < 1


def test_brier_decomposition_adds_up_when_bins_are_exact():
    labels, chances = np.tile([0, 0, 1, 0, 1, 1], 20), np.tile([0.25, 0.25, 0.25, 0.75, 0.75, 0.75], 20)
    parts = brier_decomposition(labels, chances)
    total = parts["reliability"] - parts["resolution"] + parts["uncertainty"]
    assert total == pytest.approx(oracle.brier_score_loss(labels, chances))


@settings(max_examples=30, deadline=None)
@given(predictions_of_both_classes())
def test_brier_decomposition_adds_up_exactly_with_its_rest(data):
    parts = brier_decomposition(*data)
    total = parts["reliability"] - parts["resolution"] + parts["uncertainty"] + parts["within_bins"]
    assert total == pytest.approx(oracle.brier_score_loss(*data))


def test_the_summary_shows_before_and_after():
    table = simulated(sources=400)
    found = calibration_summary(table["label"], table["probability"], temperature=2.0).set_index("quantity")
    after = apply_temperature(table["probability"], 2.0)
    assert found.loc["brier", "as_trained"] == pytest.approx(
        oracle.brier_score_loss(table["label"], table["probability"])
    )
    assert found.loc["brier", "with_temperature"] == pytest.approx(oracle.brier_score_loss(table["label"], after))
    assert found.loc["log_loss", "with_temperature"] == pytest.approx(oracle.log_loss(table["label"], after))
    assert found.loc["ece", "as_trained"] == pytest.approx(scored(table).loc["ece", "value"])
    assert "with_temperature" not in calibration_summary(table["label"], table["probability"], temperature=None)


# --- what a call is worth ---------------------------------------------------------------------------------


def test_predictive_values_follow_bayes():
    assert predictive_values(0.9, 0.8, 0.5) == pytest.approx((0.9 / 1.1, 0.8 / 0.9))
    assert np.isnan(predictive_values(0.0, 1.0, 0.5)[0])


def test_at_the_prevalence_of_the_data_predictive_values_are_those_of_the_data():
    table = simulated(sources=200)
    row = predictive_value_table(table, threshold=0.5, prevalences=(0.5,), resamples=500).iloc[0]
    own = scored(table, resamples=500)
    assert (row["ppv"], row["npv"]) == pytest.approx(tuple(own.loc[["ppv", "npv"], "value"]))
    assert row["ppv_low"] < row["ppv"] < row["ppv_high"]
    assert (row["ppv_low"], row["ppv_high"]) == pytest.approx(tuple(own.loc["ppv", ["low", "high"]]), abs=0.02)


def test_predictive_values_that_cannot_be_estimated_say_so():
    table = simulated(sources=12)
    few = predictive_value_table(table, threshold=0.5, resamples=50)
    assert few["ppv"].notna().all() and few["ppv_low"].isna().all()
    assert (few["ppv_reason"] == Reason.FEW_PER_CLASS).all()
    one_class = predictive_value_table(table[table["label"] == 1], threshold=0.5, resamples=50)
    assert (one_class["npv_reason"] == Reason.ONE_CLASS).all()
    never = predictive_value_table(simulated(), threshold=1.0, resamples=50)
    assert (never["ppv_reason"] == Reason.NOT_CALLED_SO).all()
    with pytest.raises(EvaluationError, match="prevalence"):
        predictive_value_table(table, threshold=0.5, prevalences=(2,))
