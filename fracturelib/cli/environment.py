"""Variables of the environment that libraries read while they load: junk there must not end a command."""

from __future__ import annotations

import os
import re
import warnings

from fracturelib.errors import FracturelibWarning

OURS = ("CLASS", "CLASS_FOLDER", "DEBUG", "FAST", "OFFLINE", "REAL_DATA", "WEIGHTS")
_NUMBER = re.compile(r"\d+(\.\d+)?")
_PROGRESS_BAR = {"TQDM_DISABLE", "TQDM_MININTERVAL", "TQDM_MAXINTERVAL", "TQDM_DELAY"}  # that take a number


def tidy_environment() -> None:
    """Take away what would stop matplotlib or tqdm, and warn of it, and of variables that sound like ours."""
    os.environ["MPLBACKEND"] = "agg"  # no command opens a window
    bad = [
        name
        for name, value in os.environ.items()
        if name.startswith("TQDM_") and not (name in _PROGRESS_BAR and _NUMBER.fullmatch(value))
    ]
    for name in bad:
        del os.environ[name]
    prefix = "FRACTURELIB_"
    bad += [name for name in os.environ if name.startswith(prefix) and name.removeprefix(prefix) not in OURS]
    if bad:
        names = ", ".join(sorted(bad))
        warnings.warn(f"ignored from the environment: {names}", FracturelibWarning, stacklevel=2)
