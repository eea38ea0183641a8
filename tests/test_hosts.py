"""Three machines give what one process gives; if one dies, the others end with one message, and the run goes on later.

The machines are network namespaces of this one, where the test may make them; else three processes on the loopback.
"""

import json
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest

from fracturelib.cli import main
from tests.helpers.hosts import ROOT, free_port, loopback_hosts, separate_hosts, torchrun, wait_for
from tests.helpers.trees import write_tree

pytestmark = pytest.mark.slow
SCRIPT = ROOT / "tests" / "helpers" / "several.py"
SETTINGS = ("--weights", "none", "--image-size", "32", "--epochs", "2", "--batch-size", "2", "--device", "cpu")
LONG = 900  # seconds; for a busy machine


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """So many pictures that each machine has some of every split."""
    return write_tree(tmp_path_factory.mktemp("hosts") / "data", {"train": 8, "val": 6, "test": 4})


@pytest.fixture
def three_hosts():
    try:
        made = separate_hosts(3)
        hosts = made.__enter__()
    except OSError as reason:
        warnings.warn(f"on the loopback, since network namespaces cannot be made ({reason})", stacklevel=2)
        with loopback_hosts(3) as hosts:
            yield hosts
        return
    try:
        yield hosts
    finally:
        made.__exit__(None, None, None)


def training(data, runs, *options):
    return ["train", "--data", str(data), "--name", "r", *SETTINGS, "--runs", str(runs), *options]


def commands(data, runs, out, *options):
    """Train, predict and audit; `out` takes what the latter two write."""
    predict = ["predict", str(runs.with_name("first") / "r"), str(data / "test"), "--csv", str(out / "predicted.csv")]
    return [training(data, runs, *options), predict, ["audit", str(data), "--report", str(out / "audit")]]


def start(hosts, place, lists, **environment):
    """The same on every machine, but for the folders that it would write into."""
    port = free_port()
    for host, commands in zip(hosts, lists, strict=True):
        line = torchrun(host, hosts, port, SCRIPT, json.dumps(commands))
        host.start(line, place / f"said-{host.number}.txt", **(environment if host is hosts[-1] else {}))


def same_tables(one: Path, other: Path):
    assert [file.name for file in sorted(one.glob("*.csv"))] == [file.name for file in sorted(other.glob("*.csv"))]
    for file in one.glob("*.csv"):
        pd.testing.assert_frame_equal(pd.read_csv(file), pd.read_csv(other / file.name), check_exact=True)


def features(runs):
    return sorted(file.read_bytes() for file in runs.rglob("values.npy"))


def test_three_machines_one_of_which_dies(data, tmp_path, three_hosts):
    runs = [tmp_path / name for name in ("first", "second", "third")]  # on every machine a place of its own
    outs = [tmp_path / f"out-{number}" for number in range(3)]
    for out in outs:
        out.mkdir()
    held = tmp_path / "held"
    start(three_hosts, tmp_path, [[training(data, one)] for one in runs], MISFORTUNE="hold", HOLD_FILE=str(held))
    wait_for(held, LONG, three_hosts)
    three_hosts[2].pull_the_plug()
    for host in three_hosts[:2]:
        code, said = host.wait(60)  # no hang
        assert code != 0 and said.count("error: another process of this run has ended") == 1, said
        assert "--resume" in said and "exitcode  : 2" in said and "a mistake in fracturelib" not in said
    assert not (runs[0] / "r" / "model.safetensors").exists() and len(features(runs[0])) >= 1

    three_hosts[2].plug_in()
    start(three_hosts, tmp_path, [commands(data, *place, "--resume") for place in zip(runs, outs, strict=True)])
    for host in three_hosts:
        code, said = host.wait(LONG)
        assert code == 0, said
        assert said.count("Report:") == (2 if host.number == 0 else 0)  # of the run and of the audit
    assert not any(list(one.rglob("*")) if one.exists() else [] for one in (*runs[1:], *outs[1:]))  # one writer

    alone, out = tmp_path / "alone" / "first", tmp_path / "alone" / "out"
    out.mkdir(parents=True)
    assert [main(command) for command in commands(data, alone, out)] == [0, 0, 0]
    same_tables(alone / "r", runs[0] / "r")
    same_tables(out, outs[0])
    same_tables(out / "audit", outs[0] / "audit")
    assert features(alone) == features(runs[0]) and len(features(alone)) == 4


def test_torchrun_starts_again_after_a_process_has_died(data, tmp_path):
    how = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "--max-restarts",
        "1",
    ]
    with loopback_hosts(1) as (host,):
        host.start(
            [*how, str(SCRIPT), json.dumps([training(data, tmp_path / "two")])], tmp_path / "said", MISFORTUNE="die"
        )
        code, said = host.wait(LONG)
    assert code == 0, said
    assert said.count("error: another process of this run has ended") <= 1 and said.count("Report:") == 1
    assert main(training(data, tmp_path / "one")) == 0
    same_tables(tmp_path / "one" / "r", tmp_path / "two" / "r")
    assert features(tmp_path / "one") == features(tmp_path / "two")


def test_what_restarts_needs_a_name(monkeypatch, capsys, data, tmp_path):
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "2")
    assert main(["train", "--data", str(data), "--runs", str(tmp_path)]) == 2
    assert "give the run a --name" in capsys.readouterr().err
