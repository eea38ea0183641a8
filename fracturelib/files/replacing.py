"""Files that are replaced whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced(path: str | Path) -> Iterator[Path]:
    """A new, empty file beside `path` to write to; it takes the name `path` when the block ends without an error.

    A reader sees the old file or the new one, never a part. The file beside it has a name of its own, so that two
    writers never share one, and the mode that the umask gives; after an error it is gone and `path` is as before.

    Raises:
        OSError: the folder cannot be written to, or the disk is full; it names `path`.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name[:50]}.{secrets.token_hex(4)}.part")
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield partial
        partial.replace(path)
    except OSError as error:
        if str(error.filename) in ("None", str(partial)):  # nobody but us knows the file beside it
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Replace the file by `text` in UTF-8, as `replaced` does."""
    with replaced(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
