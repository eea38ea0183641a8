"""What several commands share: the shape of a parser, the table of metrics, the CSV file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from fracturelib.config import CLASS_NAMES
from fracturelib.errors import FracturelibError

PRINTED_METRICS = ("accuracy", "auc", "sensitivity", "specificity")
NOTICE = "For teaching and research; no medical device."


def add_command(
    commands: argparse._SubParsersAction, name: str, run: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    """A sub-command; `run` gets the parsed options and returns the exit code."""
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=NOTICE)
    parser.set_defaults(run=run)
    return parser


def print_metrics(metrics: dict, data: str) -> None:
    """The model and both baselines, one metric a line, with the interval where it can be given."""
    print(
        f"{metrics['set_name'].capitalize()} set in {data}: {metrics['n_files']} images from {metrics['n_sources']} "
        f"sources, {metrics['n_fractured']} fractured\n"
    )
    models = list(dict.fromkeys(row["model"] for row in metrics["comparison"]))
    cells = {(row["model"], row["metric"]): _cell(row) for row in metrics["comparison"]}
    print(" " * 20 + "".join(f"{name:<22}" for name in models))
    for metric in PRINTED_METRICS:
        print(f"{metric:<20}" + "".join(f"{cells[name, metric]:<22}" for name in models))
    print("\n[ ]: 95 % interval, bootstrap over sources")
    for row in metrics["confusion"]:
        called = ", ".join(f"{row[name]} called {name}" for name in CLASS_NAMES)
        print(f"{row['truth']}: {called}")
    for sentence in metrics["warnings"]:
        print(f"warning: {sentence}")


def _cell(row: dict) -> str:
    if row["value"] is None:
        return "not estimable"
    interval = "" if row["low"] is None else f" [{row['low']:.3f}, {row['high']:.3f}]"
    return f"{row['value']:.3f}{interval}"


def write_csv(table, path: str | None) -> None:
    """Write beside the final name and rename: an interrupted write leaves no half table."""
    if path is None:
        return
    target = Path(path)
    if not target.parent.is_dir():
        raise FracturelibError("the folder for --csv does not exist", file=target.parent, cure="make it first")
    partial = target.with_name(target.name + ".part")
    table.to_csv(partial, index=False)
    partial.replace(target)
    print(f"Table:  {target}")
