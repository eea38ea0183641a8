"""`fracturelib catalog`."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import TYPE_CHECKING

from fracturelib.cli.shared import NOTICE, add_command, add_data_options, csv_file, data_options, print_reading
from fracturelib.files.tables import safe_table
from fracturelib.writing.words import SPLIT_NAMES, counted

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("path", "split", "label", "patient_id", "study_id", "view", "laterality", "region", "device")  # of --csv
FIRST_ROWS, MOST_VALUES = 8, 12


def add_catalog(commands: argparse._SubParsersAction) -> None:
    """The parser of `catalog`."""
    parser = add_command(commands, "catalog", _catalog, "show what would be read of a folder of X-rays, and how")
    parser.add_argument("folder", metavar="DIR", help="a data set in any of the layouts that are known")
    parser.add_argument("--csv", metavar="FILE", help="write one row per picture to this file")
    add_data_options(parser)


def _catalog(options: argparse.Namespace) -> int:
    from fracturelib.catalog import survey

    with csv_file(options.csv, columns=COLUMNS, outside=[options.folder]) as file:
        table = survey(options.folder, polarity=options.polarity or "keep", options=data_options(options))
        shown = rows_to_show(table)
        safe_table(shown).to_csv(file, index=False, lineterminator="\n")
    print_reading(table)
    _print_counts(table)
    _print_values(table)
    _print_skipped(table)
    print(f"\nThe first of {counted(len(shown), 'row')}:")
    filled = [name for name in COLUMNS if (shown[name] != "").any()]
    print(shown[filled].head(FIRST_ROWS).to_string(index=False))
    if options.csv:
        print(f"\nTable:  {options.csv}")
    print(NOTICE)
    return 0


def rows_to_show(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of the CSV, "" for what is not known; a split that only training would make is not known."""
    from fracturelib.catalog import NO_SPLIT

    shown = table.reindex(columns=[*COLUMNS]).astype(object)
    shown["split"] = shown["split"].replace(NO_SPLIT, "")
    return shown.where(shown.notna(), "")


def _print_counts(table: pd.DataFrame) -> None:
    """Files, patients and studies by split and class; patients in two splits."""
    from fracturelib.catalog import class_name, describe, shared_sources

    kinds = [name for name in ("patient_id", "study_id") if name in table and table[name].notna().any()]
    heads = {"patient_id": "patients", "study_id": "studies"}
    print(f"\n{'split':<12}{'class':<15}{'files':>9}" + "".join(f"{heads[kind]:>10}" for kind in kinds))
    for row in describe(table).to_dict("records"):
        part = table[(table["split"] == row["split"]) & (table["label"].map(class_name) == row["class"])]
        split = SPLIT_NAMES.get(row["split"], "–")
        cells = "".join(f"{part[kind].nunique():>10,}" for kind in kinds)
        print(f"{split:<12}{row['class']:<15}{row['files']:>9,}{cells}")
    for row in shared_sources(table).itertuples():
        noun = "patients" if row.by == "patient_id" else "sources"
        print(f"LEAK: {row.sources} {noun} ({row.files} files) are in both splits of {row.splits}")


def _print_values(table: pd.DataFrame) -> None:
    """How often each view, side, region and device is there; how many boxes there are."""
    from fracturelib.catalog import boxes_of

    print()
    for name in ("view", "laterality", "region", "device"):
        if name in table and table[name].notna().any():
            counts = table[name].fillna("not known").astype(str).value_counts()
            more = f", {len(counts) - MOST_VALUES} more" if len(counts) > MOST_VALUES else ""
            values = ", ".join(f"{value} ({count:,})" for value, count in counts.head(MOST_VALUES).items())
            print(f"{name + ':':<12}{values}{more}")
    boxes = boxes_of(table)
    if len(boxes):
        print(f"{'boxes:':<12}{len(boxes):,} on {boxes['path'].nunique():,} files")


def _print_skipped(table: pd.DataFrame) -> None:
    """What was not read, counted by reason, each with its first file."""
    skipped = table.attrs.get("skipped", [])
    if not skipped:
        return
    print(f"\nskipped:    {counted(len(skipped), 'file')}")
    first = {one["problem"]: one["path"] for one in reversed(skipped)}
    for problem, count in Counter(one["problem"] for one in skipped).most_common(MOST_VALUES):
        print(f"  {count:,} × {problem} (first: {first[problem]})")
