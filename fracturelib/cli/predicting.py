"""`fracturelib predict`."""

from __future__ import annotations

import argparse
import csv
from typing import TYPE_CHECKING

from fracturelib.cli.shared import NOTICE, add_command, csv_file
from fracturelib.config import CLASS_NAMES, POSITIVE
from fracturelib.files.tables import as_text

if TYPE_CHECKING:
    from fracturelib.prediction import Predicted

ROWS_ON_SCREEN = 40


def add_predict(commands: argparse._SubParsersAction) -> None:
    """The parser of `predict`."""
    parser = add_command(commands, "predict", _predict, "estimate P(fractured) for files and folders of X-rays")
    parser.add_argument("folder", metavar="RUN", help="folder of the run, for example runs/demo")
    parser.add_argument("paths", nargs="+", metavar="FILE|FOLDER", help="X-rays; folders are searched through")
    parser.add_argument("--csv", metavar="FILE", help="write the table to this file")
    parser.add_argument("--strict", action="store_true", help="stop at a damaged file instead of skipping it")


def _predict(options: argparse.Namespace) -> int:
    from fracturelib.prediction import Predicted, predict_stream
    from fracturelib.runs import load_run

    run = load_run(options.folder)
    shown: list[Predicted] = []
    count = called = 0
    with csv_file(options.csv, columns=Predicted._fields, outside=[options.folder]) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Predicted._fields)
        for row in predict_stream(run, options.paths, strict=options.strict):
            writer.writerow(map(as_text, row))
            count, called = count + 1, called + (row.prediction == CLASS_NAMES[POSITIVE])
            if len(shown) < ROWS_ON_SCREEN:
                shown.append(row)
    _print_table(shown)
    if count > len(shown):
        print(f"… and {count - len(shown)} more rows; --csv FILE writes all of them")
    print(f"\n{called} of {count} at or above the threshold {run.threshold:.3f}.")
    if options.csv:
        print(f"Table:  {options.csv}")
    print(NOTICE)
    return 0


def _print_table(rows: list[Predicted]) -> None:
    cells = [("path", "probability", "prediction"), *((row[0], f"{row[1]:.3f}", row[2]) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    for row in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
