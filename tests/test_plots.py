"""Every figure: draws on the axes it is given, leaves pyplot as it was, and shows the numbers that it was given."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.cbook import is_math_text
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from fracturelib import plots
from fracturelib.evaluation import Scored, choose_threshold, evaluate, worst_errors
from fracturelib.writing.numbers import percent
from fracturelib.writing.palette import CLASS_COLOURS
from fracturelib.writing.words import shorten
from tests.helpers.contrast import contrast
from tests.helpers.results import checks, history, robustness


def predictions(size=60, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(size) % 2
    return pd.DataFrame(
        {
            "path": [f"test/a_long_folder_name/IMG{i:07d}.jpg" for i in range(size)],
            "label": labels,
            "probability": np.clip(rng.normal(0.35 + 0.3 * labels, 0.2), 0, 1),
            "source_id": [f"s{i}" for i in range(size)],
            "region": rng.choice(["hand", "leg"], size),
        }
    )


def data_table():
    rows = [
        {"split": split, "label": i % 2, "source_id": f"{split}{i // 4}{i % 2}"}
        for split, size in (("train", 24), ("val", 8), ("test", 8))
        for i in range(size)
    ]
    return pd.DataFrame(rows)


def result(table):
    baseline = Scored(table.assign(probability=0.4), 0.5)
    return evaluate(table, threshold=0.5, baselines={"majority class": baseline}, resamples=50)


def one_figure_each(table):
    found, labels, chances = result(table), table["label"], table["probability"]
    return {
        "loss": lambda ax: plots.loss_curves(history(), ax=ax),
        "validation": lambda ax: plots.validation_curves(history(), ax=ax),
        "confusion": lambda ax: plots.confusion_matrix(found.confusion, ax=ax),
        "roc": lambda ax: plots.roc_curve(labels, chances, threshold=0.5, interval=(0.1, 0.9), ax=ax),
        "precision recall": lambda ax: plots.precision_recall_curve(labels, chances, threshold=0.5, ax=ax),
        "reliability": lambda ax: plots.reliability_diagram(labels, chances, ax=ax),
        "histogram": lambda ax: plots.probability_histogram(labels, chances, threshold=0.5, ax=ax),
        "counts": lambda ax: plots.class_counts(data_table(), ax=ax),
        "robustness": lambda ax: plots.robustness_curves(robustness(), ax=ax),
        "robust sensitivity": lambda ax: plots.robustness_curves(robustness(), metric="sensitivity", ax=ax),
        "localisation": lambda ax: plots.localisation_points(checks()[0], ax=ax),
        "occlusion": lambda ax: plots.occlusion_points(checks()[1], ax=ax),
        "costs": lambda ax: plots.cost_curve(labels, chances, miss=20, false_alarm=1, marks={"cheapest": 0.3}, ax=ax),
        "forest": lambda ax: plots.score_forest(found.comparison, ax=ax),
        **({"subgroups": lambda ax: plots.subgroup_forest(found.subgroups, ax=ax)} if len(found.subgroups) else {}),
    }


FIGURES = list(one_figure_each(predictions()))


@pytest.fixture(autouse=True)
def no_figure_left_behind():
    yield
    plt.close("all")


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_on_the_axes_it_is_given_and_pyplot_stays_as_it_was(name):
    before = dict(mpl.rcParams)
    ax = Figure().subplots()
    assert one_figure_each(predictions())[name](ax) is ax
    assert ax.has_data() or ax.texts
    assert ax.get_xlabel() or name == "counts"
    assert not plt.get_fignums()
    assert dict(mpl.rcParams) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_without_axes_one_figure_is_made(name):
    ax = one_figure_each(predictions())[name](None)
    assert isinstance(ax, Axes)
    assert len(plt.get_fignums()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_letters_are_large_enough_and_nothing_is_cut_off(name):
    with plt.rc_context({"figure.constrained_layout.use": True}):
        figure = Figure(figsize=(5.8, 4.3))
        ax = one_figure_each(predictions())[name](figure.subplots())
    figure.draw_without_rendering()
    labels = [*ax.get_xticklabels(), *ax.get_yticklabels(), *ax.texts, ax.xaxis.label, ax.yaxis.label]
    legend = ax.get_legend()
    labels += legend.get_texts() if legend else []
    assert min(text.get_fontsize() for text in labels if text.get_text()) >= 11
    if legend:
        box, page = legend.get_window_extent(), figure.bbox
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1


@pytest.mark.slow
@pytest.mark.parametrize("table", [predictions(10), predictions().query("label == 1"), predictions(3000)])
def test_small_large_and_one_sided_sets_are_drawn(table):
    for draw in one_figure_each(table.reset_index(drop=True)).values():
        figure = Figure(dpi=50)
        draw(figure.subplots())
        figure.draw_without_rendering()


def test_one_class_is_said_instead_of_a_curve():
    table = predictions().query("label == 0")
    for draw in (plots.roc_curve, plots.precision_recall_curve):
        assert "not estimable" in draw(table["label"], table["probability"]).texts[0].get_text()


def test_the_threshold_point_lies_where_the_scores_say():
    table = predictions()
    values = result(table).scores.set_index("metric")["value"]
    point = plots.roc_curve(table["label"], table["probability"], threshold=0.5).lines[-1]
    assert point.get_xdata()[0] == pytest.approx(1 - values["specificity"])
    assert point.get_ydata()[0] == pytest.approx(values["sensitivity"])


@pytest.mark.parametrize("draw", [plots.roc_curve, plots.precision_recall_curve])
def test_a_threshold_of_zero_is_drawn_where_everything_is_called_fractured(draw):
    table = predictions()
    point = next(
        line for line in draw(table["label"], table["probability"], threshold=0.0).lines if line.get_marker() == "o"
    )
    assert point.get_label().startswith("threshold 0.00")
    expected = (1, 1) if draw is plots.roc_curve else (1, table["label"].mean())  # recall 1, precision of guessing
    assert (point.get_xdata()[0], point.get_ydata()[0]) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["$x$ \\frac{", "a_$1^2", "_$hidden$"])
def test_names_are_drawn_as_they_are(name):
    table = predictions()
    found, chances = result(table), (table["label"], table["probability"])
    figure = Figure(figsize=(20, 20))
    axes = figure.subplots(3, 2).ravel()
    plots.roc_curve(*chances, name=name, ax=axes[0])
    plots.precision_recall_curve(*chances, name=name, ax=axes[1])
    plots.cost_curve(*chances, miss=2, false_alarm=1, marks={name: 0.4}, ax=axes[2])
    plots.score_forest(found.comparison.replace({"model": {"model": name}}), ax=axes[3])
    groups = found.subgroups.replace({"group": {"hand": name}}).assign(column=name)
    plots.subgroup_forest(groups, ax=axes[4])
    (picture,) = plots.image_grid(
        [np.zeros((8, 8), np.uint8)], [name], figure=figure.add_subfigure(axes[5].get_subplotspec())
    )
    figure.draw_without_rendering()  # a broken formula would raise
    legends = [[text.get_text() for text in ax.get_legend().get_texts()] for ax in axes[:4]]
    labels = [text.get_text() for text in axes[4].get_yticklabels()]
    for texts in (*legends, labels, [picture.get_title()]):
        shown = [text for text in texts if name in text.replace("\\$", "$")]
        assert shown and not any(is_math_text(text) for text in shown)


def test_confusion_matrix_shows_counts_and_shares_of_the_truth():
    table = predictions()
    confusion = result(table).confusion
    texts = [text.get_text() for text in plots.confusion_matrix(confusion).texts]
    count = confusion.loc["fractured", "fractured"]
    assert texts[3] == f"{count}\n{count / 30:.0%}".replace("%", " %")


@pytest.mark.parametrize("counts", [[[10, 0], [0, 10]], [[7, 3], [4, 6]], [[0, 0], [0, 0]]])
def test_counts_can_be_read_on_every_grey(counts):
    names = ["not fractured", "fractured"]
    ax = plots.confusion_matrix(pd.DataFrame(counts, index=names, columns=names))
    (cells,) = ax.collections
    cells.update_scalarmappable()
    for text, ground in zip(ax.texts, cells.get_facecolors(), strict=True):
        assert contrast(text.get_color(), ground[:3]) >= 4.5
    assert contrast(cells.get_edgecolors()[0][:3], "white") >= 3, "an empty cell has an edge"


def test_a_chessboard_can_be_seen_in_the_pair_of_one_radiograph():
    one, other = (np.full((60, 90), grey, np.uint8) for grey in (100, 100))
    axes = plots.copy_pair(one, other, one, cells=6)
    tint = np.asarray(axes[2].images[1].get_array())
    fields = [tint[5 + 15 * row, 5 + 15 * column, 3] > 0 for row in range(4) for column in range(6)]
    assert fields == [(row + column) % 2 == 1 for row in range(4) for column in range(6)]
    assert len(axes[0].images) == 1


def test_the_classes_keep_their_colours():
    ax = plots.probability_histogram(predictions()["label"], predictions()["probability"])
    colours = {to_rgb(patch.get_facecolor()) for patch in ax.patches}
    assert colours == {to_rgb(colour) for colour in CLASS_COLOURS}


def test_bars_tell_files_from_original_images():
    ax = plots.class_counts(data_table())
    assert ax.texts[0].get_text() == "12\n(6)"
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["training", "validation", "test"]


def test_learning_curves_mark_the_epoch_that_was_kept():
    table = history()
    table.attrs["best_epoch"] = 3
    ax = plots.loss_curves(table)
    assert "weights kept (epoch 3)" in [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.parametrize("count", [1, 3, 7])
def test_an_image_grid_has_one_axes_per_image(count):
    images = [np.zeros((20 + i, 30), dtype=np.uint8) for i in range(count)]
    axes = plots.image_grid(images, [f"name {i} " * 9 for i in range(count)])
    assert len(axes) == len(axes[0].figure.axes) == count
    assert max(len(ax.get_title()) for ax in axes) <= 24


def test_an_image_grid_fills_the_figure_it_is_given_and_takes_colour_and_floats():
    figure = Figure(figsize=(6, 3))
    axes = plots.image_grid([np.ones((4, 4)), np.zeros((4, 4, 3), dtype=np.uint8)], figure=figure)
    assert axes[0].figure is figure
    assert axes[0].images[0].get_clim() == (0, 1)
    assert not plt.get_fignums()


def test_the_error_gallery_frames_each_image_in_the_colour_of_its_true_class():
    errors = worst_errors(predictions(), threshold=0.5, count=3)
    axes = plots.error_gallery(errors, [np.zeros((8, 8), dtype=np.uint8)] * 3)
    for ax, row in zip(axes, errors.itertuples(), strict=True):
        assert to_rgb(ax.spines["left"].get_edgecolor()) == to_rgb(CLASS_COLOURS[row.label])
        assert row.path.rsplit("/", 1)[-1] in ax.get_title()


@pytest.mark.parametrize(
    ("count", "total", "text"),
    [(0, 9, "0 %"), (1, 1000, "< 1 %"), (999, 1000, "> 99 %"), (9, 9, "100 %"), (1, 3, "33 %"), (0, 0, "–")],
)
def test_percentages_never_round_to_none_or_all(count, total, text):
    assert percent(count, total) == text


@pytest.mark.parametrize("width", [1, 2, 8, 9, 40])
def test_shortened_text_keeps_both_ends(width):
    text = "test/fractured/IMG1.jpg"
    found = shorten(text, width)
    assert len(found) == min(width, len(text))
    if 9 <= width < len(text):
        assert found.startswith("test") and found.endswith("jpg")


def test_the_curve_of_costs_is_lowest_at_the_chosen_threshold():
    table = predictions(400).assign(split="val")
    threshold = choose_threshold(table, rule="costs=5:1")
    ax = plots.cost_curve(table["label"], table["probability"], miss=5, false_alarm=1)
    total = next(line for line in ax.lines if line.get_label() == "total")
    at, cost = total.get_xdata(), total.get_ydata()
    assert np.interp(threshold, at, cost) == pytest.approx(cost.min(), abs=1e-9)
    plt.close("all")


def test_heat_glows_where_it_is_and_leaves_the_rest_grey():
    image, heat = np.full((40, 30), 100, np.uint8), np.zeros((8, 8))
    heat[0, 0] = 1
    shown = plots.heat_overlay(image, heat)
    assert shown.shape == (40, 30, 3) and shown.dtype == np.uint8
    assert (shown[20:, 15:] == 100).all()
    assert np.ptp(shown[1, 1].astype(int)) > 30 and shown[1, 1, 0] > shown[1, 1, 2]
