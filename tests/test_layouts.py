"""Data sets as they come: each of nine layouts, unchanged, gives the right label, patient, split and view."""

from __future__ import annotations

import html
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fracturelib.catalog import About, DataOptions, Meaning, about, boxes_of, read_catalog, shared_sources, survey
from fracturelib.catalog.about import fracture_boxes
from fracturelib.catalog.layouts import LAYOUT_NAMES, LAYOUTS
from fracturelib.catalog.selecting import BOX
from fracturelib.cli import main
from fracturelib.cli.cataloguing import COLUMNS
from fracturelib.cli.shared import LAYOUTS as CLI_LAYOUTS
from fracturelib.explain import _all_boxes
from fracturelib.runs import read_record
from fracturelib.simulation import miniatures
from tests.helpers.trees import state_of

CHOICES = {"classes": {"classes": miniatures.CLASSES}, "table": {"columns": miniatures.COLUMNS}}
FOUND_AS = {"yolo": "detection", "coco": "detection", "dicom": "table"}
WITHOUT_PATIENTS = ("folders", "fracatlas", "yolo", "coco", "classes")


def options_for(name: str, **more: bool) -> DataOptions:
    return DataOptions(**CHOICES.get(name, {}), **more)


def words_for(name: str) -> list[str]:
    """The same on the command line."""
    return [word for key, value in CHOICES.get(name, {}).items() for word in (f"--{key}", value)]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, pd.DataFrame]]:
    """Folder and truth of every miniature; read-only by agreement."""
    top = tmp_path_factory.mktemp("miniatures")
    return {name: (top / name, miniatures.make_miniature(name, top / name)) for name in miniatures.MINIATURES}


def same_groups(one: pd.Series, other: pd.Series) -> bool:
    """Two columns tell the same things apart, whatever they call them."""
    codes = [pd.factorize(column)[0] for column in (one, other)]
    return len(set(zip(*codes, strict=True))) == one.nunique(dropna=False) == other.nunique(dropna=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", miniatures.MINIATURES)
def test_catalog_finds_the_right_row_for_every_file(sets, name: str, tmp_path: Path, capsys) -> None:
    root, truth = sets[name]
    before = state_of(root)
    out = tmp_path / "rows.csv"
    assert main(["catalog", str(root), "--csv", str(out), *words_for(name)]) == 0
    assert state_of(root) == before
    said = capsys.readouterr().out
    assert said.startswith("Data: read as ")
    rows = pd.read_csv(out, dtype=str, keep_default_na=False)
    assert list(rows.columns) == list(COLUMNS)
    found = rows.set_index("path").loc[truth["path"]].reset_index()
    assert len(rows) == len(truth)
    assert found["label"].astype(int).tolist() == truth["label"].tolist()
    assert found["split"].tolist() == truth["split"].tolist()
    assert found["view"].tolist() == truth["view"].tolist()
    assert same_groups(found["patient_id"], truth["patient"]) and same_groups(found["study_id"], truth["study"])
    if truth["patient"].any():
        assert found["patient_id"].str.fullmatch(r"P\d{4}").all() and found["study_id"].str.fullmatch(r"S\d{4}").all()


@pytest.mark.slow
@pytest.mark.parametrize("name", miniatures.MINIATURES)
def test_the_table_to_train_on_has_three_splits_and_no_patient_in_two(sets, name: str) -> None:
    root, truth = sets[name]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        table = read_catalog(root, options=options_for(name))
    known = truth[truth["label"] >= 0]
    assert sorted(table["path"]) == sorted(known["path"])
    unknown = len(truth) - len(known)
    expected = [f"of unknown label: {unknown} files, left out"] * bool(unknown)
    expected += ["skipped: 1 × a DICOM structured report, not a radiograph"] * (name == "dicom")
    assert [str(one.message) for one in said] == expected
    assert about(table).unlabelled == unknown
    assert table.groupby("split")["label"].nunique().to_dict() == {"train": 2, "val": 2, "test": 2}
    given = table.merge(known[known["split"] != ""], on="path", suffixes=("", "_given"))
    moved = given[given["split"] != given["split_given"]]
    assert (moved["split"] == "test").all() and (name == "mura" or moved.empty)
    assert shared_sources(table).empty
    again = read_catalog(root, options=options_for(name, keep_ids=True), seed=5)
    assert again["split"].tolist() == table["split"].tolist()
    if name not in WITHOUT_PATIENTS:
        assert set(again["patient_id"]) == set(known["patient"])
    assert about(table).layout == FOUND_AS.get(name, name)
    assert about(table).meaning == (Meaning.ABNORMAL_STUDY if name == "mura" else Meaning.FRACTURED)


@pytest.mark.parametrize("name", ["fracatlas", "grazpedwri", "yolo", "coco"])
@pytest.mark.slow
def test_boxes_are_in_pixels_of_the_file(sets, name: str) -> None:
    root, _ = sets[name]
    table = survey(root)
    boxes = boxes_of(table)
    broken = boxes[boxes["fracture"].astype(bool)].set_index("path")
    fractured = table[table["label"] == 1]
    assert set(broken.index) == set(fractured["path"])
    assert np.allclose(broken.loc[fractured["path"], list(BOX)].astype(float), fractured[list(BOX)].astype(float))
    if name == "fracatlas":  # its truth is known to the pixel, from the simulation
        known = [shot.box for shot in miniatures.shots() if shot.fractured]
        in_order = broken.sort_index()[list(BOX)].astype(float).to_numpy()
        assert np.allclose(in_order, np.array(known))
        for other in ("COCO JSON", "PASCAL VOC"):  # the other two annotations say the same
            copy = root.parent / f"without {other}"
            shutil.copytree(root, copy)
            shutil.rmtree(copy / "Annotations" / "COCO JSON")
            if other == "PASCAL VOC":
                shutil.rmtree(copy / "Annotations" / other)
            found = boxes_of(survey(copy)).set_index("path").sort_index()[list(BOX)].astype(float).to_numpy()
            assert np.abs(found - in_order).max() < 0.01


def test_every_box_of_a_picture_counts_where_the_model_looks() -> None:
    boxes = pd.DataFrame([("a.png", "x", True, 0, 0, 8, 8), ("a.png", "x", True, 24, 24, 8, 8)])
    boxes.columns = ["path", "class", "fracture", *BOX]
    table = pd.DataFrame({"path": ["a.png"], "width": 32, "height": 32, **dict.fromkeys(BOX, 8)})
    table.attrs["about"] = About(boxes=boxes)
    row = next(table.itertuples())
    both, alone = (_all_boxes(row, found, 32, 0.0) for found in (fracture_boxes(table), {}))
    assert (both.sum(), alone.sum()) == (128, 64) and both[0, 0] and both[31, 31] and not both[16, 16]


def test_every_layout_can_be_asked_for_by_name() -> None:
    assert ("auto", *(layout.NAME for layout in LAYOUTS)) == LAYOUT_NAMES
    assert sorted(CLI_LAYOUTS) == sorted(LAYOUT_NAMES[1:])


@pytest.mark.slow
def test_a_run_on_mura_says_what_its_label_means(sets, tmp_path: Path, monkeypatch, capsys) -> None:
    root, _ = sets["mura"]
    monkeypatch.chdir(tmp_path)
    assert (
        main(["train", "--data", str(root), "--name", "m", "--epochs", "1", "--weights", "none", "--views", "1"]) == 0
    )
    said = capsys.readouterr().out
    assert "label of the study: abnormal, wider than fractured" in said and "read as MURA" in said
    for page in ("report.html", "MODEL_CARD.md"):
        text = (tmp_path / "runs/m" / page).read_text(encoding="utf-8")
        assert "label of the study: abnormal, wider than fractured" in text
    assert main(["evaluate", "runs/m"]) == 0
    assert "data changed" not in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", miniatures.MINIATURES)
def test_every_layout_goes_unchanged_through_audit_and_training(sets, name: str, tmp_path: Path, monkeypatch) -> None:
    root, truth = sets[name]
    before = state_of(root)
    monkeypatch.chdir(tmp_path)
    # audit's 1 says that it has found something; 2 would be an error
    assert main(["audit", str(root), "--report", "audit", *words_for(name)]) in (0, 1)
    quick = ["--image-size=32", "--epochs=1", "--views=1", "--weights=none", "--architecture=squeezenet1_1"]
    assert main(["train", "--data", str(root), "--name", "r", *quick, *words_for(name)]) == 0
    assert (tmp_path / "audit/audit.html").is_file()
    report = html.unescape((tmp_path / "runs/r/report.html").read_text(encoding="utf-8"))
    assert all(value in report for value in CHOICES.get(name, {}).values()), "what was asked for is said"
    assert state_of(root) == before
    assert sum(one["files"] for one in read_record(Path("runs/r"))["data"]["counts"]) == (truth["label"] >= 0).sum()


@pytest.fixture
def original_fracatlas(real_data: Path, tmp_path: Path) -> Path:
    """FracAtlas as it is downloaded, with the pictures of the slice alone: its own annotation files, links to files."""
    original = real_data / "fracatlas_original"
    if not original.is_dir():
        pytest.skip("no annotation files of FracAtlas beside the real radiographs")
    root = tmp_path / "FracAtlas"
    shutil.copytree(original, root)
    root.chmod(0o755)
    for label, folder in (("fractured", "Fractured"), ("not fractured", "Non_fractured")):
        (root / "images" / folder).mkdir(parents=True)
        for file in (real_data / "fracatlas_slice").glob(f"*/{label}/*"):
            (root / "images" / folder / file.name).symlink_to(file)
    return root


@pytest.mark.slow
def test_fracatlas_is_read_from_its_own_annotation_files(original_fracatlas: Path, tmp_path: Path) -> None:
    rows = pd.read_csv(original_fracatlas / "dataset.csv").set_index("image_id")
    assert main(["catalog", str(original_fracatlas), "--csv", str(tmp_path / "rows.csv")]) == 0
    found = pd.read_csv(tmp_path / "rows.csv", keep_default_na=False)
    names = found["path"].map(lambda path: Path(path).name)
    assert len(found) == len(set(names)) == 801
    truth = rows.loc[names]
    assert (found["label"].to_numpy() == truth["fractured"].to_numpy()).all()
    for view in ("frontal", "lateral", "oblique"):  # a picture of two views names both
        assert (found["view"].str.contains(view).to_numpy() == (truth[view] == 1).to_numpy()).all()
    lists = original_fracatlas / "Utilities/Fracture Split"
    for split, file in (("train", "train.csv"), ("val", "valid.csv"), ("test", "test.csv")):
        listed = set(pd.read_csv(lists / file)["image_id"]) & set(names)
        assert set(names[found["split"] == split]) == listed and listed
    boxes = boxes_of(survey(original_fracatlas))
    assert set(boxes["path"]) == set(found["path"][found["label"] == 1])
