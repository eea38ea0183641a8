"""From any range to 8 bits: padding, markers and dead pixels do not take the grey levels away from the anatomy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fracturelib.images import read_radiograph
from fracturelib.images.contrast import to_bytes
from tests.test_images import counted_range, write_tiff


def anatomy(low: int, high: int, seed: int = 3) -> np.ndarray:
    """A limb before air in a narrow range of 16 bits, (300, 240)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:300, :240]
    picture = 0.1 + 0.8 * np.exp(-(((x - 110 - y / 15) / 45) ** 2)) + rng.normal(0, 0.02, y.shape)
    return np.rint(low + np.clip(picture, 0, 1) * (high - low)).astype(np.uint16)


def saturated(values: np.ndarray) -> None:
    values[100:102, 50:52] = 65535


def marker(values: np.ndarray) -> None:
    """An L as a letter of film, with softer edges, and what was stamped on beside it."""
    values[20:60, 20:28] = values[52:60, 20:44] = 65535
    values[60, 20:44] = values[20:60, 28] = 40000
    values[280:295, 150:230] = 65535


def padding(values: np.ndarray) -> None:
    values[:, :60] = 0
    values[270:] = 0


def padding_and_a_dead_pixel(values: np.ndarray) -> None:
    values[:, :60] = 900
    values[150, 150] = 0


def noisy_padding(values: np.ndarray) -> None:
    """After lossy compression it is not one value, but a few."""
    values[:, :100] = np.random.default_rng(1).integers(0, 6, (300, 100))


def everything(values: np.ndarray) -> None:
    saturated(values)
    marker(values)
    padding_and_a_dead_pixel(values)


@pytest.mark.parametrize("spoil", [saturated, marker, padding, padding_and_a_dead_pixel, noisy_padding, everything])
@pytest.mark.parametrize("span", [(1000, 5000), (30000, 34000), (20000, 20900), (50000, 64000)])
@pytest.mark.parametrize("kind", ["png", "tiff", "float"])
def test_the_anatomy_keeps_its_grey_levels(tmp_path: Path, spoil, span: tuple[int, int], kind: str) -> None:
    clean = anatomy(*span)
    values = clean.copy()
    spoil(values)
    path = tmp_path / "a.png"
    if kind == "png":
        Image.fromarray(values).save(path)
    else:
        write_tiff(path, values if kind == "tiff" else (values / 7).astype(np.float32))
    read, same = read_radiograph(path), values == clean
    assert len(np.unique(read[same])) >= 100
    assert 40 < read[same].mean() < 200
    assert np.corrcoef(read[same], clean[same])[0, 1] > 0.995


@pytest.mark.parametrize("factor", [1, 16, 256, 257])
def test_a_picture_of_8_bits_stored_in_16_keeps_its_greys(factor: int) -> None:
    values = anatomy(0, 65535)
    grey = np.rint(np.interp(values, (values.min(), values.max()), (0, 255))).astype(np.uint8)
    stored = grey.astype(np.uint16) * factor
    assert np.array_equal(to_bytes(stored), grey)
    stored[7, 7] = 65535
    assert np.abs(to_bytes(stored).astype(int) - grey)[8:].max() <= 1


def test_integers_and_floats_agree_with_the_formula() -> None:
    for values in (anatomy(100, 4000), anatomy(100, 4000).astype(np.int32) - 3000, anatomy(0, 60000) / 3.0):
        expected = np.interp(values, counted_range(values), (0, 255))
        assert np.abs(to_bytes(values) - expected).max() <= 0.5 + 1e-6
    assert not to_bytes(np.full((9, 9), 7)).any() and not to_bytes(np.full((9, 9), np.nan)).any()
    assert to_bytes(np.zeros((0, 4))).shape == (0, 4)
