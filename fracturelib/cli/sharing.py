"""`fracturelib page`."""

from __future__ import annotations

import argparse
from pathlib import Path

from fracturelib.cli.shared import NOTICE, SEED, add_command, number_from

MOST_CASES = 100


def add_page(commands: argparse._SubParsersAction) -> None:
    """The parser of `page`."""
    parser = add_command(commands, "page", _page, "write a page to show a friend: can you beat the model at 20 X-rays?")
    parser.add_argument("folder", metavar="RUN", help="folder of the run, for example runs/demo")
    parser.add_argument(
        "--cases",
        type=number_from(2, MOST_CASES),
        default=20,
        metavar="N",
        help="how many radiographs of the test set, half of them fractured (default: %(default)s)",
    )
    parser.add_argument("--seed", type=SEED, default=0, help="another number chooses others (default: %(default)s)")
    parser.add_argument("--data", metavar="DIR", help="where the run's data are now (default: where they were)")
    parser.add_argument("--out", metavar="FILE", help="the page (default: index.html in the run's folder)")


def _page(options: argparse.Namespace) -> int:
    from fracturelib.files import check_output
    from fracturelib.report.challenge import CHALLENGE, write_challenge
    from fracturelib.runs import load_run

    run = load_run(options.folder)
    file = check_output(options.out or run.folder / CHALLENGE, outside=[options.data or run.config.data])
    write_challenge(run, file, count=options.cases, seed=options.seed, data=options.data)
    print(f"Page:   {file} ({Path(file).stat().st_size / 1e6:.1f} MB)")
    print("It holds radiographs of the data set: give it only to those who may see them.")
    print(NOTICE)
    return 0
