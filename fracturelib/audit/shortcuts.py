"""How well can the label be told without looking at the bone?

Five kinds of signs that show no fracture, each given to a random forest that is tested on sources it has not seen. A
network can use the same signs, and then its score says how the pictures were made (Zech et al., PLOS Medicine 15
(2018), e1002683; Winkler et al., JAMA Dermatology 155 (2019), 1135–1141).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from fracturelib.catalog import BOX, UNKNOWN
from fracturelib.catalog.metadata import OWN_COLUMNS
from fracturelib.catalog.splits import group_numbers, grouping_column
from fracturelib.evaluation import scores
from fracturelib.files import write_text
from fracturelib.writing.verdicts import explained

ALARM = 0.60  # AUC above which a sign is flagged
ANSWER = 0.99  # AUC of a single column from which on it is no sign but the answer
METHOD = "1"  # of this module; judgements of another one are not taken over
FOLDS = 5
FEWEST_SOURCES = 10  # of each class; with fewer there is no interval either
MOST_FILES = 1500  # drawn by source: more narrow the interval by little
RESAMPLES = 500
TREES = 50
MOST_VALUES = 20  # of a column of words; with more it is a name, not a sign
NOT_SIGNS = ("source_id", "source_by", "patient_id", "study_id", "bit_depth", *BOX)
KINDS = {
    "file": "size and mode",
    "brightness": "brightness and histogram",
    "border": "border and corners only",
    "blurred": "heavily blurred thumbnail",
    "metadata": "metadata columns",
}
COLUMNS = ("signs", "auc", "low", "high", "flagged", "carrier", "carrier_auc", "direction", "files", "sources", "note")


def find_shortcuts(table: pd.DataFrame, appearance: pd.DataFrame, *, memory: Path | None = None) -> pd.DataFrame:
    """One row per kind of signs; `appearance` has the rows of the table, as `measure_appearance` gives them.

    With a `memory`, a file, the same signs of the same files are judged once.

    Returns:
        columns signs, auc (cross-validated by source), low, high (95 % bootstrap over sources), flagged (above 0.60),
        carrier (the single sign that tells most), carrier_auc, direction ("higher" or "lower" in fractured files),
        files, sources, note. NaN and a note where nothing can be estimated. Empty where there is but one class.
    """
    chosen = _sample(table)
    rows, kept = table.iloc[chosen].reset_index(drop=True), appearance.iloc[chosen].reset_index(drop=True)
    if rows["label"].nunique() < 2:
        return pd.DataFrame(columns=list(COLUMNS))
    key = _key(rows, kept)
    found = _remembered(memory, key)
    if found is None:
        groups = group_numbers(rows, grouping_column(rows))
        found = [_judge(kind, signs, rows, groups) for kind, signs in _signs(rows, kept)]
        if memory is not None:
            with suppress(OSError):  # the place cannot be written to: they are judged again next time
                memory.parent.mkdir(parents=True, exist_ok=True)
                write_text(memory, json.dumps({"key": key, "found": found}, default=lambda value: value.item()))
    return pd.DataFrame(found, columns=list(COLUMNS))


def _key(rows: pd.DataFrame, kept: pd.DataFrame) -> str:
    """A hash of all that the judgement depends on."""
    by = [METHOD, importlib.metadata.version("scikit-learn"), *map(str, rows), *map(str, kept)]
    digest = hashlib.sha256("\n".join(by).encode())
    digest.update(pd.util.hash_pandas_object(rows.astype(str), index=False).to_numpy().tobytes())
    digest.update(kept.to_numpy(np.float32).tobytes())
    return digest.hexdigest()


def _remembered(memory: Path | None, key: str) -> list[dict] | None:
    """The rows that a file keeps under this key; None where it has others, or is damaged."""
    try:
        content = json.loads(memory.read_bytes()) if memory is not None else {}
        return [dict(row) for row in content["found"]] if content["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _sample(table: pd.DataFrame) -> np.ndarray:
    """Row numbers of labelled files: all, or whole sources in random order until there are enough."""
    rows = np.flatnonzero(table["label"].to_numpy() != UNKNOWN)
    if len(rows) <= MOST_FILES:
        return rows
    codes = pd.factorize(table["source_id"].iloc[rows])[0]
    rank = np.random.default_rng(0).permutation(codes.max() + 1)[codes]
    return np.sort(rows[np.argsort(rank, kind="stable")[:MOST_FILES]])


def _signs(table: pd.DataFrame, appearance: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The five kinds of signs with their numbers, one row per file."""
    width, height = table["width"].astype(float), table["height"].astype(float)
    file = pd.DataFrame({"width in pixels": width, "height in pixels": height, "width over height": width / height})
    for column, name in (("mode", "mode"), ("bit_depth", "bits per channel")):
        if column in table:
            file = file.join(pd.get_dummies(table[column].astype(str), prefix=name, prefix_sep=" ", dtype=float))
    yield "file", file
    for kind in ("brightness", "border", "blurred"):
        names = {name: name.removeprefix(f"{kind}: ") for name in appearance if name.startswith(f"{kind}: ")}
        yield kind, appearance[list(names)].rename(columns=names)
    yield "metadata", _metadata(table)


def _metadata(table: pd.DataFrame) -> pd.DataFrame:
    """Columns of metadata.csv as numbers: words as one column per value, gaps as a value of their own."""
    parts = []
    for column in table.columns.difference([*OWN_COLUMNS, *NOT_SIGNS], sort=False):
        values = table[column]
        numbers = pd.to_numeric(values, errors="coerce")
        if numbers.notna().sum() == values.notna().sum():
            parts.append(numbers.astype(float).fillna(numbers.min() - 1 if numbers.notna().any() else 0).rename(column))
            if values.isna().any():
                parts.append(values.isna().astype(float).rename(f"{column} is missing"))
        elif values.nunique() <= MOST_VALUES:
            parts.append(pd.get_dummies(values.astype(str), prefix=column, prefix_sep=" = ", dtype=float))
    return pd.concat(parts, axis=1) if parts else pd.DataFrame(index=table.index)


def _judge(kind: str, signs: pd.DataFrame, table: pd.DataFrame, groups: np.ndarray) -> dict:
    """One row of the table of shortcuts."""
    labels = table["label"].to_numpy(int)
    row = {"signs": KINDS[kind], "files": len(labels), "sources": groups.max() + 1, "flagged": False, "note": ""}
    signs = signs.loc[:, (signs != signs.iloc[0]).any()]
    alone = {name: float(roc_auc_score(labels, signs[name])) for name in signs}
    answers = [name for name, auc in alone.items() if max(auc, 1 - auc) >= ANSWER] if kind == "metadata" else []
    if answers:
        origins = sorted({name.split(" = ")[0].removesuffix(" is missing") for name in answers})
        row["note"] = f"left out, because it states the answer itself: {', '.join(origins)}"
        kept = [name for name in signs if name.split(" = ")[0].removesuffix(" is missing") not in origins]
        signs, alone = signs[kept], {name: alone[name] for name in kept}
    if signs.empty:
        return row | {"note": row["note"] or _NOTHING[kind]}
    carrier = max(alone, key=lambda name: abs(alone[name] - 0.5))
    row |= {"carrier": carrier, "carrier_auc": max(alone[carrier], 1 - alone[carrier])}
    row["direction"] = "higher" if alone[carrier] > 0.5 else "lower"
    fewest = min(len(np.unique(groups[labels == label])) for label in (0, 1))
    if fewest < FEWEST_SOURCES:
        note = f"not estimable: {fewest} sources of one class, at least {FEWEST_SOURCES} are needed"
        return row | {"note": "; ".join(filter(None, [row["note"], note]))}
    result = scores(
        labels, _cross_validated(signs.to_numpy(), labels, groups), threshold=0.5, sources=groups, resamples=RESAMPLES
    )
    auc = result.set_index("metric").loc["auc"]
    notes = [note for note in (row["note"], explained(auc["reason"], auc["unit"], auc["units"])) if note]
    row |= {"auc": auc["value"], "low": auc["low"], "high": auc["high"], "note": "; ".join(notes)}
    return row | {"flagged": bool(auc["value"] > ALARM)}


_NOTHING = dict.fromkeys(KINDS, "the same for every file") | {"metadata": "there are no such columns"}


def _cross_validated(signs: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """P(fractured) of each file (n,) by a forest that has seen no file of its source."""
    chance = np.empty(len(labels))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for train, test in folds.split(signs, labels, groups):
        forest = RandomForestClassifier(TREES, min_samples_leaf=5, class_weight="balanced", random_state=0)
        chance[test] = forest.fit(signs[train], labels[train]).predict_proba(signs[test])[:, 1]
    return chance
