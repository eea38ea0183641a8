"""The page of cases and the report in Chromium: from the disk, by keyboard and by touch, with Python's numbers."""

from __future__ import annotations

import base64
import json
import re
from datetime import date

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle
from scipy.stats import binomtest

from fracturelib import plots
from fracturelib.config import TrainConfig
from fracturelib.course.figures.opening import openable_radiographs
from fracturelib.course.widgets.common import ResultArea
from fracturelib.course.widgets.evaluation import threshold_panel
from fracturelib.course.widgets.manners import Manners
from fracturelib.course.widgets.reading_room import as_png
from fracturelib.errors import EvaluationError, RunError
from fracturelib.evaluation import calibration_table, wilson_interval
from fracturelib.evaluation.consequences import (
    MOST_CELLS,
    STEPS,
    cheapest_threshold,
    confusion_at,
    natural_frequencies,
    probability_cells,
    rates_at,
)
from fracturelib.files.readings import case_keys, pool_readings
from fracturelib.pipeline import train_run
from fracturelib.report import challenge
from fracturelib.report.challenge import write_challenge
from fracturelib.writing.modules import bundle, read_asset
from tests.helpers.axe import grave
from tests.helpers.predictions import simulated
from tests.helpers.trees import write_tree
from tools import lab

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(lab.find_browser() is None, reason="no Chromium on this machine (Debian: chromium)"),
]
PHONE = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def browser():
    with lab.browser_page() as page:
        yield page.context.browser


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("living")
    data = write_tree(root / "data", {"train": 4, "val": 4, "test": 10})
    settings = {"weights": "none", "image_size": 32, "batch_size": 8, "epochs": 1, "views": 1}
    made = train_run(TrainConfig(data=str(data), **settings), folder=root / "run")
    write_challenge(made, root / "run" / "index.html")
    return made


@pytest.fixture
def opened(browser):
    """A function (file, …options of the context) → the open page; no request may leave, no script may fail."""
    contexts, asked, failed = [], [], []

    def open_page(file, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.goto(file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not failed
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)


def fits(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def read_by_keyboard(page, keys="f3n1n2") -> None:
    for case in range(20):
        page.locator(f"#status:has-text('Picture {case + 1} of 20')").wait_for()
        page.keyboard.press(keys[2 * case % len(keys)])
        page.keyboard.press(keys[2 * case % len(keys) + 1])
    page.locator("#results").wait_for()


def test_counting_in_the_page_equals_python(browser, tmp_path):
    predictions = simulated(sources=150, seed=3).assign(split="val")
    predictions["probability"] = predictions["probability"].round(2)  # with ties
    cells = probability_cells(predictions, threshold=0.4)
    (tmp_path / "empty.html").write_text("<title>empty</title>")
    page = browser.new_page()
    page.goto((tmp_path / "empty.html").as_uri())
    page.add_script_tag(content=bundle("counting.js").replace("export ", ""))
    page.evaluate("cells => { window.cells = makeCells(cells) }", cells)
    for threshold in (0, 0.123, 0.4, 0.5, 1):
        for prevalence in (0.01, 0.4, 0.9):
            point, told = page.evaluate(
                "given => { const point = operatingPoint(cells, given); "
                "return [point, naturalFrequencies(point, given.prevalence)] }",
                {"threshold": threshold, "prevalence": prevalence},
            )
            counts = confusion_at(predictions, threshold).to_numpy().ravel().tolist()
            names = ("trueNegative", "falsePositive", "falseNegative", "truePositive")
            assert [point[name] for name in names] == counts
            rates = list(rates_at(predictions, threshold, prevalence=prevalence).values())
            found = [point[name] for name in ("sensitivity", "specificity", "accuracy", "ppv", "npv")]
            np.testing.assert_allclose(np.array(found, dtype=float), rates, rtol=0, atol=1e-9)
            story = natural_frequencies(*rates[:2], prevalence)
            numbers = [told[name] for name in ("broken", "found", "missed", "alarmed")]
            assert all(f"{one:,}" in story for one in numbers)
    bins = page.evaluate("share => reliability(cells, share)", predictions["label"].mean())
    table = calibration_table(predictions["label"], predictions["probability"])
    np.testing.assert_allclose([one["mean"] for one in bins], table["mean_probability"], rtol=0, atol=1e-9)
    np.testing.assert_allclose([one["share"] for one in bins], table["share_fractured"], rtol=0, atol=1e-9)
    for miss, prevalence in ((1, 0.4), (20, 0.2), (0.5, 0.7)):
        best = page.evaluate("given => cheapest(costs(cells, given))", {"miss": miss, "prevalence": prevalence})
        assert best == pytest.approx(cheapest_threshold(predictions, miss=miss, prevalence=prevalence), abs=1e-9)
    for a, b in ((0, 0), (6, 4), (9, 1), (0, 20)):
        expected = binomtest(a, a + b).pvalue if a + b else 1
        assert page.evaluate("([a, b]) => mcnemar(a, b)", [a, b]) == pytest.approx(expected, abs=1e-9)
        assert page.evaluate("([a, b]) => wilson(a, b)", [a, 20]) == pytest.approx(wilson_interval(a, 20), abs=1e-9)
    page.close()


def test_sliders_of_the_report_give_pythons_numbers_while_they_move(run, opened):
    page = opened(run.folder / "report.html", viewport={"width": 1280, "height": 720})
    predictions = pd.read_csv(run.folder / "predictions.csv")
    state = {"threshold": run.threshold, "prevalence": 0.5, "miss": 1}
    for name, place, value in (
        ("threshold", 0.5, 0.5),
        ("prevalence", 0.07, 0.07),
        ("miss", 5, 20),
        ("threshold", 0.47, 0.47),
    ):
        slider = page.locator(f".living input[name={name}]")
        slider.fill(str(place))
        state[name] = value
        rates = rates_at(predictions, state["threshold"], prevalence=state["prevalence"])
        cost = 1000 * (
            state["miss"] * state["prevalence"] * (1 - rates["sensitivity"])
            + (1 - state["prevalence"]) * (1 - rates["specificity"])
        )
        names = ("sensitivity", "specificity", "accuracy", "ppv", "npv", "cost")
        shown = [float(page.locator(f"[data-rate={rate}]").get_attribute("data-value")) for rate in names]
        np.testing.assert_allclose(shown, [*rates.values(), cost], rtol=0, atol=1e-6)
        assert slider.get_attribute("aria-valuetext"), "the value is spoken in words"
    moved = page.evaluate(
        """async () => {
            const find = (name) => document.querySelector(name);
            const slider = find(".living input[name=threshold]"), line = find(".fl-line");
            let redraws = 0;
            new MutationObserver(() => { redraws += 1 }).observe(line, {attributes: true});
            const begun = performance.now();
            for (let step = 0; step < 60; step += 1) {
                slider.value = step / 60;
                slider.dispatchEvent(new Event("input"));
                await new Promise(requestAnimationFrame);
            }
            return redraws / (performance.now() - begun) * 1000;
        }"""
    )
    assert moved >= 20, f"{moved:.0f} redraws a second"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_report_can_be_read_by_everybody_and_prints_the_still(run, opened, theme):
    page = opened(run.folder / "report.html", color_scheme=theme, viewport={"width": 390, "height": 780})
    still = page.locator("#calls .still")
    assert page.locator(".living").is_visible() and not still.is_visible()
    assert fits(page) and page.locator("nav a").count() >= 10
    assert not grave(page)
    page.emulate_media(media="print")
    assert still.is_visible() and not page.locator(".living").is_visible()


def test_twenty_cases_by_keyboard_then_the_result_is_saved_for_the_class(run, opened, tmp_path):
    page = opened(run.folder / "index.html", viewport={"width": 1280, "height": 720})
    assert page.locator("#answers").bounding_box()["y"] + 60 < 720, "picture and answers are in sight together"
    page.keyboard.press("2")
    assert "First say" in page.locator("#status").inner_text()
    assert not grave(page)
    read_by_keyboard(page)
    with page.expect_download() as waiting:
        page.locator("#save").click()
    waiting.value.save_as(tmp_path / waiting.value.suggested_filename)
    cases = json.loads(page.locator("#content").text_content())["cases"]
    pooled = pool_readings(tmp_path)
    assert pooled["case"].tolist() == [one["key"] for one in cases] and len(pooled) == 20
    assert not pooled["again"].any() and pooled["day"].eq(date.today().isoformat()).all()
    assert pooled["called"].tolist() == [int(place % 3 == 0) for place in range(20)]
    right = int((pooled["called"] == pooled["label"]).sum())
    low, high = wilson_interval(right, 20)
    said = page.locator("#copied").input_value().replace("\u00a0", " ")
    assert f"I was right in {right} of 20 (95 % interval {100 * low:.0f} to {100 * high:.0f} %)" in said
    model = sum(one["called"] == one["label"] for one in cases)
    alone = ((pooled["called"] == pooled["label"]).to_numpy(), [one["called"] == one["label"] for one in cases])
    a, b = int((alone[0] & ~np.array(alone[1])).sum()), int((~alone[0] & np.array(alone[1])).sum())
    assert f"the model in {model} of 20" in said
    assert ("Nobody can say who is better" in said) == (a + b == 0 or binomtest(a, a + b).pvalue >= 0.05)
    apart = sum(
        one["label"] != one["called"] or one["label"] != call for one, call in zip(cases, pooled["called"], strict=True)
    )
    assert page.locator("#gallery figure").count() == apart
    page.locator("#gallery button").first.click()
    assert page.locator("#large canvas").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    assert not grave(page)


def test_twenty_cases_by_touch_on_a_phone_in_the_dark(run, opened):
    page = opened(run.folder / "index.html", color_scheme="dark", **PHONE)
    for case in range(20):
        page.locator(f"#status:has-text('Picture {case + 1} of 20')").wait_for()
        page.locator("#answers [data-key=n]").tap()
        page.locator("#answers [data-key='2']").tap()
    page.locator("#results").wait_for()
    assert fits(page) and "You found 0 of 10 fractures" in page.locator("#counts").inner_text()
    assert not grave(page)


def test_the_viewer_zooms_at_the_pointer_pans_and_sets_the_window(run, opened):
    page = opened(run.folder / "index.html", viewport={"width": 1280, "height": 720})
    view = page.locator("#viewer")
    view.locator("canvas[aria-label*='Radiograph 1']").wait_for()
    box = view.locator("canvas").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def state():
        return json.loads(view.get_attribute("data-view"))

    page.mouse.move(middle[0], middle[1] + 100)
    page.mouse.wheel(0, -400)
    page.wait_for_function("JSON.parse(document.querySelector('#viewer').dataset.view).zoom > 1.5")
    zoomed = state()
    assert zoomed["y"] > 0.5, "what lies under the pointer stays there"
    page.mouse.down()
    page.mouse.move(middle[0], middle[1] + 60)
    page.mouse.up()
    assert state()["y"] > zoomed["y"] and state()["level"] == 127.5
    page.mouse.down(button="right")
    page.mouse.move(middle[0] + 50, middle[1] + 60)
    page.mouse.up(button="right")
    assert state()["width"] > 255
    for key in ("-", "[", ",", "ArrowLeft"):
        page.keyboard.press(key)
    assert state()["level"] != 127.5
    page.keyboard.press("0")
    assert state() == {"level": 127.5, "width": 255, "zoom": 1, "x": 0.5, "y": 0.5}
    page.locator("#viewer button", has_text="+").click()
    assert state()["zoom"] == 1.25


def test_the_page_holds_no_path_no_name_and_no_patient(run):
    text = (run.folder / "index.html").read_text(encoding="utf-8")
    predictions = pd.read_csv(run.folder / "predictions.csv", dtype=str)
    assert len(text.encode()) <= 3_000_000 and "Data set “data”" in text
    assert not any(name in text for name in [*predictions["path"], *predictions["source_id"], str(run.folder.parent)])
    kept = json.loads(re.search(r'id="content">(.*?)</script>', text)[1])
    assert {one["key"] for one in kept["cases"]} <= set(case_keys(predictions))
    threshold = kept["threshold"]
    assert all(one["called"] == (one["probability"] >= threshold) for one in kept["cases"])


def test_a_trunk_without_places_gives_a_page_without_heat(run, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise EvaluationError("no layer keeps places")

    monkeypatch.setattr(challenge, "heat_maps", refuse)
    text = write_challenge(run, tmp_path / "cold.html", count=4).read_text(encoding="utf-8")
    assert "Grad-CAM" not in re.sub(r"<script.*", "", text, flags=re.DOTALL) and '"heat": null' in text


def test_data_that_are_not_there_are_asked_for(run, tmp_path):
    with pytest.raises(RunError, match="--data FOLDER"):
        write_challenge(run, tmp_path / "page.html", data=tmp_path / "absent")


def test_many_predictions_are_counted_in_steps_and_the_counts_stay_exact():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"label": rng.integers(0, 2, 3 * MOST_CELLS), "probability": rng.random(3 * MOST_CELLS)})
    cells = probability_cells(table, threshold=0.31415926)
    assert len(cells["probability"]) <= STEPS + 2
    for threshold in (0.0, 0.31415926, 0.314, 0.5, 0.999):
        called = np.array(cells["probability"]) >= threshold
        found = [int(np.array(cells[name])[called].sum()) for name in ("healthy", "fractured")]
        assert found == confusion_at(table, threshold)["fractured"].tolist()


def test_the_notebooks_panels_move_without_a_kernel_and_keys_reach_the_room(browser):
    """anywidget gives `render` a model and an element; here a stand-in holds what the kernel would have sent."""
    predictions = simulated(sources=150, seed=3)
    content = threshold_panel(predictions, threshold=0.4, prevalence=0.3).moving.content
    page = browser.new_page()
    page.set_content(
        "<div class='fracturelib-panel'><div id='point'></div><div id='view'></div><button></button></div>"
    )
    page.add_style_tag(content=read_asset("viewer.css"))
    page.evaluate(
        """async ([moving, viewing, content, picture]) => {
            const kind = {type: "text/javascript"};
            const load = async (text) => (await import(URL.createObjectURL(new Blob([text], kind)))).default;
            const model = (values) => ({get: (name) => values[name], on: () => {}});
            const find = (name) => document.querySelector(name), button = find("button");
            button.className = "fracturelib-key-f";
            button.onclick = () => { button.textContent = "pressed" };
            (await load(moving)).render({model: model({content}), el: find("#point")});
            const bytes = new DataView(Uint8Array.from(atob(picture), one => one.charCodeAt(0)).buffer);
            const sent = model({picture: bytes, words: "a radiograph", height: 300});
            (await load(viewing)).render({model: sent, el: find("#view")});
        }""",
        [
            bundle("operating_point_widget.js"),
            bundle("viewer_widget.js"),
            content,
            base64.b64encode(as_png(np.full((40, 60), 100, np.uint8))).decode(),
        ],
    )
    for threshold in (0.2, 0.77):
        page.locator("input[name=threshold]").fill(str(threshold))
        rates = rates_at(predictions, threshold, prevalence=0.3)
        shown = float(page.locator("[data-rate=ppv]").get_attribute("data-value"))
        assert shown == pytest.approx(rates["positive predictive value"], abs=1e-9)
    canvas = page.locator("#view canvas[aria-label='a radiograph']")
    assert canvas.bounding_box()["height"] == 300
    canvas.click()
    page.keyboard.press("f")
    page.keyboard.press("+")
    assert page.locator("button.fracturelib-key-f").inner_text() == "pressed"
    assert json.loads(page.locator("#view > div").get_attribute("data-view"))["zoom"] == 1.25
    page.locator("button.fracturelib-key-f").evaluate("button => { button.textContent = ''; button.focus() }")
    page.keyboard.press("f")
    assert page.locator("button.fracturelib-key-f").inner_text() == "pressed", "the keys live on a button as well"
    page.close()


def test_the_window_is_that_of_radiology(browser):
    """Grey values from level − width / 2 to level + width / 2 are spread from black to white; all else is clipped."""
    page = browser.new_page()
    page.set_content("<title>empty</title>")
    page.add_script_tag(content=bundle("viewer.js").replace("export ", ""))
    for level, width in ((127.5, 255), (100, 50), (30, 8)):
        table = page.evaluate("window => [...windowTable(window)]", {"level": level, "width": width})
        expected = np.clip((np.arange(256) - (level - width / 2)) / width * 255, 0, 255)
        assert np.abs(np.array(table) - expected).max() <= 0.5 + 1e-9
    page.close()


def test_a_panel_names_its_sliders_announces_results_and_does_not_jump(browser):
    """The elements are those of ipywidgets: a label, noUiSlider's handle, and the value beside it."""
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.set_content(
        "<div class='fracturelib-panel'><div>Make a radiograph</div><div class='fracturelib-controls'>"
        "<div class='widget-inline-hbox'><label class='widget-label'>Dose (µGy)</label>"
        "<div class='noUi-handle' role='slider' aria-valuenow='4' aria-valuetext='4.0' tabindex='0'></div>"
        "<div class='widget-readout'>5</div></div></div><div class='fracturelib-result'>"
        "<div class='widget-html-content'><div style='height: 300px'>nothing yet</div></div></div>"
        "<div id='here'></div></div>"
    )
    page.add_style_tag(content=read_asset("panel.css"))
    page.evaluate(
        """async text => {
            const url = URL.createObjectURL(new Blob([text], {type: "text/javascript"}));
            const model = {on: () => {}, send: () => {}};
            (await import(url)).default.render({model, el: document.querySelector("#here")});
        }""",
        bundle("panel_widget.js"),
    )
    handle = page.get_by_role("slider", name="Dose (µGy)")
    assert handle.get_attribute("aria-valuetext") == "5", "the value as it is written, not the place in a list"
    page.evaluate(
        """() => {
            document.querySelector(".widget-readout").textContent = "20";
            document.querySelector(".noUi-handle").setAttribute("aria-valuetext", "6.0");
            document.querySelector(".widget-html-content").innerHTML = "<div style='height: 100px'>a new result</div>";
        }"""
    )
    page.locator(".fracturelib-live", has_text="a new result").wait_for(state="attached")
    assert handle.get_attribute("aria-valuetext") == "20"
    assert page.locator(".fracturelib-result").bounding_box()["height"] >= 300, "what stands below stays where it was"
    assert page.locator(".fracturelib-beside").count() == 0
    page.evaluate("() => { document.querySelector('.widget-html-content > div').style.height = '590px' }")
    page.locator(".fracturelib-beside").wait_for()
    assert page.locator(".fracturelib-panel").bounding_box()["height"] <= 640
    places = [page.locator(name).bounding_box() for name in (".fracturelib-controls", ".fracturelib-result")]
    assert places[0]["x"] + places[0]["width"] <= places[1]["x"], "the result stands beside the controls"
    page.close()


def test_a_click_on_a_radiograph_of_a_panel_opens_it_in_the_viewer(browser, monkeypatch):
    """The figure is a real one, and Python answers as the kernel would: every pixel comes, and the marked box."""
    pictures = [np.tile(np.linspace(0, 255, 60 + 20 * n, dtype=np.uint8), (80, 1)) for n in range(3)]
    figure = plt.figure(figsize=(7, 3), layout="constrained")
    axes = plots.image_grid(pictures, ["1", "2", "3"], columns=3, figure=figure)
    axes[1].add_patch(Rectangle((19.5, 19.5), 40, 20, fill=False))
    area = ResultArea()
    area.show(figure, alt="Three radiographs with numbers")
    replies = []
    monkeypatch.setattr(Manners, "send", lambda _, content, buffers: replies.append((content, buffers[0])))
    manners = Manners([area])

    def ask(asked):
        before = len(replies)
        manners.send_radiograph(asked)
        return [replies[-1][0], base64.b64encode(replies[-1][1]).decode()] if len(replies) > before else None

    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.expose_function("ask", ask)
    page.set_content(
        "<main class='fracturelib-panel'><div class='fracturelib-result'><div class='widget-html-content'>"
        f"{area.value}</div></div><div id='here'></div></main>"
    )
    page.add_style_tag(content=read_asset("viewer.css") + read_asset("panel.css"))
    page.evaluate(
        """async text => {
            const url = URL.createObjectURL(new Blob([text], {type: "text/javascript"}));
            let answer;
            const model = {on: (_, act) => { answer = act }, send: async (asked) => {
                const reply = await window.ask(asked);
                const bytes = reply && new DataView(Uint8Array.from(atob(reply[1]), one => one.charCodeAt(0)).buffer);
                if (reply) answer(reply[0], [bytes]);
            }};
            (await import(url)).default.render({model, el: document.querySelector("#here")});
        }""",
        bundle("panel_widget.js"),
    )
    image, dialog = page.locator("img[data-radiographs]"), page.locator("dialog.fl-open")
    size = image.bounding_box()
    left, top, width, height = openable_radiographs(figure)[1].place
    image.click(position={"x": size["width"] * (left + width / 2), "y": size["height"] * (top + height / 2)})
    dialog.locator("canvas[aria-label='2']").wait_for()
    assert "2 (2 of 3)" in dialog.inner_text() and replies[-1][0]["box"] == pytest.approx([0.25, 0.25, 0.5, 0.25])
    place = dialog.locator("canvas").bounding_box()
    assert place["height"] > 450 and place["y"] + place["height"] < 720
    assert not grave(page)
    (lab.PROJECT / "test-artifacts").mkdir(exist_ok=True)
    page.screenshot(path=lab.PROJECT / "test-artifacts" / "opened-radiograph.png")
    dialog.get_by_role("button", name="Next").click()
    dialog.locator("canvas[aria-label='3']").wait_for()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    image.focus()
    page.keyboard.press("Enter")
    dialog.locator("canvas[aria-label='1']").wait_for()
    dialog.get_by_role("button", name="Previous").click()
    dialog.locator("canvas[aria-label='3']").wait_for()
    dialog.get_by_role("button", name="Close").click()
    before = len(replies)
    image.click(position={"x": 2, "y": 2})
    page.wait_for_timeout(200)
    assert len(replies) == before and not dialog.is_visible(), "beside the radiographs there is nothing to open"
    page.close()
