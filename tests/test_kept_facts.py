"""Facts of unchanged files are taken from where they are kept, and nobody can tell the difference."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fracturelib.audit import shortcuts
from fracturelib.catalog import KeptFacts, kept, read_catalog, survey, table
from fracturelib.cli import main
from fracturelib.errors import CatalogError, DataWarning
from fracturelib.images import inspect_image

NAMES = [f"{split}/{label}/p{number}.bmp" for number, (split, label) in enumerate([("train", "fractured")] * 3)]
NAMES += ["train/not fractured/q.bmp"]


def picture(number: int) -> bytes:
    """One of a few pictures whose files are of one size."""
    pixels = np.random.default_rng(number).integers(0, 256, (16, 16), np.uint8)
    pixels[:4] = 255 * (number % 2)  # some look inverted
    file = Path(os.environ["KEPT_FACTS_PICTURES"]) / f"{number}.bmp"
    if not file.exists():
        Image.fromarray(pixels).save(file)
    return file.read_bytes()


@pytest.fixture(autouse=True)
def _pictures(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT_FACTS_PICTURES", str(tmp_path_factory.getbasetemp()))


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as older than any step of time, though the test has just made them."""
    monkeypatch.setattr(kept, "_STEP", -(10**12))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    for number, name in enumerate(NAMES):
        write(folder / name, picture(number))
    return folder


def write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.write_bytes(content)


def seen(root: Path, **more: object) -> tuple[pd.DataFrame, object]:
    """What `survey` gives, or the error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        try:
            found = survey(root, **more)
        except CatalogError as error:
            return pd.DataFrame(), str(error)
    return found, found.attrs["skipped"]


def assert_nobody_can_tell(root: Path, folder: Path) -> None:
    for polarity in ("keep", "fix"):
        plain, skipped = seen(root, polarity=polarity)
        found, left_out = seen(root, polarity=polarity, kept=KeptFacts(folder))
        pd.testing.assert_frame_equal(found, plain)
        assert left_out == skipped


def forbid_reading(patch: pytest.MonkeyPatch) -> None:
    def refuse(file: Path, **_: object) -> None:
        raise AssertionError(f"{file} was read again")

    patch.setattr(table, "inspect_image", refuse)


def overwrite(file: Path, number: int) -> None:
    with file.open("r+b") as stream:
        stream.write(picture(number))


def overwrite_and_set_back(file: Path, number: int) -> None:
    before = file.stat()
    overwrite(file, number)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(file: Path, number: int) -> None:
    beside = file.with_name("beside")
    beside.write_bytes(picture(number))
    if file.exists():
        shutil.copystat(file, beside)
    beside.replace(file)


def swap(file: Path, number: int) -> None:
    """Two files exchange their names."""
    other = file.parents[2] / NAMES[number % len(NAMES)]
    if other.exists() and other != file:
        third = file.with_name("third")
        file.rename(third)
        other.rename(file)
        third.rename(other)


def link(file: Path, number: int) -> None:
    target = file.parents[2] / NAMES[number % len(NAMES)]
    if target != file and not target.is_symlink():
        file.unlink()
        file.symlink_to(target)


def cut(file: Path, number: int) -> None:
    os.truncate(file, 60 + number)


CHANGES = {
    "overwrite": overwrite,
    "overwrite_and_set_back": overwrite_and_set_back,
    "replace": replace,
    "swap": swap,
    "link": link,
    "cut": cut,
    "mend": lambda file, number: write(file, picture(number)),
    "touch": lambda file, number: file.touch(),
    "remove": lambda file, number: file.unlink(),
    "forbid": lambda file, number: file.chmod(0),
    "allow": lambda file, number: file.chmod(0o644),
}


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(sorted(CHANGES)), st.sampled_from(NAMES), st.integers(0, 5)), min_size=1, max_size=6
    )
)
def test_any_sequence_of_changes_gives_the_table_of_a_fresh_reading(
    changes: list[tuple[str, str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("changes")
    for number, name in enumerate(NAMES):
        write(place / "set" / name, picture(number))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "_STEP", -(10**12))
        assert_nobody_can_tell(place / "set", place / "facts")
        for kind, name, number in changes:
            time.sleep(0.02)  # longer than the steps in which this file system counts time
            file = place / "set" / name
            if file.exists() or kind in ("mend", "replace"):
                CHANGES[kind](file, number)
            assert_nobody_can_tell(place / "set", place / "facts")


def test_a_second_reading_opens_no_file(root: Path, tmp_path: Path, old: None, monkeypatch: pytest.MonkeyPatch) -> None:
    first = survey(root, kept=KeptFacts(tmp_path / "facts"))
    forbid_reading(monkeypatch)
    pd.testing.assert_frame_equal(survey(root, kept=KeptFacts(tmp_path / "facts")), first)
    with pytest.raises(AssertionError, match="read again"):
        survey(root, kept=KeptFacts(tmp_path / "facts", verify=True))
    with pytest.raises(AssertionError, match="read again"):
        survey(root, kept=KeptFacts(tmp_path / "facts"), polarity="fix")


def test_only_the_changed_file_is_read_again(
    root: Path, tmp_path: Path, old: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    monkeypatch.setattr(table, "inspect_image", lambda file, **more: read.append(file) or inspect_image(file, **more))
    survey(root, kept=KeptFacts(tmp_path / "facts"))
    replace(root / NAMES[1], 5)
    read.clear()
    survey(root, kept=KeptFacts(tmp_path / "facts"))
    assert read == [root / NAMES[1]]


@pytest.mark.slow
def test_a_change_within_one_step_of_the_clock_is_seen(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file system that counts in whole seconds, or less: two changes may leave the same time."""
    real = kept._state

    def coarse(file: Path) -> list[int] | None:
        found = real(file)
        return found and [found[0], *(value - value % (2 * 10**9) for value in found[1:3]), found[3]]

    monkeypatch.setattr(kept, "_state", coarse)
    for number in range(6):
        overwrite(root / NAMES[0], number)
        assert_nobody_can_tell(root, tmp_path / "facts")


def test_a_file_that_changes_while_it_is_read_is_not_kept(
    root: Path, tmp_path: Path, old: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def inspect_and_change(file: Path, **more: object) -> object:
        facts = inspect_image(file, **more)
        if file.name == "q.bmp":
            time.sleep(0.02)
            overwrite(file, 5)
        return facts

    with monkeypatch.context() as patch:
        patch.setattr(table, "inspect_image", inspect_and_change)
        survey(root, kept=KeptFacts(tmp_path / "facts"))
    assert_nobody_can_tell(root, tmp_path / "facts")


@pytest.mark.parametrize("how", ["cut", "one byte", "foreign", "empty", "folder", "list", "older"])
def test_a_damaged_or_foreign_file_is_dropped_with_one_sentence(
    root: Path, tmp_path: Path, old: None, how: str
) -> None:
    first = survey(root, kept=KeptFacts(tmp_path / "facts"))
    (file,) = (tmp_path / "facts").glob("*.json")
    whole = file.read_bytes()
    middle = len(whole) // 2
    file.unlink()
    if how == "folder":
        file.mkdir()
    else:
        content = {
            "cut": whole[:middle],
            "one byte": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "foreign": b"\x80\x04.",
            "empty": b"",
            "list": b"[1, 2]\n{}",
            "older": whole.replace(b"facts of files", b"facts of old files", 1),
        }
        file.write_bytes(content[how])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = survey(root, kept=KeptFacts(tmp_path / "facts"))
    pd.testing.assert_frame_equal(found, first)
    assert len(said) == (how != "older")  # another version is no damage
    if how != "folder":
        assert file.read_bytes() == whole


def test_verify_finds_and_mends_what_is_wrong(root: Path, tmp_path: Path, old: None) -> None:
    first = survey(root, kept=KeptFacts(tmp_path / "facts"))
    (file,) = (tmp_path / "facts").glob("*.json")
    whole = file.read_bytes()
    cut(root / NAMES[0], 0)  # a disk that loses bytes leaves the times as they are
    body = json.loads(whole.split(b"\n", 1)[1])
    state = kept._state(root / NAMES[0])
    body[kept._key(NAMES[0], "keep")][0] = state
    text = json.dumps(body, separators=(",", ":")).encode()
    header = json.loads(whole.split(b"\n", 1)[0]) | {"sha256": kept.hashlib.sha256(text).hexdigest()}
    file.write_bytes(json.dumps(header).encode() + b"\n" + text)
    assert len(survey(root, kept=KeptFacts(tmp_path / "facts"))) == len(first)  # believed
    assert len(survey(root, kept=KeptFacts(tmp_path / "facts", verify=True))) == len(first) - 1
    assert len(survey(root, kept=KeptFacts(tmp_path / "facts"))) == len(first) - 1


def test_where_nothing_can_be_written_all_is_read(root: Path, tmp_path: Path, old: None) -> None:
    (tmp_path / "facts").write_text("no folder")
    assert_nobody_can_tell(root, tmp_path / "facts")
    assert (tmp_path / "facts").read_text() == "no folder"


def test_two_that_read_at_a_time_keep_what_both_found(
    root: Path, tmp_path: Path, old: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One reads the whole set while another has read a part of it."""
    whole = KeptFacts(tmp_path / "facts")
    part = [root / NAMES[3]]

    def other_first(files: list[Path]) -> object:
        KeptFacts(tmp_path / "facts").inspect(root, NAMES[3:], lambda _: map(inspect_image, part), polarity="keep")
        return map(inspect_image, files)

    whole.inspect(root, NAMES[:3], other_first, polarity="keep")
    forbid_reading(monkeypatch)
    assert len(survey(root, kept=whole)) == 4


@pytest.mark.slow
def test_processes_side_by_side_leave_one_whole_file(make_tree, tmp_path: Path) -> None:
    root = make_tree({"train": 30, "val": 6, "test": 6})
    code = (
        "import sys; from fracturelib.catalog import KeptFacts, kept, read_catalog; kept._STEP = -10**12\n"
        "print(read_catalog(sys.argv[1], kept=KeptFacts(sys.argv[2]))['sha256'].sum())"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(root), str(tmp_path / "facts")], stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    said = {process.communicate()[0] for process in started}
    assert len(said) == 1 and all(process.returncode == 0 for process in started)
    with pytest.MonkeyPatch.context() as patch:
        forbid_reading(patch)
        assert len(read_catalog(root, kept=KeptFacts(tmp_path / "facts"))) == 84


def test_nothing_kept_tells_who_somebody_is(tmp_path: Path, old: None) -> None:
    pydicom = pytest.importorskip("pydicom")
    source = Path(pydicom.data.get_testdata_file("CT_small.dcm"))
    dataset = pydicom.dcmread(source)
    dataset.PatientID, dataset.PatientName, dataset.AccessionNumber = "MRN-77123", "Meyer^Hanna", "ACC-9191"
    folder = tmp_path / "set" / "MEYER_HANNA" / "fractured"
    folder.mkdir(parents=True)
    dataset.save_as(folder / "one.dcm")
    first = survey(tmp_path / "set", kept=KeptFacts(tmp_path / "facts"))
    again = survey(tmp_path / "set", kept=KeptFacts(tmp_path / "facts"))
    pd.testing.assert_frame_equal(again, first)
    assert again["patient_id"].tolist() == ["P0001"]
    (file,) = (tmp_path / "facts").glob("*.json")
    text = file.read_text()
    secrets = ["MRN-77123", "Meyer", "MEYER", "ACC-9191", str(tmp_path), "one.dcm", str(dataset.StudyInstanceUID)]
    assert not [secret for secret in secrets if secret in text]


def test_files_that_are_gone_do_not_stay_for_ever(root: Path, tmp_path: Path, old: None) -> None:
    for number in range(40):
        write(root / f"train/fractured/{number}.bmp", picture(number % 5))
    survey(root, kept=KeptFacts(tmp_path / "facts"))
    for number in range(40):
        (root / f"train/fractured/{number}.bmp").unlink()
    overwrite(root / NAMES[0], 5)
    survey(root, kept=KeptFacts(tmp_path / "facts"))
    (file,) = (tmp_path / "facts").glob("*.json")
    assert len(json.loads(file.read_bytes().split(b"\n", 1)[1])) == len(NAMES)


@pytest.mark.slow
def test_train_evaluate_and_audit_read_an_unchanged_set_once(
    make_tree, tmp_path: Path, old: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, runs = make_tree({"train": 8, "val": 6, "test": 6}), tmp_path / "runs"
    train = ["train", "--data", str(root), "--runs", str(runs), "--name", "one", "--weights", "none"]
    train += ["--image-size", "32", "--epochs", "1", "--views", "1", "--resume"]
    evaluate = ["evaluate", str(runs / "one")]
    audit = ["audit", str(root), "--report", str(tmp_path / "report")]
    said = {}
    for command in (train, evaluate, audit):
        assert main(command) == 0
        said[command[0]] = capsys.readouterr().out
    forbid_reading(monkeypatch)
    for command in (train, evaluate, audit):
        assert main(command) == 0
        assert capsys.readouterr().out.splitlines()[-3:] == said[command[0]].splitlines()[-3:]
        assert main([*command, "--verify"]) == 70
        capsys.readouterr()


@pytest.mark.slow
def test_shortcuts_are_judged_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    count = 60
    rows = pd.DataFrame({"path": [f"{n}.png" for n in range(count)], "split": "train", "label": np.arange(count) % 2})
    rows = rows.assign(source_id=rows["path"], width=64, height=64 + rows["label"], mode="L", bit_depth=8)
    grey = pd.DataFrame({"brightness: mean grey value": generator.random(count)})
    memory = tmp_path / "facts" / "shortcuts.json"
    monkeypatch.setattr(shortcuts, "TREES", 5)
    plain, first = (shortcuts.find_shortcuts(rows, grey, memory=place) for place in (None, memory))
    pd.testing.assert_frame_equal(first, plain)
    calls = []
    judge = shortcuts._judge
    monkeypatch.setattr(shortcuts, "_judge", lambda kind, *rest: calls.append(kind) or judge(kind, *rest))
    pd.testing.assert_frame_equal(shortcuts.find_shortcuts(rows, grey, memory=memory), plain)
    assert not calls
    for other, other_grey in (
        (rows.assign(label=1 - rows["label"]), grey),
        (rows.assign(hospital=rows["label"]), grey),
        (rows, grey + 0.1),
    ):
        expected = shortcuts.find_shortcuts(other, other_grey)
        calls.clear()
        pd.testing.assert_frame_equal(shortcuts.find_shortcuts(other, other_grey, memory=memory), expected)
        assert calls
    memory.write_bytes(b"{")
    pd.testing.assert_frame_equal(shortcuts.find_shortcuts(rows, grey, memory=memory), plain)
