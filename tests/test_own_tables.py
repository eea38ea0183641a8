"""A spreadsheet beside pictures: encodings, separators, spellings and names as people's programs write them."""

import importlib.util
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fracturelib.catalog import read_catalog
from fracturelib.catalog.options import DataOptions
from fracturelib.errors import CatalogError

NEEDS_EXCEL = pytest.mark.skipif(importlib.util.find_spec("openpyxl") is None, reason="openpyxl is not installed")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """24 pictures of 12 patients, their names decomposed as macOS keeps them, and the table that speaks of them."""
    root, rng = tmp_path_factory.mktemp("own"), np.random.default_rng(0)
    (root / "bilder").mkdir()
    names = [f"Röntgen {number:02d}.png" for number in range(24)]
    for name in names:
        picture = Image.fromarray(rng.integers(0, 256, (64, 64), dtype=np.uint8))
        picture.save(root / "bilder" / unicodedata.normalize("NFD", name))
    fractured = [number // 2 % 2 for number in range(24)]
    said = ["yes" if label else "no" for label in fractured]
    patients = [f"MRN{number // 2:04d}" for number in range(24)]
    return root, pd.DataFrame({"Image Name": names, "Fracture": said, "Patient ID ": patients})


def written(table: pd.DataFrame, file: Path) -> DataOptions:
    """The table as a program of that kind writes it, and the option that names it."""
    if file.suffix == ".xlsx":
        table.to_excel(file, index=False)
    else:
        separator = {".tsv": "\t", ".csv": ";"}[file.suffix]
        table.to_csv(file, sep=separator, index=False, encoding="utf-16" if file.suffix == ".tsv" else "cp1252")
    return DataOptions(labels=str(file))


@pytest.mark.parametrize("name", ["windows.csv", "wide.tsv", pytest.param("excel.xlsx", marks=NEEDS_EXCEL)])
def test_tables_of_every_program_give_the_same_rows(own, name, tmp_path):
    root, table = own
    found = read_catalog(root, options=written(table, tmp_path / name))
    assert found["label"].value_counts().to_dict() == {0: 12, 1: 12}
    assert found["patient_id"].nunique() == 12 and not found["patient_id"].str.contains("MRN").any()
    assert found.groupby("patient_id")["split"].nunique().max() == 1, "the split that is made is by patient"
    by_name = found.set_index(found["path"].map(lambda path: unicodedata.normalize("NFC", Path(path).name)))
    assert (by_name.loc[table["Image Name"], "label"] == (table["Fracture"] == "yes").to_numpy()).all()


@pytest.mark.parametrize("kept", [0, 11])
def test_a_table_of_other_pictures_is_an_error(own, kept, tmp_path):
    root, table = own
    table = table.assign(
        **{"Image Name": table["Image Name"].where(table.index < kept, "other " + table["Image Name"])}
    )
    with pytest.raises(CatalogError, match=f"{kept} of 24 rows"):
        read_catalog(root, options=written(table, tmp_path / "table.csv"))
