"""Guess boxes: taken before the result, shown beside it, saved without a name, pooled; silent without an answer."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracturelib.course.guess import (
    Kind,
    Nearness,
    Question,
    compare_guess,
    parse_number,
    pool_guesses,
    save_guess,
)
from fracturelib.course.widgets.guess import GuessBox, guess_choice, guess_curve, guess_number
from fracturelib.errors import DataWarning, EvaluationError, FracturelibError

SHARE = Question("03-share", "Which share is trained?", Kind.NUMBER, low=0, high=100, unit="%", digits=1)
CHOICE = Question("04-auc", "Does it change?", Kind.CHOICE, options=("yes", "no", "it depends"))
CURVE = Question("03-curve", "Sketch it.", Kind.CURVE, places=(0, 1, 2), labels=("epoch", "loss"))
EXAMPLES = {SHARE: [12.5], CHOICE: [2], CURVE: [0.7, 0.5, 0.25]}


@pytest.mark.parametrize(
    ("typed", "value"), [("40", 40), (" 40 %", 40), ("1.2", 1.2), ("1,2", 1.2), ("2e1", 20), ("0", 0), ("1,2 %", 1.2)]
)
def test_numbers_as_people_type_them(typed, value):
    assert parse_number(typed, SHARE) == value


def test_a_comma_before_three_digits_parts_thousands():
    assert parse_number("1,200", Question("01-files", "How many?", Kind.NUMBER, high=5000)) == 1200


@pytest.mark.parametrize("typed", ["", "half", "nan", "inf", "-1", "101", "--3"])
def test_what_is_no_guess_is_refused_in_words(typed):
    with pytest.raises(FracturelibError, match=r"not a number|off the scale"):
        parse_number(typed, SHARE)


@given(st.floats(0, 100), st.floats(0, 100))
def test_too_high_is_above_and_too_low_below(guess, found):
    nearness, gap = compare_guess(SHARE, [guess], [found])
    assert gap == pytest.approx(guess - found)
    assert nearness in {Nearness.MATCH, Nearness.CLOSE, Nearness.HIGH if guess > found else Nearness.LOW}
    assert (nearness is Nearness.HIGH) <= (guess - found > 5)


@pytest.mark.parametrize("question", EXAMPLES, ids=lambda question: question.kind)
def test_a_guess_survives_the_folder_and_a_second_save_replaces_it(question, tmp_path):
    first = save_guess(tmp_path, question, EXAMPLES[question])
    save_guess(tmp_path, question, EXAMPLES[question])
    assert save_guess(tmp_path, question, EXAMPLES[question], number=json.loads(first.read_text())["guess"]) == first
    pooled = pool_guesses(tmp_path, question)
    assert pooled.tolist() == [EXAMPLES[question]] * 2
    other = Question("03-other", "?", question.kind, options=question.options, places=question.places)
    assert pool_guesses(tmp_path, other).shape == (0, len(EXAMPLES[question]))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Ada"}, {"values": ["Ada"]}, {"values": []}, {"values": [1, 2]}, {"guess": "Ada"},
        {"question": "03-ada lovelace"}, {"question": "04-auc"}, {"values": [float("nan")]},
    ],
)  # fmt: skip
def test_a_file_that_could_carry_a_name_is_left_out(change, tmp_path):
    file = save_guess(tmp_path, SHARE, [40])
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.warns(DataWarning, match="1 guesses left out"):
        assert len(pool_guesses(tmp_path, SHARE)) == 0


def box(question, folder):
    return GuessBox(question, folder=folder)


def fill(made):
    """Give the example's answer to the controls."""
    values = EXAMPLES[made.question]
    if made.question.kind is Kind.NUMBER:
        made.inputs[0].value = f"{values[0]}"
    elif made.question.kind is Kind.CHOICE:
        made.inputs[0].index = values[0]
    else:
        for handle, value in zip(made.inputs, values, strict=True):
            handle.value = value


FOUND = {SHARE: (1.2,), CHOICE: ("no",), CURVE: ([0, 1, 2], [0.69, 0.5, 0.4])}


@pytest.mark.parametrize("question", EXAMPLES, ids=lambda question: question.kind)
def test_guess_and_finding_are_shown_side_by_side(question, tmp_path, capsys):
    made = box(question, tmp_path)
    assert made.save_button.disabled
    fill(made)
    made.take_button.click()
    assert "Taken" in made.said.value and not made.save_button.disabled
    made.reveal(*FOUND[question])
    said = capsys.readouterr().out
    if question.kind is not Kind.CURVE:
        assert f"your guess: {question.told(EXAMPLES[question])}; found: {question.told(made.found)}" in said
    assert "No guess" not in said
    made.save_button.click()
    made.class_button.click()
    assert "<img" in made.class_area.value and "1 guesses of the class" in made.class_area.value


@pytest.mark.parametrize("question", EXAMPLES, ids=lambda question: question.kind)
def test_run_all_shows_the_finding_without_a_guess(question, tmp_path, capsys):
    made = box(question, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made.reveal(*FOUND[question])
    assert "No guess was made" in capsys.readouterr().out
    made.take()
    assert made.guess is None and made.take_button.disabled, "what is guessed afterwards is no guess"
    assert not list(tmp_path.iterdir())


def test_the_class_is_read_anew_at_each_press(tmp_path):
    made = box(SHARE, tmp_path)
    made.class_button.click()
    assert "Nobody" in made.class_area.value
    for count in (1, 2):
        save_guess(tmp_path, SHARE, [40])
        made.class_button.click()
        assert f"{count} guesses of the class" in made.class_area.value


def test_an_empty_box_says_what_is_missing(tmp_path):
    for question in (SHARE, CHOICE):
        made = box(question, tmp_path)
        made.take_button.click()
        assert made.guess is None
        assert "not a number" in made.said.value or "nothing is chosen" in made.said.value


def test_the_three_kinds_are_made_as_notebooks_make_them(tmp_path, monkeypatch):
    monkeypatch.setenv("FRACTURELIB_CLASS_FOLDER", str(tmp_path))
    boxes = [
        guess_number("03-share", "How much?", unit="%"),
        guess_choice("04-auc", "Which?", ["a", "b"]),
        guess_curve("03-curve", "Sketch it.", places=[0, 1], low=0, high=1, labels=("epoch", "loss")),
    ]
    for made in boxes:
        assert made.folder == tmp_path
        assert made.question.text in made.still() and all(option in made.still() for option in made.question.options)
    with pytest.raises(EvaluationError, match="none of the options"):
        boxes[1].reveal("c")


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path):
    (tmp_path / "file").touch()
    made = box(SHARE, tmp_path / "file" / "class")
    fill(made)
    made.take()
    made.save()
    assert "cannot be saved" in made.said.value
    assert np.isclose(made.guess[0], 12.5)
