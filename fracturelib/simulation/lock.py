"""One process at a time builds a folder; the others wait."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: no advisory locks, so two builders of one folder must be kept apart by hand
    fcntl = None


@contextmanager
def folder_lock(root: Path) -> Iterator[None]:
    """Hold an exclusive lock for `root` through a file beside it; the system drops it if the process dies."""
    root.parent.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    path = root.with_name(f".{root.name}.lock")
    handle = _acquire(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _acquire(path: Path) -> int:
    """An open, locked descriptor of `path` as it is on disk now."""
    while True:
        handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        fcntl.flock(handle, fcntl.LOCK_EX)
        # The holder before us removes the file: a lock on a removed file protects nothing.
        if path.exists() and os.fstat(handle).st_ino == path.stat().st_ino:
            return handle
        os.close(handle)
