"""How every benchmark begins and ends: its options; a table on screen, the same rows as JSON, and an exit code."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

from fracturelib.runtime import describe_machine


def options(name: str, description: str, *, quick: str) -> argparse.ArgumentParser:
    """The command line that all benchmarks share; `quick` says what --quick leaves out."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here")
    return parser


def row(
    check: str,
    value: float,
    ends: Sequence[float | None] = (None, None),
    bar: str = "",
    holds: bool = True,
) -> dict:
    """One line of the table; without `bar` it only informs. `ends` of the interval may be None or NaN."""
    low, high = (None if end is None or math.isnan(end) else float(end) for end in ends)
    return {"check": check, "value": float(value), "low": low, "high": high, "bar": bar, "holds": bool(holds)}


def finish(rows: list[dict], *, quick: bool, file: Path | None, form: str = ".3f") -> int:
    """Print the rows, write them to `file` where one is named; 1 if a row misses its bar, else 0.

    `form` is the format of the interval's ends, for example with a sign where rows are differences.
    """
    width = max(len(one["check"]) for one in rows)
    print(f"{'check':{width}} {'value':>7} {'95 % interval':>18}  {'bar':12} holds")
    for one in rows:
        interval = "" if one["low"] is None else f"{one['low']:{form}} … {one['high']:{form}}"
        holds = ("yes" if one["holds"] else "NO") if one["bar"] else ""
        print(f"{one['check']:{width}} {one['value']:7.3f} {interval:>18}  {one['bar']:12} {holds}")
    if file:
        content = {"machine": describe_machine(), "quick": quick, "rows": rows}
        file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0 if all(one["holds"] for one in rows) else 1
