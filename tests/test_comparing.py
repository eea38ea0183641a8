"""Runs side by side, from the command line: compare, and the external test with its drop and its report."""

import json
import shutil

import pandas as pd
import pytest

from fracturelib.cli import main
from fracturelib.comparing import compare_runs, drop_from_run, saved_predictions
from fracturelib.errors import EvaluationError, RunError
from fracturelib.pipeline import evaluate_run
from fracturelib.runs import load_run
from tests.helpers.runs import as_first_format

QUICK = ("--weights", "none", "--image-size", "32", "--epochs", "1", "--views", "1", "--batch-size", "8")

# What uses this is slow.
SLOW_FIXTURES = ("run_folder",)


@pytest.fixture(scope="module")
def run_folder(tiny_data, tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    options = ("--data", str(tiny_data), "--runs", str(runs), "--name", "first", "--threshold", "sensitivity=0.9")
    assert main(["train", *options, *QUICK]) == 0
    return runs / "first"


@pytest.fixture
def other(run_folder, tmp_path):
    """A second run: the first with other predictions, in a format that names no hashes."""
    folder = tmp_path / "second"
    shutil.copytree(run_folder, folder)
    as_first_format(folder)
    table = pd.read_csv(folder / "predictions.csv")
    table["probability"] = (table["label"] + 0.5) / 2
    table.to_csv(folder / "predictions.csv", index=False)
    return folder


@pytest.mark.slow
def test_compare_shows_both_the_difference_and_a_plain_sentence(run_folder, other, capsys):
    assert main(["compare", str(run_folder), str(other)]) == 0
    printed = capsys.readouterr().out
    assert "auc" in printed and "sensitivity" in printed and "not estimable" in printed  # four images of each class
    assert main(["compare", str(run_folder), str(run_folder)]) == 0
    assert "No difference shown" in capsys.readouterr().out
    difference = compare_runs(other, run_folder, resamples=50).set_index("metric").loc["auc"]
    assert difference["first"] == 1.0
    assert difference["difference"] == pytest.approx(1 - difference["second"])


@pytest.mark.parametrize("damage", ["label", "path", "sha256", "fewer"])
def test_runs_on_other_images_are_refused(run_folder, other, damage, capsys):
    table = pd.read_csv(other / "predictions.csv")
    if damage == "fewer":
        table = table[:-1]
    else:
        table.loc[0, damage] = 1 - table.loc[0, "label"] if damage == "label" else "else"
    table.to_csv(other / "predictions.csv", index=False)
    assert main(["compare", str(run_folder), str(other)]) == 2
    assert "do not match" in capsys.readouterr().err


def test_older_predictions_are_compared_only_on_the_same_data(run_folder, other):
    table = pd.read_csv(other / "predictions.csv").drop(columns="sha256")
    table.to_csv(other / "predictions.csv", index=False)
    compare_runs(run_folder, other, resamples=10)
    record = json.loads((other / "config.json").read_text())
    record["data"]["fingerprint"] = "0" * 64
    (other / "config.json").write_text(json.dumps(record))
    with pytest.raises(EvaluationError, match="different data"):
        compare_runs(run_folder, other, resamples=10)


@pytest.mark.parametrize("content", [None, "", "path,label\n1,2\n", "nonsense"])
def test_damaged_predictions_are_named(other, content):
    (other / "predictions.csv").unlink()
    if content is not None:
        (other / "predictions.csv").write_text(content)
    with pytest.raises(RunError, match=r"predictions\.csv"):
        saved_predictions(other)


def test_the_rule_and_the_temperature_are_kept_with_the_run(run_folder):
    run = load_run(run_folder)
    assert run.config.threshold == "sensitivity=0.9"
    assert run.record["calibration"]["fitted"] > 0
    assert run.metrics["temperature"] == run.record["temperature"] == run.record["calibration"]["temperature"]


@pytest.mark.slow
def test_an_external_test_shows_the_drop_and_writes_its_report(run_folder, make_tree, tmp_path, capsys):
    elsewhere, report = make_tree({"test": 12}, seed=4), tmp_path / "report"
    options = ["--data", str(elsewhere / "test"), "--prevalence", "0.05", "--report", str(report)]
    assert main(["evaluate", str(run_folder), *options]) == 0
    printed = capsys.readouterr().out
    for words in (
        "EXTERNAL TEST",
        "come along unchanged",
        "Against the run's own test set",
        "5.0 % of the patients",
        "calibration error",
        "metadata only",
        "sensitivity of at least 0.9",
    ):
        assert words in printed
    page = (report / "report.html").read_text(encoding="utf-8")
    assert "This is an external test" in page and "internal test" in page
    assert "external test" in (report / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_without_its_own_predictions_there_is_no_drop(other):
    run, external = load_run(other), pd.read_csv(other / "predictions.csv")
    assert len(drop_from_run(run, external)) == 4
    (other / "predictions.csv").unlink()
    assert drop_from_run(run, external) is None


def test_an_impossible_prevalence_is_refused_before_any_work(run_folder, capsys):
    assert main(["evaluate", str(run_folder), "--prevalence", "3"]) == 2
    assert "between 0 and 1" in capsys.readouterr().err


@pytest.mark.slow
def test_a_split_of_a_larger_set_keeps_its_patients(run_folder, make_tree):
    root = make_tree({"test": 12}, seed=6)
    files = sorted(str(path.relative_to(root)) for path in root.rglob("*.png"))
    rows = pd.DataFrame({"file": files, "patient_id": [f"p{number // 2}" for number in range(len(files))]})
    rows.to_csv(root / "metadata.csv", index=False)
    evaluation, predictions = evaluate_run(load_run(run_folder), data=root / "test")
    assert (evaluation.unit, evaluation.n_units) == ("patients", 12)
    assert not predictions["path"].str.startswith("test/").any()
