"""The audit in sentences, the same on screen and in the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from fracturelib.audit.result import Audit
from fracturelib.writing.numbers import interval, percent
from fracturelib.writing.words import SPLIT_NAMES


def headline(audit: Audit) -> str:
    """How many radiographs there really are."""
    if audit.n_files == audit.n_sources:
        return f"{audit.n_files:,} files, and as many different radiographs: no copies were found."
    return f"{audit.n_files:,} files, but only {audit.n_sources:,} different radiographs."


def verdicts(audit: Audit) -> list[str]:
    """What the reader should do something about, worst first; empty where nothing was found."""
    found = []
    kinds = audit.leaks["kind"].value_counts()
    if "split" in kinds:
        crossing = audit.leaks.loc[audit.leaks["kind"] == "split", "source_id"]
        files = int(audit.table["source_id"].isin(set(crossing)).sum())
        found.append(
            f"LEAK: {kinds['split']:,} radiographs have copies in more than one split ({files:,} files). A score on "
            "these splits measures memory."
        )
    if "label" in kinds:
        found.append(f"CONTRADICTION: {kinds['label']:,} radiographs carry both labels.")
    for row in audit.shortcuts[audit.shortcuts["flagged"].astype(bool)].itertuples():
        ends = interval(row.low, row.high, 2)
        ends = f" (95 % interval {ends})" if ends else ""
        chance = "; this may be chance" if not pd.isna(row.low) and row.low <= 0.5 else ""
        signs = row.signs.removesuffix(" only")
        found.append(
            f"SHORTCUT: {signs} alone tell the label with an AUC of {row.auc:.2f}{ends}{chance}. Tells most: "
            f"{row.carrier}, {row.direction} in fractured files."
        )
    return found


def summary(audit: Audit) -> list[str]:
    """The lines that the command prints."""
    lines = [
        headline(audit),
        "",
        "split       class          files  sources   90 % accuracy means, by files · honestly",
    ]
    for row in audit.sample_size.to_dict("records"):
        split = SPLIT_NAMES.get(row["split"], row["split"])
        naive, honest = ninety_percent(row)
        lines.append(f"{split:<11} {row['class']:<13} {row['files']:>6,} {row['sources']:>8,}   {naive} · {honest}")
    if len(audit.problems):
        used = audit.problems["used"].astype(bool)
        lines += ["", f"damaged files: {int((~used).sum())} left out, {int(used.sum())} truncated but used"]
    if len(audit.shortcuts):
        lines += ["", "without looking at the bone         AUC   95 % interval   what tells most"]
        lines += [_shortcut_line(row) for row in audit.shortcuts.itertuples()]
    return [*lines, "", *(verdicts(audit) or ["No leak and no strong shortcut was found."]), *audit.notes]


def ninety_percent(row: Mapping[str, Any]) -> tuple[str, str]:
    """What an accuracy of 90 % would mean in this part of the set: by the number of files, and of those that count."""
    return (
        f"{percent(row['by_files_low'])} to {percent(row['by_files_high'])}",
        f"{percent(row['low'])} to {percent(row['high'])}",
    )


def _shortcut_line(row: Any) -> str:
    if pd.isna(row.auc):
        return f"{row.signs:<34} {'–':>5}   {row.note}"
    note = f" ({row.note})" if row.note else ""
    return f"{row.signs:<34} {row.auc:>5.2f}   {interval(row.low, row.high, 2):<14}  {row.carrier}{note}"
