"""DICOM files of many makers, and damaged ones: each is read, or one line says what it is or what is wrong."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from fracturelib.images import inspect_image
from fracturelib.images.dicom import Kind, is_dicom_file, read_tags

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("gdcm")
data_store = pytest.importorskip("data_store", reason="the package pydicom-data is not installed")

FOLDERS = [Path(pydicom.__file__).parent / "data", *map(Path, data_store.__path__)]
FILES = [
    file for folder in FOLDERS for file in sorted(folder.rglob("*")) if file.suffix == ".dcm" or is_dicom_file(file)
]
RNG = random.Random(3)
VALUES = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)


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
            assert facts.problem == f"a DICOM {kind}, not a radiograph"
            kinds[kind] += 1
        else:
            others[file.name] = facts.problem
    assert kinds[Kind.IMAGE] > 90 and kinds[Kind.SECONDARY_CAPTURE] > 50 and kinds[Kind.REPORT] >= 3
    assert kinds[Kind.DIRECTORY] >= 5 and kinds[Kind.RADIOTHERAPY] >= 8 and kinds[Kind.WAVEFORM] >= 1
    # The rest has no picture, a damaged one, or begins with a byte of rubbish.
    assert len(others) <= 40 and all("DICOM" in problem or name == "no_meta.dcm" for name, problem in others.items())
    assert not recwarn.list and capfd.readouterr() == ("", "")
