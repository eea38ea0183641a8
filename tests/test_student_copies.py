"""A student's copies: no outputs, never overwritten once worked in, and links that lead somewhere."""

import json
import re
from pathlib import Path

import pytest

from tools.student_copies import Outcome, make_copies, student_version, untouched

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def notebook(code="1 + 1"):
    return {
        "cells": [
            {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["See [one](solutions/x.ipynb)"]},
            {"cell_type": "code", "id": "b", "metadata": {}, "source": [code], "outputs": ["2"], "execution_count": 3},
        ],
        "metadata": {"kernelspec": {"name": "python3"}, "fracturelib": {"code": "old"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


@pytest.fixture
def places(tmp_path):
    (tmp_path / "notebooks").mkdir()
    return tmp_path / "notebooks/03_x.ipynb", tmp_path / "mine/03_x.ipynb"


def write(file, content):
    file.write_text(json.dumps(content), encoding="utf-8")


def copies(places):
    return make_copies(places[0].parent, places[1].parent)


def edit(file, **changes):
    content = json.loads(file.read_text(encoding="utf-8"))
    content["cells"][1] |= changes
    write(file, content)


def test_a_copy_has_no_outputs_and_its_links_lead_to_the_solutions(places):
    write(places[0], notebook())
    assert copies(places) == {places[1]: Outcome.MADE}
    made = json.loads(places[1].read_text(encoding="utf-8"))
    assert made["cells"][1]["outputs"] == [] and made["cells"][1]["execution_count"] is None
    assert "".join(made["cells"][0]["source"]) == "See [one](../notebooks/solutions/x.ipynb)"
    assert untouched(made)


def test_what_nobody_worked_in_is_renewed_and_the_same_version_is_kept(places):
    write(places[0], notebook())
    copies(places)
    before = places[1].read_bytes()
    assert copies(places) == {places[1]: Outcome.KEPT} and places[1].read_bytes() == before
    write(places[0], notebook("2 + 2"))
    assert copies(places) == {places[1]: Outcome.RENEWED}
    assert "2 + 2" in places[1].read_text(encoding="utf-8")


@pytest.mark.parametrize("change", [{"source": ["mine"]}, {"outputs": ["4"]}, {"execution_count": 1}])
def test_what_was_worked_in_is_never_overwritten(change, places):
    write(places[0], notebook())
    copies(places)
    edit(places[1], **change)
    worked_in = places[1].read_bytes()
    assert copies(places) == {places[1]: Outcome.KEPT}, "the same version: nothing to lay beside it"
    for number, code in ((2, "2 + 2"), (3, "3 + 3")):
        write(places[0], notebook(code))
        beside = places[1].with_name(f"03_x_version_{number}.ipynb")
        assert copies(places) == {beside: Outcome.BESIDE}
        assert copies(places) == {beside: Outcome.BESIDE}, "once"
        edit(beside, source=["mine, too"])
        assert places[1].read_bytes() == worked_in


@pytest.mark.parametrize("content", ["", "[]", '{"cells": 3, "metadata": {}}', "no notebook"])
def test_something_else_of_that_name_stays(content, places):
    write(places[0], notebook())
    places[1].parent.mkdir()
    places[1].write_text(content)
    ((made, outcome),) = copies(places).items()
    assert outcome is Outcome.BESIDE and made != places[1] and places[1].read_text() == content


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_links_of_the_series_lead_somewhere_from_my_notebooks_too(path):
    """The copies lie beside notebooks/, in a folder of the same depth."""
    made = student_version(json.loads(path.read_text(encoding="utf-8")))
    for cell in made["cells"]:
        for target in re.findall(r"\]\(([^)#\s]+)[)#]", "".join(cell["source"]) * (cell["cell_type"] == "markdown")):
            if "://" not in target:
                assert (NOTEBOOKS / target).resolve().exists(), target
