"""`fracturelib watch`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from fracturelib.cli.shared import NOTICE, add_command, csv_file
from fracturelib.files.tables import safe_table
from fracturelib.writing.numbers import interval, number, percent
from fracturelib.writing.verdicts import Verdict

if TYPE_CHECKING:
    from fracturelib.prediction.watching import Change

CHANGED = 1


def add_watch(commands: argparse._SubParsersAction) -> None:
    """The parser of `watch`."""
    parser = add_command(
        commands, "watch", _watch, "say whether a folder without labels is like what a run knows (exit code 0 or 1)"
    )
    parser.add_argument("folder", metavar="RUN", help="folder of the run, for example runs/demo")
    parser.add_argument("new", metavar="FOLDER", help="new X-rays; labels are not used")
    parser.add_argument("--csv", metavar="FILE", help="write the comparisons to this file")


def _watch(options: argparse.Namespace) -> int:
    from fracturelib.prediction.watching import Change, watch
    from fracturelib.runs import load_run

    run = load_run(options.folder)
    with csv_file(options.csv, columns=Change._fields, outside=[options.folder, options.new]) as file:
        table = watch(run, options.new)
        safe_table(table).to_csv(file, index=False, lineterminator="\n")
    changes = [Change(*row) for row in table.itertuples(index=False)]
    changed = [change for change in changes if change.verdict in (Verdict.HIGHER, Verdict.LOWER)]
    for change in changes:
        print(f"{'CHANGED' if change in changed else 'same':<9}{_told(change)}")
    if not changed:
        print("\nNo change is shown. (95 % confidence over all lines together.)")
    else:
        print(f"\n{len(changed)} of {len(changes)} comparisons show a change: the run's numbers may not hold here.")
    print(NOTICE)
    return CHANGED if changed else 0


def _told(change: Change) -> str:
    """One comparison in words, with the interval of its change."""
    from math import exp

    from fracturelib.prediction.watching import Subject

    name = f"{change.subject} {change.detail}".strip()
    if change.subject in (Subject.SIZE, Subject.DISTANCE):  # logs: what is told is a ratio
        low, high = (percent(exp(end) - 1) for end in (change.low, change.high))
        unit = " pixels" if change.subject == Subject.SIZE else ""
        return (
            f"{name}: {exp(change.known):.0f}{unit} before, {exp(change.new):.0f}{unit} here "
            f"({percent(exp(change.difference) - 1)}; {low} to {high})"
        )
    if change.subject in (Subject.BRIGHTNESS, Subject.CONTRAST):
        ends = interval(change.low, change.high, signed=True)
        return (
            f"{name}: {number(change.known)} before, {number(change.new)} here (difference {ends}, of a range 0 to 1)"
        )
    ends = f"{100 * change.low:+.0f} to {100 * change.high:+.0f} points"
    return f"{name}: {percent(change.known)} before, {percent(change.new)} here ({ends})"
