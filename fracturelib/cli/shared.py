"""What several commands share: the shape of a parser, the table of metrics, the CSV file."""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fracturelib.config import CLASS_NAMES
from fracturelib.errors import FracturelibError

PRINTED_METRICS = ("accuracy", "auc", "average_precision", "sensitivity", "specificity")
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
    unit = metrics.get("unit", "sources")  # a run of an older version counted sources
    patients = f" of {metrics['n_units']} {unit}" if unit != "sources" else ""
    print(
        f"{metrics['set_name'].capitalize()} set in {data}: {metrics['n_files']} images from {metrics['n_sources']} "
        f"sources{patients}, {metrics['n_fractured']} fractured\n"
    )
    models = list(dict.fromkeys(row["model"] for row in metrics["comparison"]))
    cells = {(row["model"], row["metric"]): _cell(row) for row in metrics["comparison"]}
    print(" " * 20 + "".join(f"{name:<22}" for name in models).rstrip())
    for metric in PRINTED_METRICS:
        print(f"{metric:<20}" + "".join(f"{cells[name, metric]:<22}" for name in models).rstrip())
    print(f"\n[ ]: 95 % interval, bootstrap over {unit}")
    for row in metrics["confusion"]:
        called = ", ".join(f"{row[name]} called {name}" for name in CLASS_NAMES)
        print(f"{row['truth']}: {called}")
    for sentence in metrics["warnings"]:
        print(f"warning: {sentence}")


def print_differences(table, names: tuple[str, str], words: dict[str, str]) -> None:
    """A table of `compare` or `drop_table`: both values, the difference with its interval, and the verdict in words."""
    print(f"{'':<14}{names[0]:<16}{names[1]:<16}difference [95 % interval]")
    for row in table.to_dict("records"):
        values = "".join(f"{_plain(row[side]):<16}" for side in ("first", "second"))
        ends = "" if math.isnan(row["low"]) else f" [{row['low']:+.3f}, {row['high']:+.3f}]"
        difference = "" if math.isnan(row["difference"]) else f"{row['difference']:+.3f}{ends}"
        print(f"{row['metric']:<14}{values}{difference:<26}{words.get(row['verdict'], row['verdict'])}".rstrip())


def _plain(value: float) -> str:
    return "not estimable" if math.isnan(value) else f"{value:.3f}"


def _cell(row: dict) -> str:
    if row["value"] is None:
        return "not estimable"
    interval = "" if row["low"] is None else f" [{row['low']:.3f}, {row['high']:.3f}]"
    return f"{row['value']:.3f}{interval}"


@contextmanager
def csv_writer(path: str | None, columns: Sequence[str]) -> Iterator[Callable[[Sequence], None]]:
    """A function that writes one row as soon as it is known, beside the final name; renamed when all went well.

    With no path the rows are dropped. Raises FracturelibError, before any work, when the folder does not exist.
    """
    if path is None:
        yield lambda row: None
        return
    target = csv_target(path)
    partial = target.with_name(target.name + ".part")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            yield writer.writerow
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def csv_target(path: str) -> Path:
    """The file for --csv, if its folder exists."""
    target = Path(path)
    if not target.parent.is_dir():
        raise FracturelibError("the folder for --csv does not exist", file=target.parent, cure="make it first")
    return target


def write_csv(table, path: str | None) -> None:
    """Write beside the final name and rename: an interrupted write leaves no half table."""
    if path is None:
        return
    target = csv_target(path)
    partial = target.with_name(target.name + ".part")
    table.to_csv(partial, index=False)
    partial.replace(target)
    print(f"Table:  {target}")
