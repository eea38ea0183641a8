"""What a command says when it cannot go on, and the exit code that goes with it."""

from __future__ import annotations

import errno
import re
import sys
import traceback as tracebacks

from fracturelib.errors import FracturelibError

USER_ERROR, OUR_ERROR, INTERRUPTED = 2, 70, 130

_REASONS = {
    ("EACCES", "EPERM", "EROFS"): ("no permission to write or read here", "choose another folder"),
    ("ENOSPC", "EDQUOT", "EFBIG"): ("the disk is full", "make room, or choose a folder on another disk"),
    ("ENAMETOOLONG",): ("the name is too long", "choose a shorter one"),
    ("EISDIR",): ("a folder stands where a file is needed", "choose another name, or move the folder away"),
    ("ENOTDIR", "EEXIST"): ("a file stands where a folder is needed", "choose another name, or move the file away"),
}


def tell_failure(error: BaseException, *, traceback: bool) -> int:
    """Print what happened to stderr, after the traceback if it is asked for; returns the exit code."""
    if traceback:
        tracebacks.print_exception(error)
    system = _system_error(error)
    if isinstance(error, KeyboardInterrupt):
        text, code = "\nInterrupted.", INTERRUPTED
    elif isinstance(error, FracturelibError):
        text, code = f"error: {error}", USER_ERROR
    elif "DataLoader worker" in str(error):
        what = FracturelibError("a worker process ended", cause="too little (shared) memory", cure="use --workers 0")
        text, code = f"error: {what}", USER_ERROR
    elif system is not None:
        text, code = f"error: {_in_plain_words(system)}", USER_ERROR
    else:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        text, code = f"error: a mistake in fracturelib ({said}); please report this with `--traceback`", OUR_ERROR
    print(text, *getattr(error, "__notes__", []), sep="\n", file=sys.stderr)
    return code


def _system_error(error: BaseException) -> OSError | None:
    """What the operating system refused, if it did; libraries written in Rust only name the number in their text."""
    if isinstance(error, OSError):
        return error
    number = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(number[1]), errno.errorcode.get(int(number[1]), str(error))) if number else None


def _in_plain_words(error: OSError) -> FracturelibError:
    name = errno.errorcode.get(error.errno or 0, "")
    what, cure = next(
        (words for names, words in _REASONS.items() if name in names),
        (error.strerror or str(error), "check that the place exists and can be used"),
    )
    return FracturelibError(what, file=error.filename2 or error.filename, cure=cure)
