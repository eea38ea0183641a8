"""Any command on any folder: exit code 0, 1 or 2, no traceback, and nothing changes but what was named for output.

200 examples in `make test`; `HYPOTHESIS_PROFILE=long` tries many more.
"""

import contextlib
import io
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fracturelib.cli import main
from tests.helpers.trees import state_of, write_tree

QUICK = ("--weights", "none", "--image-size", "32", "--epochs", "1", "--views", "1", "--batch-size", "8")
PIPE = "pipe.png"
LONGEST = 300  # seconds of a busy machine for one command, before it counts as hanging

NUMBERS = st.sampled_from(["0", "1", "-1", "2.5", "nan", "inf", "-inf", "1e400", "9" * 30, "", "x", "٣", "=1"])
NAMES = st.sampled_from(
    [
        "r",
        "new",
        "a b",
        "=x",
        "-x",
        "$x$",
        "ä",
        ".x",
        "..",
        "",
        "n" * 300,
        "new\n",
        "\udcff",
        "<b>",
        "notes.txt",
        "null",
    ]
)
PLACES = st.one_of(
    st.sampled_from(
        ["data", "data/test", "runs", "runs/r", "runs/q", "notes.txt", "link", "pipe", "gone", "empty", "."]
    ),
    NAMES,
)
DATA, RUN = st.one_of(st.just("data"), PLACES), st.one_of(st.sampled_from(["runs/r", "runs/q"]), PLACES)
TARGET = st.one_of(st.sampled_from(["out", "out/x", "runs/r/x", "data/x", "data/metadata.csv", "/dev/null"]), PLACES)
SETTINGS = {
    "--epochs": "2",
    "--batch-size": "3",
    "--hidden-units": "1",
    "--learning-rate": "10",
    "--dropout": "0.95",
    "--seed": "7",
    "--threshold": "sensitivity=0.9",
    "--unfreeze": "layer4",
    "--views": "0",
    "--image-size": "33",
    "--device": "cpu",
    "--crop-fraction": "1",
    "--features-limit": "1",
    "--architecture": "resnet18",
}  # each with a value that is good and cheap


KINDS = [
    "audit",
    "catalog",
    "compare",
    "doctor",
    *["evaluate"] * 2,
    "export",
    "miniature",
    "page",
    *["predict"] * 2,
    "simulate",
    "train",
    "watch",
]


@st.composite
def commands(draw):
    """The words of a command, and the places in which it may make or replace files."""
    kind = draw(st.sampled_from(KINDS))
    flags = draw(st.sets(st.sampled_from(["--strict", "--make-split", "--keep-conflicts", "--resume"]), max_size=1))
    if kind == "audit":
        data, report = draw(DATA), draw(TARGET)
        corrections = draw(st.sets(st.sampled_from(["--write-metadata", "--clean-split"])))
        words = ["audit", data, f"--report={report}", f"--seed={draw(NUMBERS)}", *sorted(corrections)]
        return words, [report, *(str(Path(data, file)) for file in ("metadata.csv", "clean_split.csv") if corrections)]
    if kind == "train":
        name = draw(NAMES)
        given = draw(st.dictionaries(st.sampled_from(sorted(SETTINGS)), st.booleans(), max_size=2))
        values = [f"{option}={SETTINGS[option] if good else draw(NUMBERS)}" for option, good in given.items()]
        words = ["train", f"--data={draw(DATA)}", "--runs=runs", f"--name={name}", *QUICK, *values, *sorted(flags)]
        return words, ["runs/.features", f"runs/{name}" if name else "runs"]
    if kind == "compare":
        return ["compare", draw(RUN), draw(RUN)], []
    if kind == "doctor":
        return ["doctor", draw(RUN)], []
    if kind == "export":
        file = draw(TARGET)
        return ["export", draw(RUN), f"--onnx={file}"], [file]
    if kind == "miniature":
        place = draw(TARGET)
        return ["data", "miniature", draw(st.one_of(st.sampled_from(["folders", "mura", "dicom"]), NAMES)), place], [
            place
        ]
    if kind in ("catalog", "watch"):
        table = draw(TARGET)
        own = [f"--labels={draw(PLACES)}"] * draw(st.booleans()) + [f"--classes={draw(NAMES)}"] * draw(st.booleans())
        words = ["catalog", draw(DATA), *own] if kind == "catalog" else ["watch", draw(RUN), draw(DATA)]
        return [*words, f"--csv={table}"], [table]
    if kind == "page":
        run, page = draw(RUN), draw(st.one_of(st.none(), TARGET))
        words = ["page", run, f"--cases={draw(st.one_of(st.just('2'), NUMBERS))}"]
        words += [f"--data={draw(DATA)}"] * draw(st.booleans()) + [f"--out={page}"] * (page is not None)
        return words, [str(Path(run, "index.html")) if page is None else page]
    if kind == "simulate":
        count = draw(st.one_of(st.sampled_from(["1", "3"]), NUMBERS))
        place = draw(st.one_of(st.sampled_from(["set", "runs", "data", "notes.txt"]), NAMES))
        return ["simulate", place, f"--count={count}"], [place]
    table, strict = draw(TARGET), ["--strict"] * ("--strict" in flags)
    if kind == "predict":
        paths = draw(st.lists(st.one_of(DATA, st.just("data/test/fractured")), min_size=1, max_size=2))
        return ["predict", draw(RUN), *paths, f"--csv={table}", *strict], [table]
    words = ["evaluate", draw(RUN), f"--csv={table}", f"--prevalence={draw(NUMBERS)}", *strict]
    report = draw(st.one_of(st.none(), TARGET))
    words += [f"--data={draw(DATA)}"] * draw(st.booleans()) + [f"--report={report}"] * (report is not None)
    # what the trunk computes of new pictures is kept beside the run, as training keeps it
    return words, ["runs/.features", table, *([report] if report is not None else [])]


VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-2, 2**70), st.floats(), st.sampled_from(["", "nan", "../x", "=1"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.just("a"), inner, max_size=1)),
    max_leaves=3,
)


@st.composite
def damages(draw):
    """One thing that a person, a disk or another program did to the folder."""
    kind = draw(st.sampled_from(["metadata", "config", "file", "picture", "nothing"]))
    if kind == "metadata":
        heads = ["file", "source_id", "patient_id", "label", "width", "probability", "PatientID", "", "a,a", "=x", "x"]
        head = draw(st.lists(st.sampled_from(heads), min_size=1, max_size=4))
        cells = st.one_of(st.sampled_from(["train/fractured/s0003.png", "", "nan", "=1", "'-x", "1e999"]), st.text())
        rows = draw(st.lists(st.lists(cells, max_size=4), max_size=3))
        text = "\n".join(",".join(cell.replace("\n", " ") for cell in row) for row in [head, *rows])
        return kind, text.encode("utf-8", "surrogatepass")
    if kind == "config":
        keys = ["format", "config", "data", "weights", "threshold", "temperature", "files", "versions", "new"]
        return kind, (draw(st.sampled_from(keys)), draw(VALUES))
    if kind == "file":
        files = ["config.json", "model.safetensors", "predictions.csv", "history.csv", "metrics.json"]
        return kind, (draw(st.sampled_from(files)), draw(st.one_of(st.none(), st.binary(max_size=40))))
    return kind, draw(
        st.sampled_from(["=1.png", "-x.png", "ä$1$.png", "a\nb.png", "<b>.png", "\udcff.png", "pipe.png"])
    )


def do(damage, root):
    """Carry out a damage."""
    kind, what = damage
    if kind == "metadata":
        (root / "data/metadata.csv").write_bytes(what)
    elif kind == "config":
        file = root / "runs/r/config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | dict([what])))
    elif kind == "file":
        file = root / "runs/r" / what[0]
        file.unlink() if what[1] is None else file.write_bytes(what[1])
    elif kind == "picture" and what == PIPE:
        os.mkfifo(root / "data/test/fractured" / what)
    elif kind == "picture":
        shutil.copy(next((root / "data/train/fractured").iterdir()), root / "data/test/fractured" / what)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a set, two runs, and what a person has beside them."""
    root = tmp_path_factory.mktemp("world") / "world"
    write_tree(root / "data", {"train": 2, "val": 1, "test": 1})
    for name in ("r", "q"):
        arguments = ["train", "--data", str(root / "data"), "--runs", str(root / "runs"), "--name", name, *QUICK]
        assert main(arguments) == 0
        file = root / "runs" / name / "config.json"
        file.write_text(file.read_text().replace(str(root / "data"), "data"))
    (root / "notes.txt").write_text("path,price\n=1,2\n")
    (root / "link").symlink_to("notes.txt")
    (root / "empty").mkdir()
    return root


@contextlib.contextmanager
def copied(world: Path):
    """A copy of the folder, for the time of one command the working folder."""
    root, before = world.with_name("copy"), Path.cwd()
    shutil.copytree(world, root, symlinks=True)
    os.mkfifo(root / "pipe")
    os.chdir(root)
    try:
        yield root
    finally:
        os.chdir(before)
        shutil.rmtree(root)


def call(words):
    """The exit code of a command, and what it said on stderr."""

    def hang(*_):
        raise AssertionError("the command hangs")

    usual = signal.signal(signal.SIGALRM, hang)
    signal.alarm(LONGEST)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            code = main(words)
    except SystemExit as stopped:
        code = stopped.code
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, usual)
    return code, said.getvalue()


@pytest.mark.slow
@settings(
    max_examples=max(200, settings.default.max_examples),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(command=commands(), damage=damages())
def test_a_command_ends_in_words_and_changes_only_what_it_was_told(world, command, damage):
    words, outputs = command
    with copied(world) as root:
        do(damage, root)
        before = state_of(root)
        code, said = call(words)
        after = state_of(root)
    assert code in (0, 1, 2), said
    assert "Traceback" not in said and "mistake in fracturelib" not in said
    allowed = [os.path.normpath(root / place) for place in outputs if place not in ("", ".")]
    for path in before.keys() | after.keys():
        if before.get(path) == after.get(path):
            continue
        assert path not in before or code == 0 or not path.endswith((".txt", ".png")), path
        inside = any(path == one or path.startswith(one + "/") or one.startswith(path + "/") for one in allowed)
        assert inside or "." in outputs or "" in outputs, f"{path} changed"
