"""The lock file keeps processes apart, and who waits is told."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fracturelib.files import locks
from fracturelib.files.locks import exclusive

COUNT_UP = """
import sys
from pathlib import Path
from fracturelib.files.locks import exclusive
counter = Path(sys.argv[1])
for _ in range(40):
    with exclusive(counter.with_suffix(".lock")):
        counter.write_text(str(int(counter.read_text()) + 1))
"""


@pytest.mark.slow
def test_no_count_is_lost_between_processes(tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    workers = [subprocess.Popen([sys.executable, "-c", COUNT_UP, str(counter)]) for _ in range(4)]
    assert [worker.wait(timeout=60) for worker in workers] == [0] * 4
    assert counter.read_text() == "160"


def test_who_waits_for_long_says_so(tmp_path, capsys, monkeypatch):
    path = tmp_path / "set.lock"
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"from filelock import FileLock\nwith FileLock({str(path)!r}): print(1, flush=True), input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    holder.stdout.readline()
    monkeypatch.setattr(locks, "SECONDS_BEFORE_SAYING", 0.05)
    monkeypatch.setattr(locks.FileLock, "acquire", _release_after_saying(holder, locks.FileLock.acquire))
    with exclusive(path) as held:
        assert held
    assert f"Waiting for another process that uses {tmp_path}" in capsys.readouterr().err


def _release_after_saying(holder, acquire):
    """`FileLock.acquire`, which lets the holder go once it is asked to wait without a limit."""

    def patient(lock, **options):
        if not options:
            holder.communicate("\n")
        return acquire(lock, **options)

    return patient


def test_who_does_not_want_to_wait_is_told(tmp_path):
    path = tmp_path / "lock"
    with exclusive(path) as first, exclusive(path, wait=False) as second:
        assert (first, second) == (True, False)
    with exclusive(path, wait=False) as later:
        assert later
