"""One process at a time: a lock file that the system lets go of if its holder dies."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

SECONDS_BEFORE_SAYING = 1.0


@contextmanager
def exclusive(path: Path, *, wait: bool = True, what: str = "") -> Iterator[bool]:
    """Hold the lock file `path`; yields False at once if another process holds it and `wait` is off.

    Who waits for more than a second says on stderr for `what`. The empty file may stay when nobody holds it any more.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=SECONDS_BEFORE_SAYING if wait else 0)
    except Timeout:
        if not wait:
            yield False
            return
        print(f"Waiting for {what or f'another process that uses {path.parent}'} …", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield True
    finally:
        lock.release()
