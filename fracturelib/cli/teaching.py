"""`fracturelib class sheet`: what a teacher asks for."""

from __future__ import annotations

import argparse

from fracturelib.cli.shared import SEED, add_command


def add_class(commands: argparse._SubParsersAction) -> None:
    """The parser of `class`."""
    parser = add_command(commands, "class", _sheet, "for teachers: print an assessment sheet, or its answers")
    parser.add_argument("what", choices=("sheet",), metavar="sheet", help="ten questions with numbers of their own")
    parser.add_argument("--seed", type=SEED, default=1, help="another number, other numbers (default: %(default)s)")
    parser.add_argument("--answers", action="store_true", help="print the answers to the sheet of this seed")


def _sheet(options: argparse.Namespace) -> int:
    from fracturelib.course.sheet import sheet_text

    print(sheet_text(options.seed, answers=options.answers), end="")
    return 0
