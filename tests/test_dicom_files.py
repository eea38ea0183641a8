"""DICOM files of many makers, and damaged ones: each is read, or one line says what it is or what is wrong."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracturelib.errors import DataWarning, ImageError
from fracturelib.images import inspect_image, read_radiograph
from fracturelib.images.dicom import Kind, is_dicom_file, parsing, read_tags
from tests.helpers.dicom import compressed, make_dataset, save_dicom

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("gdcm")
data_store = pytest.importorskip("data_store", reason="the package pydicom-data is not installed")
from pydicom.uid import (  # noqa: E402
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

FOLDERS = [Path(pydicom.__file__).parent / "data", *map(Path, data_store.__path__)]
FILES = [
    file for folder in FOLDERS for file in sorted(folder.rglob("*")) if file.suffix == ".dcm" or is_dicom_file(file)
]
VALUES = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)
BASES = {"raw": None, "RLE": RLELossless, "JPEG lossless": JPEGLosslessSV1, "JPEG-LS": JPEGLSLossless}
DAMAGED = "a DICOM file that cannot be read"


@pytest.mark.slow
def test_files_of_many_makers_are_read_or_their_kind_is_named(recwarn: pytest.WarningsRecorder, capfd) -> None:
    kinds, others = dict.fromkeys(Kind, 0), {}
    for file in FILES:
        facts = inspect_image(file)
        kind = read_tags(file).kind if is_dicom_file(file) else None
        if facts.problem is None:
            assert min(facts.width, facts.height) >= 8 and kind is Kind.IMAGE
            kinds[Kind.IMAGE] += 1
        elif kind and kind is not Kind.IMAGE:
            assert facts.kind == kind and kind in facts.problem
            kinds[kind] += 1
        else:
            others[file.name] = facts.problem
    assert kinds[Kind.IMAGE] > 80 and kinds[Kind.SECONDARY_CAPTURE] > 60 and kinds[Kind.REPORT] >= 3
    assert kinds[Kind.DIRECTORY] >= 8 and kinds[Kind.RADIOTHERAPY] >= 12 and kinds[Kind.WAVEFORM] >= 1
    # The rest are images of which only the tags are there, or all but the end, and one that begins with a stray byte.
    assert others.pop("no_meta.dcm") == "not an image that can be read"
    assert set(others.values()) == {"a DICOM file without a picture", f"{DAMAGED}: its pixels are cut short or wrong"}
    assert not recwarn.list and capfd.readouterr() == ("", "")


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bytes of one picture in several encodings."""
    folder, found = tmp_path_factory.mktemp("encoded"), {}
    for name, syntax in (BASES | {"JPEG 2000": JPEG2000Lossless}).items():
        path = save_dicom(folder / name, make_dataset(VALUES, bits=12))
        found[name] = (compressed(path, syntax) if syntax else path).read_bytes()
    return found


def problem_of(path: Path, data: bytes) -> str | None:
    """What is said of a damaged file; one line, the same by each way of reading, with its name, cause and cure."""
    path.write_bytes(data)
    problem = inspect_image(path).problem
    if problem is not None:
        assert "\n" not in problem and len(problem) < 120
        with pytest.raises(ImageError) as caught:
            read_radiograph(path)
        assert (caught.value.what, caught.value.file) == (problem, path) and caught.value.cure
    return problem


@pytest.mark.parametrize("name", [*BASES, "JPEG 2000"])
def test_a_file_that_is_cut_short_says_so(tmp_path: Path, encoded: dict[str, bytes], name: str) -> None:
    whole = encoded[name]
    for share in (0.99, 0.7, 0.4):
        problem = problem_of(tmp_path / "cut.dcm", whole[: int(len(whole) * share)])
        assert problem is not None and problem.startswith((DAMAGED, "a DICOM file without a picture"))


def test_sizes_that_are_not_there_are_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    for rows, columns, said in [(60000, 60000, "more than 100 megapixels"), (9000, 9000, DAMAGED), (3, 48, "3 pixels")]:
        dataset = make_dataset(VALUES)
        dataset.Rows, dataset.Columns = rows, columns
        assert said in problem_of(save_dicom(tmp_path / "a.dcm", dataset), (tmp_path / "a.dcm").read_bytes())
    path = save_dicom(tmp_path / "a.dcm", make_dataset(VALUES, NumberOfFrames=2**31 - 1))
    with pytest.warns(DataWarning, match="several pictures"):
        assert problem_of(path, path.read_bytes()).startswith(DAMAGED)


def test_of_several_frames_the_first_is_read_with_a_warning(tmp_path: Path) -> None:
    dataset = make_dataset(VALUES, NumberOfFrames=2)
    dataset.PixelData = dataset.PixelData + dataset.PixelData[::-1]
    path = save_dicom(tmp_path / "a.dcm", dataset)
    with pytest.warns(DataWarning, match="several pictures"):
        read = read_radiograph(path)
    assert np.array_equal(read, read_radiograph(save_dicom(tmp_path / "b.dcm", make_dataset(VALUES))))
    assert inspect_image(path).frames == 2
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):  # a set of such files is no flood of warnings
            read_radiograph(path)
    assert len(caught) == 1


@pytest.mark.parametrize("name", ["RLE", "JPEG lossless", "JPEG-LS", "JPEG 2000"])
@pytest.mark.parametrize("tags", [{"Rows": 3000, "Columns": 3000}, {"Columns": 47}, {"SamplesPerPixel": 3}])
def test_tags_that_do_not_describe_the_compressed_picture(
    tmp_path: Path, encoded: dict[str, bytes], name: str, tags: dict[str, int]
) -> None:
    """GDCM ends the whole program on some of these."""
    path = tmp_path / "a.dcm"
    path.write_bytes(encoded[name])
    dataset = pydicom.dcmread(path)
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)
    problem = problem_of(path, path.read_bytes())
    assert problem is None if name == "RLE" and "Rows" not in tags and "Columns" in tags else DAMAGED in problem


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "BitsAllocated", "PixelData", "PhotometricInterpretation"])
def test_without_an_element_that_is_needed(tmp_path: Path, keyword: str) -> None:
    dataset = make_dataset(VALUES)
    delattr(dataset, keyword)
    problem = problem_of(save_dicom(tmp_path / "a.dcm", dataset), (tmp_path / "a.dcm").read_bytes())
    assert problem.startswith((DAMAGED, "a DICOM file without a picture"))


def test_a_deflated_file_is_read_and_a_bomb_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset(VALUES)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = save_dicom(tmp_path / "a.dcm", dataset)
    assert read_radiograph(path).shape == VALUES.shape
    monkeypatch.setattr(parsing, "MAX_FILE_BYTES", 5000)
    assert "unpacked" in problem_of(path, path.read_bytes())


@pytest.mark.parametrize("missing", ["pydicom", "gdcm"])
def test_a_missing_package_is_named_with_the_extra(
    tmp_path: Path, encoded: dict[str, bytes], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(encoded["JPEG-LS"])
    monkeypatch.setitem(sys.modules, missing, None)
    if missing == "gdcm":  # pydicom asked for it when it was imported
        monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.available_plugins", ())
    with pytest.raises(ImageError, match=f"{missing}.* is not installed") as caught:
        read_radiograph(path)
    assert "fracturelib[dicom]" in caught.value.cure


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_damage_gives_a_picture_or_one_line(encoded: dict[str, bytes], scratch: Path, data: st.DataObject) -> None:
    broken = bytearray(encoded[data.draw(st.sampled_from(sorted(encoded)))])
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(132, len(broken) - 1), st.integers(0, 255)), max_size=9)
    ):
        broken[place] = value
    problem_of(scratch / "a.dcm", bytes(broken[: data.draw(st.integers(200, len(broken)))]))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")
