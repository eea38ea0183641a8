"""One process at a time: a lock file that the system lets go of if its holder dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt


@contextmanager
def exclusive(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock file `path`; yields False at once if another process holds it and `wait` is off.

    The file is removed at the end.
    """
    handle = _acquire(path, wait)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            _release(path, handle)


def _acquire(path: Path, wait: bool) -> int | None:
    """An open, locked descriptor of `path` as it is on disk now."""
    while True:
        handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            _lock(handle, wait)
        except OSError:
            os.close(handle)
            if not wait:
                return None
            if fcntl is not None:
                raise
            continue  # Windows gives up after ten seconds of waiting, so there it is asked again
        # The holder before us removes the file: a lock on a removed file protects nothing.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        os.close(handle)


def _lock(handle: int, wait: bool) -> None:
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    else:
        msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)


def _release(path: Path, handle: int) -> None:
    if fcntl is not None:
        path.unlink(missing_ok=True)  # while it is still held, so that nobody else's is removed
        os.close(handle)
        return
    os.lseek(handle, 0, os.SEEK_SET)
    msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)
    os.close(handle)
    with suppress(OSError):  # Windows removes no file that somebody has open, and who waits for it has
        path.unlink()
