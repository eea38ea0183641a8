"""What is in the folder: counts, sizes, modes, bit depths, and files that are damaged."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from fracturelib.catalog import UNKNOWN
from fracturelib.writing.numbers import percent

MOST_SIZES = 3  # sizes that are named


def problem_table(table: pd.DataFrame, skipped: Sequence[dict[str, str]]) -> pd.DataFrame:
    """Columns path, problem, used: unusable files, then truncated ones, which are used as far as they go."""
    rows = [{**one, "used": False} for one in skipped]
    cut = table.loc[table["truncated"].astype(bool), "path"] if "truncated" in table else []
    rows += [{"path": path, "problem": "truncated: the file ends early", "used": True} for path in cut]
    return pd.DataFrame(rows, columns=["path", "problem", "used"])


def inventory_facts(table: pd.DataFrame, problems: pd.DataFrame) -> pd.DataFrame:
    """Columns fact, value, as text for a reader."""
    known = table[table["label"] != UNKNOWN]
    facts = [
        ("usable files", f"{len(table):,}"),
        ("different radiographs (sources)", f"{table['source_id'].nunique():,}"),
        ("unusable files", f"{int((~problems['used'].astype(bool)).sum()):,}"),
        ("truncated files", f"{int(problems['used'].astype(bool).sum()):,}"),
    ]
    if len(known):
        by_source = known.groupby("source_id")["label"].max().mean()
        share = f"{percent(known['label'].mean())} of the files, {percent(by_source)} of the sources"
        facts.append(("share that is fractured", share))
    facts.append(("sizes in pixels", _sizes(table)))
    facts += [
        (name, _most_common(table[column]))
        for column, name in (("mode", "modes"), ("bit_depth", "bits per channel"))
        if column in table
    ]
    return pd.DataFrame(facts, columns=["fact", "value"])


def _sizes(table: pd.DataFrame) -> str:
    sizes = table["width"].astype(int).astype(str) + "×" + table["height"].astype(int).astype(str)
    area = table["width"] * table["height"]
    span = f"; from {sizes[area.idxmin()]} to {sizes[area.idxmax()]}" if len(set(sizes)) > 1 else ""
    return f"{sizes.nunique():,} different; {_most_common(sizes, MOST_SIZES)}{span}"


def _most_common(values: pd.Series, most: int = 6) -> str:
    counts = values.astype(str).value_counts()
    more = f", {len(counts) - most} more" if len(counts) > most else ""
    return ", ".join(f"{value} ({count:,})" for value, count in counts.head(most).items()) + more
