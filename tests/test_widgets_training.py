"""The panels of notebooks 03 and 04: plain functions over all their controls, and trainings that replace each other."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.course import notebook
from fracturelib.course.notebook import notebook_run
from fracturelib.course.studies import Workbench
from fracturelib.course.widgets import evaluation, live, runs, training
from fracturelib.course.widgets.live import LatestJob
from fracturelib.course.widgets.training import training_panel
from fracturelib.errors import RunBusyError, RunError
from fracturelib.evaluation import confusion_at, natural_frequencies, rates_at
from fracturelib.features import compute_features, computing
from fracturelib.loaders import make_loaders
from fracturelib.model import build_model
from tests.helpers.benches import made_up_bench, made_up_features

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
CONFIG = TrainConfig(weights="none", epochs=3, hidden_units=16, batch_size=16)


@pytest.fixture(scope="module")
def bench() -> Workbench:
    return made_up_bench(60, 20, views=2)


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


def press(panel, label: str) -> None:
    """Click the button of this name."""
    (found,) = [button for button in panel.buttons if button.description == label]
    found.click()


# --- the training panel ---------------------------------------------------------------------------------------------


@pytest.fixture
def plain_pictures():
    """An empty picture in place of the curves: drawing takes ten times as long as training, and is tested above."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "training_figure", lambda *args, **options: Figure(figsize=(1, 1)))
        yield


@pytest.mark.slow
def test_every_value_of_every_training_control(bench, plain_pictures):
    panel = training_panel(bench, CONFIG, background=False)
    for name, control in panel.controls.items():
        for value in values_of(control):
            control.value = value
            assert "<img" in panel.result.value and 'alt="Train the head yourself' in panel.result.value
        control.value = panel.defaults[name]
    assert len(panel.draw.runs) == runs.MOST_KEPT


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_training_controls_in_any_order(data, plain_pictures):
    small = made_up_bench(20, 10)
    panel = training_panel(small, replace(CONFIG, epochs=2), background=False)
    for _ in range(4):
        control = panel.controls[data.draw(st.sampled_from(sorted(panel.controls)))]
        control.value = data.draw(st.sampled_from(values_of(control)))
        assert panel.result.value.count("<img") == 1
        assert panel.draw.runs[-1].config.learning_rate == panel.controls["learning_rate"].value
    panel.reset()
    assert panel.values == panel.defaults  # noqa: PD011 - not a table


def test_the_same_settings_again_take_the_place_of_the_first(bench, plain_pictures):
    panel = training_panel(bench, CONFIG, background=False)
    (first,) = panel.draw.runs
    panel.controls["dropout"].value = 0.0
    panel.reset()
    assert [run.number for run in panel.draw.runs] == [2, 3]
    assert panel.draw.runs[-1].history.equals(first.history)
    press(panel, "Forget earlier runs")
    assert [run.number for run in panel.draw.runs] == [3]


@pytest.mark.slow
def test_a_run_is_named_by_what_was_changed(bench, plain_pictures):
    panel = training_panel(bench, CONFIG, background=False)
    panel.controls["learning_rate"].value = 0.01
    panel.controls["images"].value = 20
    panel.controls["learning_rate"].value = CONFIG.learning_rate
    panel.reset()
    names = [run.name for run in panel.draw.runs]
    assert names == ["2: rate 0.01", "3: images 20, …", "4: images 20", "5: first settings"]


@pytest.mark.slow
def test_curves_grow_while_a_head_is_trained(bench, monkeypatch):
    monkeypatch.setattr(live, "REDRAW_SECONDS", 0.0)
    monkeypatch.setattr(live, "REDRAW_TIMES", 0)
    panel = training_panel(bench, CONFIG, background=False)
    pictures, words = [], []
    panel.result.observe(lambda change: pictures.append(change["new"]), names="value")
    panel.progress.text.observe(lambda change: words.append(change["new"]), names="value")
    panel.controls["hidden_units"].value = 64
    assert len(pictures) == 4, "one for each epoch, and the last with the table of the runs"
    assert all("<table" in picture for picture in pictures), "the table of earlier runs stays meanwhile"
    assert ["<td>2</td>" in picture for picture in pictures] == [False, False, False, True]
    assert all(f"epoch {epoch} of at most 3" in words[epoch] for epoch in (1, 2, 3))


@pytest.mark.parametrize("drawing", [0.1, 3.0])
def test_long_work_is_drawn_now_and_then_and_never_more_drawn_than_done(bench, plain_pictures, monkeypatch, drawing):
    panel = training_panel(bench, CONFIG, background=False)
    clock, drawn = [0.0], []
    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    report = live.Report(panel.progress, panel.result, doing="training", stop=threading.Event(), alt="")

    def draw() -> list[str]:
        clock[0] += drawing
        drawn.append(clock[0])
        return [f"picture {len(drawn)}"]

    for epoch in range(1, 101):
        clock[0] += 0.25
        report(epoch, 100, draw)
        assert f"epoch {epoch} of at most 100" in panel.progress.text.value
    assert len(drawn) >= 3 and f"picture {len(drawn)}" in panel.result.value
    assert drawn[0] - drawing >= live.REDRAW_SECONDS and len(drawn) * drawing <= 25 / live.REDRAW_TIMES


def test_a_short_training_is_drawn_once(bench, plain_pictures):
    panel = training_panel(bench, CONFIG, background=False)
    pictures = []
    panel.result.observe(lambda change: pictures.append(change["new"]), names="value")
    panel.controls["dropout"].value = 0.0
    assert len(pictures) == 1


def test_a_training_is_in_progress_until_its_curves_are_there(bench, plain_pictures):
    panel = training_panel(bench, CONFIG, background=False)
    shown = []
    panel.result.observe(lambda _: shown.append(panel.progress.cancel_button.layout.visibility), names="value")
    panel.controls["dropout"].value = 0.0
    assert shown == ["visible"] and panel.progress.cancel_button.layout.visibility == "hidden"


@pytest.fixture
def slow_training(monkeypatch):
    """Trainings wait in their first epoch until `go_on` is set; `begun` says that one is there."""
    begun, go_on, train_for_real = threading.Event(), threading.Event(), training.train_head

    def slow(*args, on_epoch, **options):
        def report(history):
            begun.set()
            go_on.wait(10)
            on_epoch(history)

        return train_for_real(*args, on_epoch=report, **options)

    def hold():
        monkeypatch.setattr(training, "train_head", slow)

    def release():
        monkeypatch.setattr(training, "train_head", train_for_real)

    return hold, release, begun, go_on


def go_on_when_stopped(panel, go_on):
    stopped = panel.jobs._stop
    threading.Thread(target=lambda: (stopped.wait(10), go_on.set())).start()


def test_a_new_training_stops_the_one_that_runs(bench, slow_training, plain_pictures):
    hold, release, begun, go_on = slow_training
    panel = training_panel(bench, replace(CONFIG, epochs=1, patience=40))
    hold()
    panel.controls["epochs"].value = 40
    assert begun.wait(10)
    release()
    go_on_when_stopped(panel, go_on)
    panel.controls["epochs"].value = 2
    panel.jobs.wait()
    assert [run.config.epochs for run in panel.draw.runs] == [1, 2], "the long training left no trace"
    assert panel.result.value.count("<img") == 1


def test_a_training_can_be_cancelled(bench, slow_training, plain_pictures):
    hold, _, begun, go_on = slow_training
    panel = training_panel(bench, replace(CONFIG, epochs=1, patience=40))
    before = panel.result.value
    hold()
    panel.controls["epochs"].value = 40
    assert begun.wait(10)
    go_on_when_stopped(panel, go_on)
    panel.progress.cancel_button.click()
    assert [run.config.epochs for run in panel.draw.runs] == [1]
    table = before.partition("<table")[2]
    assert panel.result.value.partition("<table")[2] == table, "the finished run is shown again"


def test_a_handle_that_moves_on_begins_no_training(bench, monkeypatch, plain_pictures):
    panel = training_panel(bench, CONFIG)
    monkeypatch.setattr(live, "SETTLE_SECONDS", 10.0)
    for width in (4, 64, 256):
        panel.controls["hidden_units"].value = width
    monkeypatch.setattr(live, "SETTLE_SECONDS", 0.01)
    panel.controls["hidden_units"].value = 1024
    panel.jobs.wait()
    assert [run.config.hidden_units for run in panel.draw.runs] == [16, 1024]


def test_only_the_latest_job_lives(monkeypatch):
    monkeypatch.setattr(live, "SETTLE_SECONDS", 0.0)
    jobs, log, begun = LatestJob(), [], threading.Event()

    def work(name):
        def run(stop):
            log.append(f"{name} begins")
            begun.set()
            stop.wait(10 if name == "first" else 0)
            log.append(f"{name} ends")

        return run

    jobs.stop()  # nothing runs yet
    jobs.start(work("first"))
    assert begun.wait(10)
    jobs.start(work("second"))
    jobs.wait()
    assert log == ["first begins", "first ends", "second begins", "second ends"]


@pytest.mark.slow
def test_a_training_that_breaks_is_told_in_words(bench):
    broken = made_up_features(60)
    broken.features[0, 7] = float("nan")
    panel = training_panel(replace(bench, train=broken), CONFIG, background=False)
    assert "the loss is not finite" in panel.result.value and not panel.draw.runs
    press(panel, "Forget earlier runs")


# --- the run that notebook 04 judges --------------------------------------------------------------------------------


def test_a_run_that_fits_is_reused_and_another_is_remade(tmp_path, monkeypatch, capsys):
    calls = []

    def pretend(config, *, folder, resume=False, **_):
        calls.append(resume)
        if folder.exists() and resume:
            raise RunError("the run is finished, and was made with other settings")
        folder.mkdir(parents=True)
        return made

    made = SimpleNamespace(repeats_here=True)
    monkeypatch.setattr(notebook, "train_run", pretend)
    folder = tmp_path / "runs" / "notebook"
    assert notebook_run(CONFIG, folder) is made and calls == [True]
    monkeypatch.setattr(notebook, "read_record", lambda folder: {})  # it is a run
    assert notebook_run(CONFIG, folder) is made and calls == [True, True, False]
    assert "made with other settings" in capsys.readouterr().out and str(tmp_path) not in capsys.readouterr().out


def test_a_second_notebook_waits_for_the_run_that_the_first_is_making(tmp_path, monkeypatch, capsys):
    made, calls = SimpleNamespace(repeats_here=True), []

    def pretend(config, *, folder, resume, **_):
        calls.append(resume)
        if len(calls) < 4:
            raise RunBusyError("another process is training this run", file=folder)
        return made

    monkeypatch.setattr(notebook, "train_run", pretend)
    monkeypatch.setattr(notebook, "SECONDS_BETWEEN_LOOKS", 0)
    assert notebook_run(CONFIG, tmp_path / "runs" / "notebook") is made and calls == [True] * 4
    assert capsys.readouterr().out.count("waiting for it") == 1, "said once"


def test_a_run_of_a_machine_with_bfloat16_is_made_anew_where_there_is_none(tmp_path, monkeypatch, capsys):
    def pretend(config, *, folder, resume=False, **_):
        return SimpleNamespace(repeats_here=not resume, record={"precision": "bfloat16"})

    monkeypatch.setattr(notebook, "train_run", pretend)
    folder = tmp_path / "runs" / "notebook"
    folder.mkdir(parents=True)
    assert notebook_run(CONFIG, folder).repeats_here
    assert "bfloat16" in capsys.readouterr().out


def test_a_folder_that_is_no_run_is_left_alone(tmp_path):
    keepsake = tmp_path / "thesis.txt"
    keepsake.write_text("do not delete")
    with pytest.raises(RunError):
        notebook_run(CONFIG, tmp_path)
    assert keepsake.exists()


@pytest.mark.slow
def test_a_run_takes_the_features_that_the_notebook_has_computed(tiny_data, tmp_path, monkeypatch):
    config = replace(CONFIG, data=str(tiny_data), image_size=32, views=2)
    monkeypatch.setattr(notebook, "project_folder", lambda: tmp_path)
    model, loaders = build_model(config), make_loaders(read_catalog(tiny_data), config)
    for dataset, views in ((loaders.train.dataset, 2), (loaders.val.dataset, 1)):
        compute_features(model, dataset, config, views=views, bank=notebook.feature_bank())
    read, really = [], computing._frozen_outputs

    def outputs(model, dataset, config, places):
        read.append(len(places))
        return really(model, dataset, config, places)

    monkeypatch.setattr(computing, "_frozen_outputs", outputs)
    notebook_run(config, tmp_path / "runs" / "notebook")
    new = len(loaders.test.dataset) + len(loaders.train.dataset)
    assert sum(read) == new, "only the test images and the training images without augmentation are new"


def test_both_notebooks_ask_for_the_same_run():
    asked = []
    for name in ("03_training", "04_evaluation"):
        cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
        lines = [line for cell in cells if cell["cell_type"] == "code" for line in cell["source"]]
        code = [line.partition("#")[0].strip() for line in lines]
        names = ("FAST = ", "IMAGE_SIZE = ", "VIEWS = ", "RUN_NAME = ", "config = ")
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
    counts = confusion_at(predictions, threshold)
    assert (counts.to_numpy() == confusion_matrix(predictions["label"], called, labels=[0, 1])).all()
    rates = rates_at(predictions, threshold, prevalence=predictions["label"].mean())
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
    story = natural_frequencies(sensitivity, specificity, prevalence)
    assert story.startswith("Of 1,000 patients") and "-" not in story and "nan" not in story


@pytest.mark.slow
@pytest.mark.parametrize("kept", [[0, 1], [0], [1]], ids=["both classes", "none fractured", "all fractured"])
def test_every_corner_of_the_threshold_panel(kept):
    predictions = made_up_predictions()
    predictions = predictions[predictions["label"].isin(kept)]
    for threshold, prevalence in ((0.0, 0.01), (0.37, 0.9), (1.0, 0.5)):
        panel = evaluation.threshold_panel(predictions, threshold=threshold, prevalence=prevalence)
        shown = panel.still() if len(kept) == 2 else panel.children[1].value
        picture, _, text = shown.partition('alt="')
        assert "<img" in picture and "nan" not in text.lower()


def test_the_threshold_view_is_a_figure_a_table_and_a_story():
    figure, table, story = evaluation.threshold_view(made_up_predictions(), threshold=0.4, prevalence=0.1)
    assert isinstance(figure, Figure) and len(table) == 1 and "100 have a fracture" in story
