"""The audit from a folder to its page, its cure, and its command, on good and bad input."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fracturelib.audit import audit, write_clean_split, write_metadata, write_page
from fracturelib.audit.summary import headline, summary, verdicts
from fracturelib.catalog import NO_SPLIT, UNKNOWN, read_catalog, shared_sources, survey
from fracturelib.cli import main
from fracturelib.errors import CatalogError, DataWarning
from fracturelib.simulation import simulate

pytestmark = pytest.mark.slow  # nearly every test audits a set


@pytest.fixture(scope="module")
def leaky_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight radiographs, six rotated files each, without metadata.csv; read-only by agreement."""
    root = tmp_path_factory.mktemp("leaky") / "set"
    simulate(root, counts=48, leaky=True, format="jpeg", seed=1, progress=False, workers=1, image_side=128)
    (root / "metadata.csv").unlink()
    return root


@pytest.fixture
def leaky(leaky_source: Path, tmp_path: Path) -> Path:
    """A copy that the test may change."""
    target = tmp_path / "leaky"
    for file in leaky_source.rglob("*.jpg"):
        copy = target / file.relative_to(leaky_source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    return target


def noise(file: Path, seed: int = 0, side: int = 96) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (side // 8, side // 8)).astype(np.uint8)
    Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).save(file)
    return file


def test_bad_files_are_reported_and_never_stop_the_audit(tmp_path):
    for number in range(4):
        noise(tmp_path / "train" / "fractured" / f"{number}.jpg", number)
        noise(tmp_path / "train" / "normal" / f"{number}.jpg", 10 + number)
    folder = tmp_path / "train" / "normal"
    (folder / "empty.jpg").touch()
    (folder / "notes.txt").write_text("no image")
    whole = (folder / "0.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "garbage.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(60))
    result = audit(survey(tmp_path), progress=False)
    problems = result.problems.set_index("path")
    assert set(problems.index[~problems["used"].astype(bool)]) == {
        f"train/normal/{name}" for name in ("empty.jpg", "notes.txt", "garbage.png")
    }
    assert problems.loc["train/normal/cut.jpg", "used"]
    assert result.n_files == 9
    assert any("one split only" in note for note in result.notes)


def test_a_file_that_vanishes_between_catalog_and_audit_is_reported(tmp_path):
    files = [noise(tmp_path / "train" / "fractured" / f"{n}.png", n) for n in range(3)]
    table = survey(tmp_path)
    files[1].unlink()
    result = audit(table, progress=False)
    assert result.n_files == 2
    assert result.problems["path"].tolist() == ["train/fractured/1.png"]


@pytest.mark.parametrize("count", [1, 3])
def test_a_flat_folder_without_labels_gets_what_makes_sense(count, tmp_path):
    for number in range(count):
        noise(tmp_path / f"wrist {number}.png", number)
    table = survey(tmp_path)
    assert set(table["split"]) == {NO_SPLIT} and set(table["label"]) == {UNKNOWN}
    result = audit(table, progress=False)
    assert (result.n_files, result.n_sources) == (count, count)
    assert result.shortcuts.empty and result.leaks.empty
    assert len(result.notes) == 2
    page = write_page(result, tmp_path / "report").read_text(encoding="utf-8")
    assert "Not estimable" in page
    with pytest.raises(CatalogError, match="class of every file"):
        write_clean_split(result)


def test_one_class_only(tmp_path):
    for split in ("train", "test"):
        for number in range(2):
            noise(tmp_path / split / "fractured" / f"{split}{number}.png", number)  # the same picture in both splits
    result = audit(survey(tmp_path), progress=False)
    assert (result.leaks["kind"] == "split").sum() == 2
    assert any("one class only" in note for note in result.notes)


def test_no_folder_and_no_image_are_clear_errors(tmp_path):
    with pytest.raises(CatalogError, match="does not exist"):
        survey(tmp_path / "nowhere")
    with pytest.raises(CatalogError, match="no images"):
        survey(tmp_path)
    (tmp_path / "a.jpg").touch()
    with pytest.raises(CatalogError, match="usable"):
        survey(tmp_path)


def test_survey_agrees_with_read_catalog_on_a_good_set(tiny_data):
    table = read_catalog(tiny_data)
    surveyed = survey(tiny_data)
    columns = [column for column in table if column in surveyed]
    assert len(columns) == len(table.columns)
    pd.testing.assert_frame_equal(surveyed[columns], table[columns], check_dtype=False)


def test_the_page_is_self_contained_and_every_name_is_escaped(leaky, tmp_path):
    odd = next((leaky / "train" / "not fractured").iterdir())
    odd.rename(odd.with_name(odd.stem.replace("P0", "<b>&P0") + odd.suffix))
    folder = tmp_path / "report <i>"
    result = audit(survey(leaky), names=False, progress=False)
    page = write_page(result, folder).read_text(encoding="utf-8")
    assert "<b>" not in re.sub(r"<b>[\d,]+</b>", "", page) and "&lt;b&gt;&amp;P0" in page
    assert not re.search(r"<script|https?://|src=\"(?!data:)", page)
    images = re.findall(r"<img [^>]*>", page)
    assert images and all(re.search(r'alt="Radiograph [^"]+"', image) for image in images)
    assert headline(result) in page and "8 different radiographs" in headline(result)
    assert {file.name for file in folder.glob("*.csv")} >= {"sources.csv", "leaks.csv", "links.csv", "shortcuts.csv"}


def test_sentences_say_what_was_found(leaky):
    result = audit(survey(leaky), progress=False)
    assert any(line.startswith("LEAK: 8 radiographs") for line in verdicts(result))
    assert any("8" in line and "different radiographs" in line for line in summary(result))


def test_written_metadata_is_read_back_and_loses_nothing(leaky):
    paths = sorted(file.relative_to(leaky).as_posix() for file in leaky.rglob("*.jpg"))
    old = pd.DataFrame(
        {
            "file": [*paths[:-2], "train/fractured/gone.jpg"],
            "source_id": ["007", *[""] * (len(paths) - 2)],
            "age": [f"{n}.50" for n in range(len(paths) - 1)],
            "note": ["a, b", 'say "x"', "NA", *["ü"] * (len(paths) - 4)],
            "note.1": "",
        }
    )
    old.to_csv(leaky / "metadata.csv", index=False, header=["file", "source_id", "age", "note", "note"])
    result = audit(survey(leaky), names=False, progress=False)
    file = write_metadata(result)
    new = pd.read_csv(file, dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(new.loc[: len(old) - 1, ["file", "age", "note"]], old[["file", "age", "note"]])
    assert file.read_text(encoding="utf-8").startswith("file,source_id,age,note,note,source_id_before_audit\n")
    assert new.loc[0, "source_id_before_audit"] == "007"
    assert len(new) == len(old) + 2
    assert not list(leaky.glob(".*.part"))
    sources = read_catalog(leaky).set_index("path")["source_id"]
    pd.testing.assert_series_equal(
        sources.sort_index(), result.table.set_index("path")["source_id"].sort_index(), check_names=False
    )
    before = file.read_bytes()
    write_metadata(audit(survey(leaky), progress=False))
    assert file.read_bytes() == before, "a second writing changes nothing"


def test_written_metadata_keeps_quotes_line_ends_and_encoding(leaky):
    paths = sorted(file.relative_to(leaky).as_posix() for file in leaky.rglob("*.jpg"))
    rows = [f'"{paths[0]}"; 007 ;"say ""x""; y";1,50', f".\\{paths[1]};;;", f"{paths[2]}", ""]
    old = "\ufeff" + "\r\n".join(['File;"Source ID";note;Weight (kg)', *rows])
    (leaky / "metadata.csv").write_bytes(old.encode("utf-8"))
    result = audit(survey(leaky), names=False, progress=False)
    written = write_metadata(result).read_bytes().decode("utf-8").split("\r\n")
    source = result.table.set_index("path")["source_id"]
    assert written[0] == '\ufeffFile;"Source ID";note;Weight (kg);source_id_before_audit'
    assert written[1] == f'"{paths[0]}";{source[paths[0]]};"say ""x""; y";1,50;007'
    assert written[2:4] == [f".\\{paths[1]};{source[paths[1]]};;;", f"{paths[2]};{source[paths[2]]};;;"]
    assert set(written[4:]) == {"", *(f"{path};{source[path]};;;" for path in paths[3:])}


def test_broken_metadata_is_left_alone(leaky):
    result = audit(survey(leaky), progress=False)
    (leaky / "metadata.csv").write_text("path;age\n1.jpg;3\n")
    with pytest.raises(CatalogError, match="no column 'file'"):
        write_metadata(result)
    assert (leaky / "metadata.csv").read_text() == "path;age\n1.jpg;3\n"


def test_a_clean_split_is_honoured_and_can_be_taken_back(leaky):
    before = {file: file.stat().st_mtime_ns for file in leaky.rglob("*.jpg")}
    folders = read_catalog(leaky)
    assert not shared_sources(folders).empty
    result = audit(survey(leaky), names=False, progress=False)
    survey_order = result.table["path"].tolist()
    write_metadata(result)
    file = write_clean_split(result)
    with pytest.warns(DataWarning, match=r"clean_split\.csv"):
        clean = read_catalog(leaky)
    assert shared_sources(clean).empty
    assert set(clean["split"]) == {"train", "val", "test"}
    assert clean.groupby("split")["label"].nunique().eq(2).all()
    assert {file: file.stat().st_mtime_ns for file in leaky.rglob("*.jpg")} == before
    assert audit(survey(leaky), progress=False).leaks.empty
    before = file.read_bytes()
    again = survey(leaky)
    assert again["path"].tolist() == survey_order  # so that the audit's findings stay the same
    write_clean_split(audit(again, names=False, progress=False))
    assert file.read_bytes() == before
    file.unlink()
    assert read_catalog(leaky)["split"].tolist() == folders["split"].tolist()


def test_a_folder_that_cannot_be_written_to_is_a_clear_error(leaky, monkeypatch):
    result = audit(survey(leaky), progress=False)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pd.DataFrame, "to_csv", refuse)
    monkeypatch.setattr(Path, "write_bytes", refuse)
    for write in (write_metadata, write_clean_split):
        with pytest.raises(CatalogError, match="cannot be written"):
            write(result)
    assert not (leaky / "metadata.csv").exists()


def test_the_command(leaky, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["audit", str(leaky), "--write-metadata", "--clean-split"]) == 0
    said = capsys.readouterr().out
    assert "48 files, but only 8 different radiographs" in said
    assert (tmp_path / "audit" / "leaky" / "audit.html").is_file()
    assert (leaky / "metadata.csv").is_file() and (leaky / "clean_split.csv").is_file()
    assert main(["audit", str(leaky), "--report", str(tmp_path / "audit" / "leaky")]) == 0
    assert "LEAK" not in capsys.readouterr().out


@pytest.mark.parametrize("case", ["no folder", "empty folder", "report is a file"])
def test_the_command_ends_with_2_on_bad_input(case, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "file").touch()
    if case == "report is a file":
        noise(tmp_path / "data" / "a.png")
    folder = tmp_path / ("nowhere" if case == "no folder" else "data")
    report = tmp_path / ("file" if case == "report is a file" else "report")
    assert main(["audit", str(folder), "--report", str(report)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "Traceback" not in said
