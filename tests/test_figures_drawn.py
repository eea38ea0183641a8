"""What the figures and panels of notebooks 04 and 06 draw is what the numbers beside them say: the artists are read."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from fracturelib import plots
from fracturelib.course.figures.reading import readers_against_model
from fracturelib.course.figures.thresholds import cost_figure, threshold_figure
from fracturelib.course.reader_study.scoring import class_scores, cohens_kappa
from fracturelib.course.reader_study.session import stand_in_reader
from fracturelib.evaluation import (
    cheapest_threshold,
    choose_threshold,
    confusion_at,
    evaluate,
    rates_at,
)
from fracturelib.evaluation.calibration import calibration_table
from tests.helpers.predictions import simulated
from tests.helpers.results import checks, robustness


@pytest.fixture
def validation():
    return simulated(sources=200).assign(split="val", region=lambda table: np.where(table.index % 3, "hand", "leg"))


def points(ax, marker):
    """(x, y) of everything drawn with a marker, legend handles without data left out."""
    lines = [line for line in ax.lines if line.get_marker() == marker and len(line.get_xdata())]
    return [(float(x), float(y)) for line in lines for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]


@pytest.mark.parametrize("threshold", [0.0, 0.31, 0.5, 1.0])
def test_the_threshold_panel_draws_its_table(validation, threshold):
    histogram, matrix, curve, *_ = threshold_figure(validation, threshold).axes
    assert sum(bar.get_height() for bar in histogram.patches) == len(validation)
    assert [line.get_xdata()[0] for line in histogram.lines] == [threshold]
    counts = confusion_at(validation, threshold).to_numpy().ravel()
    assert [int(text.get_text().split()[0].replace(",", "")) for text in matrix.texts] == counts.tolist()
    rates = rates_at(validation, threshold, prevalence=0.4)
    assert points(curve, "o") == [pytest.approx((1 - rates["specificity"], rates["sensitivity"]))]


def test_the_cost_panel_marks_the_lowest_point_of_its_curve(validation):
    cheapest = cheapest_threshold(validation, miss=20, prevalence=0.2)
    marks = {"cheapest": cheapest, "Youden": choose_threshold(validation)}
    ax = cost_figure(validation, miss=20, prevalence=0.2, marks=marks).axes[0]
    total = next(line for line in ax.lines if line.get_label() == "total")
    drawn = [line.get_xdata()[0] for line in ax.lines if ": " in str(line.get_label())]
    assert drawn == list(marks.values())
    costs = np.interp(drawn, total.get_xdata(), total.get_ydata())
    assert costs[0] == pytest.approx(total.get_ydata().min(), abs=0.02) and costs[0] <= costs[1]


def test_the_reliability_diagram_draws_its_table(validation):
    labels, chances = validation["label"], validation["probability"]
    table = calibration_table(labels, chances)
    drawn = points(plots.reliability_diagram(labels, chances), "o")
    assert drawn == [
        pytest.approx(pair) for pair in zip(table["mean_probability"], table["share_fractured"], strict=True)
    ]


def test_the_areas_under_the_curves_are_the_numbers_in_their_legends(validation):
    labels, chances = validation["label"], validation["probability"]
    roc, precision = (draw(labels, chances) for draw in (plots.roc_curve, plots.precision_recall_curve))
    x, y = next(line for line in roc.lines if str(line.get_label()).startswith("model")).get_data()
    assert metrics.auc(x, y) == pytest.approx(metrics.roc_auc_score(labels, chances))
    assert f"AUC {metrics.auc(x, y):.2f}" in roc.get_legend().get_texts()[0].get_text()
    x, y = next(line for line in precision.lines if str(line.get_label()).startswith("model")).get_data()
    area = -np.sum(np.diff(x) * np.asarray(y)[:-1])  # as a step curve, from recall 1 to 0
    assert area == pytest.approx(metrics.average_precision_score(labels, chances))
    assert f"average precision {area:.2f}" in precision.get_legend().get_texts()[0].get_text()


def test_the_forests_draw_their_rows(validation):
    found = evaluate(validation, threshold=0.5, resamples=50)
    rows = found.comparison.set_index("metric")
    forest = plots.score_forest(found.comparison)
    names = [label.get_text() for label in forest.get_yticklabels()]
    for x, y in points(forest, "o"):
        metric = {"AUC": "auc"}.get(names[round(y)], names[round(y)])
        assert x == pytest.approx(rows.loc[metric, "value"])
    assert len(points(forest, "o")) == len(names)
    groups = found.subgroups.query("n_fractured > 0")
    drawn = sorted(points(plots.subgroup_forest(groups), "o"), key=lambda point: point[1])
    assert [x for x, _ in drawn] == pytest.approx(groups["sensitivity"].tolist())


def test_the_figures_of_where_it_looks_draw_their_tables():
    looks, erased = checks()
    ax = plots.localisation_points(looks)
    for marker, column in (("o", "value"), ("D", "centre"), ("s", "chance")):
        assert [x for x, _ in points(ax, marker)] == pytest.approx(looks[column].tolist())
    assert [x for x, _ in points(plots.occlusion_points(erased), "o")] == pytest.approx(erased["value"].tolist())


def test_the_figure_of_worse_pictures_draws_its_table():
    table = robustness()
    damaged = table[table["perturbation"] != "none"]
    for metric in ("auc", "sensitivity"):
        drawn = [y for _, y in points(plots.robustness_curves(table, metric=metric), "o")]
        assert drawn == pytest.approx(damaged[metric].tolist())


def a_reading(count=20):
    label = np.arange(count) % 2
    return pd.DataFrame({"label": label, "conspicuity": np.where(label, np.arange(count) + 1.0, np.nan)})


def test_readers_are_drawn_where_their_scores_lie(validation):
    answers = pd.concat([stand_in_reader(a_reading(), right=share).assign(reader=share) for share in (0.6, 0.75, 0.9)])
    readers = class_scores(answers)
    labels, chances = validation["label"], validation["probability"]
    ax = readers_against_model(readers, labels, chances, threshold=0.4, own=0.75, who="a made-up reader")
    expected = readers.set_index("reader")
    own, model = points(ax, "s"), points(ax, "o")
    assert own == [pytest.approx((1 - expected.loc[0.75, "specificity"], expected.loc[0.75, "sensitivity"]))]
    rates = rates_at(validation, 0.4, prevalence=0.5)
    assert model == [pytest.approx((1 - rates["specificity"], rates["sensitivity"]))]
    others = expected.drop(0.75)
    pairs = zip(1 - others["specificity"], others["sensitivity"], strict=True)
    assert points(ax, "^") == [pytest.approx(pair) for pair in pairs]
    assert any("a made-up reader" in text.get_text() for text in ax.get_legend().get_texts())


def test_the_stand_in_reader_makes_mistakes_and_full_agreement_has_no_interval_without_width():
    answers = stand_in_reader(a_reading())
    assert 14 <= (answers["called"] == answers["label"]).sum() <= 16
    alike = cohens_kappa(answers["label"], answers["label"])
    assert alike["kappa"] == 1 and np.isnan(alike["low"]) and np.isnan(alike["high"])
