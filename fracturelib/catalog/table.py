"""A folder tree → the one table that describes a data set, and its splits.

Everything downstream reads this table and keeps its row order; the columns are named in `read_catalog`.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from fracturelib.catalog.about import About, Skipped
from fracturelib.catalog.assembling import completed, find_data
from fracturelib.catalog.kept import KeptFacts
from fracturelib.catalog.layout import check_classes, check_splits, is_flat, list_files, unusable
from fracturelib.catalog.naming import UNKNOWN
from fracturelib.catalog.options import DEFAULTS, DataOptions
from fracturelib.catalog.split_list import apply_split_list
from fracturelib.catalog.splits import complete_splits, make_missing_splits
from fracturelib.config import SPLITS
from fracturelib.errors import CatalogError, DataWarning
from fracturelib.images import ImageFacts, Polarity, inspect_image
from fracturelib.runtime.pool import ordered, workers
from fracturelib.runtime.processes import spread
from fracturelib.writing.words import counted, few, in_brackets, printable

COLUMNS = (
    "path",
    "split",
    "label",
    "source_id",
    "width",
    "height",
    "truncated",
    "sha256",
    "grey_mean",
    "grey_std",
    "content",
)
_FACTS = [one.name for one in fields(ImageFacts)]
FILES_AT_ONCE = 32  # that one of several machines' processes reads, at least
TOGETHER = 8  # of these that a worker is given at once
POLARITY_COLUMNS = ("inverted", "turned")  # of a table only where a picture is so


def read_catalog(
    root: str | Path,
    *,
    strict: bool = False,
    make_split: bool = False,
    keep_conflicts: bool = False,
    polarity: str = Polarity.KEEP,
    seed: int = 0,
    options: DataOptions = DEFAULTS,
    only_tested: bool = False,
    kept: KeptFacts | None = None,
) -> pd.DataFrame:
    """Read a data set in any of the layouts of `fracturelib.catalog.layouts`, to train on or to test with.

    Class folders are `root/{train,val,test}/{fractured,not fractured}/…`; a root with just the two class folders
    counts as one split "test". A `clean_split.csv` in the root, as the audit writes it, overrules the split of the
    folders, with a warning. In every other layout a split that does not come with the set is made by patient (or
    source), and does not depend on `seed`. Files of unknown label are left out, with one warning. Every image is
    decoded once, so that a bad file is known here and not in the middle of training. Hidden files are ignored;
    other files that are no usable image are skipped with one warning, and truncated JPEGs counted in one. Files
    with the same pixels under both labels are left out with one warning.

    Args:
        root: the data set's folder; a `metadata.csv` in it adds columns (see `join_metadata`).
        strict: an unusable or truncated file is an error.
        make_split: make a missing val or test from train, by source (and patient, where known), 15 % of the
            files each.
        keep_conflicts: keep files with the same pixels under both labels.
        polarity: "keep" pictures that look inverted as they are stored, with one warning, or "fix" them.
        seed: of `make_split`.
        options: which layout it is, where its labels are, what its classes mean, whether ids are kept.
        only_tested: a set without a test split is a test set as a whole; not for class folders in splits.
        kept: gives the facts of files that did not change, and keeps those of the others; None reads every file.

    Returns:
        one row per image, sorted by split (train, val, test), class and path, with the columns path (posix,
        relative to root), split, label (1 = fractured), source_id (files with the same pixels share one, whatever
        their names and metadata.csv say), width, height (pixels), truncated (bool), sha256 (of the file), grey_mean,
        grey_std (brightness and contrast, 0…1), content (hash of the grey pixels), and what else is known from paths,
        tags, the layout's own tables and metadata.csv. Patients are called P0001 …, unless `options` keeps their ids.
        Where a picture looks inverted, there are the columns inverted (bool) and turned (bool: bright and dark are
        exchanged whenever it is read). `attrs["root"]` is the root as given, `attrs["skipped"]` a list of {"path",
        "problem", "kind"}, where kind says what a file holds instead, or is ""; `about(table)` says how it was read.

    Raises:
        CatalogError: no layout fits, a split lacks a class, or a table is broken.
    """
    root = Path(root)
    found = find_data(root, options)
    by_folders = found is None or found.is_folders
    table = list_files(root) if found is None else found.listing.table
    about = About() if found is None else found.about
    table, unlabelled = _labelled(apply_split_list(table, root), root)
    if by_folders:
        check_splits(table, root, make_split=make_split)
    table, skipped = _inspect(table, root, strict=strict, polarity=polarity, kept=kept)
    if found is not None and found.listing.skipped:
        skipped = [*found.listing.skipped, *skipped]
        kinds = Counter(one["problem"] for one in found.listing.skipped)
        said = "; ".join(f"{count} × {problem}" for problem, count in kinds.most_common())
        warnings.warn(f"skipped: {said}", DataWarning, stacklevel=2)
    if not keep_conflicts:
        table, conflicts = _without_conflicts(table)
        skipped += conflicts
    if by_folders:
        check_classes(table, root, skipped)
    elif table.empty:
        raise unusable("not one labelled file is a usable image", root, skipped)
    table, boxes = completed(table, columns_of(table, COLUMNS), root, found, options)
    if by_folders and make_split:
        table = make_missing_splits(table, seed, flat=is_flat(table))
    elif not by_folders:
        table, notes = complete_splits(table, only_tested=only_tested)
        about = about.saying(*notes)
        check_classes(table, root, skipped)
    table = in_order(table, SPLITS)
    about = replace(about, boxes=boxes, unlabelled=unlabelled)
    table.attrs = {"root": str(root), "skipped": Skipped(skipped), "about": about}
    return table


def _labelled(table: pd.DataFrame, root: Path) -> tuple[pd.DataFrame, int]:
    """The rows whose label is known, and how many are not; one warning says so."""
    unknown = table["label"] == UNKNOWN
    if unknown.all():
        cause = "the folder or its table says of no file what it shows"
        cure = "name a table with --labels FILE; `fracturelib predict` needs no labels"
        raise CatalogError("no file has a label", file=root, cause=cause, cure=cure)
    if unknown.any():
        count = int(unknown.sum())
        warnings.warn(f"of unknown label: {counted(count, 'file')}, left out", DataWarning, stacklevel=3)
    return table[~unknown].reset_index(drop=True), int(unknown.sum())


def fingerprint(table: pd.DataFrame) -> str:
    """SHA-256 (hex) over path, split, label and sha256 of all rows; their order does not matter."""
    rows = sorted(zip(table["path"], table["split"], table["label"].astype(int), table["sha256"], strict=True))
    return hashlib.sha256(json.dumps([list(map(str, row)) for row in rows]).encode()).hexdigest()


def inspect_files(
    table: pd.DataFrame, root: Path, *, polarity: str = Polarity.KEEP, kept: KeptFacts | None = None
) -> pd.DataFrame:
    """The table with the facts of every file (`ImageFacts`) as further columns; each file is decoded once.

    A name that is no UTF-8 is escaped, and makes the file unusable: neither tables nor pages could name it.
    """
    read = partial(_inspect_each, polarity=polarity)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # damaged files are summarised by the caller
        if kept is None:
            facts = list(read([root / path for path in table["path"]]))
        else:
            facts = kept.inspect(root, table["path"].tolist(), read, polarity=polarity)
    found = pd.DataFrame([vars(one) for one in facts], columns=_FACTS, index=table.index)
    return table.assign(path=table["path"].map(printable)).join(found)


def _inspect_each(files: list[Path], *, polarity: str) -> Iterator[ImageFacts]:
    """The facts of files, in order."""
    found = spread(partial(_inspect_some, polarity=polarity), files, size=FILES_AT_ONCE)
    yield from tqdm(found, total=len(files), desc="Checking images", unit="file", delay=2)


def _inspect_some(files: list[Path], *, polarity: str) -> Iterator[ImageFacts]:
    with workers(len(files)) as pool:
        yield from ordered(pool, partial(_inspect_named, polarity=polarity), files, together=TOGETHER)


def columns_of(table: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """These columns, and those of polarity where they say something."""
    return [*columns, *POLARITY_COLUMNS] if table["inverted"].any() else list(columns)


def skipped_files(table: pd.DataFrame) -> list[dict[str, str]]:
    """{"path", "problem", "kind"} of the files that `inspect_files` found unusable."""
    return table.loc[table["problem"].notna(), ["path", "problem", "kind"]].to_dict("records")


def _inspect_named(files: list[Path], *, polarity: str) -> list[ImageFacts]:
    """The facts of files whose names can be written into a table; the name of any other one is its problem."""
    unnamed = ImageFacts(problem="its name is not UTF-8: rename it")
    return [inspect_image(file, polarity=polarity) if printable(str(file)) == str(file) else unnamed for file in files]


def in_order(table: pd.DataFrame, splits: Sequence[str]) -> pd.DataFrame:
    """The rows sorted by split, class and path, numbered anew."""
    rank = table["split"].map({split: place for place, split in enumerate(splits)})
    order = np.lexsort((table["path"].to_numpy(str), table["label"], rank))
    return table.iloc[order].reset_index(drop=True)


def _inspect(
    table: pd.DataFrame, root: Path, *, strict: bool, polarity: str, kept: KeptFacts | None
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """The usable rows with the facts of their files, and the unusable ones with their problems."""
    table = inspect_files(table, root, polarity=polarity, kept=kept)
    skipped, usable = skipped_files(table), table["problem"].isna()
    if skipped:
        named = few([f"{one['path']} ({one['problem']})" for one in skipped])
        kinds = Counter(one["kind"] for one in skipped if one["kind"])
        what = f"not usable as radiographs: {counted(len(skipped), 'file')}{in_brackets(kinds)}"
        _complain(what, "skipped", named, root, strict)
    usable_rows = table[usable].reset_index(drop=True)
    cut = usable_rows.loc[usable_rows["truncated"], "path"].tolist()
    if cut:
        _complain(f"truncated: {counted(len(cut), 'JPEG')}", "decoded as far as possible", few(cut), root, strict)
    _warn_of(usable_rows, usable_rows["frames"] > 1, "several pictures in one file: {}, the first one is read")
    done = "turned" if polarity == Polarity.FIX else "read as stored (polarity 'fix' turns them)"
    _warn_of(usable_rows, usable_rows["inverted"], "dark bone before bright air, as it seems: {}, " + done)
    return usable_rows, skipped


def _warn_of(table: pd.DataFrame, which: pd.Series, what: str) -> None:
    paths = table.loc[which, "path"].tolist()
    if paths:
        warnings.warn(f"{what.format(counted(len(paths), 'file'))}: {few(paths)}", DataWarning, stacklevel=4)


def _complain(what: str, done: str, named: str, root: Path, strict: bool) -> None:
    if strict:
        raise CatalogError(
            f"{what}: {named}",
            file=root,
            cause="an interrupted copy or download, files that are no images, or a missing permission",
            cure="fetch, remove or allow to read these files, or leave out --strict (strict=True)",
        )
    warnings.warn(f"{what}, {done}: {named}", DataWarning, stacklevel=4)


def _without_conflicts(table: pd.DataFrame) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Leave out files that show the same pixels under both labels: at least one of the labels is wrong."""
    conflict = table.groupby("content")["label"].transform("nunique") > 1
    if not conflict.any():
        return table, []
    pairs = table[conflict].groupby("content", sort=False)["path"].agg(" = ".join)
    warnings.warn(
        f"same content under both classes: {counted(int(conflict.sum()), 'file')}, left out "
        f"(keep_conflicts=True keeps them): {'; '.join(pairs)}",
        DataWarning,
        stacklevel=3,
    )
    problem = "same content as a file of the other class"
    return table[~conflict].reset_index(drop=True), [
        {"path": path, "problem": problem, "kind": ""} for path in table.loc[conflict, "path"]
    ]
