"""The reading room: any order of keys, what the viewer shows, the results, and the class's folder."""

from __future__ import annotations

import base64
import html
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from fracturelib.catalog import read_catalog
from fracturelib.course.figures.reading import disagreement_gallery
from fracturelib.course.reader_study import choose_cases, pool_readings, simulated_reader, with_model
from fracturelib.course.reader_study.results import reading_results
from fracturelib.course.widgets import reading_room
from fracturelib.course.widgets.reading_room import READING_KEYS, ReadingRoom
from fracturelib.errors import EvaluationError


@pytest.fixture(scope="module")
def cases(tiny_data) -> pd.DataFrame:
    table = read_catalog(tiny_data)
    found = choose_cases(table, count=6)
    found["bbox_x"] = np.where(found["label"] == 1, 5.0, np.nan)
    return found.assign(bbox_y=found["bbox_x"], bbox_w=found["bbox_x"], bbox_h=found["bbox_x"])


@pytest.fixture(scope="module")
def predictions(tiny_data) -> pd.DataFrame:
    table = read_catalog(tiny_data)
    return table[["path", "label", "source_id"]].assign(probability=np.linspace(0.05, 0.95, len(table)))


@pytest.fixture
def room(cases, tmp_path) -> ReadingRoom:
    return ReadingRoom(cases, lambda answers: [f"{len(answers)} answers"], folder=tmp_path / "class")


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    assert not plt.get_fignums(), "a figure was left open: the notebook would show it twice"
    plt.close("all")


def read_all(room: ReadingRoom, keys: str = "f3") -> None:
    while not room.reading.finished:
        for key in keys:
            room.buttons[key].click()


# --- the room -------------------------------------------------------------------------------------------------------


def test_a_case_is_called_and_rated_and_the_next_one_comes(room):
    first = room.picture.picture
    assert "Case 1 of 6" in room.status.value and room.picture.words == "Radiograph 1 of 6, to be read"
    room.buttons["2"].click()
    assert "First say whether it is fractured" in room.status.value and room.reading.position == 0
    room.buttons["n"].click()
    assert "not fractured" in room.status.value and room.buttons["n"].button_style == "primary"
    room.buttons["2"].click()
    assert "Case 2 of 6" in room.status.value and room.picture.picture != first
    room.buttons["b"].click()
    assert "Case 1 of 6" in room.status.value and room.picture.picture == first


def test_the_file_name_with_its_label_is_not_on_the_page_before_the_end(room, cases):
    page = room.picture.words + room.status.value + room.still()
    assert not any(path in page for path in cases["path"]) and "test/" not in page
    assert not any(path.encode() in room.picture.picture for path in cases["path"])


def test_results_come_after_the_last_case_and_go_when_one_steps_back(room):
    assert room.outcome.value == "" and room.save_button.disabled
    read_all(room)
    assert "6 answers" in room.outcome.value and room.picture.picture == b"" and not room.save_button.disabled
    assert room.buttons["f"].disabled and not room.buttons["b"].disabled
    room.buttons["b"].click()
    assert room.outcome.value == "" and "Case 6 of 6" in room.status.value


def test_a_reading_is_saved_once_however_often_the_button_is_pressed(room, cases, tmp_path):
    read_all(room)
    room.save_button.click()
    room.save_button.click()
    assert "Saved as reading-" in room.status.value
    assert len(list((tmp_path / "class").iterdir())) == 1
    room.again_button.click()
    read_all(room, "n1")
    room.save_button.click()
    pooled = pool_readings(tmp_path / "class", cases=cases)
    assert pooled.groupby("reader")["called"].mean().sort_values().tolist() == [0, 1]


def test_whoever_has_seen_the_results_makes_a_second_reading(room, cases, tmp_path):
    read_all(room)
    room.save_button.click()
    first = room.number
    assert "second" not in room.status.value
    room.buttons["b"].click()  # one step back, with the truth in sight
    read_all(room, "n1")
    room.save_button.click()
    assert "marked as a second reading" in room.status.value and room.number != first
    pooled = pool_readings(tmp_path / "class", cases=cases)
    again = pooled.groupby("reading")["again"].first()
    assert not again[first] and again[room.number] and len(again) == 2, "the first one is kept"


def test_a_reader_who_starts_again_halfway_has_seen_nothing(room):
    room.press("f")
    room.press("2")
    room.again_button.click()
    assert not room.knows.value and room.reading.position == 0


def test_who_read_the_cases_yesterday_can_say_so(room, cases, tmp_path):
    room.knows.value = True
    read_all(room)
    room.save_button.click()
    assert pool_readings(tmp_path / "class", cases=cases)["again"].all()


def test_a_folder_that_cannot_be_written_is_said(room, tmp_path):
    (tmp_path / "class").write_text("a file in the way")
    read_all(room)
    room.save_button.click()
    assert "cannot be saved" in room.status.value


def test_without_a_folder_there_is_nothing_to_save(cases):
    room = ReadingRoom(cases, lambda answers: [])
    shown = [button.description for button in room.children[5].children]
    assert shown == ["Read again from the start"]


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from([*READING_KEYS, "save", "again"]), max_size=25))
def test_no_order_of_keys_and_controls_raises(cases, tmp_path_factory, actions):
    room = ReadingRoom(cases.iloc[:2], lambda answers: ["done"], folder=tmp_path_factory.mktemp("class"))
    for action in actions:
        {"save": room.save_button, "again": room.again_button}.get(action, room.buttons.get(action)).click()
    assert bool(room.outcome.value) == room.reading.finished


def test_a_file_that_vanished_is_said_and_the_reader_can_go_on(cases):
    gone = cases.assign(path="gone.png")
    room = ReadingRoom(gone, lambda answers: [])
    assert "gone.png" in room.outcome.value and room.picture.picture == b""
    read_all(room)


def test_results_that_fail_are_said(cases):
    def refuse(_):
        raise EvaluationError("no prediction")

    room = ReadingRoom(cases, refuse)
    read_all(room)
    assert "no prediction" in room.outcome.value


def test_every_key_of_the_desk_has_its_button(room):
    desk = room.children[1].value
    prefix = re.search(r"'\.(fracturelib-key-)'", html.unescape(desk)).group(1)
    assert {f"{prefix}{key}" for key in READING_KEYS} == {made._dom_classes[0] for made in room.buttons.values()}
    assert "data-lm-suppress-shortcuts" in desk and 'tabindex="0"' in desk


# --- the results ----------------------------------------------------------------------------------------------------


def test_results_stand_beside_the_models_of_the_same_cases(cases, predictions):
    answers = simulated_reader(cases)
    sentence, figure, scores, agreement, _, gallery = reading_results(answers, predictions, threshold=0.5)
    plt.close("all")
    assert sentence.startswith("You found ") and "false alarm" in sentence, "counts come before intervals"
    assert isinstance(figure, Figure) and isinstance(gallery, Figure)
    assert "you as a point at sensitivity" in figure.get_label() and "truth: " in gallery.get_label()
    read = with_model(answers, predictions, threshold=0.5)
    sensitivity = (read.query("label == 1")["called"]).mean()
    assert scores.set_index("on these cases").loc["sensitivity", "you"].startswith(f"{sensitivity:.2f}")
    assert len(agreement) == 3


def test_heat_is_laid_over_the_cases_of_disagreement_only(cases, predictions):
    asked = []

    def heat(rows):
        asked.extend(rows["path"])
        return np.ones((len(rows), 7, 7))

    read = with_model(simulated_reader(cases), predictions, threshold=0.5)
    figure = disagreement_gallery(read, heat=heat)
    shown = [ax.images[-1].get_array() for ax in figure.axes if ax.images]
    plt.close("all")
    assert len(shown) == len(asked) and all(picture.ndim == 3 for picture in shown)
    assert set(asked) <= set(read["path"])


def test_full_agreement_is_said(cases):
    exact = cases.assign(called=cases["label"], sure=3, seconds=1.0)
    exact.attrs = cases.attrs
    predictions = cases[["path", "label"]].assign(probability=cases["label"].astype(float))
    *_, agreement, _, gallery = reading_results(exact, predictions, threshold=0.5)
    assert "agree on every case" in gallery
    assert agreement["Cohen's kappa"].tolist() == ["1.00 (no interval)"] * 3
    plt.close("all")


def test_the_page_without_a_kernel_says_what_the_room_is(room):
    assert (
        "The reading room: case 1 of 6" in room.still()
        and base64.b64encode(room.picture.picture).decode() in room.still()
    )
    assert reading_room.HEIGHT < 400, "picture, buttons and status must fit on one screen"
