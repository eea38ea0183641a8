"""Heads on stored features side by side, the learning-rate range test, and the curve over the number of images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.course import studies
from fracturelib.course.figures import learning
from fracturelib.course.studies import Workbench, choose_images, run_table, train_head
from fracturelib.loaders import make_loaders
from fracturelib.model import build_model
from fracturelib.training import fit
from tests.helpers.benches import made_up_bench, made_up_features
from tests.helpers.contrast import contrast

CONFIG = TrainConfig(weights="none", epochs=3, hidden_units=16, batch_size=16)


@pytest.fixture(scope="module")
def bench() -> Workbench:
    return made_up_bench(60, 20, views=2)


# --- heads on stored features ---------------------------------------------------------------------------------------


@pytest.mark.slow
@given(st.integers(1, 59))
def test_a_larger_choice_of_images_contains_the_smaller(count):
    data = made_up_features(60)
    smaller, larger = (choose_images(data, size) for size in (count, count + 1))
    assert len(smaller) == count and set(smaller.table["path"]) < set(larger.table["path"])
    assert abs(smaller.table["label"].sum() - 0.4 * count) <= 1, "the share of fractures is kept"
    rows = [int(path.removesuffix(".png")) for path in smaller.table["path"]]
    assert torch.equal(smaller.features, data.features[:, rows]), "each row keeps its features"


def test_all_images_are_the_whole_set_in_its_order(bench):
    chosen = choose_images(bench.train, 60)
    assert torch.equal(chosen.features, bench.train.features)
    assert train_head(bench, CONFIG, images=60).history.equals(train_head(bench, CONFIG).history)


@pytest.mark.slow
def test_a_head_on_features_is_trained_as_on_images(tiny_data):
    config = TrainConfig(str(tiny_data), weights="none", image_size=32, epochs=2, views=2, patience=2)
    run = train_head(studies.open_workbench(config), config)
    loaders = make_loaders(read_catalog(tiny_data), config)
    on_images = fit(build_model(config), loaders.train, loaders.val, config)
    pd.testing.assert_frame_equal(run.history, on_images, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_head_answers_to_images_as_to_the_features_it_was_trained_on(tiny_data, precision):
    config = TrainConfig(str(tiny_data), weights="none", image_size=32, views=1, epochs=1, precision=precision)
    bench = studies.open_workbench(config)
    model = train_head(bench, config).model
    images, _, rows = next(iter(make_loaders(read_catalog(tiny_data), config).val))
    assert torch.equal(model.features(images), bench.val.features[0, rows].float())


@pytest.mark.slow
def test_the_test_split_never_meets_the_trunk(tiny_data):
    config = TrainConfig(str(tiny_data), weights="none", image_size=32, views=1)
    bench = studies.open_workbench(config)
    assert set(bench.train.table["split"]) == {"train"} and set(bench.val.table["split"]) == {"val"}


def test_runs_side_by_side(bench):
    runs = [train_head(bench, replace(CONFIG, hidden_units=width), number=i) for i, width in enumerate((4, 8), 1)]
    table = run_table(runs)
    assert table["run"].tolist() == [1, 2] and table["hidden units"].tolist() == [4, 8]
    assert not table.isna().any(axis=None)
    figure = learning.training_figure(runs[1].history, epochs=3, name="run 2", others={"run 1": runs[0].history})
    labels = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert labels == ["run 1", "run 2"]
    sizes = [text.get_fontsize() for ax in figure.axes for text in (ax.xaxis.label, *ax.get_xticklabels())]
    assert min(sizes) >= 11


@pytest.mark.slow
@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("epochs", [1, 40])
@pytest.mark.parametrize(("loss", "change"), [(0.69315, 1e-5), (0.6, 0.3), (100.0, 60.0)])
def test_curves_of_any_size_stay_inside_the_margins(epochs, loss, change, stacked):
    epoch = np.arange(1, epochs + 1)
    history = pd.DataFrame({"epoch": epoch, "train_loss": loss - change / epoch, "val_loss": loss + change / epoch})
    history["val_auc"] = 0.77255 + change / 1e3 / epoch
    others = {f"{number}: trained layer3, …": history for number in range(10, 15)}
    figure = learning.training_figure(
        history, epochs=epochs, name="15: trained layer4, …", others=others, stacked=stacked
    )
    figure.draw_without_rendering()
    for ax in figure.axes:
        box = ax.get_tightbbox()
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1
        assert all(float(tick.get_text()).is_integer() for tick in ax.get_xticklabels()), "no halves of an epoch"
    left, right = (ax.get_legend().get_window_extent() for ax in figure.axes)
    if stacked:
        assert right.y1 < figure.axes[0].get_window_extent().y0, "the lower legend lies between the axes"
    else:
        assert left.x1 < right.x0, "neither legend lies on the other"


def test_axes_of_two_runs_can_be_compared_and_the_figure_says_how_it_ends():
    def figure_of(loss, auc):
        history = pd.DataFrame({"epoch": [1, 2], "train_loss": loss, "val_loss": loss, "val_auc": auc})
        return learning.training_figure(history, epochs=2)

    first, second = figure_of([0.7, 0.6], [0.48, 0.52]), figure_of([0.3, 0.2], [0.45, 0.9])
    for one, other in zip(first.axes, second.axes, strict=True):
        assert one.get_ylim() == other.get_ylim()
    assert figure_of([0.7, 40.0], [0.5, 0.5]).axes[0].get_ylim()[1] > 40, "no curve is cut off"
    assert "validation AUC 0.90" in second.get_label()


@pytest.mark.parametrize("colour", learning.RUN_COLOURS)
def test_a_line_can_be_told_from_white(colour):
    assert contrast(colour, "#ffffff") >= 3


def test_the_ending_in_words(bench):
    early = train_head(
        bench, replace(CONFIG, epochs=30, patience=1, learning_rate=0.3, dropout=0.0, step_size=30, min_delta=0.0)
    )
    assert "stopped early" in studies.ending(early)
    run = train_head(bench, replace(CONFIG, epochs=1))
    assert "went on to the end" in studies.ending(run) and "dead" not in studies.ending(run)
    history = run.history.assign(val_auc=0.5)
    history.attrs = run.history.attrs
    assert "gives everybody the same answer" in studies.ending(replace(run, history=history))


# --- the learning-rate range test -----------------------------------------------------------------------------------


def test_the_rate_grows_by_one_factor_from_low_to_high(bench):
    test = studies.learning_rate_range(bench, CONFIG, low=1e-5, high=1e-2, steps=25)
    assert test["step"].tolist() == list(range(1, 26))
    np.testing.assert_allclose(test["learning_rate"], np.geomspace(1e-5, 1e-2, 25))


def test_the_running_mean_is_the_corrected_exponential_average(bench):
    test = studies.learning_rate_range(bench, CONFIG, low=1e-5, high=1e-2, steps=10)
    weights = 0.9 ** np.arange(9, -1, -1)
    assert test["smoothed"].iloc[-1] == pytest.approx(np.average(test["loss"], weights=weights))
    assert test["smoothed"].iloc[0] == pytest.approx(test["loss"].iloc[0])


def test_the_range_test_repeats_and_touches_nobody_elses_randomness(bench):
    state = torch.random.get_rng_state()
    first, second = (studies.learning_rate_range(bench, CONFIG, steps=20) for _ in range(2))
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_range_test_ends_when_the_loss_explodes(bench):
    test = studies.learning_rate_range(bench, CONFIG, low=1e-4, high=1e4, steps=400)
    assert len(test) < 400 and np.isfinite(test["loss"]).all()
    assert (test["smoothed"].iloc[:-1] <= 4 * test["smoothed"].cummin().iloc[:-1]).all()


def test_a_training_at_the_suggested_rate_learns(bench):
    test = studies.learning_rate_range(bench, CONFIG)
    suggested = studies.suggested_rate(test)
    lowest = test["learning_rate"][test["smoothed"].idxmin()]
    assert suggested == pytest.approx(lowest / 10)
    history = train_head(bench, replace(CONFIG, learning_rate=suggested, epochs=6)).history
    assert history["val_loss"].iloc[-1] < 0.9 * history["val_loss"].iloc[0]


@pytest.mark.parametrize("losses", [[], [0.7], [0.5, 0.6, 0.9]], ids=["none", "one", "rising"])
def test_without_a_fall_there_is_no_suggestion(losses):
    test = pd.DataFrame({"learning_rate": np.geomspace(1e-3, 1, len(losses)), "smoothed": losses})
    assert np.isnan(studies.suggested_rate(test))


def test_broken_features_end_the_range_test_at_once(bench):
    broken = made_up_features(60)
    broken.features[:] = float("nan")
    test = studies.learning_rate_range(replace(bench, train=broken), CONFIG)
    assert test.empty
    learning.learning_rate_range_curve(test, suggested=studies.suggested_rate(test))


# --- how many images ------------------------------------------------------------------------------------------------


@given(st.integers(1, 5000), st.integers(2, 9))
def test_sizes_grow_to_all_images(images, count):
    sizes = studies.training_sizes(images, count=count)
    assert sizes[-1] == images and sizes == sorted(set(sizes)) and len(sizes) <= count
    assert all(size >= min(images, 20) for size in sizes)


@pytest.mark.slow
def test_more_images_make_a_better_head(bench):
    done = []
    curve = studies.learning_curve(bench, replace(CONFIG, epochs=8), sizes=[10, 60], repeats=4, on_run=done.append)
    assert done == list(range(1, 9))
    assert curve.groupby("images").size().to_dict() == {10: 4, 60: 4}
    mean = curve.groupby("images")["val_loss"].mean()
    assert mean[60] < mean[10]


def test_each_repeat_chooses_other_images_and_the_curve_repeats(bench):
    first, second = (studies.learning_curve(bench, CONFIG, sizes=[20], repeats=3) for _ in range(2))
    pd.testing.assert_frame_equal(first.drop(columns="seconds"), second.drop(columns="seconds"), check_exact=True)
    assert first["train_loss"].nunique() == 3
    alone = train_head(bench, replace(CONFIG, seed=2), images=20)
    assert first["val_loss"].iloc[2] == pytest.approx(float(alone.best["val_loss"]))


def test_the_interval_is_that_of_students_t():
    values = [0.60, 0.64, 0.71, 0.66]
    curve = pd.DataFrame({"images": 20, "val_auc": values})
    (row,) = studies.curve_summary(curve).itertuples()
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (row.repeats, row.mean) == (4, pytest.approx(np.mean(values)))
    assert (row.low, row.high) == (pytest.approx(low), pytest.approx(high))


def test_one_repeat_has_no_interval():
    (row,) = studies.curve_summary(pd.DataFrame({"images": [20], "val_auc": [0.6]})).itertuples()
    assert row.mean == 0.6 and np.isnan(row.low) and np.isnan(row.high)


# --- their figures --------------------------------------------------------------------------------------------------


def font_sizes(figure):
    figure.canvas.draw()
    axes = figure.axes
    texts = [t for ax in axes for t in (ax.xaxis.label, ax.yaxis.label, *ax.get_xticklabels(), *ax.get_yticklabels())]
    texts += [t for ax in axes if ax.get_legend() for t in ax.get_legend().get_texts()]
    return [text.get_fontsize() for text in texts if text.get_text()]


@pytest.mark.slow
def test_figures_of_one_and_of_several_repeats(bench):
    for repeats in (1, 2):
        curve = studies.learning_curve(bench, CONFIG, sizes=[20, 60], repeats=repeats)
        ax = learning.data_size_curve(curve, studies.curve_summary(curve))
        assert ax.get_xscale() == "log"
        assert [text.get_text() for text in ax.get_xticklabels()] == ["20", "60"]
        assert min(font_sizes(ax.figure)) >= 11


@pytest.mark.slow
def test_the_figure_of_the_range_test_marks_the_suggestion(bench):
    test = studies.learning_rate_range(bench, CONFIG)
    ax = learning.learning_rate_range_curve(test, suggested=0.002)
    assert [line.get_xdata()[0] for line in ax.lines][-1] == 0.002
    assert min(font_sizes(ax.figure)) >= 11
