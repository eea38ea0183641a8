"""Stored values of DICOM files → grey pictures, beside pydicom's own functions and the stated formula in NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fracturelib.images import inspect_image, read_radiograph
from tests.helpers.dicom import compressed, make_dataset, save_dicom
from tests.test_images import counted_range

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("gdcm")
from pydicom.dataset import Dataset  # noqa: E402
from pydicom.pixels import apply_modality_lut, apply_voi_lut  # noqa: E402
from pydicom.uid import (  # noqa: E402
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

SYNTAXES = {
    "raw": None,
    "RLE": RLELossless,
    "JPEG lossless": JPEGLosslessSV1,
    "JPEG-LS": JPEGLSLossless,
    "JPEG 2000": JPEG2000Lossless,
}
DEPTHS = {
    "8": (np.uint8, 8),
    "10": (np.uint16, 10),
    "12": (np.uint16, 12),
    "16": (np.uint16, 16),
    "signed": (np.int16, 12),
}


def limb(dtype: type, bits: int) -> np.ndarray:
    """A bright limb with noise before dark air, (96, 64), that fills its bits."""
    y, x = np.mgrid[:96, :64]
    picture = 0.08 + 0.8 * np.exp(-(((x - 30 - y / 20) / 11) ** 2)) + np.random.default_rng(2).normal(0, 0.02, y.shape)
    top = 2**bits - 1
    values = np.rint(np.clip(picture, 0, 1) * top).astype(np.int64)
    return (values - (top + 1) // 2 * (np.dtype(dtype).kind == "i")).astype(dtype)


def lut(first: int, bits: int) -> Dataset:
    """A curve of 256 entries from 0 to the largest value of its bits."""
    item = Dataset()
    item.LUTDescriptor = [256, first, bits]
    item.LUTData = [round((entry / 255) ** 0.5 * (2**bits - 1)) for entry in range(256)]
    item["LUTDescriptor"].VR = "SS" if first < 0 else "US"
    item["LUTData"].VR = "US"
    return item


def shown(way: str, values: np.ndarray, bits: int) -> dict[str, Any]:
    """The tags that say how values of these bits are shown, in a window or by a LUT that clips both ends."""
    middle, width = int(np.median(values.astype(int))), 2 ** (bits - 1)
    if way == "VOI LUT":
        return {"VOILUTSequence": [lut(middle - 100, 12)], "WindowCenter": 1, "WindowWidth": 2}
    return {} if way == "none" else {"WindowCenter": [middle + width / 4, 3], "WindowWidth": [width, 5]}


def pydicom_grey(path: Path) -> np.ndarray:
    """0…255, floats, bright bone: modality LUT, VOI LUT or window, and polarity."""
    dataset = pydicom.dcmread(path)
    stored = dataset.pixel_array.astype(np.int32)  # narrower ones overflow in pydicom's LUT
    values = apply_voi_lut(apply_modality_lut(stored, dataset), dataset).astype(float)
    low, high = counted_range(values)
    if "VOILUTSequence" in dataset:
        low, high = 0, 2**12 - 1
    elif "WindowCenter" in dataset:  # pydicom gives a window the whole range of the stored bits
        low = -(2 ** (dataset.BitsStored - 1)) if dataset.PixelRepresentation else 0
        high = low + 2**dataset.BitsStored - 1
    grey = (np.clip(values, low, high) - low) / (high - low) * 255
    return 255 - grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey


@pytest.mark.slow
@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("way", ["window", "VOI LUT", "none"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_every_kind_of_file_is_shown_as_pydicom_shows_it(
    tmp_path: Path, photometric: str, way: str, depth: str, syntax: str
) -> None:
    dtype, bits = DEPTHS[depth]
    values = limb(dtype, bits)
    if photometric == "MONOCHROME1":  # stored with dark bone
        values = (int(values.max()) + int(values.min()) - values.astype(int)).astype(dtype)
    tags = {"PhotometricInterpretation": photometric, **shown(way, values, bits)}
    if depth != "8":
        tags |= {"RescaleSlope": 1, "RescaleIntercept": 0}
    path = save_dicom(tmp_path / "a.dcm", make_dataset(values, bits=bits, **tags))
    if SYNTAXES[syntax]:
        compressed(path, SYNTAXES[syntax])
    read = read_radiograph(path)
    assert np.abs(read - pydicom_grey(path)).max() <= 1
    assert read[:, 28:36].mean() > read[:, :8].mean() + 60  # bone is bright
    assert inspect_image(path).bit_depth == bits


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("slope", [1, 2.5, -1.5])
def test_windows_of_every_function_after_a_rescale(tmp_path: Path, function: str, slope: float) -> None:
    """The formulae of PS3.3, C.11.2, written out again; a falling slope turns bright and dark, and nothing else."""
    values = limb(np.uint16, 12)
    modality = values * float(slope) - 700
    centre = float(np.median(modality))
    dataset = make_dataset(
        values, bits=12, RescaleSlope=slope, RescaleIntercept=-700, WindowCenter=centre, WindowWidth=1200,
        VOILUTFunction=function,
    )  # fmt: skip
    expected = {
        "LINEAR": (modality - centre + 0.5) / 1199 + 0.5,
        "LINEAR_EXACT": (modality - centre) / 1200 + 0.5,
        "SIGMOID": 1 / (1 + np.exp(-4 * (modality - centre) / 1200)),
    }[function]
    read = read_radiograph(save_dicom(tmp_path / "a.dcm", dataset))
    assert np.abs(read - np.clip(expected, 0, 1) * 255).max() <= 0.5 + 1e-6


def test_a_window_that_cannot_be_used_is_as_none(tmp_path: Path) -> None:
    values = limb(np.uint16, 12)
    usual = read_radiograph(save_dicom(tmp_path / "a.dcm", make_dataset(values, bits=12)))
    for number, tags in enumerate([
        {"WindowCenter": 2000, "WindowWidth": 0},
        {"WindowCenter": None, "WindowWidth": None},
        {"WindowCenter": 60000, "WindowWidth": 10},  # all black
        {"WindowCenter": 2000, "WindowWidth": 400, "VOILUTFunction": "CURVE"},
    ]):  # fmt: skip
        path = save_dicom(tmp_path / f"{number}.dcm", make_dataset(values, bits=12, **tags))
        assert np.array_equal(read_radiograph(path), usual), tags


def test_modality_lut_comes_first(tmp_path: Path) -> None:
    item = lut(0, 12)
    item.ModalityLUTType = "US"
    dataset = make_dataset(limb(np.uint8, 8), ModalityLUTSequence=[item], WindowCenter=2048, WindowWidth=4096)
    path = save_dicom(tmp_path / "a.dcm", dataset)
    expected = np.sqrt(limb(np.uint8, 8) / 255) * 4095
    assert np.abs(read_radiograph(path) - (expected - 2047.5) / 4095 * 255 - 127.5).max() <= 0.6


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("window", [{}, {"WindowCenter": 2048, "WindowWidth": 4096}])
def test_padding_is_black_and_does_not_count(tmp_path: Path, photometric: str, window: dict) -> None:
    values = limb(np.int16, 12) + np.int16(2048)
    values[:, 40:] = -2000
    values[:5] = -1990
    tags = {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1980, "PhotometricInterpretation": photometric}
    dataset = make_dataset(values, bits=16, **tags, **window)
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        dataset[keyword].VR = "SS"
    read = read_radiograph(save_dicom(tmp_path / "a.dcm", dataset))
    inside = values[5:, :40]
    low, high = (0, 4095) if window else counted_range(inside)
    expected = np.clip((inside - low) / (high - low), 0, 1) * 255
    assert not read[:5].any() and not read[:, 40:].any()
    turned = 255 - expected if photometric == "MONOCHROME1" else expected
    assert np.abs(read[5:, :40] - turned).max() <= 1


def test_bits_above_those_stored_are_no_part_of_the_picture(tmp_path: Path) -> None:
    """Old files keep an overlay there (PS3.5, 8.1.1)."""
    values = limb(np.uint16, 12)
    clean = read_radiograph(save_dicom(tmp_path / "a.dcm", make_dataset(values, bits=12)))
    values[20:30] |= 0x8000
    assert np.array_equal(read_radiograph(save_dicom(tmp_path / "b.dcm", make_dataset(values, bits=12))), clean)


def test_colour_becomes_luminance_and_floats_are_read(tmp_path: Path) -> None:
    colour = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    dataset = make_dataset(colour[..., 0], SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    dataset.PixelData = colour.tobytes()
    read = read_radiograph(save_dicom(tmp_path / "a.dcm", dataset))
    assert np.abs(read - colour @ [0.299, 0.587, 0.114]).max() <= 1
    dataset, values = make_dataset(limb(np.uint16, 12)), limb(np.uint16, 12).astype(np.float32) / 7
    del dataset.PixelData
    dataset.FloatPixelData, dataset.BitsAllocated = values.tobytes(), 32
    read = read_radiograph(save_dicom(tmp_path / "b.dcm", dataset))
    assert np.abs(read - np.interp(values, counted_range(values), [0, 255])).max() <= 0.6


@pytest.mark.slow
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("depth", ["8", "12", "16"])
def test_a_smaller_picture_from_jpeg_2000_is_the_same_picture(tmp_path: Path, photometric: str, depth: str) -> None:
    dtype, bits = DEPTHS[depth]
    values = cv2.resize(limb(dtype, bits), (900, 1100), interpolation=cv2.INTER_CUBIC)
    tags = {"PhotometricInterpretation": photometric, "WindowCenter": 2 ** (bits - 1), "WindowWidth": 2**bits}
    path = compressed(save_dicom(tmp_path / "a.dcm", make_dataset(values, bits=bits, **tags)), JPEG2000Lossless)
    whole = read_radiograph(path)
    for side in (700, 220, 100, 20):
        read = read_radiograph(path, target_side=side)
        assert min(read.shape) >= min(2 * side, 900)
        ends = [cv2.resize(one, (side, side), interpolation=cv2.INTER_AREA).astype(int) for one in (read, whole)]
        assert np.abs(ends[0] - ends[1]).mean() < 1.5
    assert read.shape == (138, 113)  # an eighth
    unshown = make_dataset(values, bits=bits)  # its range of greys depends on all pixels
    path = compressed(save_dicom(tmp_path / "b.dcm", unshown), JPEG2000Lossless)
    assert read_radiograph(path, target_side=20).shape == (1100, 900)
