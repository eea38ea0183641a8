"""The command line: ``fracturelib simulate · audit · train · evaluate · predict · weights``.

One module per command; heavy modules are imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Sequence

from fracturelib import __version__
from fracturelib.cli.auditing import add_audit
from fracturelib.cli.evaluating import add_compare, add_evaluate
from fracturelib.cli.machine import add_check, add_prepare, add_weights
from fracturelib.cli.predicting import add_predict
from fracturelib.cli.shared import NOTICE
from fracturelib.cli.simulating import add_simulate
from fracturelib.cli.training import add_train
from fracturelib.errors import FracturelibError, FracturelibWarning

USER_ERROR = 2
INTERRUPTED = 130
COMMANDS = (
    add_simulate,
    add_audit,
    add_train,
    add_evaluate,
    add_compare,
    add_predict,
    add_weights,
    add_check,
    add_prepare,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 2 an error that the user can cure, 130 interrupted."""
    _speak_plainly()
    parser = make_parser()
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return options.run(options)
    except FracturelibError as error:
        print(f"error: {error}", *getattr(error, "__notes__", []), sep="\n", file=sys.stderr)
        return USER_ERROR
    except PermissionError as error:
        print(
            f"error: no permission for {error.filename}\n  what to do:   choose another folder",
            file=sys.stderr,
        )
        return USER_ERROR
    except KeyboardInterrupt:
        print("\nInterrupted." + getattr(options, "when_interrupted", ""), file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def make_parser() -> argparse.ArgumentParser:
    """The parser with all commands."""
    parser = argparse.ArgumentParser(
        prog="fracturelib", description="Transfer learning on radiographs, judged honestly.", epilog=NOTICE
    )
    parser.add_argument("--version", action="version", version=f"fracturelib {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in COMMANDS:
        add(commands)
    return parser


def train_main() -> int:
    """Entry of ``train.py``: `fracturelib train` under its own name."""
    return main(["train", *sys.argv[1:]])


def _speak_plainly() -> None:
    """Show the project's warnings as one plain line each, without a source line."""
    warnings.simplefilter("always", FracturelibWarning)
    usual = warnings.formatwarning

    def plain(message, category, filename, lineno, line=None) -> str:
        if issubclass(category, FracturelibWarning):
            return f"warning: {message}\n"
        return usual(message, category, filename, lineno, line)

    warnings.formatwarning = plain


def _terminate(_number: int, _frame: object) -> None:
    """SIGTERM ends a command as Ctrl-C does, so that both leave the same usable checkpoint."""
    raise KeyboardInterrupt
