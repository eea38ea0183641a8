"""The panels of notebook 04: their plain functions give the right numbers, and the panels only call them."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from fracturelib.course.widgets.evaluation import cost_panel, cost_view, threshold_panel, threshold_view
from fracturelib.errors import EvaluationError
from fracturelib.evaluation import (
    cheapest_threshold,
    choose_threshold,
    confusion_at,
    cost_table,
    natural_frequencies,
    rates_at,
)
from tests.helpers.predictions import simulated


@pytest.fixture
def validation():
    return simulated(sources=200).assign(split="val")


def test_rates_are_those_of_the_confusion_matrix(validation):
    (cleared, alarms), (missed, found) = confusion_at(validation, 0.4).to_numpy()
    rates = rates_at(validation, 0.4, prevalence=0.5)
    assert rates["sensitivity"] == found / (found + missed) and rates["specificity"] == cleared / (cleared + alarms)
    assert rates["positive predictive value"] == pytest.approx(found / (found + alarms))  # half are fractured here too
    assert np.isnan(rates_at(validation, 1.0, prevalence=0.5)["positive predictive value"])


def test_the_story_counts_patients():
    story = natural_frequencies(0.9, 0.8, 0.1)
    assert "100 have a fracture" in story and "finds 90" in story and "alarms 180" in story


def test_the_cheapest_threshold_is_the_rule_of_the_settings(validation):
    by_rule = choose_threshold(validation, rule="costs=20:1")
    assert cheapest_threshold(validation, miss=20, prevalence=validation["label"].mean()) == pytest.approx(by_rule)


@pytest.mark.parametrize("prevalence", [0.05, 0.6])
def test_no_threshold_is_cheaper_at_another_prevalence(validation, prevalence):
    cheapest = cheapest_threshold(validation, miss=5, prevalence=prevalence)
    thresholds = {str(value): value for value in np.linspace(0.01, 0.99, 99)} | {"cheapest": cheapest}
    costs = cost_table(validation, thresholds, miss=5, prevalence=prevalence)["cost"]
    assert costs.iloc[-1] <= costs.min() + 1  # rounded to whole numbers


def test_dearer_misses_never_raise_the_threshold(validation):
    found = [cheapest_threshold(validation, miss=miss, prevalence=0.3) for miss in (0.5, 1, 5, 50)]
    assert found == sorted(found, reverse=True)


def test_the_views_are_a_figure_a_table_and_a_sentence(validation):
    for view in (
        cost_view(validation, miss=10, prevalence=0.2),
        threshold_view(validation, threshold=0.5, prevalence=0.2),
    ):
        assert [type(part) for part in view] == [Figure, pd.DataFrame, str]


def test_test_rows_are_refused_by_the_costs_panel(validation):
    with pytest.raises(EvaluationError, match="split test"):
        cost_view(validation.assign(split="test"), miss=10, prevalence=0.2)


@pytest.mark.slow
def test_the_panels_know_their_numbers_and_keep_a_still(validation):
    for panel in (
        cost_panel(validation, prevalence=0.4),
        threshold_panel(validation, threshold=0.4321, prevalence=0.4),
    ):
        content = panel.moving.content
        assert sum(content["cells"]["fractured"]) == 100 == sum(content["cells"]["healthy"])
        assert 'alt="' in panel.still() and "Of 1,000 patients" in panel.still() and "<table" in panel.still()
        assert f"Threshold {content['threshold']:.2f}" in panel.still()
    assert cost_panel(validation, prevalence=0.4).moving.content["threshold"] == choose_threshold(validation)
    assert content["threshold"] == 0.4321 and not content["choose"], "only validation images may choose"


@pytest.mark.parametrize("change", [{"label": 1}, {"split": "test"}])
def test_the_costs_panel_says_why_there_is_none(validation, change):
    panel = cost_panel(validation.assign(**change), prevalence=0.4)
    assert ("one class" if "label" in change else "split test") in panel.children[1].value
