"""The parser with all commands."""

from __future__ import annotations

import argparse

from fracturelib import __version__
from fracturelib.cli.auditing import add_audit
from fracturelib.cli.cataloguing import add_catalog
from fracturelib.cli.datasets import add_data
from fracturelib.cli.evaluating import add_compare, add_evaluate
from fracturelib.cli.exporting import add_doctor, add_export
from fracturelib.cli.machine import add_check, add_prepare, add_weights
from fracturelib.cli.predicting import add_predict
from fracturelib.cli.shared import NOTICE, add_traceback
from fracturelib.cli.sharing import add_page
from fracturelib.cli.simulating import add_simulate
from fracturelib.cli.teaching import add_class, add_course
from fracturelib.cli.training import add_train
from fracturelib.cli.trunks import add_trunks
from fracturelib.cli.watching import add_watch

COMMANDS = (
    add_simulate,
    add_catalog,
    add_data,
    add_audit,
    add_train,
    add_evaluate,
    add_compare,
    add_predict,
    add_watch,
    add_doctor,
    add_export,
    add_page,
    add_trunks,
    add_weights,
    add_check,
    add_prepare,
    add_class,
    add_course,
)


def make_parser() -> argparse.ArgumentParser:
    """The parser of `fracturelib`; each command's options come from its own module."""
    parser = argparse.ArgumentParser(
        prog="fracturelib", description="Transfer learning on radiographs, judged honestly.", epilog=NOTICE
    )
    parser.add_argument("--version", action="version", version=f"fracturelib {__version__}")
    add_traceback(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in COMMANDS:
        add(commands)
    return parser
