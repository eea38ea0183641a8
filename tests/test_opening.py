"""A click on a radiograph in a panel's figure: the right one comes, with all its pixels."""

from __future__ import annotations

import io
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from fracturelib import plots
from fracturelib.course.figures.opening import openable_radiographs
from fracturelib.course.notebook import encode
from fracturelib.course.widgets.common import LivingPage, ResultArea
from fracturelib.course.widgets.manners import Manners


def a_gallery(count: int = 5, *, titles: bool = True) -> tuple[plt.Figure, list[np.ndarray]]:
    """Pictures of unlike sizes, each of one grey value with a white frame."""
    pictures = []
    for number in range(count):
        picture = np.full((60 + 10 * number, 90 - 5 * number), 40 * (number + 1) % 256, dtype=np.uint8)
        picture[[0, -1]], picture[:, [0, -1]] = 255, 255
        pictures.append(picture)
    figure = plt.figure(figsize=(8, 6), layout="constrained")
    names = [f"name {n}\nfractured" for n in range(count)] if titles else None
    axes = plots.image_grid(pictures, names, columns=3, figure=figure)
    axes[1].add_patch(Rectangle((17, 14), 34, 7, fill=False))
    return figure, pictures


@pytest.fixture
def sent(monkeypatch):
    found = []
    monkeypatch.setattr(Manners, "send", lambda self, content, buffers: found.append((content, buffers)))
    return found


def test_every_picture_lies_in_the_file_where_it_is_said_to_lie():
    figure, pictures = a_gallery()
    data, _ = encode(figure)
    file = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    found = openable_radiographs(figure)
    assert len(found) == len(pictures)
    for one, picture in zip(found, pictures, strict=True):
        assert np.array_equal(one.picture, picture)
        left, top, width, height = (
            share * side for share, side in zip(one.place, (*file.shape[::-1], *file.shape[::-1]), strict=True)
        )
        inside = file[
            int(top + 0.2 * height) : int(top + 0.8 * height), int(left + 0.2 * width) : int(left + 0.8 * width)
        ]
        assert np.abs(inside.astype(int) - int(picture[5, 5])).mean() < 3
        assert width / height == pytest.approx(picture.shape[1] / picture.shape[0], rel=0.05)
    assert found[1].box == pytest.approx((17.5 / 85, 14.5 / 70, 34 / 85, 7 / 70))
    assert [one.box for one in (found[0], found[2])] == [None, None]
    assert found[0].words == "name 0, fractured"


def test_a_figure_without_a_layout_engine_is_saved_whole_and_measured_so():
    figure, ax = plt.subplots(figsize=(4, 4))
    ax.set_position((0.25, 0.5, 0.5, 0.25))
    ax.imshow(np.zeros((10, 20)), cmap="gray", vmin=0, vmax=1)
    encode(figure)
    (one,) = openable_radiographs(figure)
    assert one.place == pytest.approx((0.25, 0.25, 0.5, 0.25)) and one.words == "Radiograph"


@pytest.mark.slow
def test_what_lies_over_a_radiograph_does_not_hide_it_and_colour_alone_cannot_be_opened():
    figure, (left, right, curve) = plt.subplots(1, 3)
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6)
    left.imshow(grey, cmap="gray", vmin=0, vmax=255)
    left.imshow(plots.heat_overlay(grey, np.ones((2, 2))))
    right.imshow(np.zeros((4, 6, 3)))
    curve.plot([0, 1])
    encode(figure)
    (one,) = openable_radiographs(figure)
    assert np.array_equal(one.picture, grey)


@pytest.mark.slow
def test_a_click_sends_the_radiograph_below_it(sent):
    area = ResultArea()
    figure, pictures = a_gallery()
    area.show("a sentence", figure, pd.DataFrame({"n": [1]}))
    assert area.value.count("data-radiographs") == 1
    page = LivingPage([ResultArea(), area], title="Try it")
    manners = page.children[-1]
    for number, one in enumerate(openable_radiographs(area.figures[0])):
        left, top, width, height = one.place
        manners.send_radiograph({"area": 1, "image": 0, "x": left + width / 3, "y": top + height / 2})
        content, (png,) = sent.pop()
        assert (content["number"], content["count"]) == (number, 5)
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), pictures[number])
    manners.send_radiograph({"area": 1, "image": 0, "number": 4})
    assert sent.pop()[0]["number"] == 4
    manners.send_radiograph({"area": 1, "image": 0, "x": 0.001, "y": 0.001})  # the rim
    manners.send_radiograph({"area": 1, "image": 0, "number": 7})
    manners.send_radiograph({"area": 1, "image": 3, "number": 0})
    manners.send_radiograph({"area": 0, "image": 0, "number": 0})
    assert not sent


def test_a_figure_of_curves_offers_nothing(sent):
    area = ResultArea()
    figure, ax = plt.subplots()
    ax.plot([0, 1])
    area.show(figure)
    assert "data-radiographs" not in area.value
    Manners([SimpleNamespace(figures=[figure])]).send_radiograph({"area": 0, "image": 0, "number": 0})
    assert not sent
