"""The command line: ``fracturelib simulate · audit · train · evaluate · predict · weights``.

One module per command; heavy modules are imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from fracturelib.cli.environment import tidy_environment
from fracturelib.cli.screen import plain_screen


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0 done, 1 the answer is no (`check`), 2 something that the user can cure, 70 a mistake of this
        program, 130 interrupted.
    """
    options = argparse.Namespace(traceback=os.environ.get("FRACTURELIB_DEBUG", "0") not in ("", "0"))
    with plain_screen():
        try:
            signal.signal(signal.SIGTERM, _terminate)
            tidy_environment()
            from fracturelib.cli.parser import make_parser  # here, so that Ctrl-C is heard while modules load

            return make_parser().parse_args(arguments, namespace=options).run(options)
        except (Exception, KeyboardInterrupt) as error:
            from fracturelib.cli.failures import tell_failure

            return tell_failure(error, traceback=options.traceback)


def train_main() -> int:
    """Entry of ``train.py``: `fracturelib train` under its own name."""
    return main(["train", *sys.argv[1:]])


def _terminate(_number: int, _frame: object) -> None:
    """SIGTERM ends a command as Ctrl-C does, so that both leave the same usable checkpoint."""
    raise KeyboardInterrupt
