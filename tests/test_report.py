"""The report and the model card: complete, self-contained, readable without pictures, and deaf to hostile names."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from fracturelib import report
from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.evaluation import Scored, drop_table, evaluate, worst_errors
from fracturelib.evaluation.baselines import MAJORITY, METADATA
from fracturelib.files.outputs import BEGINNING, MARK
from fracturelib.report import write_report
from fracturelib.report.context import report_context
from fracturelib.report.figures import shown_pictures
from fracturelib.report.model_card import escape_markdown, write_model_card
from fracturelib.report.page import worst_of_each
from fracturelib.stress.probing import Probes
from fracturelib.writing.modules import bundle, script_policy
from fracturelib.writing.verdicts import Reason, Verdict
from tests.helpers.results import checks as probe_tables
from tests.helpers.results import history, robustness

HOSTILE = "<script>alert(1)</script>&\"'|`*.png"  # no slash can be in a file name, but a column may hold one


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def record(**changes):
    return {
        "name": "first",
        "fracturelib": "0.1",
        "started": "2026-11-24T16:00:00+00:00",
        "seconds": 12.3,
        "config": TrainConfig().to_dict(),
        "weights": {"name": "imagenet", "detail": "torchvision's resnet18", "sha256": "ab12", "path": None},
        "data": {"root": "data/simulated", "fingerprint": "cd34"},
        "versions": {"python": "3.11.9", "torch": "2.14.1"},
        "machine": {"system": "Linux x86_64", "threads": 2},
        "best_epoch": 4,
        "stopped_early": True,
        "warnings": ["16 images are cut short"],
        **changes,
    }


def case(root, *, set_name="test", baselines=True, columns=None):
    """A tested model without a record; the second half of each class is called wrongly."""
    table = read_catalog(root)
    predictions = table.loc[table["split"] == "test", ["path", "label", "source_id"]].reset_index(drop=True)
    wrong = predictions.groupby("label").cumcount() >= 2
    predictions["probability"] = np.where(wrong == predictions["label"], 0.2, 0.8) + np.linspace(
        0, 0.1, len(predictions)
    )
    predictions = predictions.assign(**(columns or {}))
    others = {
        MAJORITY: Scored(predictions.assign(probability=0.5), 0.5),
        METADATA: Scored(predictions.assign(probability=np.linspace(0, 1, len(predictions))), 0.5),
    }
    evaluation = evaluate(
        predictions, threshold=0.5, baselines=others if baselines else None, set_name=set_name, resamples=20
    )
    return report.Tested(record(), table, history(), evaluation, predictions)


@pytest.fixture(scope="module")
def parts(tiny_data):
    return case(tiny_data, columns={"region": ["hand", "leg"] * 4})


# What uses these is slow.
SLOW_FIXTURES = ("written",)


@pytest.fixture(scope="module")
def written(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "first"
    path = write_report(folder, parts)
    return folder, Page(path.read_text(encoding="utf-8"))


def test_the_page_needs_no_other_file_and_runs_one_script_that_its_policy_knows(written):
    folder, page = written
    assert not page.all("link") and not page.all("iframe")
    assert [script["type"] for script in page.all("script")] == ["application/json", "module"]
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy == script_policy(bundle("report.js")) and policy.startswith("default-src 'none'")
    assert all(image["src"].startswith("data:image/") for image in page.all("img"))
    source = (folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|url\(|@import", source.replace("http://www.w3.org/2000/svg", ""))
    assert str(folder.parent) not in source


def test_every_figure_has_alternative_text_and_a_phone_has_room(written):
    _, page = written
    assert len(page.all("img")) >= 10 + 4
    assert all(len(image["alt"]) > 20 for image in page.all("img"))
    viewport = next(meta for meta in page.all("meta") if meta.get("name") == "viewport")
    assert "width=device-width" in viewport["content"]
    assert page.all("html")[0]["lang"] == "en"


@pytest.mark.parametrize(
    "statement",
    [
        "This is no medical device",
        "16 images are cut short",
        "only 8 sources",
        "No original image is in more than one split.",
        "original images",
        "on the validation images (Youden's index)",
        "majority class",
        "metadata only",
        "torchvision's resnet18",
        "cd34",
        "2.14.1",
        "learning_rate",
        "4 of 8 files were called wrongly",
        "then stopped early; the weights of epoch 4 were kept",
        "region: hand",
        "small group",
        "not estimable",
        "Result on the test set",
        "24 November 2026",
    ],
)
def test_the_report_states(written, statement):
    assert statement in written[1].text


def test_the_numbers_in_the_report_are_those_of_the_evaluation(written, parts):
    for value in parts.evaluation.scores["value"]:
        assert f"{value:.3f}" in written[1].text


def test_figures_are_saved_as_png_files(written):
    folder, _ = written
    names = {path.stem for path in (folder / "figures").glob("*.png")}
    assert {"roc", "confusion", "loss", "reliability", "scores", "subgroups", "errors"} <= names
    with Image.open(folder / "figures" / "roc.png") as image:
        assert image.width > 600


def test_random_weights_are_said_loudly(parts, tmp_path):
    origin = {"name": "none", "detail": "random resnet18", "sha256": "0", "path": None}
    tested = replace(parts, record=record(weights=origin))
    assert "The trunk has random weights" in report_context(tested, name="first")["weights_alarm"]
    card = write_model_card(tmp_path, tested).read_text(encoding="utf-8")
    assert "**The trunk has random weights" in card


@pytest.mark.slow
def test_hostile_names_stay_text(tiny_data, tmp_path):
    parts = case(tiny_data, columns={"region": [HOSTILE, "leg"] * 4})
    parts.predictions["path"] = [HOSTILE.replace("/", "") + str(i) for i in range(8)]
    origin = {"name": "none", "detail": HOSTILE, "sha256": HOSTILE, "path": None}
    hostile = record(name=HOSTILE, warnings=[HOSTILE], weights=origin, data={"root": HOSTILE})
    page = Page(write_report(tmp_path, replace(parts, record=hostile)).read_text(encoding="utf-8"))
    assert "The trunk has random weights" in page.text[: page.text.index("Result on")]
    assert [script.get("src") for script in page.all("script")] == [None, None]
    assert page.text.count("<script>alert(1)") >= 4
    assert {tag for tag, _ in page.elements} <= {
        "html", "head", "meta", "title", "style", "body", "main", "header", "section", "h1", "h2", "h3", "p", "strong",
        "div", "b", "span", "ul", "li", "em", "br", "code", "figure", "figcaption", "img", "table", "caption", "thead",
        "tbody", "tr", "th", "td", "small", "details", "summary", "nav", "a", "script",
    }  # fmt: skip
    assert not any(key.startswith("on") for _, attributes in page.elements for key in attributes)


@pytest.mark.parametrize(
    ("misses", "alarms", "shown"), [(20, 9, (4, 4)), (1, 9, (1, 7)), (0, 3, (0, 3)), (0, 0, (0, 0))]
)
def test_the_gallery_of_errors_shows_both_kinds(misses, alarms, shown):
    """The misses come first, and in each kind the surest; the misses here are all surer than the false alarms."""
    chances = [*np.linspace(0.01, 0.1, misses), *np.linspace(0.6, 0.7, alarms), 0.9, 0.1]
    labels = [1] * misses + [0] * alarms + [1, 0]
    table = pd.DataFrame({"path": [f"{n}.png" for n in range(len(labels))], "label": labels, "probability": chances})
    found = worst_of_each(table.sample(frac=1, random_state=0), threshold=0.5, count=8)
    assert ((found["label"] == 1).sum(), (found["label"] == 0).sum()) == shown
    assert found["label"].is_monotonic_decreasing
    for label, kind in found.groupby("label"):
        of_kind = worst_errors(table[table["label"] == label], threshold=0.5, count=len(kind))
        assert kind["path"].tolist() == of_kind["path"].tolist()


@pytest.mark.slow
def test_images_that_are_gone_leave_their_names(make_tree, tmp_path):
    root = make_tree({"train": 4, "val": 4, "test": 4})
    parts = case(root)
    errors = worst_errors(parts.predictions, threshold=0.5)
    lost = errors["path"].iloc[0]
    (root / lost).unlink()
    page = Page(write_report(tmp_path, parts).read_text(encoding="utf-8"))
    assert page.text.count("could not be read any more") == 2  # among the errors, and among the least certain
    assert lost in page.text
    gone = shown_pictures(errors, replace(parts, table=pd.DataFrame(parts.table.to_dict("list"))))  # without its root
    assert [one.image for one in gone] == [None] * 4


def test_leaks_are_named(parts):
    context = report_context(replace(parts, table=parts.table.assign(source_id="one")), name="first")
    assert "LEAK: the splits share original images" in context["data"]["caption"]


@pytest.mark.slow
def test_an_external_test_without_baselines_or_record_is_named_so(tiny_data, tmp_path):
    parts = replace(case(tiny_data, set_name="external test", baselines=False), record={})
    page = Page(write_report(tmp_path, parts).read_text(encoding="utf-8"))
    assert "Result on the external test set" in page.text
    assert "not available" in page.text
    assert "external test" in write_model_card(tmp_path, parts).read_text(encoding="utf-8")


def test_the_model_card_begins_with_what_model_hubs_read(tiny_data, tmp_path):
    parts = replace(case(tiny_data), record=record(name=HOSTILE))
    text = write_model_card(tmp_path, parts).read_text(encoding="utf-8")
    assert text.startswith("---\n") and MARK in text[:BEGINNING]
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["pipeline_tag"] == "image-classification" and head["library_name"] == "fracturelib"
    (result,) = head["model-index"][0]["results"]
    assert head["model-index"][0]["name"] == HOSTILE
    metrics = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert metrics["roc_auc"] == pytest.approx(parts.evaluation.value("auc"), abs=1e-4)


def test_the_model_card_states_use_data_and_what_is_missing(tiny_data, tmp_path):
    parts = case(tiny_data, columns={"region": [HOSTILE, "leg"] * 4})
    parts = replace(parts, record=record(warnings=[]))
    text = write_model_card(tmp_path / "new", parts).read_text(encoding="utf-8")
    for statement in (
        "no medical device",
        "Not intended",
        "| training | fractured | 8 | 8 |",
        "not available",
        "only 8",
    ):
        assert statement in text
    assert "<script" not in text
    widths = {line.count("|") - line.count("\\|") for line in text.splitlines() if line.startswith("| region")}
    assert widths == {8}


def test_markdown_is_escaped():
    assert escape_markdown("a|b\n<c> *d* [e](f)") == "a\\|b &lt;c&gt; \\*d\\* \\[e\\](f)"


def test_the_same_input_gives_the_same_bytes_and_stays_as_it_was(written, parts):
    folder, _ = written
    before = parts.predictions.copy(), parts.table.copy()
    first = (folder / "report.html").read_bytes()
    assert write_report(folder, parts).read_bytes() == first
    pd.testing.assert_frame_equal(before[0], parts.predictions)
    pd.testing.assert_frame_equal(before[1], parts.table)


def all_probes(parts):
    """Probes with made-up numbers, and a heat map for every second file."""
    localisation, erased = probe_tables()
    words = {"n": 40, "units": 40, "reason": Reason.NONE}
    words |= {"against_chance": Verdict.HIGHER, "against_chance_reason": Reason.NONE}
    words |= {"against_centre": Verdict.NEITHER, "against_centre_reason": Reason.NONE}
    change = {"auc_change": -0.1, "auc_change_low": -0.2, "auc_change_high": -0.01, "specificity": 0.5}
    change |= {"n": 40, "units": 40, "unit": "patients", "verdict": Verdict.LOWER, "reason": Reason.NONE}
    heat = dict.fromkeys(parts.predictions["path"][::2], np.eye(32, dtype=np.float32))
    return Probes(
        robustness=robustness().assign(**change, specificity_low=np.nan, specificity_high=np.nan),
        localisation=localisation.assign(**words),
        occlusion=erased.assign(n=40, units=40, reason=Reason.NONE, verdict=Verdict.LOWER),
        heat=heat,
    )


@pytest.mark.slow
def test_probes_are_shown_in_the_report_and_the_card(parts, tmp_path):
    checked = replace(parts, probes=all_probes(parts))
    page = Page(write_report(tmp_path, checked).read_text(encoding="utf-8"))
    for words in (
        "more often than by chance",
        "always pointing at the middle",
        "It ends lower than after erasing an equal box elsewhere",
        "noise: standard deviation 0.05",
        "lower than on the unchanged pictures",
        "The least certain images",
    ):
        assert words in page.text
    heat = [image for image in page.all("img") if image["alt"].startswith("The same with Grad-CAM")]
    assert len(heat) >= 4
    assert {"robustness", "localisation", "occlusion"} <= {file.stem for file in (tmp_path / "figures").iterdir()}
    card = write_model_card(tmp_path, checked).read_text(encoding="utf-8")
    assert "noise: standard deviation 0.05" in card and "+0.400" not in card
    assert "Grad-CAM, pointing game, occlusion" in card


def test_all_items_of_claim_are_answered_or_marked(parts):
    for given in (record(), {}):
        items = report_context(replace(parts, record=given), name="first")["claim"]
        assert [number for number, _, _ in items] == list(range(1, 45))
        assert all(item and answer for _, item, answer in items)
        assert sum(answer.startswith("not available") for _, _, answer in items) >= 10


@pytest.mark.slow
def test_wilson_intervals_and_a_drop_are_shown_where_there_are_any(parts, tmp_path):
    predictions = parts.predictions
    drop = drop_table((predictions, 0.5), (predictions, 0.5), resamples=20)
    evaluation = evaluate(predictions, threshold=0.5, set_name="external test", resamples=20)
    external = replace(parts, evaluation=evaluation, drop=drop)
    page = Page(write_report(tmp_path, external).read_text(encoding="utf-8"))
    assert "Wilson intervals, for comparison" in page.text
    assert "This is an external test" in page.text and "internal test" in page.text


@pytest.mark.slow
def test_a_temperature_is_shown_before_and_after(parts, tmp_path):
    evaluation = evaluate(parts.predictions, threshold=0.5, temperature=1.7, resamples=20)
    page = Page(write_report(tmp_path, replace(parts, evaluation=evaluation)).read_text(encoding="utf-8"))
    assert "The temperature 1.70 was fitted on the validation split" in page.text
    assert "with temperature 1.70" in page.text and "resolution (more is better)" in page.text
