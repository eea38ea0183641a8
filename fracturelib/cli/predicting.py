"""`fracturelib predict`."""

from __future__ import annotations

import argparse

from fracturelib.cli.shared import NOTICE, add_command, write_csv
from fracturelib.config import CLASS_NAMES, POSITIVE

ROWS_ON_SCREEN = 40


def add_predict(commands: argparse._SubParsersAction) -> None:
    """The parser of `predict`."""
    parser = add_command(commands, "predict", _predict, "estimate P(fractured) for files and folders of X-rays")
    parser.add_argument("folder", metavar="RUN", help="folder of the run, for example runs/demo")
    parser.add_argument("paths", nargs="+", metavar="FILE|FOLDER", help="X-rays; folders are searched through")
    parser.add_argument("--csv", metavar="FILE", help="write the table to this file")
    parser.add_argument("--strict", action="store_true", help="stop at a damaged file instead of skipping it")


def _predict(options: argparse.Namespace) -> int:
    from fracturelib.prediction import predict_files
    from fracturelib.runs import load_run

    run = load_run(options.folder)
    table = predict_files(run, options.paths, strict=options.strict)
    shown = table.head(ROWS_ON_SCREEN)
    print(shown.to_string(index=False, formatters={"probability": "{:.3f}".format}))
    if len(table) > len(shown):
        print(f"… and {len(table) - len(shown)} more rows; --csv FILE writes all of them")
    called = (table["prediction"] == CLASS_NAMES[POSITIVE]).sum()
    print(f"\n{called} of {len(table)} at or above the threshold {run.threshold:.3f}.")
    write_csv(table, options.csv)
    print(NOTICE)
    return 0
