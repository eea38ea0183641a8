"""Assessment sheets: the same seed gives the same sheet, the answers are right, and the questions do not tell them."""

import math
import re

import pytest

from fracturelib.cli import main
from fracturelib.course.sheet import make_sheet, sheet_text

SEEDS = range(20)


def numbers(text):
    return [float(found.replace(",", "")) for found in re.findall(r"\d[\d,]*\.?\d*", text)]


@pytest.mark.parametrize("seed", SEEDS)
def test_answers_follow_from_the_numbers_in_the_question(seed):
    sheet = make_sheet(seed)
    assert len(sheet) == 10
    millions, head = numbers(sheet[0].question)[:2]
    assert numbers(sheet[0].answer)[0] == pytest.approx(100 * head / (head + millions * 1e6), abs=0.06)
    said = numbers(sheet[1].question)[0]
    given = 1 - said if "*not fractured*" in sheet[1].question else said
    assert numbers(sheet[1].answer)[-1] == pytest.approx(-math.log(given), abs=0.006)
    best, patience = numbers(sheet[2].question)[:2]
    assert numbers(sheet[2].answer)[:2] == [best + patience, best]
    fractured, others, found, alarms = numbers(sheet[3].question)
    wanted = [
        found / fractured,
        1 - alarms / others,
        (found + others - alarms) / (fractured + others),
        found / (found + alarms),
    ]
    assert numbers(sheet[3].answer) == pytest.approx([100 * share for share in wanted], abs=0.06)
    sensitivity, specificity, _, one_in, patients = numbers(sheet[4].question)
    right, false = patients / one_in * sensitivity / 100, (patients - patients / one_in) * (1 - specificity / 100)
    assert numbers(sheet[4].answer)[:3] == pytest.approx([right, false, right + false], abs=1)
    said, true = numbers(sheet[7].question)[:2]
    assert sheet[7].answer.startswith("Over" if true < said else "Under")


def test_the_same_seed_gives_the_same_sheet_and_another_one_another():
    assert sheet_text(3) == sheet_text(3)
    assert len({sheet_text(seed) for seed in SEEDS}) == len(SEEDS)
    questions, answers = sheet_text(3), sheet_text(3, answers=True)
    assert all(item.answer not in questions and item.question not in answers for item in make_sheet(3))


def test_the_command_prints_questions_or_answers(capsys):
    assert main(["class", "sheet", "--seed", "5"]) == 0
    assert capsys.readouterr().out == sheet_text(5)
    assert main(["class", "sheet", "--seed", "5", "--answers"]) == 0
    assert capsys.readouterr().out == sheet_text(5, answers=True)
    with pytest.raises(SystemExit):
        main(["class", "party"])
