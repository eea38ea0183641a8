"""Splits that keep every copy of a radiograph, and every patient, on one side."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
import scipy

from fracturelib.catalog.naming import NO_SPLIT, UNKNOWN, class_name
from fracturelib.config import CLASS_NAMES, SPLITS
from fracturelib.errors import CatalogError

MADE_FRACTION = 0.15  # of train's files, for each split that is made


def resplit(
    table: pd.DataFrame,
    *,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    by: str = "source_id",
    seed: int = 0,
) -> pd.DataFrame:
    """A new table in the same row order with the splits drawn anew, stratified by class.

    A group never lands in two splits: a group is everything connected through `source_id` or the column
    `by`, so that a split by patient holds a patient's unlabelled copies together too. Both classes come
    into every split that has a fraction above 0.

    Args:
        table: as `read_catalog` returns it.
        fractions: shares of the files for train, val and test; their sum is 1. They are met as well as
            whole groups allow.
        by: "source_id", "patient_id" or another column.
        seed: of the order in which groups are dealt; the order of the rows and their split before do not count.

    Raises:
        CatalogError: bad fractions, no such column, or too few groups for both classes in every split.
    """
    _check_fractions(fractions)
    if by not in table.columns:
        raise CatalogError(f"the table has no column '{by}'", cure="split by source_id, or name it in metadata.csv")
    # In the order of the paths, so that rows in another order, as after an earlier split, are dealt alike.
    order = table["path"].argsort(kind="stable").to_numpy()
    ordered = table.iloc[order]
    split = np.empty(len(table), object)
    split[order] = np.array(SPLITS, object)[
        deal(group_numbers(ordered, by), ordered["label"].to_numpy(), np.asarray(fractions, float), seed)
    ]
    return table.assign(split=split)


def grouping_column(table: pd.DataFrame) -> str:
    """The coarsest column that says which files belong together: the patient where the table knows one."""
    return "patient_id" if "patient_id" in table else "source_id"


def group_numbers(table: pd.DataFrame, by: str = "source_id") -> np.ndarray:
    """A group number per row, (N,): rows that share a source or a value of `by`, directly or through others."""
    sources = pd.factorize(table["source_id"])[0]
    others = pd.factorize(table[by])[0]  # -1 where unknown
    known = others >= 0
    n_sources, n_all = sources.max(initial=-1) + 1, sources.max(initial=-1) + others.max(initial=-1) + 2
    edges = (np.ones(known.sum()), (sources[known], n_sources + others[known]))
    joined = scipy.sparse.coo_array(edges, shape=(n_all, n_all))
    component = scipy.sparse.csgraph.connected_components(joined, directed=False)[1]
    return pd.factorize(component[sources])[0]


def join_equal_pixels(table: pd.DataFrame) -> pd.DataFrame:
    """A new table in which rows with the same `content` share one source_id, that of the first of them.

    Rows that shared a source_id before still do.
    """
    first = table["source_id"].groupby(group_numbers(table, "content")).transform("first")
    return table.assign(source_id=first)


def deal(groups: np.ndarray, labels: np.ndarray, fractions: np.ndarray, seed: int) -> np.ndarray:
    """Deal whole groups to splits, each time to the split that lacks most files; the place of each row, (N,).

    Groups with both classes come first, then the pure ones of each class. As long as more than enough groups
    are left, only the number of files counts; the last ones go where a class is still missing.
    """
    places = np.flatnonzero(fractions > 0)
    counts = pd.crosstab(groups, labels).reindex(columns=[0, 1], fill_value=0).to_numpy()  # (groups, 2)
    order = np.random.default_rng(seed).permutation(len(counts))
    kind = [(counts[order] > 0).all(axis=1), counts[order, 1] == 0, counts[order, 0] == 0]
    mixed, *pure = (order[rows] for rows in kind)
    _check_enough(len(mixed), [len(pure[0]), len(pure[1])], len(places))
    want = fractions[:, None] * counts.sum(axis=0)  # (splits, 2) files still wanted
    has = np.zeros((len(fractions), 2), bool)
    place_of = np.zeros(len(counts), int)
    must_mix = max(0, len(places) - min(len(pure[0]), len(pure[1])))  # splits that only a mixed group can complete
    for stratum, classes in ((mixed, [0, 1]), (pure[0], [0]), (pure[1], [1])):
        for rank, group in enumerate(stratum):
            lacking = [p for p in places if not has[p, classes].all()]
            needed = must_mix - (len(places) - len(lacking)) if len(classes) == 2 else len(lacking)
            open_to = lacking if needed >= len(stratum) - rank else places
            best = max(open_to, key=lambda p: want[p, classes].sum())
            place_of[group] = best
            want[best] -= counts[group]
            has[best] |= counts[group] > 0
    return place_of[groups]


def make_missing_splits(table: pd.DataFrame, seed: int, *, flat: bool) -> pd.DataFrame:
    """A new table with a missing val or test made from train, 15 % of its files each; from all files where the set is
    `flat`. Sources and patients stay together."""
    by = grouping_column(table)
    missing = [split for split in SPLITS if split not in set(table["split"])]
    if not missing:
        return table
    if flat:
        return resplit(table, by=by, seed=seed)
    groups = group_numbers(table, by)
    # A source that is in an existing split too stays where it is: moved, it would leak into one split more.
    fixed = np.isin(groups, groups[table["split"] != "train"])
    share = dict.fromkeys(missing, MADE_FRACTION) | {"train": 1 - MADE_FRACTION * len(missing)}
    fractions = np.array([share.get(split, 0.0) for split in SPLITS])
    places = deal(pd.factorize(groups[~fixed])[0], table["label"].to_numpy()[~fixed], fractions, seed)
    split = table["split"].to_numpy(object, copy=True)
    split[~fixed] = [SPLITS[place] for place in places]
    return table.assign(split=split)


def complete_splits(table: pd.DataFrame, *, only_tested: bool = False) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """A new table in which every file has a split and every split has files, and what was done, in one sentence.

    Files without a split are dealt in the shares that the others have, or 70 : 15 : 15; then a missing val or test is
    made from train. What comes with a split keeps it, as far as patient and source allow. With `only_tested`, a set
    without a test split becomes one.

    Raises:
        CatalogError: too few groups for both classes in every split.
    """
    known = table["split"].isin(SPLITS)
    by = grouping_column(table)
    unit = "patient" if by == "patient_id" else "source"
    if only_tested and not (table["split"] == "test").any():
        return table.assign(split="test"), ("it comes without a test set: all of its files are tested",)
    if not known.any():
        return resplit(table, by=by), (f"it comes without a split: one is made by {unit}, 70 : 15 : 15",)
    said = []
    if not known.all():
        table = _deal_rest(table, by)
        said.append(
            f"{int((~known).sum()):,} files come without a split: they are dealt by {unit}, in the others' shares"
        )
    missing = [split for split in SPLITS if split not in set(table["split"])]
    if missing:
        if "train" in missing:
            return resplit(table, by=by), (f"it comes without a training set: a new split is made by {unit}",)
        table = make_missing_splits(table, 0, flat=False)
        said.append(f"{' and '.join(missing)}: made from train by {unit}, {MADE_FRACTION:.0%} of its files each")
    return table, tuple(said)


def _deal_rest(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """Files without a split go where their patient or source is, the others to the split that lacks most of them."""
    groups = group_numbers(table, by)
    split = table["split"].to_numpy(object, copy=True)
    known = np.isin(split, SPLITS)
    places = dict(zip(groups[known][::-1], split[known][::-1], strict=True))
    shares = {name: float((split[known] == name).mean()) for name in SPLITS}
    rest, sizes = np.unique(groups[~known], return_counts=True)
    want = {name: share * sizes.sum() for name, share in shares.items()}
    for place in np.random.default_rng(0).permutation(len(rest)):
        group, size = rest[place], sizes[place]
        chosen = places.setdefault(group, max(want, key=lambda name: want[name]))
        want[chosen] -= size
    split[~known] = [places[group] for group in groups[~known]]
    return table.assign(split=split)


def shared_sources(table: pd.DataFrame) -> pd.DataFrame:
    """What is in two splits at once; no row means that the splits are clean.

    Returns:
        columns by ("source_id" or "patient_id"), splits ("train+val"), sources (how many are shared), files
        (how many files of these two splits they cover); one row per pair of splits that shares any.
    """
    rows = []
    for by in ("source_id", "patient_id"):
        for one, other in combinations(SPLITS, 2) if by in table.columns else ():
            pair = table[table["split"].isin((one, other)) & table[by].notna()]
            shared = pair.groupby(by)["split"].transform("nunique") == 2
            if shared.any():
                rows.append((by, f"{one}+{other}", pair.loc[shared, by].nunique(), int(shared.sum())))
    return pd.DataFrame(rows, columns=["by", "splits", "sources", "files"])


def describe(table: pd.DataFrame) -> pd.DataFrame:
    """Counts by split and class, files of no split or no class last: columns split, class, files, sources."""
    named = table.assign(**{"class": table["label"].map(class_name)})
    counts = named.groupby(["split", "class"]).agg(files=("path", "size"), sources=("source_id", "nunique"))
    order = pd.MultiIndex.from_product(
        [(*SPLITS, NO_SPLIT), (*CLASS_NAMES, class_name(UNKNOWN))], names=["split", "class"]
    )
    return counts.reindex(order[order.isin(counts.index)]).reset_index()


def _check_fractions(fractions: Sequence[float]) -> None:
    good = len(fractions) == len(SPLITS) and all(0 <= part <= 1 for part in fractions)
    if not good or abs(sum(fractions) - 1) > 1e-6 or fractions[0] == 0:
        raise CatalogError(
            f"the fractions {tuple(fractions)} are no split",
            cure="give the shares of train, val and test, with the sum 1 and train above 0, as (0.7, 0.15, 0.15)",
        )


def _check_enough(mixed: int, pure: Sequence[int], splits: int) -> None:
    if mixed + min(pure) >= splits:
        return
    found = ", ".join(f"{count + mixed} of '{name}'" for name, count in zip(CLASS_NAMES, pure, strict=True))
    raise CatalogError(
        f"too few groups to put both classes into {splits} splits: {found}",
        cause="all files of one class are copies of very few radiographs, or come from very few patients",
        cure="add radiographs, or ask for fewer splits",
    )
