"""What teachers are told: minutes, expected outputs, slides, and the mode that gives a class the same numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from fracturelib.course.notebook import banner
from fracturelib.course.readiness import MEASURED, NOTEBOOK_MINUTES
from fracturelib.runtime import choose_device, choose_precision
from tools import course_time, expected_outputs, slides

PROJECT = Path(__file__).resolve().parents[1]
PAGE = (PROJECT / "docs/teaching.md").read_text(encoding="utf-8")
SERIES = sorted((PROJECT / "notebooks").glob("[0-9]*.ipynb"))


# --- minutes --------------------------------------------------------------------------------------------------------


def test_the_table_of_minutes_is_of_todays_notebooks():
    assert course_time.with_table(PAGE) == PAGE, "python -m tools.course_time"
    for rate in (course_time.WORDS_A_MINUTE, course_time.SECONDS_A_LINE, course_time.PANEL, course_time.EXERCISE):
        assert f"{rate:g}" in PAGE.split(course_time.BEGIN)[1].split(course_time.END)[0]


@pytest.mark.parametrize("path", SERIES, ids=lambda path: path.stem)
def test_a_notebook_promises_the_minutes_of_the_model(path):
    found = course_time.minutes_of(path)
    opening = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
    stated = re.search(r"about\s+(\d+)\s+minutes\s+of\s+reading\s+and\s+trying", opening)
    assert stated and abs(int(stated[1]) - found.reading - found.trying) <= 3, found.reading + found.trying
    computing = re.search(r"(?:Less than|About) (\d+) minutes? of computing", opening)
    assert computing and found.running <= int(computing[1]) + 0.5


def test_words_lines_and_what_is_to_be_tried_are_counted(tmp_path):
    def cell(kind, text, **metadata):
        return {"cell_type": kind, "source": [text], "metadata": metadata}

    cells = [
        cell("markdown", "Two [words](../docs/glossary.md#word), <details>and three more</details>"),
        cell("code", "hidden = 1", jupyter={"source_hidden": True}),
        cell("code", 'box = guess_number("x")\n\nsome_panel(table)\nsheet = CallSheet(cases)\nanswer("03.1", None)'),
    ]
    path = tmp_path / "03_x.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    found = course_time.minutes_of(path)
    assert (found.words, found.lines, found.guesses, found.panels, found.cases, found.exercises) == (5, 4, 1, 1, 5, 1)
    assert found.reading == pytest.approx(5 / 130 + 4 * 5 / 60) and found.trying == 0.5 + 4 + 2.5 + 5 + 2


def test_notebook_00_is_ten_minutes_of_words_and_computing():
    (first,) = (course_time.minutes_of(path) for path in SERIES if path.name.startswith("00"))
    assert first.words / course_time.WORDS_A_MINUTE + first.running <= 10


def test_the_measured_minutes_are_those_of_the_benchmark():
    kept = json.loads(MEASURED.read_text(encoding="utf-8"))
    assert kept["machine"] and not kept["quick"]
    assert set(NOTEBOOK_MINUTES) == {path.name[:2] for path in SERIES}


# --- expected outputs and slides ------------------------------------------------------------------------------------


def test_the_expected_outputs_are_those_of_the_notebooks():
    assert expected_outputs.page() == expected_outputs.PAGE.read_text(encoding="utf-8"), expected_outputs.__doc__
    rows = [row for path in SERIES for row in expected_outputs.findings(path)]
    assert len(rows) > 50 and all(question and found for _, question, found in rows)


@pytest.mark.slow
@pytest.mark.parametrize("title", slides.SESSIONS.values())
def test_every_section_of_a_session_becomes_slides(title):
    cited = slides.sections_of(PAGE, title)
    assert len(cited) >= 4
    columns = [cell for cell in slides.session(title).cells if cell.metadata["slideshow"]["slide_type"] == "slide"]
    assert len(columns) == 1 + len(cited)
    for cell, (_, name) in zip(columns[1:], cited, strict=True):
        assert name in cell.source


@pytest.mark.slow
@pytest.mark.parametrize("title", slides.SESSIONS.values())
def test_no_answer_stands_on_the_slide_of_its_question(title):
    cells = slides.session(title).cells
    words = [cell.source for cell in cells if cell.cell_type == "markdown"]
    assert not any("<details>" in text or "found:" in text for text in words)
    asked = [place for place, text in enumerate(words) if text.startswith("### Checkpoint")]
    assert asked or "45 minutes" in title
    kinds = [cell.metadata["slideshow"]["slide_type"] for cell in cells if cell.cell_type == "markdown"]
    assert all(kinds[place + 1] == "subslide" for place in asked)
    for cell in cells:
        text = json.dumps(cell.get("outputs", []))
        assert "widget-view" not in text and "No guess was made" not in text


@pytest.mark.slow
def test_slides_load_nothing_from_a_network():
    page = slides.page_of(slides.SESSIONS["45-minutes"])
    loaded = re.findall(r"""<(?:script|link|img)[^>]*(?:src|href)="([^"]+)\"""", page)
    assert {one.split("/")[0] for one in loaded if not one.startswith("data:")} == {"reveal"}
    assert "import mermaid" not in page and "Reveal.initialize" in page


# --- class mode -----------------------------------------------------------------------------------------------------


def test_class_mode_calculates_alike_on_all_machines(monkeypatch, tmp_path):
    monkeypatch.setenv("FRACTURELIB_CLASS", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert choose_device() == torch.device("cpu") and choose_precision("auto", choose_device()) == "float32"
    assert choose_precision("bfloat16", choose_device()) == "bfloat16", "who asks for it gets it"
    assert any("class" in line for line in banner(tmp_path))
    monkeypatch.setenv("FRACTURELIB_CLASS", "0")
    assert choose_precision("auto", torch.device("cpu")) == "bfloat16"
