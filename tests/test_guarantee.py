"""The promise behind "no fracture", against simulated patients whose truth is known, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fracturelib.config import TrainConfig, parse_guarantee
from fracturelib.errors import ConfigError, EvaluationError
from fracturelib.evaluation import Combination, choose_combination, choose_limit, combined, fewest_fractures
from fracturelib.report.sections import guarantee


def patients(count, seed, split="val"):
    """Clustered pictures of patients: half of the patients have a fracture, and their pictures resemble each other."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(count):
        skill, ill = rng.normal(), patient % 2
        for _ in range(rng.integers(1, 5)):
            label = ill * int(rng.random() < 0.8)
            score = 1.2 * (2 * label - 1) + skill + 0.5 * rng.normal()
            rows.append((label, 1 / (1 + np.exp(-score)), split, f"s{len(rows)}", f"p{patient}"))
    return pd.DataFrame(rows, columns=["label", "probability", "split", "source_id", "patient_id"])


@pytest.mark.parametrize(("sensitivity", "needed"), [(0.9, 29), (0.95, 59), (0.8, 14)])
def test_the_fewest_fractures_are_what_the_binomial_says(sensitivity, needed):
    assert fewest_fractures(sensitivity) == needed
    assert stats.binom.cdf(0, needed, 1 - sensitivity) <= 0.05 < stats.binom.cdf(0, needed - 1, 1 - sensitivity)


def test_too_few_fractures_are_refused_with_the_number_that_is_needed():
    table = patients(90, 0)
    with pytest.raises(EvaluationError, match="at least 59 are needed"):
        choose_limit(table, guarantee="sensitivity=0.95")
    assert 0 < choose_limit(table, guarantee="sensitivity=0.9") < 1
    assert choose_limit(table, guarantee="none") is None
    with pytest.raises(EvaluationError, match="validation predictions only"):
        choose_limit(table.assign(split="test"), guarantee="sensitivity=0.9")


def test_as_many_are_missed_on_validation_as_the_test_allows():
    table = patients(400, 3)
    limit = choose_limit(table, guarantee="sensitivity=0.95")
    fractured = table[table["label"] == 1].groupby("patient_id")["probability"].min()
    missed, count = (fractured < limit).sum(), len(fractured)
    assert stats.binom.cdf(missed, count, 0.05) <= 0.05 < stats.binom.cdf(missed + 1, count, 0.05)


@pytest.mark.slow
def test_the_promise_is_kept_as_often_as_it_says():
    truth = patients(20_000, 99)
    fractured = truth[truth["label"] == 1]
    kept = 0
    for seed in range(100):
        limit = choose_limit(patients(200, seed), guarantee="sensitivity=0.9")
        kept += (fractured["probability"] >= limit).mean() >= 0.9
    assert kept >= stats.binom.ppf(0.025, 100, 0.95)


def test_the_report_says_what_the_promise_means_for_its_files():
    table = pd.DataFrame({"label": [0, 1, 0, 0, 1], "probability": [0.1, 0.15, 0.3, 0.4, 0.9]})
    record = {"limit": 0.2, "config": {"guarantee": "sensitivity=0.95"}}
    said = guarantee(record, table, threshold=0.5)
    assert "below 0.200 only" in said and "at most 5 %" in said
    assert "said of 2, of which 1 are fractured" in said and said.endswith("a human must look: at 2.")
    assert guarantee({}, table, threshold=0.5) == ""


@pytest.mark.parametrize("text", ["sensitivity", "sensitivity=2", "sensitivity=nan", "specificity=0.9", "", "0.95"])
def test_another_guarantee_is_refused(text):
    with pytest.raises(ConfigError):
        TrainConfig(guarantee=text)
    assert parse_guarantee("sensitivity=0.95") == 0.95


def test_pictures_of_a_patient_are_combined_by_the_rule_that_ranks_patients_better():
    one = pd.DataFrame({"label": [0, 0, 1, 1, 0], "probability": [0.1, 0.6, 0.2, 0.8, 0.5], "split": "val"})
    one["patient_id"] = ["a", "a", "b", "b", None]
    found = combined(one, by="patient_id", rule=Combination.MEAN)
    np.testing.assert_allclose(found["probability"], [0.35, 0.5])
    assert found["label"].tolist() == [0, 1] and found["pictures"].tolist() == [2, 2]
    assert choose_combination(one) == Combination.HIGHEST  # both are perfect
    misleading = one.assign(probability=[0.1, 0.9, 0.7, 0.7, 0.5])
    assert choose_combination(misleading) == Combination.MEAN
