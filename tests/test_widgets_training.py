"""The panels of notebooks 03 and 04: plain functions over all their controls, and trainings that replace each other."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from fracturelib import notebook
from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.errors import RunError
from fracturelib.features import FeatureDataset
from fracturelib.loaders import make_loaders
from fracturelib.model import build_model
from fracturelib.notebook import notebook_run
from fracturelib.training import fit
from fracturelib.weights import WeightsOrigin
from fracturelib.widgets import evaluation, heads, training
from fracturelib.widgets.heads import Workbench, choose_images, run_table, train_head
from fracturelib.widgets.training import LatestJob, TrainingPanel

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
CONFIG = TrainConfig(weights="none", epochs=3, hidden_units=16, batch_size=16)


def made_up_features(count: int, *, views: int = 1, seed: int = 0) -> FeatureDataset:
    """Eight features per image; the first tells the label, as a good trunk would. Two in five are fractured."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 5 < 2
    features = torch.randn(views, count, 8, generator=generator)
    features[..., 0] += 2.0 * labels
    table = pd.DataFrame({"path": [f"{row}.png" for row in range(count)], "label": labels.int().numpy()})
    return FeatureDataset(table.assign(source_id=table["path"]), features)


@pytest.fixture(scope="module")
def bench() -> Workbench:
    origin = WeightsOrigin("none", "made up", None, "0" * 64)
    return Workbench(torch.nn.Identity(), origin, made_up_features(60, views=2), made_up_features(20, seed=1))


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    assert not plt.get_fignums(), "a figure was left open: the notebook would show it twice"
    plt.close("all")


def values_of(control) -> list:
    """Every value of a list; of a scale its ends and its middle."""
    if hasattr(control, "options"):
        return [value for _, value in control.options]
    return [control.min, (control.min + control.max) // 2 if isinstance(control.min, int) else 0.5, control.max]


# --- heads on stored features ---------------------------------------------------------------------------------------


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


def test_a_head_on_features_is_trained_as_on_images(tiny_data):
    config = TrainConfig(str(tiny_data), weights="none", image_size=32, epochs=2, views=2, patience=2)
    run = train_head(heads.open_workbench(config), config)
    loaders = make_loaders(read_catalog(tiny_data), config)
    on_images = fit(build_model(config), loaders.train, loaders.val, config)
    pd.testing.assert_frame_equal(run.history, on_images, rtol=1e-4, atol=1e-5)


def test_the_test_split_never_meets_the_trunk(tiny_data):
    config = TrainConfig(str(tiny_data), weights="none", image_size=32, views=1)
    bench = heads.open_workbench(config)
    assert set(bench.train.table["split"]) == {"train"} and set(bench.val.table["split"]) == {"val"}


def test_runs_side_by_side(bench):
    runs = [train_head(bench, replace(CONFIG, hidden_units=width), number=i) for i, width in enumerate((4, 8), 1)]
    table = run_table(runs)
    assert table["run"].tolist() == [1, 2] and table["hidden units"].tolist() == [4, 8]
    assert not table.isna().any(axis=None)
    figure = heads.training_figure(runs[1].history, epochs=3, name="run 2", others=runs[:1])
    labels = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert labels == ["run 1", "run 2"]
    sizes = [text.get_fontsize() for ax in figure.axes for text in (ax.xaxis.label, *ax.get_xticklabels())]
    assert min(sizes) >= 11


def test_the_ending_in_words(bench):
    early = train_head(bench, replace(CONFIG, epochs=30, patience=1, learning_rate=1e-8))
    assert "stopped early" in heads.ending(early)
    assert "went on to the end" in heads.ending(train_head(bench, replace(CONFIG, epochs=1)))


# --- the training panel ---------------------------------------------------------------------------------------------


@pytest.fixture
def plain_pictures():
    """An empty picture in place of the curves: drawing takes ten times as long as training, and is tested above."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "training_figure", lambda *args, **options: Figure(figsize=(1, 1)))
        yield


def test_every_value_of_every_training_control(bench, plain_pictures):
    panel = TrainingPanel(bench, CONFIG, background=False)
    for name, control in panel.controls.items():
        for value in values_of(control):
            control.value = value
            assert "<img" in panel.result.value and 'alt="Train the head yourself' in panel.result.value
        control.value = panel.defaults[name]
    assert len(panel.runs) == training.MOST_KEPT


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_training_controls_in_any_order(data, plain_pictures):
    origin = WeightsOrigin("none", "made up", None, "0" * 64)
    small = Workbench(torch.nn.Identity(), origin, made_up_features(20), made_up_features(10, seed=1))
    panel = TrainingPanel(small, replace(CONFIG, epochs=2), background=False)
    for _ in range(4):
        control = panel.controls[data.draw(st.sampled_from(sorted(panel.controls)))]
        control.value = data.draw(st.sampled_from(values_of(control)))
        assert panel.result.value.count("<img") == 1
        assert panel.runs[-1].config.learning_rate == panel.controls["learning_rate"].value
    panel.reset()
    assert panel.values == panel.defaults  # noqa: PD011 - not a table


def test_the_same_settings_again_take_the_place_of_the_first(bench, plain_pictures):
    panel = TrainingPanel(bench, CONFIG, background=False)
    first = panel.runs[0]
    panel.controls["dropout"].value = 0.0
    panel.reset()
    assert [run.number for run in panel.runs] == [2, 3]
    assert panel.runs[-1].history.equals(first.history)
    panel.forget()
    assert [run.number for run in panel.runs] == [3]


def test_curves_grow_while_a_head_is_trained(bench, monkeypatch):
    monkeypatch.setattr(training, "REDRAW_SECONDS", 0.0)
    monkeypatch.setattr(training, "REDRAW_TIMES", 0)
    panel = TrainingPanel(bench, CONFIG, background=False)
    seen = []
    panel.result.observe(lambda change: seen.append(change["new"]), names="value")
    panel.controls["hidden_units"].value = 64
    for epoch, text in enumerate(seen[:3], start=1):
        assert f"training: epoch {epoch} of at most 3" in text
    assert "training: epoch" not in seen[-1] and len(seen) == 4


def test_a_new_training_stops_the_one_that_runs(bench, monkeypatch):
    monkeypatch.setattr(training, "REDRAW_SECONDS", 1e9)
    panel = TrainingPanel(bench, replace(CONFIG, epochs=1, patience=40))
    begun, go_on, train_for_real = threading.Event(), threading.Event(), training.train_head

    def slow(*args, on_epoch, **options):
        def report(history):
            begun.set()
            go_on.wait(10)
            on_epoch(history)

        return train_for_real(*args, on_epoch=report, **options)

    monkeypatch.setattr(training, "train_head", slow)
    panel.controls["epochs"].value = 40
    assert begun.wait(10)
    stopped = panel.jobs._stop
    monkeypatch.setattr(training, "train_head", train_for_real)
    threading.Thread(target=lambda: (stopped.wait(10), go_on.set())).start()
    panel.controls["epochs"].value = 2
    panel.jobs.wait()
    assert [run.config.epochs for run in panel.runs] == [1, 2], "the long training left no trace"
    assert panel.result.value.count("<img") == 1


def test_only_the_latest_job_lives():
    jobs, log = LatestJob(), []

    def work(name):
        def run(stop):
            log.append(f"{name} begins")
            stop.wait(10 if name == "first" else 0)
            log.append(f"{name} ends")

        return run

    jobs.stop()  # nothing runs yet
    jobs.start(work("first"))
    jobs.start(work("second"))
    jobs.wait()
    assert log == ["first begins", "first ends", "second begins", "second ends"]


def test_a_training_that_breaks_is_told_in_words(bench):
    broken = made_up_features(60)
    broken.features[0, 7] = float("nan")
    panel = TrainingPanel(replace(bench, train=broken), CONFIG, background=False)
    assert "the loss is not finite" in panel.result.value and not panel.runs
    panel.forget()


# --- the run that notebook 04 judges --------------------------------------------------------------------------------


def test_a_run_that_fits_is_reused_and_another_is_remade(tmp_path, monkeypatch, capsys):
    calls = []

    def pretend(config, *, folder, resume=False):
        calls.append(resume)
        if folder.exists() and resume:
            raise RunError("the run is finished, and was made with other settings")
        folder.mkdir(parents=True)
        return "a run"

    monkeypatch.setattr(notebook, "train_run", pretend)
    folder = tmp_path / "runs" / "notebook"
    assert notebook_run(CONFIG, folder) == "a run" and calls == [True]
    record = {"format": "fracturelib run 1", "config": {}, "weights": {}, "data": {}}
    (folder / "config.json").write_text(json.dumps(record))
    assert notebook_run(CONFIG, folder) == "a run" and calls == [True, True, False]
    assert "made with other settings" in capsys.readouterr().out and str(tmp_path) not in capsys.readouterr().out


def test_a_folder_that_is_no_run_is_left_alone(tmp_path):
    keepsake = tmp_path / "thesis.txt"
    keepsake.write_text("do not delete")
    with pytest.raises(RunError):
        notebook_run(CONFIG, tmp_path)
    assert keepsake.exists()


def test_both_notebooks_ask_for_the_same_run():
    asked = []
    for name in ("03_training", "04_evaluation"):
        cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
        (parameters,) = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
        code = [line.partition("#")[0].strip() for line in parameters["source"]]
        names = ("FAST", "IMAGE_SIZE", "VIEWS", "RUN_NAME", "config")
        asked.append([line for line in code if line.startswith(names)])
    assert asked[0] == asked[1] and len(asked[0]) == 5


# --- the threshold panel --------------------------------------------------------------------------------------------


def made_up_predictions(count: int = 50, *, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    label = np.arange(count) % 5 < 2
    probability = 1 / (1 + np.exp(-generator.normal(np.where(label, 0.7, -0.7), 1.0)))
    return pd.DataFrame({"label": label.astype(int), "probability": probability})


@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.5, 0.99, 1.0])
def test_counts_and_rates_against_the_oracle(threshold):
    predictions = made_up_predictions()
    called = predictions["probability"] >= threshold
    counts = evaluation.confusion_at(predictions, threshold)
    assert (counts.to_numpy() == confusion_matrix(predictions["label"], called, labels=[0, 1])).all()
    rates = evaluation.rates_at(predictions, threshold, prevalence=predictions["label"].mean())
    (cleared, alarms), (missed, found) = counts.to_numpy()
    assert rates["sensitivity"] == pytest.approx(found / (found + missed))
    assert rates["specificity"] == pytest.approx(cleared / (cleared + alarms))
    # at the prevalence of the data themselves the predictive values are plain shares of the columns
    if found + alarms:
        assert rates["positive predictive value"] == pytest.approx(found / (found + alarms))
    else:
        assert np.isnan(rates["positive predictive value"])


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_story_is_told_for_any_numbers(sensitivity, specificity, prevalence):
    story = evaluation.natural_frequencies(sensitivity, specificity, prevalence)
    assert story.startswith("Of 1,000 patients") and "-" not in story and "nan" not in story


@pytest.mark.parametrize("kept", [[0, 1], [0], [1]], ids=["both classes", "none fractured", "all fractured"])
def test_every_corner_of_the_threshold_panel(kept):
    predictions = made_up_predictions()
    predictions = predictions[predictions["label"].isin(kept)]
    panel = evaluation.threshold_panel(predictions, threshold=0.43, prevalence=0.0)
    for threshold, prevalence in ((0.0, 0.01), (0.37, 0.9), (1.0, 0.5)):
        panel.controls["threshold"].value = threshold
        panel.controls["prevalence"].value = prevalence
        picture, _, text = panel.result.value.partition('alt="')
        assert "<img" in picture and "nan" not in text.lower()
    panel.reset()
    assert panel.values == {"threshold": 0.43, "prevalence": 0.01}  # noqa: PD011 - not a table


def test_the_threshold_view_is_a_figure_a_table_and_a_story():
    figure, table, story = evaluation.threshold_view(made_up_predictions(), threshold=0.4, prevalence=0.1)
    assert isinstance(figure, Figure) and len(table) == 1 and "100 have a fracture" in story
