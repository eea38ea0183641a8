"""What all panels share: results that replace themselves, a reset, progress, and a still for pages without a kernel."""

from __future__ import annotations

import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fracturelib.course.notebook import encode
from fracturelib.course.widgets import common
from fracturelib.course.widgets.common import ALIVE, STILL, LivingPage, Panel, ProgressRow
from fracturelib.course.widgets.live import AtOnce, Cancelled
from fracturelib.errors import EvaluationError


def drawing(size: float, kind: str) -> list:
    figure, ax = plt.subplots(figsize=(size, 1))
    ax.set_title(kind)
    return [figure, pd.DataFrame({"kind": [kind]}), f"{kind} < {size}"]


@pytest.fixture
def panel() -> Panel:
    controls = {"size": common.slider("Size (inches)", 2, 1, 4, 0.5), "kind": common.choice("Kind", ["a", "b"], "a")}
    return Panel(drawing, controls, title="Try it").start()


def test_a_result_replaces_the_one_before_and_leaves_no_figure_open(panel):
    first = panel.result.value
    panel.controls["kind"].value = "b"
    assert panel.result.value.count("<img") == 1 and "b &lt; 2.0" in panel.result.value != first
    assert not plt.get_fignums()


def test_a_figure_is_a_white_card_in_any_theme():
    figure, ax = plt.subplots()
    ax.set_title("a title")
    picture = np.asarray(Image.open(io.BytesIO(encode(figure)[0])).convert("RGBA"))
    assert (picture[..., 3] == 255).all(), "a dark page must not shine through below dark words"
    assert (picture[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all() and picture[..., :3].min() < 60


def test_reset_draws_once_and_brings_everything_back(panel):
    first, drawn = panel.result.value, []
    panel.controls["size"].value, panel.controls["kind"].value = 3.0, "b"
    panel.draw = lambda **values: drawn.append(values) or drawing(**values)
    panel.buttons[0].click()
    assert drawn == [{"size": 2.0, "kind": "a"}] and panel.result.value == first


def test_an_error_of_the_reader_is_shown_and_the_panel_lives_on(panel):
    def refuse(**_):
        raise EvaluationError("too few <files>", cure="take more")

    usual, panel.draw = panel.draw, refuse
    panel.update()
    assert "too few &lt;files&gt;" in panel.result.value and "take more" in panel.result.value
    assert panel.progress.text.value == "", "nothing is going on any more"
    panel.draw = usual
    panel.update()
    assert "<img" in panel.result.value


def test_a_panel_draws_when_it_is_started_and_not_before():
    calls = []
    panel = Panel(lambda **_: calls.append(True) or "drawn", {}, title="Try it")
    assert not calls and panel.result.value == ""
    assert panel.start() is panel and len(calls) == 1 and "drawn" in panel.result.value


def test_stopped_work_leaves_what_was_there_before():
    def work(report, size):
        report.result.show("half of it")
        if size > 2:
            panel.stop()
            raise Cancelled
        return f"size {size}"

    controls = {"size": common.slider("Size", 2, 1, 4, 0.5)}
    panel = Panel(work, controls, title="Try it", jobs=AtOnce()).start()
    before = panel.result.value
    panel.controls["size"].value = 3
    assert "size 2.0" in before == panel.result.value and panel.progress.text.value == ""


def test_notes_take_the_colour_of_the_theme():
    """A fixed dark grey cannot be read in JupyterLab's dark theme."""
    assert "color: var(--jp-ui-font-color1" in common.as_html("a note")


def test_it_is_at_work_until_the_result_is_there(panel):
    said = []
    panel.result.observe(lambda _: said.append(panel.progress.text.value), names="value")
    panel.controls["kind"].value = "b"
    assert len(said) == 1 and "Drawing" in said[0] and panel.progress.text.value == ""


@pytest.fixture
def displayed(monkeypatch) -> list[dict]:
    """What cells would show."""
    outputs = []
    monkeypatch.setattr(common, "display", lambda bundle, raw: outputs.append(bundle))
    return outputs


def test_a_cell_shows_a_still_and_the_panel_and_a_second_run_the_same_again(panel, displayed):
    for _ in range(2):
        panel._ipython_display_()
    still, alive, *again = displayed
    assert sorted(still) == ["text/html", "text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in alive and again == [still, alive]
    assert panel.result.value in still["text/html"] and f'class="{STILL}"' in still["text/html"]
    assert "Size (inches) 2" in still["text/html"] and 'alt="Try it: ' in still["text/html"]


def test_the_still_names_the_class_that_the_living_panel_has(panel, displayed):
    panel._ipython_display_()
    assert ALIVE in panel._dom_classes
    assert set(re.findall(r"\.(fracturelib-\w+)", displayed[0]["text/html"])) == {STILL, ALIVE}


def test_a_page_without_figures_still_says_what_it_is():
    page = LivingPage([], title="Read <20> X-rays")
    assert "run the notebook to use it" in page.still() and "&lt;20&gt;" in page.still()


def test_progress_is_said_and_cancelled_and_forgotten():
    row, cancelled = ProgressRow(), []
    assert row.text.value == "" and row.cancel_button.layout.visibility == "hidden"
    row.begin("training", on_cancel=lambda: cancelled.append(True))
    row.advance(0.4, "epoch 4 of <10>")
    assert row.bar.value == 0.4 and "epoch 4 of &lt;10&gt;" in row.text.value
    assert row.cancel_button.layout.visibility == row.bar.layout.visibility == "visible"
    row.cancel_button.click()
    row.end()
    row.cancel_button.click()
    assert cancelled == [True] and row.text.value == "" and row.bar.layout.visibility == "hidden"
    row.begin("drawing")
    assert row.cancel_button.layout.visibility == "hidden", "what cannot be cancelled has no such button"
