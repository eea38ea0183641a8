"""From copies to sources: what the files show and what their names say, leaks, and the effective sample size."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from fracturelib.audit.copies import EVIDENCE, Copies
from fracturelib.audit.reading import read_one
from fracturelib.audit.registration import compare_either_way
from fracturelib.catalog import NO_SPLIT, UNKNOWN, class_name
from fracturelib.catalog.splits import group_numbers
from fracturelib.config import SPLITS
from fracturelib.evaluation import wilson_interval

EXAMPLE_ACCURACY = 0.9  # whose interval shows what copies do to it
SPLIT_ORDER = (*SPLITS, NO_SPLIT)
LEAK_COLUMNS = ("kind", "source_id", "files", "where", "one", "other", "how", *EVIDENCE)
MOST_COMPARED = 24  # leaks whose pair is laid on each other once more, for the evidence


def with_sources(table: pd.DataFrame, copies: Copies, *, names: bool) -> pd.DataFrame:
    """A new table in the same order: `source_id` joins what shows the same radiograph, `source_by` says how we know.

    With `names`, files that share a source_id before (by file name or metadata.csv) stay together, and the first
    file's id stands for all. Without, the pictures alone decide, and the first file's path names the source.
    `source_by` is "pictures", "names", "pictures and names", or "" for a file without a copy.
    """
    named = table["source_id"].to_numpy(object) if names else np.arange(len(table))
    joined = group_numbers(pd.DataFrame({"source_id": named, "picture": copies.groups}), "picture")
    label = named if names else table["path"].str.replace(r"\.[^./]+$", "", regex=True).to_numpy(object)
    first = pd.Series(label).groupby(joined).transform("first").to_numpy(object)
    alone = pd.Series(joined).groupby(joined).transform("size").to_numpy() == 1
    by_picture = pd.Series(copies.groups).groupby(copies.groups).transform("size").to_numpy() > 1
    by_name = pd.Series(named).groupby(named).transform("size").to_numpy() > 1
    kinds = np.select([alone, by_picture & by_name, by_picture], ["", "pictures and names", "pictures"], "names")
    return table.assign(source_id=first, source_by=kinds)


def sample_size(table: pd.DataFrame) -> pd.DataFrame:
    """Files beside sources, by split and class, and what that does to the interval of an accuracy.

    Returns:
        columns split, class ("both" for a whole split), files, sources, effective (files that count, after Kish,
        *Survey Sampling* (1965): (Σm)² / Σm² for sources with m files, which is right if copies succeed or fail
        together), and 95 % Wilson intervals of an accuracy of 90 %: `by_files_low`, `by_files_high` as if all files
        were independent, `low`, `high` with the effective number.
    """
    rows = []
    for split in _present(table):
        part = table[table["split"] == split]
        rows += [_size_row(split, class_name(label), group) for label, group in part.groupby("label")]
        if len(set(part["label"])) > 1:
            rows.append(_size_row(split, "both", part))
    return pd.DataFrame(rows)


def _size_row(split: str, name: str, part: pd.DataFrame) -> dict:
    sizes = part.groupby("source_id").size().to_numpy(float)
    effective = sizes.sum() ** 2 / (sizes**2).sum()
    naive, honest = (wilson_interval(EXAMPLE_ACCURACY * n, n) for n in (len(part), effective))
    return {
        "split": split,
        "class": name,
        "files": len(part),
        "sources": len(sizes),
        "effective": float(effective),
        "by_files_low": naive[0],
        "by_files_high": naive[1],
        "low": honest[0],
        "high": honest[1],
    }


def find_leaks(table: pd.DataFrame, links: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Sources in several splits ("split") and sources with both labels ("label"), one pair of files each.

    Where no link joins the two sides directly, a pair of files below `root` is read again and compared.

    Returns:
        columns kind, source_id, files (of the source), where ("train 3, val 1"), the paths `one` and `other` of a pair
        that shows it, `how` the pair is known ("same pixels", "registered", "through other copies" or "by name only"),
        and the evidence of its registration (NaN where there is none). Pairs with evidence come first.
    """
    rows: list[dict] = []
    sources, files = table["source_id"].tolist(), list(zip(table["path"], table["source_by"], strict=True))
    inside = defaultdict(list)  # plain lists: a table for each of ten thousand sources takes minutes
    for link in links.to_dict("records"):
        inside[sources[int(link["one"])]].append(link)
    for kind, column in (("split", "split"), ("label", "label")):
        unknown = NO_SPLIT if kind == "split" else UNKNOWN
        members: dict[object, dict[int, object]] = defaultdict(dict)
        for number, (source, side) in enumerate(zip(sources, table[column].tolist(), strict=True)):
            if side != unknown:
                members[source][number] = side
        for source, sides in members.items():
            if len(set(sides.values())) > 1:
                row = _leak(kind, sides, inside[source], files, root if len(rows) < MOST_COMPARED else None)
                rows.append(row | {"source_id": source})
    leaks = pd.DataFrame(rows, columns=list(LEAK_COLUMNS))
    rank = leaks["how"].map({"same pixels": 0, "registered": 0, "through other copies": 1, "by name only": 2})
    return leaks.iloc[np.lexsort((rank, leaks["kind"] == "split"))].reset_index(drop=True)


def patients_in_several_splits(table: pd.DataFrame) -> int:
    """How many patients have files in more than one split; 0 where patients are not known."""
    if "patient_id" not in table:
        return 0
    known = table[table["patient_id"].notna() & (table["split"] != NO_SPLIT)]
    return int((known.groupby("patient_id")["split"].agg(lambda splits: len(set(splits))) > 1).sum())


def _leak(
    kind: str, sides: dict[int, object], links: list[dict], files: Sequence[tuple[str, str]], root: Path | None
) -> dict:
    """One row: the pair with the best evidence among those on different sides; without `root`, no new comparison.

    `sides` are the split or label of each file of a source, by its number, `files` the path and the `source_by` of all.
    """
    names = [class_name(side) if kind == "label" else side for side in sides.values()]  # type: ignore[arg-type]
    where = ", ".join(f"{name} {count}" for name, count in Counter(names).items())
    row = {"kind": kind, "files": len(sides), "where": where}
    within = [link for link in links if link["one"] in sides and link["other"] in sides]
    crossing = [link for link in within if sides[link["one"]] != sides[link["other"]]]
    if crossing:
        best = max(crossing, key=lambda link: np.inf if np.isnan(link["correlation"]) else link["correlation"])
        pair = {name: files[int(best[name])][0] for name in ("one", "other")}
        return row | pair | {key: best[key] for key in ("how", *EVIDENCE)}
    pair = dict(zip(("one", "other"), (files[number][0] for number in _first_pair(sides)), strict=True))
    fit = None if root is None else compare_either_way(*(read_one(root / path) for path in pair.values()))
    if fit is not None:
        return row | pair | {"how": "registered", **fit.to_dict()}
    by_picture = within and {files[number][1] for number in sides} & {"pictures", "pictures and names"}
    return row | pair | {"how": "through other copies" if by_picture else "by name only"}


def _first_pair(sides: dict[int, object]) -> tuple[int, int]:
    return next((one, other) for one, other in combinations(sides, 2) if sides[one] != sides[other])


def _present(table: pd.DataFrame) -> list[str]:
    return [split for split in SPLIT_ORDER if (table["split"] == split).any()]
