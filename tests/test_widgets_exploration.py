"""The panels of notebooks 01 and 02: plain functions over all their controls, and the shared panel itself."""

from __future__ import annotations

import io
import itertools
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.figure import Figure
from PIL import Image

from fracturelib.catalog import BOX, read_catalog, with_boxes
from fracturelib.config import CLASS_NAMES, SPLITS, TrainConfig
from fracturelib.course import notebook
from fracturelib.course.figures import augmentation as figures
from fracturelib.course.figures import radiographs
from fracturelib.course.studies import augmentation as numbers
from fracturelib.course.studies import simulated
from fracturelib.course.widgets import augmentation, common, exploration
from fracturelib.errors import CatalogError, FracturelibError, SplitLeakWarning
from fracturelib.simulation import FRACTURE_TYPES, REGIONS, VIEWS, simulate
from fracturelib.writing.numbers import percent

# What uses these is slow.
SLOW_FIXTURES = ("table", "leaky")


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> pd.DataFrame:
    """A small simulated set, with boxes and regions."""
    root = tmp_path_factory.mktemp("widgets") / "simulated"
    simulate(root, counts={"train": 20, "val": 10, "test": 10}, progress=False)
    return read_catalog(root)


@pytest.fixture(scope="module")
def leaky(tmp_path_factory) -> pd.DataFrame:
    root = tmp_path_factory.mktemp("widgets") / "leaky"
    simulate(root, counts={"train": 40, "val": 10, "test": 20}, leaky=True, progress=False)
    return read_catalog(root)


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    plt.close("all")


def check(drawn) -> None:
    """What a panel can show: figures, tables and sentences."""
    contents = drawn if isinstance(drawn, list) else [drawn]
    assert contents
    for content in contents:
        assert isinstance(content, Figure | pd.DataFrame | str)
        assert common.as_html(content, alt="x")
    assert not plt.get_fignums()


def values_of(control) -> list:
    """Every value that a reader can choose; of a scale its ends and its middle."""
    if hasattr(control, "options"):
        return [value for _, value in control._options_full]
    if hasattr(control, "step"):
        numbers = np.arange(control.min, control.max + control.step / 2, control.step)
        picked = [numbers[0], numbers[len(numbers) // 2], control.max]
        return [type(control.value)(min(number, control.max)) for number in picked]
    return [True, False]


def sweep(panel: common.Panel) -> None:
    """Move every control through its values while the others stay where the last one left them; then reset."""
    for control in panel.controls.values():
        for value in values_of(control):
            control.value = value
            assert panel.result.value
    panel.reset()
    assert panel.values == panel.defaults  # noqa: PD011
    assert not plt.get_fignums()


# -- the shared panel --------------------------------------------------------------------------------------------------


def test_a_panel_draws_once_for_each_change_and_once_for_a_reset():
    calls = []
    controls = {"a": common.slider("A", 1, 0, 3, 0.5), "b": common.whole_number("B", 2, 0, 5)}
    panel = common.Panel(lambda a, b: calls.append((a, b)) or f"a is {a}", controls, title="T").start()
    assert calls == [(1.0, 2)]
    panel.controls["a"].value = 2.5
    panel.controls["b"].value = 4
    assert calls[1:] == [(2.5, 2), (2.5, 4)]
    panel.reset()
    assert calls[3:] == [(1.0, 2)]
    assert panel.result.value.count("a is") == 1  # replaced, not added to


def test_a_panel_shows_the_message_of_an_error_and_recovers():
    def draw(a: int) -> str:
        if a == 0:
            raise FracturelibError("no <such> thing", cure="choose another")
        return "fine"

    panel = common.Panel(draw, {"a": common.whole_number("A", 0, 0, 1)}, title="T").start()
    assert "no &lt;such&gt; thing" in panel.result.value and "choose another" in panel.result.value
    panel.controls["a"].value = 1
    assert "fine" in panel.result.value


def test_a_panel_describes_its_figure_in_words_and_closes_it():
    def draw(split: str, size: float) -> Figure:
        figure, ax = plt.subplots()
        ax.plot([0, size])
        return figure

    controls = {
        "split": common.choice("Split", {"training": "train", "test": "test"}, "test"),
        "size": common.slider("Size", 0.5, 0, 1, 0.5),
    }
    panel = common.Panel(draw, controls, title="A & B").start()
    assert 'alt="A &amp; B: Split test, Size 0.5"' in panel.result.value
    assert not plt.get_fignums()


def test_tables_and_sentences_become_html():
    assert "<table" in common.as_html(pd.DataFrame({"a": [1]}))
    assert "1 &lt; 2" in common.as_html("1 < 2")


# -- the Setup of a notebook -------------------------------------------------------------------------------------------


def test_the_project_is_found_from_its_folders_and_never_named_absolutely(monkeypatch, tmp_path):
    project = Path(notebook.__file__).parents[2]
    monkeypatch.chdir(project / "tests")
    assert notebook.project_folder() == Path("..")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CatalogError, match="not found"):
        notebook.project_folder()


def test_the_banner_names_data_device_and_mode(monkeypatch):
    monkeypatch.setenv("FRACTURELIB_FAST", "1")
    monkeypatch.setenv("FRACTURELIB_WEIGHTS", "none")
    lines = "\n".join(notebook.banner(Path("../data/simulated-fast"), weights=True))
    assert "data/simulated-fast" in lines and "weights: none" in lines and "device:" in lines and "fast" in lines
    monkeypatch.delenv("FRACTURELIB_FAST")
    monkeypatch.setenv("FRACTURELIB_WEIGHTS", "/somewhere/mine.pth")
    lines = "\n".join(notebook.banner(Path("/somewhere/wrists"), weights=True))
    assert "own radiographs in wrists" in lines and "mine.pth" in lines and "/somewhere" not in lines
    assert "mode" not in lines


def test_setup_opens_a_data_set_and_keeps_paths_out_of_warnings(tiny_data, monkeypatch, capsys):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # put back afterwards
    with plt.rc_context():
        assert notebook.setup(tiny_data) == tiny_data
    assert "data:" in capsys.readouterr().out
    warnings.showwarning(SplitLeakWarning("two splits"), SplitLeakWarning, "/machine/path.py", 3)
    said = capsys.readouterr()
    assert said.out == "SplitLeakWarning: two splits\n" and not said.err, "what JupyterLab gets by stderr looks failed"


def test_a_folder_that_does_not_exist_is_said_before_anything_else(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # put back afterwards
    with plt.rc_context(), pytest.raises(CatalogError, match="does not exist"):
        notebook.setup(tmp_path / "nowhere")
    assert "data:" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("debug", [False, True])
def test_an_error_in_a_cell_is_told_without_its_traceback_unless_asked_for(tiny_data, monkeypatch, capsys, debug):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setenv("FRACTURELIB_DEBUG", str(int(debug)))
    shell = InteractiveShell()
    monkeypatch.setattr(notebook, "get_ipython", lambda: shell)
    with plt.rc_context():
        notebook.setup(tiny_data)
    shell.user_ns["FracturelibError"] = FracturelibError
    result = shell.run_cell("raise FracturelibError('the plate is broken', cure='take another')")
    out, err = capsys.readouterr()
    assert not result.success, "the cells below must not run"
    assert "the plate is broken" in out + err and "what to do:   take another" in out + err
    assert ("Traceback" in out + err) == debug


def test_radiographs_are_shown_as_jpeg_and_diagrams_as_png(capsys):
    photo, ax = plt.subplots()
    ax.imshow(np.zeros((8, 8)))
    assert notebook.encode(photo)[1] == "image/jpeg"
    diagram, ax = plt.subplots()
    ax.plot([0, 1])
    data, kind = notebook.encode(diagram)
    assert kind == "image/png" and data.startswith(b"\x89PNG")
    notebook.show(plt.figure(), "nothing")
    assert not plt.get_fignums()


def test_what_is_drawn_is_sharp_and_radiographs_stay_small(monkeypatch):
    shown = []
    monkeypatch.setattr(notebook, "display", shown.append)
    for picture, sharpness in ((None, notebook.SHARP), (np.zeros((8, 8)), 1)):
        figure = plt.figure(figsize=(4, 2))
        ax = figure.add_axes((0, 0, 1, 1))
        ax.plot([0, 1]) if picture is None else ax.imshow(picture)
        notebook.show(figure, "a figure in words")
        assert (
            Image.open(io.BytesIO(shown[-1].data)).width == sharpness * shown[-1].width == sharpness * 4 * notebook.DPI
        )
        assert shown[-1].alt == "a figure in words"


@pytest.mark.parametrize(("layout", "whole"), [("none", True), ("constrained", False)])
def test_a_figure_with_margins_of_its_own_keeps_them_and_another_loses_its_rim(layout, whole):
    figure = plt.figure(figsize=(4, 2), layout=layout)
    figure.text(0.5, 0.5, "a word")
    data, _ = notebook.encode(figure)
    size = Image.open(io.BytesIO(data)).size
    assert (size == (4 * notebook.DPI, 2 * notebook.DPI)) == whole


# -- notebook 01 -------------------------------------------------------------------------------------------------------


def test_browsing_works_for_every_choice(table):
    regions = [exploration.ANY, *sorted(table["region"].unique()), "no such region"]
    for split, kind, region in itertools.product((exploration.ANY, *SPLITS), (exploration.ANY, *CLASS_NAMES), regions):
        found = exploration.select(table, split=split, kind=kind, region=region)
        expected = table
        if split != exploration.ANY:
            expected = expected[expected["split"] == split]
        if kind != exploration.ANY:
            expected = expected[expected["label"] == CLASS_NAMES.index(kind)]
        if region != exploration.ANY:
            expected = expected[expected["region"] == region]
        assert found["path"].tolist() == expected["path"].tolist()
        assert found.attrs["root"] == table.attrs["root"]
    check(exploration.browse(table, region="no such region"))


def test_pages_start_again_at_the_end(table):
    pages = -(-len(table) // 8)
    first, again = (exploration.browse(table, page=page)[1] for page in (1, pages + 1))
    assert first == again and f"page 1 of {pages}" in first
    assert "page 2" in exploration.browse(table, page=2)[1]


def test_the_browse_panel_survives_any_order_of_moves(table):
    sweep(exploration.browse_panel(table))


@pytest.mark.slow
def test_browsing_does_without_the_optional_columns(tiny_data):
    panel = exploration.browse_panel(read_catalog(tiny_data))
    assert set(panel.controls) == {"split", "kind", "page", "answers"}
    sweep(panel)


def test_boxes_are_drawn_on_fractured_radiographs_only(table):
    rows = table.groupby("label").head(2).sort_values("label")
    rows.attrs = table.attrs
    figure = radiographs.gallery(rows, boxes=True)
    assert [len(ax.patches) for ax in figure.get_axes()] == [0, 0, 1, 1]


@pytest.mark.slow
def test_copies_of_one_original_are_shown_with_their_splits(leaky):
    source = leaky.groupby("source_id")["split"].nunique().idxmax()
    figure, sentence = exploration.copies(leaky, source)
    count = int((leaky["source_id"] == source).sum())
    assert len(figure.get_axes()) == min(count, 8)
    assert sentence.startswith(f"{source}: {count} files") and "training" in sentence
    plt.close(figure)
    sweep(exploration.copies_panel(leaky))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [exploration.NO_FRACTURE, *FRACTURE_TYPES])
def test_a_picture_is_made_for_every_fracture_type_at_the_ends_of_the_scales(kind):
    place = FRACTURE_TYPES.index(kind) if kind in FRACTURE_TYPES else 0
    region = REGIONS[place % len(REGIONS)]
    for displacement, dose, view in ((0.0, min(exploration.DOSES), VIEWS[0]), (12.0, max(exploration.DOSES), VIEWS[1])):
        chosen = {"fracture_type": kind, "region": region, "view": view, "patient": place}
        check(exploration.make_picture(displacement_mm=displacement, dose=dose, **chosen))


@pytest.mark.slow
def test_the_physics_panel_moves_resets_and_describes_itself():
    panel = exploration.physics_panel()
    first = panel.result.value
    panel.controls["fracture_type"].value = exploration.NO_FRACTURE
    assert "whole" in panel.result.value
    panel.controls["dose"].value = 0.2
    assert "Dose (µGy) 0.2" in panel.result.value
    panel.reset()
    assert panel.result.value == first  # same settings, same picture


def test_the_same_patient_stays_the_same_when_only_the_fracture_changes():
    whole, broken = (simulated.take(fracture_type=kind, patient=3) for kind in (exploration.NO_FRACTURE, "transverse"))
    assert whole.picture.shape == broken.picture.shape
    assert whole.bbox is None and broken.bbox is not None
    assert whole.pixel == broken.pixel and whole.patient.setting == broken.patient.setting
    same = np.isclose(whole.line_integral, broken.line_integral, atol=0.05)
    assert 0.2 < same.mean() < 1  # what lies beyond the break moves, the rest stays


@pytest.mark.parametrize("box", [None, (0, 0, 4, 4), (60, 90, 4, 6), (0, 0, 64, 96), (30, 40, 10, 50)])
def test_the_close_up_is_a_square_inside_the_picture(box):
    x, y, w, h = radiographs._close_up(box, (96, 64))
    assert w == h > 0 and x >= 0 and y >= 0 and x + w <= 64 and y + h <= 96


# -- notebook 02 -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def radiograph() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (96, 64), dtype=np.uint8)


def test_variants_depend_on_the_seed_alone(radiograph):
    config = TrainConfig(image_size=64)
    one, again, other = (numbers.variants(radiograph, config, seed=seed) for seed in (1, 1, 2))
    assert one.shape == (6, 3, 64, 64)
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert len({variant.sum().item() for variant in one}) == 6  # six different ones
    state = torch.get_rng_state()
    numbers.variants(radiograph, config)
    assert torch.equal(torch.get_rng_state(), state)  # nobody else's randomness is touched


@pytest.mark.slow
@pytest.mark.parametrize(("rotation", "crop", "size"), list(itertools.product((0, 180), (0.3, 1), (32, 224))))
def test_six_variants_are_drawn_at_the_ends_of_all_scales(radiograph, rotation, crop, size):
    flip = float(rotation == 0)
    check(figures.six_variants(radiograph, rotation=rotation, flip=flip, crop=crop, image_size=size))


@pytest.mark.slow
def test_the_panels_of_notebook_02_survive_any_order_of_moves(table, tiny_data):
    sweep(augmentation.crop_panel(table))
    sweep(augmentation.variants_panel(read_catalog(tiny_data), examples=4))


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.83, 1.0])
def test_the_share_in_sight_agrees_with_counting_pixels(fraction):
    rows = pd.DataFrame(
        {"width": [1000, 500], "height": [800, 900], "bbox_x": [100, 0], "bbox_y": [650, 300], "bbox_w": [300, 500],
         "bbox_h": [150, 200]}
    )  # fmt: skip
    seen = numbers.share_in_sight(rows, fraction, seed=4, draws=6)
    corner = np.random.default_rng(4).uniform(0, 1 - fraction, (2, 6, 2))
    for row, draw in itertools.product(range(2), range(6)):
        width, height, x, y, w, h = rows.iloc[row]
        box, crop = (np.zeros((height, width), dtype=bool) for _ in range(2))
        box[y : y + h, x : x + w] = True
        left, top = corner[row, draw] * (width, height)
        crop[round(top) : round(top + fraction * height), round(left) : round(left + fraction * width)] = True
        assert seen[row, draw] == pytest.approx((box & crop).sum() / box.sum(), abs=0.01)


def test_the_number_under_a_crop_belongs_to_that_crop(table):
    rows = with_boxes(table)
    for seed in range(5):
        figure, sentence = augmentation.crop_example(table, fraction=0.4, number=2, seed=seed)
        (left, right), (bottom, top) = figure.get_axes()[1].get_xlim(), figure.get_axes()[1].get_ylim()
        x, y, w, h = rows[list(BOX)].iloc[2].astype(float)
        across, down = min(right, x + w) - max(left, x), min(bottom, y + h) - max(top, y)
        share = max(across, 0) * max(down, 0) / (w * h)
        assert sentence.startswith(percent(share, 1))


def test_larger_crops_lose_fewer_fractures(table):
    losses = numbers.crop_losses(with_boxes(table), (0.2, 0.5, 0.8, 1.0))
    assert losses["mostly_gone"].is_monotonic_decreasing
    assert (losses["gone"] <= losses["mostly_gone"]).all()
    assert losses["mostly_gone"].iloc[-1] == 0
    ax = figures.crop_loss_curve(losses, marked=0.9)
    assert len(ax.lines) == 3


def test_a_set_without_boxes_is_told_so(tiny_data):
    table = read_catalog(tiny_data)
    assert with_boxes(table).empty
    check(augmentation.crop_example(table, fraction=0.5))


def test_a_blind_page_tells_nothing_and_is_the_same_page(table):
    """The answers are hidden at first; revealing them leaves pictures and order as they are."""
    blind, shown = (exploration.browse(table, page=2, blind=blind)[0] for blind in (True, False))
    titles = [ax.get_title() for ax in blind.get_axes() if ax.images]
    assert titles == [f"{number}" for number in range(1, len(titles) + 1)]
    colours = {tuple(spine.get_edgecolor()) for ax in blind.get_axes() if ax.images for spine in ax.spines.values()}
    assert len(colours) == 1
    pictures = [[ax.images[0].get_array() for ax in figure.get_axes() if ax.images] for figure in (blind, shown)]
    assert all((one == other).all() for one, other in zip(*pictures, strict=True))
    labels = exploration.browse_panel(table)
    assert "hidden" in labels.alternative_text()


def test_the_browse_order_is_shuffled(table):
    labels = [ax.get_title() for page in (1, 2) for ax in exploration.browse(table, page=page)[0].get_axes()]
    assert len({label.split("\n")[1] for label in labels if "\n" in label}) == 2, "both classes on the first pages"
