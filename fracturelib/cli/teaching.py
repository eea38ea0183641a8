"""`fracturelib class sheet` and `fracturelib course run`: what a teacher asks for."""

from __future__ import annotations

import argparse

from fracturelib.cli.shared import NOTICE, SEED, add_command, add_data_options, data_options, print_reading
from fracturelib.errors import FracturelibError


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


def add_course(commands: argparse._SubParsersAction) -> None:
    """The parser of `course` and of what it can do."""
    text = "execute the notebooks of the course, on data of one's own too"
    parser = commands.add_parser("course", help=text, description=text[0].upper() + text[1:] + ".", epilog=NOTICE)
    actions = parser.add_subparsers(title="what to do", metavar="ACTION", required=True)
    run = add_command(actions, "run", _run, "execute every notebook on a data set; finished ones are not repeated")
    run.add_argument("--data", metavar="DIR", help="your own X-rays (default: the embedded sets, made below --out)")
    run.add_argument("--out", metavar="DIR", required=True, help="for the executed copies and all that they write")
    run.add_argument("--only", nargs="+", default=[], metavar="NN", help="these notebooks, for example 03 06")
    run.add_argument("--fast", action="store_true", help="small sizes and rough numbers, to see whether all runs")
    run.add_argument("--notebooks", metavar="DIR", help="where the notebooks lie (default: in this checkout)")
    add_data_options(run, polarity=False, keep_ids=False)
    run.set_defaults(keep_ids=False)


def _run(options: argparse.Namespace) -> int:
    from fracturelib.course.running import run_course
    from fracturelib.runtime import fast_mode

    found = run_course(
        options.out,
        data=options.data,
        options=data_options(options),
        only=options.only,
        fast=options.fast or fast_mode(),
        notebooks=options.notebooks,
        say=_say,
        on_data=print_reading,
    )
    failed = [f"{one.name}, {one.failed}" for one in found if one.failed]
    if failed:
        cure = "look at the last cell of the copy in --out; the same command goes on from there"
        raise FracturelibError("a cell failed in\n  " + "\n  ".join(failed), cure=cure)
    print(f"Index: {options.out}/index.md\n{NOTICE}")
    return 0


def _say(line: str) -> None:
    print(line, flush=True)
