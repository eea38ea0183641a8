"""Tables of whole results: comparisons, drops, subgroups, evaluations, predictions, baselines."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics as oracle
from torch import nn
from torch.utils.data import DataLoader, Dataset

from fracturelib.catalog import read_catalog
from fracturelib.errors import EvaluationError
from fracturelib.evaluation import (
    Scored,
    baseline_predictions,
    compare,
    comparison_table,
    drop_table,
    evaluate,
    least_certain,
    predict,
    subgroup_table,
    worst_errors,
)
from fracturelib.evaluation.baselines import MAJORITY, METADATA
from fracturelib.evaluation.metrics import METRICS
from fracturelib.writing.verdicts import Caution, Reason, Verdict
from tests.helpers.predictions import simulated


def test_comparison_puts_models_under_each_other_and_refuses_other_files():
    table = simulated()
    found = comparison_table(
        {"model": Scored(table, 0.5), "noise": Scored(table.sample(frac=1, random_state=0), 0.5)}, resamples=20
    )
    assert list(found.columns[:3]) == ["model", "metric", "value"]
    assert found["value"][: len(METRICS)].tolist() == pytest.approx(found["value"][len(METRICS) :].tolist())
    with pytest.raises(EvaluationError, match="'other' do not match"):
        comparison_table({"model": Scored(table, 0.5), "other": Scored(table[:-1], 0.5)})


def test_paired_comparison_sees_a_difference_only_where_there_is_one():
    good = simulated(skill=1.0)
    worse = good.assign(probability=np.random.default_rng(0).permutation(good["probability"].to_numpy()))
    shuffled = worse.sample(frac=1, random_state=1)
    found = compare(Scored(good, 0.5), Scored(shuffled, 0.5), resamples=300).set_index("metric")
    assert found.loc["auc", "verdict"] == Verdict.HIGHER
    same = compare(Scored(good, 0.5), Scored(good, 0.5), resamples=300)
    assert (same["verdict"] == Verdict.NEITHER).all()
    assert same["difference"].eq(0).all()


def test_subgroups_use_columns_with_few_values_and_warn_of_small_groups():
    table = simulated()
    table["region"] = ["hand"] * 110 + ["hip"] * 10
    table["age"] = np.linspace(20, 80, 120)
    found = subgroup_table(table, threshold=0.5, resamples=100).set_index("group")
    assert set(found["column"]) == {"region"}
    assert found.loc["hand", "reason"] == Reason.NONE
    assert found.loc["hip", "reason"] == Reason.FEW_PER_CLASS
    assert found.loc["hip", ["units_with", "units_without"]].tolist() == [5, 5]
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
    assert any("60 sources" in line for line in result.warnings) and Caution.MANY_FILES in result.cautions


def test_evaluation_of_one_class_and_few_files_says_so():
    table = simulated()
    result = evaluate(table[table["label"] == 1][:6], threshold=0.5, resamples=20)
    json.dumps(result.to_dict(), allow_nan=False)
    assert any("only 6 sources" in line for line in result.warnings)
    assert any("every file is fractured" in line for line in result.warnings)
    assert result.cautions == [Caution.NO_INTERVALS, Caution.ONE_CLASS]
    assert result.to_dict()["warnings"] == result.warnings


def test_predictions_of_other_contents_under_the_same_names_are_refused():
    table = simulated().assign(sha256="a")
    with pytest.raises(EvaluationError, match="another content"):
        compare(Scored(table, 0.5), Scored(table.assign(sha256="b"), 0.5))
    older = Scored(table.drop(columns="sha256"), 0.5)  # which knows no contents
    compare(Scored(table, 0.5), older, resamples=10)


def test_paired_intervals_are_narrower_than_those_of_a_drop():
    table = simulated(sources=200)
    other = table.assign(probability=np.clip(table["probability"] + 0.02, 0, 1))
    paired, apart = compare(Scored(other, 0.5), Scored(table, 0.5)), drop_table(Scored(table, 0.5), Scored(other, 0.5))
    width = [(found["high"] - found["low"]).set_axis(found["metric"])["auc"] for found in (paired, apart)]
    assert width[0] < 0.3 * width[1]
    assert paired["difference"].tolist() == pytest.approx(apart["difference"].tolist())


def test_a_drop_is_negative_and_said():
    inside, elsewhere = simulated(sources=300, skill=2), simulated(sources=200, skill=0.3, seed=1)
    found = drop_table(Scored(inside, 0.5), Scored(elsewhere, 0.5), resamples=300).set_index("metric").loc["auc"]
    assert found["difference"] < 0 and found["verdict"] == Verdict.LOWER
    assert (found["first"], found["second"]) == pytest.approx(
        tuple(oracle.roc_auc_score(table["label"], table["probability"]) for table in (elsewhere, inside))
    )


@pytest.mark.parametrize("rows", [slice(0, 12), slice(0, None, 2)])  # few of both classes, one class
def test_a_difference_that_cannot_be_estimated_says_so(rows):
    table = simulated()[rows]
    constant = Scored(table.assign(probability=0.4), 0.5)
    for found in (compare(Scored(table, 0.5), constant), drop_table(Scored(table, 0.5), Scored(table, 0.3))):
        unknown = found[["difference", "low", "high"]].isna().any(axis=1)
        assert unknown.any()
        assert (found.loc[unknown, "verdict"] == Verdict.UNKNOWN).all()
        assert (found.loc[unknown, "reason"] != Reason.NONE).all()


def test_every_gap_in_a_subgroup_table_is_explained():
    table = simulated(sources=60).assign(
        fracture_type=lambda rows: np.where(rows["label"] == 1, "spiral", None),
        view=["frontal"] * 52 + ["lateral"] * 8,
    )
    found = subgroup_table(table, threshold=0.5, resamples=50)
    gaps = found.filter(regex="auc|sensitivity|specificity").isna().any(axis=1)
    assert gaps.any() and (found.loc[gaps, "reason"] != Reason.NONE).all()
    assert "no fracture" in set(found["group"])


def test_conspicuity_is_cut_into_thirds_of_the_fractures():
    table = simulated().assign(conspicuity=lambda rows: np.where(rows["label"] == 1, np.arange(len(rows)), np.nan))
    found = subgroup_table(table, threshold=0.5, resamples=20).set_index("group")
    assert found.loc[["1 hard to see", "2 medium", "3 easy to see"], "n"].tolist() == [20, 20, 20]
    assert found.loc["no fracture", "n_fractured"] == 0


def test_the_least_certain_lie_nearest_to_the_threshold():
    table = simulated()
    found = least_certain(table, threshold=0.3, count=5)
    assert found["distance"].is_monotonic_increasing and len(found) == 5
    assert found["distance"].iloc[0] == pytest.approx(
        np.abs(np.log(table["probability"] / (1 - table["probability"])) - np.log(0.3 / 0.7)).min()
    )


def test_an_evaluation_with_a_temperature_changes_no_call():
    table = simulated()
    plain, cooled = (evaluate(table, threshold=0.4, temperature=value, resamples=20) for value in (None, 3.0))
    pd.testing.assert_frame_equal(plain.scores, cooled.scores)
    assert plain.to_dict()["temperature"] is None


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
    assert list(found.columns) == ["path", "label", "probability", "source_id", "split", "region", "sha256"]
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


def test_tables_with_gaps_or_repeated_files_are_refused():
    table = simulated(sources=20)
    with pytest.raises(EvaluationError, match="no column source_id"):
        evaluate(table.drop(columns="source_id"), threshold=0.5)
    twice = pd.concat([table, table[:1]])
    with pytest.raises(EvaluationError, match="twice"):
        compare(Scored(twice, 0.5), Scored(twice, 0.5))
    with pytest.raises(EvaluationError, match="not numbers between 0 and 1"):
        evaluate(table.assign(probability=table["probability"].where(table.index > 0)), threshold=0.5)
