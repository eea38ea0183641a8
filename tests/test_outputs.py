"""What a user names for output: nothing there is touched unless it is ours, and no cell becomes a formula."""

import os
import stat

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fracturelib.cli import main
from fracturelib.errors import FracturelibError
from fracturelib.files import check_output, check_output_folder
from fracturelib.files.tables import plain_table, write_table
from tests.helpers.trees import state_of

QUICK = ("--weights", "none", "--image-size", "32", "--epochs", "1", "--views", "1", "--batch-size", "8")

OUTPUTS = {  # the command, and the file or folder that stands in its way
    "predict --csv": ("predict {run} {data}/test --csv {out}/x", "x"),
    "evaluate --csv": ("evaluate {run} --csv {out}/x", "x"),
    "evaluate --report": ("evaluate {run} --report {out}/rep", "rep/report.html"),
    "model card": ("evaluate {run} --report {out}/rep", "rep/MODEL_CARD.md"),
    "figures": ("evaluate {run} --report {out}/rep", "rep/figures/roc.png"),
    "figures' folder": ("evaluate {run} --report {out}/rep", "rep/figures"),
    "report folder": ("evaluate {run} --report {out}/rep", "rep"),
    "audit --report": ("audit {data} --report {out}/rep", "rep/sources.csv"),
    "audit.html": ("audit {data} --report {out}/rep", "rep/audit.html"),
    "findings": ("audit {data} --report {out}/rep", "rep/findings.npz"),
    "audit folder": ("audit {data} --report {out}/rep", "rep"),
    "--clean-split": ("audit {data} --report {out}/rep --clean-split", "data/clean_split.csv"),
}

# What uses these is slow.
SLOW_FIXTURES = ("run_folder",)


@pytest.fixture(scope="module")
def run_folder(tiny_data, tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    assert main(["train", "--data", str(tiny_data), "--runs", str(runs), "--name", "first", *QUICK]) == 0
    return runs / "first"


@pytest.fixture
def call(run_folder, make_tree, tmp_path):
    """A function: one of the commands above → its exit code."""
    places = {"run": run_folder, "data": tmp_path / "data", "out": tmp_path}
    make_tree().rename(tmp_path / "data")
    return lambda command: main([word.format(**places) for word in command.split()])


def in_the_way(kind, place):
    place.parent.mkdir(parents=True, exist_ok=True)
    if kind == "text":
        place.write_text("path,price\nmine,3\n")
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "link":
        (place.parent / "target").write_text("mine")
        place.symlink_to("target")
    else:
        place.symlink_to("nowhere")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["text", "pipe", "link", "dangling link"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_what_is_not_ours_stays_and_is_found_before_the_work(output, kind, call, tmp_path, capsys, monkeypatch):
    command, place = OUTPUTS[output]
    in_the_way(kind, tmp_path / place)
    for work in ("fracturelib.catalog.survey", "fracturelib.pipeline.evaluate_run"):
        monkeypatch.setattr(work, lambda *_, **__: pytest.fail("the work began"))
    before = state_of(tmp_path)
    assert call(command) == 2
    said = capsys.readouterr().err
    assert place.split("/")[-1] in said and "what to do:" in said and "Traceback" not in said
    assert state_of(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "predict {run} {data}/test --csv {out}/x",
        "evaluate {run} --csv {out}/x --report {out}/rep",
        "audit {data} --report {out}/rep --write-metadata --clean-split",
    ],
)
def test_what_is_ours_is_replaced(command, call, tmp_path):
    assert call(command) == 0
    assert call(command) == 0
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("option", ["--csv {run}/predictions.csv", "--csv {run}/new.csv", "--report {run}"])
def test_a_run_that_is_evaluated_stays_as_it_is(option, call, run_folder):
    before = state_of(run_folder)
    assert call(f"evaluate {{run}} {option}") == 2
    assert state_of(run_folder) == before


def test_an_xray_that_is_read_is_no_output(call, tmp_path):
    picture = tmp_path / "one.png"
    Image.new("L", (40, 40), 90).save(picture)
    assert call("predict {run} {out}/one.png --csv {out}/one.png") == 2
    assert Image.open(picture).size == (40, 40)


@pytest.mark.parametrize("name", ["", ".", "a/b", "x" * 300, "a\0b", "\ud800"])
def test_names_that_no_file_can_have(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((FracturelibError, OSError)):
        check_output(name, columns=("path",))


def test_a_folder_is_judged_without_making_it(tmp_path):
    assert check_output_folder(tmp_path / "a/b", {"c/d.png": ()}) == tmp_path / "a/b"
    assert not list(tmp_path.iterdir())
    (tmp_path / "a").touch()
    with pytest.raises(FracturelibError, match="a folder is needed"):
        check_output_folder(tmp_path / "a/b", {})


@pytest.mark.slow
def test_write_metadata_keeps_mode_and_link(call, tmp_path):
    kept = tmp_path / "kept.csv"
    kept.write_text("file,note\ntrain/fractured/s0009.png,mine\n")
    kept.chmod(0o600)
    (tmp_path / "data/metadata.csv").symlink_to(kept)
    assert call("audit {data} --report {out}/rep --write-metadata") == 0
    assert (tmp_path / "data/metadata.csv").is_symlink() and stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert pd.read_csv(kept)["note"][0] == "mine" and "source_id" in pd.read_csv(kept)


@pytest.mark.slow
@given(st.lists(st.text(st.sampled_from("=+-@\t'a1,\"é;"), min_size=1), min_size=1))
def test_no_cell_begins_as_a_formula_and_ours_read_the_same(tmp_path_factory, texts):
    file = tmp_path_factory.getbasetemp() / "cells.csv"
    table = pd.DataFrame({"path": texts, "=sum": -1.5})
    write_table(table, file)
    raw = pd.read_csv(file, dtype={"path": str}, keep_default_na=False)
    assert not raw["path"].str.match(r"[=+\-@\t\r]").any() and list(raw)[1] == "'=sum"
    pd.testing.assert_frame_equal(plain_table(raw), table, check_dtype=False)


@pytest.mark.slow
def test_sources_that_are_formulas_stay_in_metadata_and_are_text_in_our_tables(call, tmp_path):
    data = tmp_path / "data"
    files = [file.relative_to(data).as_posix() for file in sorted(data.rglob("*.png"))]
    lines = [f"{file},=cmd|' /C calc'!A{number}" for number, file in enumerate(files)]
    (data / "metadata.csv").write_text("\n".join(["file,source_id", *lines]) + "\n")
    before = (data / "metadata.csv").read_text()
    assert call("audit {data} --report {out}/rep --write-metadata") == 0
    assert call("evaluate {run} --data {data} --csv {out}/p.csv") == 0
    assert (data / "metadata.csv").read_text() == before
    for file in ("rep/sources.csv", "p.csv"):
        assert pd.read_csv(tmp_path / file)["source_id"].str.startswith("'=cmd|").all()
