"""What a run says about new pictures: one scale, three answers, patients, nearest cases, drift, other machines."""

import json
import shutil
from dataclasses import replace
from math import isnan

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from fracturelib.cli import main
from fracturelib.config import TrainConfig
from fracturelib.errors import RunError, RunWarning
from fracturelib.evaluation import Combination, apply_temperature
from fracturelib.evaluation.similarity import make_reference
from fracturelib.pipeline import train_run
from fracturelib.prediction import Limits, predict_files
from fracturelib.prediction.answers import Group, doubt_about
from fracturelib.prediction.nearest import features_of, nearest_cases
from fracturelib.prediction.watching import Subject, watch
from fracturelib.runs import load_run, repeat_self_test, write_record
from fracturelib.runs.schema import digest_of
from fracturelib.transforms import eval_transform
from fracturelib.writing.verdicts import Answer, Doubt, Verdict, doubt_told
from tests.helpers.runs import as_second_format
from tests.helpers.trees import write_tree

SETTINGS = {"weights": "none", "image_size": 64, "batch_size": 16, "epochs": 1, "views": 1}

# What uses these is slow.
SLOW_FIXTURES = ("home", "run")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a data set and a finished run in it; the run's temperature is set, as training would have."""
    home = tmp_path_factory.mktemp("home")
    write_tree(home / "data", {"train": 20, "val": 20, "test": 12})
    train_run(TrainConfig(data=str(home / "data"), **SETTINGS), folder=home / "runs" / "r")
    folder = home / "runs" / "r"
    table = pd.read_csv(folder / "validation.csv")
    table.assign(probability=apply_temperature(table["raw"], 2.0)).to_csv(folder / "validation.csv", index=False)
    record = json.loads((folder / "config.json").read_text())
    threshold = float(apply_temperature(record["threshold"] if record["temperature"] is None else 0.5, 2.0))
    write_record(folder, record | {"temperature": 2.0, "threshold": threshold})
    _renew_hash(folder, "validation.csv")
    return home


@pytest.fixture
def folder(home, tmp_path):
    shutil.copytree(home / "runs" / "r", tmp_path / "r")
    return tmp_path / "r"


@pytest.fixture(scope="module")
def run(home):
    return load_run(home / "runs" / "r")


# --- one scale --------------------------------------------------------------------------------------------


def test_probabilities_are_calibrated_and_the_raw_ones_stand_beside_them(run, home):
    found = predict_files(run, [home / "data" / "test"])
    known = found["probability"].notna()
    assert known.any()
    expected = apply_temperature(found["raw"], 2.0)
    np.testing.assert_allclose(found["probability"][known], expected[known])
    called = np.where(found["probability"] >= run.threshold, "fractured", "not fractured")
    assert (found["prediction"] == np.where(known, called, "")).all()


def test_a_run_of_the_format_before_is_read_with_a_sentence_and_makes_the_same_calls(run, folder, home, tmp_path):
    as_second_format(folder)
    with pytest.warns(RunWarning, match="made by an earlier version"):
        before = load_run(folder)
    assert before.threshold == pytest.approx(run.threshold) and before.reference is None
    old, new = (predict_files(one, [home / "data" / "val"]) for one in (before, run))
    np.testing.assert_allclose(old["raw"], new["raw"])
    called = np.where(old["probability"] >= run.threshold, "fractured", "not fractured")
    assert (old["prediction"] == called).all() and old["distance"].isna().all()


# --- three answers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "answers"),
    [(None, ["no fracture", "no fracture", "fracture"]), (0.2, ["no fracture", "a human must look", "fracture"])],
)
def test_between_limit_and_threshold_a_human_must_look(limit, answers):
    limits = Limits(0.6, limit)
    assert [limits.answer(probability)[0] for probability in (0.1, 0.3, 0.6)] == answers
    assert limits.answer(0.3)[1] == (Doubt.UNSURE if limit else Doubt.NONE)


def test_a_limit_above_the_threshold_takes_no_fracture_away():
    assert Limits(0.3, 0.5).answer(0.4) == (Answer.FRACTURE, Doubt.NONE)


def test_pictures_that_cannot_show_a_fracture_are_known_at_first_sight():
    good = np.random.default_rng(0).integers(0, 256, (200, 150)).astype(np.uint8)
    assert doubt_about(good, 0.0) == Doubt.NONE
    assert doubt_about(good[:30], 0.0) == Doubt.TINY
    assert doubt_about(np.full((200, 200), 77, np.uint8), 0.0) == Doubt.BLANK
    assert doubt_about(good, 40.0) == Doubt.COLOURED
    assert all(doubt_told(doubt) for doubt in Doubt if doubt != Doubt.NONE)


def test_a_flagged_picture_gets_no_call(run, home, tmp_path):
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 256, (90, 90, 3)).astype(np.uint8)).save(tmp_path / "cat.jpg")
    Image.fromarray(np.zeros((90, 90), np.uint8)).save(tmp_path / "dark.png")
    found = predict_files(run, [tmp_path / "cat.jpg", tmp_path / "dark.png"])
    assert found["probability"].isna().all() and (found["prediction"] == "").all()
    assert found["reason"].tolist() == [Doubt.COLOURED, Doubt.BLANK]
    assert (found["answer"] == Answer.HUMAN).all() and found["raw"].between(0, 1).all()


# --- patients ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "probability", "answer"),
    [(Combination.HIGHEST, 0.7, Answer.FRACTURE), (Combination.MEAN, 0.4, Answer.HUMAN)],
)
def test_pictures_of_a_patient_are_combined_by_the_rule(rule, probability, answer):
    limits, group = Limits(0.6, 0.2), Group(rule)
    for value in (0.1, 0.7):
        group.add(value, limits.answer(value)[0])
    group.add(None, Answer.HUMAN)
    found = group.answer("1", limits)
    assert found.probability == pytest.approx(probability) and found.answer == answer
    assert (found.pictures, found.used) == (3, 2)


def test_a_patient_is_cleared_only_if_every_picture_is():
    limits = Limits(0.6, 0.2)
    cleared, doubtful, lost = Group(Combination.MEAN), Group(Combination.MEAN), Group(Combination.MEAN)
    for values, group in (([0.1, 0.1], cleared), ([0.01, 0.3], doubtful)):
        for value in values:
            group.add(value, limits.answer(value)[0])
    lost.add(None, Answer.HUMAN)
    assert cleared.answer("1", limits).answer == Answer.NO_FRACTURE
    assert doubtful.answer("2", limits)[2:4] == (Answer.HUMAN, Doubt.A_VIEW)
    assert lost.answer("3", limits)[2:4] == (Answer.HUMAN, Doubt.NO_VIEW) and isnan(
        lost.answer("3", limits).probability
    )


def test_studies_and_patients_come_from_the_metadata_and_an_unreadable_study_is_named(home, tmp_path, capsys):
    files = sorted((home / "data" / "test").rglob("*.png"))[:4]
    for number, file in enumerate(files):
        shutil.copy(file, tmp_path / f"{number}.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    lines = ["file,patient_id,study_id", *(f"{n}.png,SMITH{n // 2},s{n}" for n in range(4)), "bad.png,JONES,s9"]
    (tmp_path / "metadata.csv").write_text("\n".join(lines))
    tables = [tmp_path.parent / f"{tmp_path.name}-{name}.csv" for name in ("patients", "studies", "pictures")]
    options = ["--csv-patients", str(tables[0]), "--csv-studies", str(tables[1]), "--csv", str(tables[2])]
    with pytest.warns(Warning, match="skipped"):
        assert main(["predict", str(home / "runs" / "r"), str(tmp_path), *options]) == 0
    patients, studies, pictures = (pd.read_csv(table) for table in tables)
    assert patients["pictures"].tolist() == [2, 2, 1] and len(studies) == 5
    assert patients["reason"].tolist()[-1] == Doubt.NO_VIEW and np.isnan(patients["probability"].iloc[-1])
    printed = capsys.readouterr().out
    assert "By patient: highest" in printed and Doubt.NO_VIEW in printed
    assert "SMITH" not in printed + "".join(table.read_text() for table in tables)
    assert pictures["patient_id"].tolist() == ["P0001", "P0001", "P0002", "P0002"]


# --- a guarantee, later -----------------------------------------------------------------------------------


def test_a_guarantee_can_be_asked_for_later_and_is_refused_with_the_number(home, tmp_path, capsys):
    run, picture = str(home / "runs" / "r"), str(next((home / "data" / "test").rglob("*.png")))
    assert main(["predict", run, picture, "--guarantee", "sensitivity=0.5"]) == 0
    assert "“No fracture” is said below" in capsys.readouterr().out
    table = tmp_path / "t.csv"
    assert main(["predict", run, picture, "--guarantee", "sensitivity=0.95", "--csv", str(table)]) == 2
    assert "at least 59 are needed" in capsys.readouterr().err and not table.exists()


# --- likeness ---------------------------------------------------------------------------------------------


def made_up_reference():
    rng = np.random.default_rng(0)
    centre = rng.normal(size=20)
    known = centre + 0.3 * rng.normal(size=(300, 20))
    table = pd.DataFrame({"path": [f"{n}.png" for n in range(200)], "label": np.arange(200) % 2})
    table["unit"], table["region"] = np.arange(200) // 4, np.where(np.arange(200) < 150, "hand", "foot")
    return make_reference(table, known[:200], known[200:]), known, rng


def test_pictures_of_another_kind_lie_beyond_the_limit():
    reference, known, rng = made_up_reference()
    assert (reference.distances(known[200:]) > reference.limit).mean() <= 0.02
    assert (reference.distances(rng.normal(size=(50, 20))) > reference.limit).all()
    assert 0.6 < (reference.distances(known[200:]) <= reference.usual).mean() < 0.95


def test_too_few_validation_pictures_set_no_limit():
    reference, known, _ = made_up_reference()
    assert make_reference(reference.table, known[:200], known[200:220]).limit is None


def test_the_nearest_case_of_a_training_picture_is_itself_and_each_patient_comes_once():
    reference, known, _ = made_up_reference()
    for row, near in zip((3, 77), reference.nearest(known[[3, 77]], count=5), strict=True):
        assert near["path"][0] == f"{row}.png" and near["similarity"][0] == pytest.approx(1, abs=1e-3)
        assert len(near) == 5 and near["unit"].is_unique and near["similarity"].is_monotonic_decreasing
    assert reference.vote(known[:10], "region") == ["hand"] * 10 or "hand" in reference.vote(known[:10], "region")


def test_a_training_picture_is_its_own_nearest_case_with_its_label(run):
    path = run.reference.table["path"].iloc[5]
    file = f"{run.config.data}/{path}"
    (near,) = nearest_cases(run.model, run.reference, run.config, [file])
    assert near[0].path == path and near[0].label == run.reference.table["label"].iloc[5]
    assert near[0].image is not None and len({case.path for case in near}) == 3


def test_the_report_shows_nearest_cases(home):
    page = (home / "runs" / "r" / "report.html").read_text()
    assert "Most similar training pictures" in page


def test_explain_writes_one_page_per_picture_and_nothing_else(home, tmp_path):
    files = sorted((home / "data" / "test").rglob("*.png"))[:2]
    out = tmp_path / "pages"
    assert main(["predict", str(home / "runs" / "r"), *map(str, files), "--explain", str(out)]) == 0
    pages = sorted(out.iterdir())
    assert len(pages) == 2 and all(page.suffix == ".html" for page in pages)
    text = pages[0].read_text()
    assert "calibrated" in text or "No probability is given" in text
    assert "nearest in the network" in text and "no medical device" in text and "http" not in text


# --- drift ------------------------------------------------------------------------------------------------


def test_watch_is_quiet_on_the_same_kind_and_tells_brighter_pictures(run, home, tmp_path, capsys):
    assert not set(watch(run, home / "data" / "val")["verdict"]) & {Verdict.HIGHER, Verdict.LOWER}
    assert main(["watch", str(run.folder), str(home / "data" / "val")]) == 0
    assert "No change is shown" in capsys.readouterr().out
    for number, file in enumerate(sorted((home / "data" / "val").rglob("*.png"))):
        picture = np.asarray(Image.open(file).convert("L")).astype(int)
        Image.fromarray(np.clip(picture // 2 + 120, 0, 255).astype(np.uint8)).save(tmp_path / f"{number}.png")
    found = watch(run, tmp_path).set_index("subject")
    assert found.loc[Subject.BRIGHTNESS, "verdict"] == Verdict.HIGHER
    assert found.loc[Subject.CONTRAST, "verdict"] == Verdict.LOWER
    assert found.loc[Subject.SIZE, "difference"] == pytest.approx(0)
    assert main(["watch", str(run.folder), str(tmp_path)]) == 1
    assert "CHANGED" in capsys.readouterr().out


def test_watch_asks_the_trunk_once_for_predictions_and_resemblances(home, monkeypatch):
    run = load_run(home / "runs" / "r")
    regions = np.where(np.arange(len(run.reference.table)) % 2, "hand", "foot")
    run.__dict__["reference"] = replace(run.reference, table=run.reference.table.assign(region=regions))
    known = run.reference.vote(features_of(run.model, run.config, _files(home / "data" / "train")), "region")
    run.__dict__["validation"] = run.validation.assign(nearest_region=(known * 2)[: len(run.validation)])
    usual, passed = run.model.frozen_features, []
    monkeypatch.setattr(run.model, "frozen_features", lambda images: passed.append(len(images)) or usual(images))
    predict_files(run, [home / "data" / "val"])
    alone = sum(passed)
    found = watch(run, home / "data" / "val")
    assert alone > 0 and sum(passed) == 2 * alone
    shares = found[found["subject"] == Subject.GROUP].set_index("detail")["new"]
    nearest = run.reference.vote(features_of(run.model, run.config, _files(home / "data" / "val")), "region")
    assert shares.index.tolist() == ["region: foot"], "of two shares one says both"
    assert shares.item() == pytest.approx(np.mean([name == "foot" for name in nearest]))


def _files(folder):
    return sorted(folder.rglob("*.png"))


def test_watch_needs_pictures_and_a_run_that_kept_some(run, folder, home, tmp_path, capsys):
    (tmp_path / "few").mkdir()
    shutil.copy(next((home / "data" / "test").rglob("*.png")), tmp_path / "few" / "1.png")
    assert main(["watch", str(run.folder), str(tmp_path / "few")]) == 2
    assert "too few to compare" in capsys.readouterr().err
    as_second_format(folder)
    assert main(["watch", str(folder), str(home / "data" / "val")]) == 2
    assert "keeps too little" in capsys.readouterr().err


# --- other machines ---------------------------------------------------------------------------------------


def test_doctor_says_yes_here_and_no_where_the_numbers_differ(run, folder, capsys):
    test = repeat_self_test(run)
    assert test.passed and len(test.kept) == 3
    assert main(["doctor", str(folder)]) == 0
    kept = load_file(folder / "selftest.safetensors")
    save_file(kept | {"probabilities": kept["probabilities"] + 0.1}, folder / "selftest.safetensors")
    assert main(["doctor", str(folder)]) == 2  # the file is not the run's own
    _renew_hash(folder, "selftest.safetensors")
    with pytest.warns(RunWarning, match="gives other numbers"):
        load_run(folder)
    with pytest.warns(RunWarning):
        assert main(["doctor", str(folder)]) == 1
    assert "OTHER numbers" in capsys.readouterr().out


def _renew_hash(folder, name):
    record = json.loads((folder / "config.json").read_text())
    record["files"][name] = digest_of(folder / name)
    write_record(folder, record)


def test_the_exported_file_gives_the_calibrated_probability(run, home, tmp_path, capsys):
    file = tmp_path / "run.onnx"
    assert main(["export", str(run.folder), "--onnx", str(file)]) == 0
    assert main(["export", str(run.folder), "--onnx", str(file)]) == 0  # our own file may be replaced
    session = onnxruntime.InferenceSession(str(file))
    paths = sorted((home / "data" / "test").rglob("*.png"))
    steps = eval_transform(run.config).transforms[:2]  # grey, resized
    grey = [steps[1](steps[0](np.asarray(Image.open(path).convert("L")))) for path in paths]
    (found,) = session.run(None, {"pictures": torch.stack(grey).numpy()})
    run.model.precision = "float32"  # the file computes in it, whatever this machine would take
    raw = predict_files(run, paths)["raw"]
    np.testing.assert_allclose(found, apply_temperature(raw, run.temperature), atol=1e-3)
    said = {entry.key: entry.value for entry in onnx.load(str(file)).metadata_props}
    assert float(said["threshold"]) == run.threshold and said["opset"] == "17"
    assert said["data_fingerprint"] == run.record["data"]["fingerprint"]


def test_a_file_of_somebody_else_is_not_replaced_by_an_export(run, tmp_path, capsys):
    (tmp_path / "x.onnx").write_bytes(b"mine")
    assert main(["export", str(run.folder), "--onnx", str(tmp_path / "x.onnx")]) == 2
    assert (tmp_path / "x.onnx").read_bytes() == b"mine"


def test_a_missing_package_is_named_with_its_extra(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    assert main(["export", str(run.folder), "--onnx", str(tmp_path / "x.onnx")]) == 2
    assert "fracturelib[onnx]" in capsys.readouterr().err and not list(tmp_path.iterdir())


# --- bad input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["features.safetensors", "training.csv", "validation.csv", "selftest.safetensors"])
def test_a_damaged_file_of_a_run_is_named(folder, name, home):
    (folder / name).write_bytes(b"damaged")
    with pytest.raises(RunError, match="is not what this run wrote"):
        one = load_run(folder)
        assert one.reference is not None and one.validation is not None


def test_a_run_without_a_temperature_says_so(home, folder, capsys):
    record = json.loads((folder / "config.json").read_text())
    write_record(folder, record | {"temperature": None, "calibration": {"reason": "no better on validation"}})
    assert main(["predict", str(folder), str(next((home / "data" / "test").rglob("*.png")))]) == 0
    assert "no temperature (no better on validation)" in capsys.readouterr().out


def test_labels_are_not_used_where_none_belong_and_that_is_said(run, home):
    with pytest.warns(Warning, match="labels of these folders are not used"):
        predict_files(run, [home / "data" / "test"])
