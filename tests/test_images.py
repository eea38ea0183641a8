"""Any file → a greyscale radiograph: formats, depths and orientations against Pillow and NumPy; bad files."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageFile, ImageOps

from fracturelib.errors import ImageError
from fracturelib.images import formats, inspect_image, iterate_images, measure_grey, read_radiograph
from fracturelib.images.photographs import colour_of
from fracturelib.images.reading import read_picture
from tests.helpers.trees import tiny_radiograph

RNG = np.random.default_rng(0)
GREY = tiny_radiograph(RNG, fractured=True, height=40, width=30)
RGB = RNG.integers(0, 256, (40, 30, 3), dtype=np.uint8)
WIDE = RNG.integers(100, 4000, (40, 30), dtype=np.uint16)  # 12 bits used, as detectors deliver them
ORIENTATION = 0x0112

pytestmark = pytest.mark.filterwarnings("ignore::Warning:PIL")  # Pillow comments on the damaged files of this test


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples of a property."""
    return tmp_path_factory.mktemp("scratch")


def own_range(values: np.ndarray) -> np.ndarray:
    """The oracle of the 16-bit scaling for pictures without padding and markers, in exact steps."""
    values = values.astype(np.float64)
    return np.rint(255 * (values - values.min()) / (values.max() - values.min())).astype(np.uint8)


def luminance(rgb: np.ndarray) -> np.ndarray:
    return rgb.astype(np.float64) @ [0.299, 0.587, 0.114]


def save(path: Path, pixels: np.ndarray, mode: str | None = None, **options: object) -> Path:
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def png(width: int, height: int, body: bytes = b"") -> bytes:
    """A PNG whose header claims any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def write_tiff(
    path: Path,
    values: np.ndarray,
    *,
    photometric: int = 1,
    byteorder: str = "<",
    compressed: bool = False,
    planar: bool = False,
    orientation: int = 1,
    alpha: int = 2,
) -> Path:
    """A TIFF 6.0 file with one strip (one per channel where planar); Pillow cannot write all these variants."""
    height, width, channels = (*values.shape, 1)[:3]
    bits, kind = (1, 1) if values.dtype == bool else (8 * values.itemsize, {"u": 1, "i": 2, "f": 3}[values.dtype.kind])
    planes = np.moveaxis(values.reshape(height, width, channels), -1, 0) if planar else [values]
    stored = [np.packbits(plane, axis=1) if bits == 1 else plane for plane in planes]
    strips = [plane.astype(plane.dtype.newbyteorder(byteorder)).tobytes() for plane in stored]
    strips = [zlib.compress(strip) for strip in strips] if compressed else strips
    tags = {256: [width], 257: [height], 258: [bits] * channels, 259: [8 if compressed else 1], 262: [photometric]}
    tags |= {273: [0] * len(strips), ORIENTATION: [orientation], 277: [channels], 278: [height]}
    tags |= {279: [len(strip) for strip in strips], 284: [2 if planar else 1], 339: [kind] * channels}
    tags |= {338: [alpha]} if channels in (2, 4) else {}  # 1: premultiplied
    start = 8 + 2 + 12 * len(tags) + 4
    spill_size = sum(4 * len(items) for items in tags.values() if len(items) > 1)
    tags[273] = [start + spill_size + sum(map(len, strips[:place])) for place in range(len(strips))]
    entries = spill = b""
    for tag, items in sorted(tags.items()):  # every value as a 32-bit LONG, but BitsPerSample as readers expect it
        code, size = (3, "H") if tag in (258, 338, 339) else (4, "I")
        data = struct.pack(f"{byteorder}{len(items)}{size}", *items)
        if len(data) > 4:
            data, spill = struct.pack(byteorder + "I", start + len(spill)), spill + data.ljust(4 * len(items), b"\0")
        entries += struct.pack(byteorder + "HHI", tag, code, len(items)) + data.ljust(4, b"\0")
    head = (b"II" if byteorder == "<" else b"MM") + struct.pack(byteorder + "HIH", 42, 8, len(tags))
    spill = spill.ljust(spill_size, b"\0")
    path.write_bytes(head + entries + bytes(4) + spill + b"".join(strips))
    return path


# Formats and modes


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.PNG"])
def test_lossless_grey_is_returned_as_it_is(tmp_path: Path, name: str) -> None:
    read = read_radiograph(save(tmp_path / name, GREY))
    assert read.dtype == np.uint8
    assert np.array_equal(read, GREY)


def test_lossless_webp(tmp_path: Path) -> None:
    assert np.array_equal(read_radiograph(save(tmp_path / "a.webp", GREY, "RGB", lossless=True)), GREY)


def test_jpeg_stays_close_and_agrees_with_pillow(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", RGB, quality=90)
    with Image.open(path) as image:
        assert np.array_equal(read_radiograph(path), np.asarray(image.convert("L")))


def test_the_name_does_not_decide_the_format(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(GREY).save(path, format="PNG")
    assert np.array_equal(read_radiograph(path), GREY)


@pytest.mark.parametrize(("mode", "name"), [("P", "a.png"), ("P", "a.bmp"), ("RGB", "a.tif"), ("CMYK", "a.tif")])
def test_colour_becomes_luminance(tmp_path: Path, mode: str, name: str) -> None:
    path = save(tmp_path / name, RGB, mode)
    with Image.open(path) as image:
        assert image.mode == mode
        expected = np.asarray(image.convert("RGB").convert("L"))
    assert np.array_equal(read_radiograph(path), expected)


def test_cmyk_jpeg_is_not_inverted(tmp_path: Path) -> None:
    ramp = np.repeat(np.linspace(0, 255, 32).astype(np.uint8)[None, :, None], 32, axis=0).repeat(3, axis=2)
    read = read_radiograph(save(tmp_path / "a.jpg", ramp, "CMYK", quality=95))
    assert np.abs(read.astype(int) - ramp[..., 0]).max() < 12


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp"])
def test_one_bit_becomes_black_and_white(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    Image.fromarray(GREY > 100).save(path)
    assert np.array_equal(read_radiograph(path), np.where(GREY > 100, 255, 0))
    assert inspect_image(path).bit_depth == 1


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_transparent_pixels_are_laid_on_black(tmp_path: Path, mode: str, name: str) -> None:
    image = Image.fromarray(GREY).convert(mode)
    alpha = Image.fromarray(np.where(np.arange(30) < 10, 0, 255).astype(np.uint8)[None].repeat(40, axis=0))
    image.putalpha(alpha)
    image.save(tmp_path / name)
    read = read_radiograph(tmp_path / name)
    assert not read[:, :10].any()  # whatever colour hides under transparency
    assert np.array_equal(read[:, 10:], GREY[:, 10:])


@pytest.mark.skipif(int(PIL.__version__.split(".")[0]) < 13, reason="older Pillow calls such a file no image")
def test_premultiplied_alpha(tmp_path: Path) -> None:
    alpha = np.full_like(GREY, 128)
    alpha[:, :10] = 0
    dimmed = (GREY * (alpha / 255)).astype(np.uint8)
    path = write_tiff(tmp_path / "a.tif", np.dstack([dimmed, alpha]), alpha=1)
    assert inspect_image(path).mode == "La"
    assert np.abs(read_radiograph(path).astype(int) - dimmed).max() <= 1


def test_transparent_palette_entry_is_black(tmp_path: Path) -> None:
    image = Image.fromarray(np.where(GREY > 100, 1, 0).astype(np.uint8), mode="P")
    image.putpalette([255, 255, 255, 90, 90, 90])
    image.save(tmp_path / "a.png", transparency=0)
    assert np.array_equal(read_radiograph(tmp_path / "a.png"), np.where(GREY > 100, 90, 0))


# More than 8 bits


def test_16_bit_png_is_scaled_by_its_own_range(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", WIDE)
    assert np.array_equal(read_radiograph(path), own_range(WIDE))
    assert (inspect_image(path).mode, inspect_image(path).bit_depth) == ("I;16", 16)


def counted_range(values: np.ndarray) -> tuple[float, float]:
    """The formula of `contrast.anatomy_range`, written out again: no value weighs more than the mean."""
    distinct, counts = np.unique(values.astype(np.float64), return_counts=True)
    weights = np.minimum(counts, counts.mean())
    p2, p98 = np.percentile(distinct, [2, 98], method="inverted_cdf", weights=weights)
    inside = distinct[np.abs(distinct - (p2 + p98) / 2) <= p98 - p2]
    return (inside[0], inside[-1]) if len(inside) > 1 else (distinct[0], distinct[-1])


@pytest.mark.skipif(np.__version__ < "2", reason="NumPy 1 has no weighted percentile to compare with")
@settings(max_examples=40, deadline=None)
@given(values=arrays(np.uint16, st.tuples(st.integers(8, 12), st.integers(8, 12))))
def test_16_bit_scaling_holds_for_any_image(scratch: Path, values: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, format="PNG")
    path = scratch / "any16.png"
    path.write_bytes(buffer.getvalue())
    read = read_radiograph(path).astype(int)
    spread = int(values.max()) - int(values.min())
    if spread == 0:
        assert not read.any()
        return
    exact = np.interp(values, counted_range(values), [0, 255])
    assert np.abs(read - exact).max() <= 0.5 + 1e-9
    assert read.min() == 0
    assert read.max() == 255


def test_neither_padding_nor_a_marker_nor_hot_pixels_darken_the_bone(tmp_path: Path) -> None:
    y, x = np.mgrid[:128, :96]
    anatomy = (30000 + 1500 * np.exp(-(((x - 48) / 20) ** 2)) * (1 + y / 128)).astype(np.uint16)  # 12 bits on an offset
    for place, value in [
        (np.s_[:2, :2], 65535), (np.s_[4:16, 4:14], 65535), (np.s_[:3], 0), (np.s_[:, :40], 0), (np.s_[0], 65535)
    ]:  # fmt: skip
        values = anatomy.copy()
        values[place] = value
        rest = np.ones(values.shape, bool)
        rest[place] = False
        read = read_radiograph(save(tmp_path / "a.png", values))
        assert np.array_equal(read[rest], own_range(anatomy[rest])), place
        assert (read[place] == (255 if value else 0)).all()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.uint32, np.int32, np.float32])
def test_wide_tiffs_are_scaled_by_their_own_range(
    tmp_path: Path, dtype: type, byteorder: str, compressed: bool
) -> None:
    shift = {np.uint16: 0, np.uint32: 2**31 - 2000}.get(dtype, -2000)  # on both sides of Pillow's signed range
    values = (WIDE.astype(np.int64) + shift).astype(dtype)
    path = write_tiff(tmp_path / "a.tif", values, byteorder=byteorder, compressed=compressed)
    if byteorder == ">" and dtype is not np.uint16 and (compressed or dtype is np.uint32):
        assert inspect_image(path).problem  # Pillow misreads the compressed ones; an error is better than noise
    else:
        assert np.array_equal(read_radiograph(path), own_range(values))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.float32])
def test_white_is_zero_tiffs_are_inverted_once(tmp_path: Path, dtype: type, compressed: bool) -> None:
    """Pillow inverts 1- and 8-bit files itself, but neither 16-bit nor float ones."""
    values = GREY > 100 if dtype is bool else GREY if dtype is np.uint8 else WIDE.astype(dtype)
    path = write_tiff(tmp_path / "a.tif", values, photometric=0, compressed=compressed)
    expected = 255 - GREY if dtype is np.uint8 else own_range(-values.astype(np.float64))
    assert np.array_equal(read_radiograph(path), expected)


def test_nan_and_infinity_do_not_spoil_the_range(tmp_path: Path) -> None:
    values = WIDE.astype(np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    write_tiff(tmp_path / "a.tif", values)
    read = read_radiograph(tmp_path / "a.tif")
    assert read[0, :3].tolist() == [0, 255, 0]
    low, high = values[1:].min(), values[1:].max()
    assert np.array_equal(read[1:], np.rint((values[1:].astype(float) - low) / (float(high) - low) * 255))


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_16_bit_colour_tiff_keeps_its_low_byte(tmp_path: Path, byteorder: str, compressed: bool, alpha: bool) -> None:
    colour = RNG.integers(0, 4096, (40, 30, 3), dtype=np.uint16)
    values = np.dstack([colour, np.full((40, 30), 65535, np.uint16)]) if alpha else colour
    path = write_tiff(tmp_path / "a.tif", values, photometric=2, byteorder=byteorder, compressed=compressed)
    assert np.array_equal(read_radiograph(path), own_range(luminance(colour)))
    assert inspect_image(path).bit_depth == 16


@pytest.mark.parametrize("compressed", [False, True])
def test_planar_16_bit_tiff_is_refused(tmp_path: Path, compressed: bool) -> None:
    """Pillow reads it as noise, without an error."""
    colour = RNG.integers(0, 4096, (40, 30, 3), dtype=np.uint16)
    path = write_tiff(tmp_path / "a.tif", colour, photometric=2, planar=True, compressed=compressed)
    with pytest.raises(ImageError, match="planar"):
        read_radiograph(path)


def test_planar_8_bit_tiff(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", RGB, photometric=2, planar=True)
    assert np.array_equal(read_radiograph(path), np.asarray(Image.fromarray(RGB).convert("L")))


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bit_colour_png_keeps_its_low_byte(tmp_path: Path, channels: int) -> None:
    values = RNG.integers(0, 300, (40, 30, channels), dtype=np.uint16)
    if channels in (2, 4):
        values[..., -1] = 65535
        values[:, :5, -1] = 0
    colour_type = {2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    data = bytearray(png(30, 40, rows))
    data[24:26] = bytes([16, colour_type])
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    (tmp_path / "a.png").write_bytes(data)
    grey = luminance(values[..., :3]) if channels > 2 else values[..., 0].astype(np.float64)
    grey = grey * (values[..., -1:] / 65535)[..., 0] if channels in (2, 4) else grey
    assert np.array_equal(read_radiograph(tmp_path / "a.png"), own_range(grey))


def test_first_page_of_a_tiff(tmp_path: Path) -> None:
    first, second = Image.fromarray(GREY), Image.fromarray(255 - GREY)
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    assert np.array_equal(read_radiograph(tmp_path / "a.tif"), GREY)


# Orientation and size


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp", "a.jpg"])
def test_exif_orientation_as_pillow_turns_it(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if name == "a.webp" else {}
    path = save(tmp_path / name, GREY, "RGB", exif=exif, **options)
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("L"))
    assert np.array_equal(read_radiograph(path), upright)
    facts = inspect_image(path)
    assert (facts.height, facts.width) == upright.shape == ((30, 40) if orientation > 4 else (40, 30))


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_orientation_of_a_16_bit_tiff(tmp_path: Path, byteorder: str) -> None:
    path = write_tiff(tmp_path / "a.tif", WIDE, byteorder=byteorder, orientation=6)
    assert np.array_equal(read_radiograph(path), own_range(np.rot90(WIDE, -1)))


def test_damaged_exif_does_not_cost_the_image(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", GREY, exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert read_radiograph(path).shape == GREY.shape


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(16, 300),
    height=st.integers(16, 300),
    target=st.integers(8, 320),
    orientation=st.sampled_from(range(1, 9)),
    mode=st.sampled_from(["L", "RGB"]),
)
def test_reduced_decoding_never_falls_below_the_target(
    scratch: Path, width: int, height: int, target: int, orientation: int, mode: str
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    pixels = tiny_radiograph(np.random.default_rng(0), fractured=False, height=height, width=width)
    path = save(scratch / "reduced.jpg", pixels, mode, exif=exif)
    whole, reduced = read_radiograph(path), read_radiograph(path, target_side=target)
    assert min(reduced.shape) >= min(target, min(whole.shape))
    assert min(reduced.shape) < 2 * target + 2 or reduced.shape == whole.shape or max(whole.shape) > 16 * target
    # a JPEG is reduced by 1, 2, 4 or 8, and a last part of a pixel counts as one
    assert reduced.shape in [tuple(-(-side // factor) for side in whole.shape) for factor in (1, 2, 4, 8)]


def test_reduced_decoding_shows_the_same_picture(tmp_path: Path) -> None:
    pixels = tiny_radiograph(RNG, fractured=True, height=640, width=480)
    path = save(tmp_path / "a.jpg", pixels, quality=95)
    reduced = read_radiograph(path, target_side=100)
    assert reduced.shape == (160, 120)
    mean = pixels.reshape(160, 4, 120, 4).mean(axis=(1, 3))
    assert np.abs(reduced - mean).mean() < 2


# Bad files


@pytest.fixture
def truncated(tmp_path: Path) -> Path:
    path = save(tmp_path / "cut.jpg", np.kron(GREY, np.ones((8, 8), np.uint8)), quality=95)
    path.write_bytes(path.read_bytes()[:-300])
    return path


def test_truncated_jpeg_is_decoded_as_far_as_it_goes(tmp_path: Path, truncated: Path) -> None:
    whole = np.kron(GREY, np.ones((8, 8), np.uint8))
    read = read_radiograph(truncated)
    assert read.shape == whole.shape
    assert np.abs(read[:100].astype(int) - whole[:100]).mean() < 3
    facts = inspect_image(truncated)
    assert facts.truncated
    assert facts.problem is None
    assert min(read_radiograph(truncated, target_side=60).shape) >= 60
    with pytest.raises(ImageError, match=r"ends early[\s\S]*cut\.jpg"):
        read_radiograph(truncated, strict=True)


def test_truncated_progressive_jpeg(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", np.kron(GREY, np.ones((8, 8), np.uint8)), quality=95, progressive=True)
    path.write_bytes(path.read_bytes()[:-500])
    assert inspect_image(path).truncated


def test_pillows_switches_are_left_alone(truncated: Path) -> None:
    before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
    seen = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            seen.add(ImageFile.LOAD_TRUNCATED_IMAGES)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(4) as pool:
        facts = list(pool.map(inspect_image, [truncated] * 20))
    stop.set()
    watcher.join()
    assert all(fact.truncated for fact in facts)
    assert seen == {False}
    assert before == (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS)


BAD = {
    "empty.jpg": (b"", "empty"),
    "text.jpg": (b"this is no image", "not an image"),
    "header.jpg": (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "not an image"),
    "pixel.png": (png(1, 1, b"\0\0"), "1×1 pixels"),
    "thin.png": (png(4000, 3, b""), "4000×3 pixels"),
    "huge.png": (png(10_001, 10_000, b""), "more than 100 megapixels"),
    "bomb.png": (png(2**20, 2**20, b""), "more than 100 megapixels"),
    "cut.png": (png(64, 64, bytes(65 * 64))[:60], "cannot be decoded"),
    "damaged.png": (png(64, 64, b"x" * 50), "cannot be decoded"),
    "movie.gif": (b"GIF89a\x10\0\x10\0\0\0\0;", "not an image"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_named_with_cause_and_cure(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(BAD[name][0])
    facts = inspect_image(path)
    assert BAD[name][1] in facts.problem
    assert facts.sha256 == (hashlib.sha256(BAD[name][0]).hexdigest() if BAD[name][0] else "")
    with pytest.raises(ImageError, match=BAD[name][1]) as caught:
        read_radiograph(path)
    assert caught.value.file == path
    assert caught.value.cure


def test_missing_file_and_folder_in_place_of_a_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(ImageError, match="cannot be read"):
            read_radiograph(path)
        assert "cannot be read" in inspect_image(path).problem


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(["JPEG", "PNG", "TIFF", "BMP", "WEBP"]), data=st.data())
def test_any_damage_gives_an_image_or_an_image_error(scratch: Path, kind: str, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    Image.fromarray(GREY).save(buffer, format=kind)
    raw = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = scratch / "damaged"
    path.write_bytes(raw[: data.draw(st.integers(1, len(raw)))])
    facts = inspect_image(path)
    try:
        assert read_radiograph(path).shape == (facts.height, facts.width)
    except ImageError as error:
        assert facts.problem == error.what


# Facts and the registry


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "colour.jpg"])
def test_brightness_and_contrast_are_those_of_the_picture_read_at_64_pixels(tmp_path: Path, name: str) -> None:
    pixels = tiny_radiograph(RNG, fractured=True, height=640, width=480)
    path = save(tmp_path / name, pixels, "RGB" if name.startswith("colour") else None)
    small = read_radiograph(path, target_side=64) / 255
    facts = inspect_image(path)
    assert (facts.grey_mean, facts.grey_std) == (small.mean(), small.std()) == measure_grey(path)


def test_a_new_format_is_one_module_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Flat:
        size, mode, bit_depth, reduces = (30, 40), "flat", 12, False

        def grey(self, target_side: int | None) -> tuple[np.ndarray, bool]:
            return GREY, False

    family = SimpleNamespace(open_file=lambda data: Flat() if data[128:132] == b"FLAT" else None)
    monkeypatch.setattr(formats, "FAMILIES", (family, *formats.FAMILIES))
    path = tmp_path / "a.flat"
    path.write_bytes(bytes(128) + b"FLAT")
    assert np.array_equal(read_radiograph(path), GREY)
    facts = inspect_image(path)
    assert (facts.mode, facts.bit_depth, facts.width, facts.height) == ("flat", 12, 30, 40)
    assert facts.content == inspect_image(save(tmp_path / "a.png", GREY)).content


@pytest.mark.parametrize("orientation", [1, 6])
def test_premultiplied_16_bit_colour_lies_on_black_already(tmp_path: Path, orientation: int) -> None:
    values = RNG.integers(0, 4096, (40, 30, 4), dtype=np.uint16)
    path = write_tiff(tmp_path / "a.tif", values, photometric=2, alpha=1, orientation=orientation)
    grey = own_range(luminance(values[..., :3]))
    assert np.array_equal(read_radiograph(path), np.rot90(grey, -1) if orientation == 6 else grey)


# Content and folders


def test_content_is_equal_for_a_copy_in_another_format(tmp_path: Path) -> None:
    one, two = inspect_image(save(tmp_path / "a.png", GREY)), inspect_image(save(tmp_path / "a.bmp", GREY, "RGB"))
    assert one.content == two.content
    assert one.sha256 != two.sha256
    assert one.content != inspect_image(save(tmp_path / "b.png", GREY.T.copy())).content


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes are made")
def test_links_are_followed_once_and_what_is_no_file_is_named_unopened(tmp_path: Path) -> None:
    top, store = tmp_path / "top", tmp_path / "store"
    (store / "p1").mkdir(parents=True)
    (top / "p0").mkdir(parents=True)
    Image.new("L", (16, 16)).save(store / "p1/a.png")
    links = {"linked": store, "p0/up": top, "p0/out": tmp_path, "twice": store}
    for link, target in (links | {"gone.png": "nowhere", "zero.png": "/dev/zero"}).items():
        (top / link).symlink_to(target)
    os.mkfifo(top / "pipe.png")
    found = {path.relative_to(top).as_posix(): inspect_image(path).problem for path in iterate_images(top)}
    assert found.pop("linked/p1/a.png") is None
    assert found == {
        "gone.png": "cannot be read: a link to nothing",
        "zero.png": "a device, not a file",
        "pipe.png": "a pipe, not a file",
        **dict.fromkeys(
            ("p0/up", "p0/out", "twice"), "a link to a folder that it lies in, or that was read already: not followed"
        ),
    }


def test_a_file_that_changed_since_it_was_listed_is_refused(tmp_path: Path) -> None:
    Image.new("L", (16, 16)).save(tmp_path / "a.png")
    sha256 = inspect_image(tmp_path / "a.png").sha256
    read_radiograph(tmp_path / "a.png", sha256=sha256)
    Image.new("L", (16, 16), 9).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="changed") as caught:
        read_radiograph(tmp_path / "a.png", sha256=sha256)
    assert caught.value.file == tmp_path / "a.png"


def test_images_are_found_folder_by_folder(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/1.png", "a.tiff", "notes.txt", ".hidden.png", "__MACOSX/c.png", "Thumbs.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in iterate_images(tmp_path)] == [
        "a.tiff",
        "b/1.png",
        "b/2.JPG",
    ]
    assert list(iterate_images(tmp_path / "notes.txt")) == [tmp_path / "notes.txt"]  # asked for by name
    with pytest.raises(ImageError, match="no such file or folder"):
        next(iterate_images(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="holds no image"):
        next(iterate_images(tmp_path / "empty"))


def test_reduced_decoding_of_the_large_radiographs(real_data: Path) -> None:
    large = [path for path in iterate_images(real_data / "fracatlas_slice") if path.stat().st_size > 400_000][:3]
    for path in large:
        whole, reduced = read_radiograph(path), read_radiograph(path, target_side=224)
        assert 224 <= min(reduced.shape) < min(whole.shape)


@pytest.mark.parametrize(
    ("suffix", "mode", "options"),
    [
        *((".jpg", "RGB", {"quality": 90, "subsampling": kind}) for kind in (0, 1, 2)),
        (".jpg", "RGB", {"progressive": True}),
        (".jpg", "RGB", {"keep_rgb": True}),
        (".jpg", "CMYK", {}),
        (".jpg", "L", {}),
        *((".png", mode, {}) for mode in ("RGB", "RGBA", "P", "L", "I;16")),
        (".tif", "RGB", {}),
        (".tif", "YCbCr", {}),
        (".webp", "RGB", {}),
    ],
)
@pytest.mark.parametrize("target", [40, 224])
def test_grey_and_colour_of_one_decoding_are_those_of_two(tmp_path, suffix, mode, options, target):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (10, 13, 3), np.uint8)
    image = Image.fromarray(coarse).resize((520, 400), Image.Resampling.BICUBIC)
    image = (
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 200)
        if mode == "I;16"
        else image.convert(mode)
    )
    image.save(tmp_path / f"one{suffix}", **options)
    found = read_picture(tmp_path / f"one{suffix}", target_side=target)
    np.testing.assert_array_equal(found.grey, read_radiograph(tmp_path / f"one{suffix}", target_side=target))
    assert not found.truncated
    assert found.colour == pytest.approx(colour_of((tmp_path / f"one{suffix}").read_bytes()), abs=2)
    assert (found.colour > 20) == (mode not in ("L", "I;16"))


def test_a_colour_jpeg_that_ends_early_is_read_as_far_as_it_goes(tmp_path):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8))
    picture.save(tmp_path / "whole.jpg")
    content = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    found = read_picture(tmp_path / "cut.jpg", target_side=224)
    assert found.truncated
    np.testing.assert_array_equal(found.grey, read_radiograph(tmp_path / "cut.jpg", target_side=224))
    with pytest.raises(ImageError, match="ends early"):
        read_picture(tmp_path / "cut.jpg", target_side=224, strict=True)
