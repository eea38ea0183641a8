"""One process at a time writes a set of features."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt


@contextmanager
def exclusive(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock file `path`; yields False at once if another process holds it and `wait` is off.

    The system drops the lock if the process dies. The file stays: removing it would let two processes lock two files
    of the same name.
    """
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        held = _acquire(handle, wait)
        yield held
        if held and fcntl is None:
            os.lseek(handle, 0, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)
    finally:
        os.close(handle)


def _acquire(handle: int, wait: bool) -> bool:
    while True:
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            else:
                msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            return True
        except OSError:
            if not wait:
                return False
            if fcntl is not None:
                raise  # Windows gives up after ten seconds of waiting, so there it is asked again
