"""What goes to the screen: plain warnings, in any encoding, to a reader who may leave before the work is done."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from fracturelib.errors import FracturelibWarning


@contextmanager
def plain_screen() -> Iterator[None]:
    """Inside the block, printing never ends a command, and every warning is one line without a source line."""
    usual = sys.stdout, sys.stderr, warnings.formatwarning
    sys.stdout, sys.stderr = (stream and _Screen(stream) for stream in usual[:2])  # None under pythonw
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", FracturelibWarning)  # the same words from the same place once
            warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
            yield
            if sys.stdout:
                sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr, warnings.formatwarning = usual


class _Screen:
    """A text stream that escapes what it cannot encode and falls silent when its reader is gone (as after `| head`)."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        with self._reader_may_leave():
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        with self._reader_may_leave():
            self._stream.flush()

    @contextmanager
    def _reader_may_leave(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # What is still in the buffer must go somewhere, or Python complains once more when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            if not isinstance(error, BrokenPipeError):  # such as a full disk: what was printed is lost
                raise
