"""The lock file keeps processes apart, though each holder removes it."""

from __future__ import annotations

import subprocess
import sys

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


def test_no_count_is_lost_between_processes(tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    workers = [subprocess.Popen([sys.executable, "-c", COUNT_UP, str(counter)]) for _ in range(4)]
    assert [worker.wait(timeout=60) for worker in workers] == [0] * 4
    assert counter.read_text() == "160"
    assert list(tmp_path.iterdir()) == [counter]


def test_who_does_not_want_to_wait_is_told(tmp_path):
    path = tmp_path / "lock"
    with exclusive(path) as first, exclusive(path, wait=False) as second:
        assert (first, second) == (True, False)
    with exclusive(path, wait=False) as later:
        assert later
    assert not path.exists()
