"""`fracturelib evaluate`."""

from __future__ import annotations

import argparse

from fracturelib.cli.shared import NOTICE, add_command, print_metrics, write_csv


def add_evaluate(commands: argparse._SubParsersAction) -> None:
    """The parser of `evaluate`."""
    parser = add_command(commands, "evaluate", _evaluate, "test a saved run, on its own data or on another folder")
    parser.add_argument("folder", metavar="RUN", help="folder of the run, for example runs/demo")
    parser.add_argument("--data", metavar="DIR", help="another data set (default: the run's own test split)")
    parser.add_argument("--csv", metavar="FILE", help="write one row per image to this file")
    parser.add_argument("--strict", action="store_true", help="stop at a damaged file instead of skipping it")


def _evaluate(options: argparse.Namespace) -> int:
    from fracturelib.pipeline import evaluate_run
    from fracturelib.runs import load_run

    run = load_run(options.folder)
    evaluation, predictions = evaluate_run(run, data=options.data, strict=options.strict)
    print_metrics(evaluation.to_dict(), options.data or run.config.data)
    print(f"Threshold {run.threshold:.3f}, chosen on the run's own validation images.")
    write_csv(predictions, options.csv)
    print(NOTICE)
    return 0
