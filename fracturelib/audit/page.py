"""The audit for a reader: `audit.html`, one self-contained file, and every table beside it as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from fracturelib.audit.pictures import shrink
from fracturelib.audit.registration import lay_on
from fracturelib.audit.result import FINDINGS, Audit
from fracturelib.audit.shortcuts import ALARM
from fracturelib.audit.summary import headline, ninety_percent, verdicts
from fracturelib.catalog import class_name
from fracturelib.errors import ImageError
from fracturelib.files import check_output_folder, write_text
from fracturelib.files.tables import write_table
from fracturelib.images import read_radiograph
from fracturelib.writing.numbers import percent
from fracturelib.writing.palette import CLASS_COLOURS, INK
from fracturelib.writing.tables import cell, grid
from fracturelib.writing.template import data_uri, fill_in
from fracturelib.writing.words import SPLIT_NAMES

PAIRS_SHOWN, GROUPS_SHOWN, FILES_SHOWN = 12, 6, 8  # in pictures; the tables have all
ROWS_SHOWN = 20  # of damaged files
PICTURE_SIDE, JPEG_QUALITY = 240, 80
PAGE = "audit.html"
FIRST_COLUMNS = {  # by which an earlier table of an audit is known
    "counts": ("split", "class", "files", "sources"),
    "facts": ("fact", "value"),
    "problems": ("path", "problem"),
    "sources": ("file", "split", "label", "source_id"),
    "links": ("path_one", "path_other", "how"),
    "leaks": ("kind", "source_id", "files", "where"),
    "sample_size": ("split", "class", "files", "sources"),
    "identity": ("path", "sign"),
    "shortcuts": ("signs", "auc", "low", "high"),
}


def write_page(audit: Audit, folder: str | Path) -> Path:
    """Write `audit.html` and `<table>.csv` into the folder, which is made if it is missing; returns the page's path.

    Raises:
        FracturelibError: see `check_audit_folder`.
    """
    folder = check_audit_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in audit.tables().items():
        write_table(table, folder / f"{name}.csv")
    path = folder / PAGE
    write_text(path, render(audit))
    return path


def check_audit_folder(folder: str | Path) -> Path:
    """The folder, once it is known that the audit's files may be written there; nothing is made.

    Raises:
        FracturelibError: it cannot be made or written to, or holds a file of such a name that no audit made.
    """
    tables = {f"{name}.csv": columns for name, columns in FIRST_COLUMNS.items()}
    return check_output_folder(folder, {PAGE: (), FINDINGS: (), **tables})


def render(audit: Audit) -> str:
    """The page as text; every name in it is escaped."""
    return fill_in(
        "audit/page_template.html",
        name=Path(audit.root).resolve().name,
        headline=headline(audit),
        verdicts=verdicts(audit),
        notes=audit.notes,
        cards=_cards(audit),
        counts=grid(["split", "class", "files", "sources"], _counts_rows(audit), numeric=(2, 3)),
        facts=grid(["fact", "value"], audit.facts.to_numpy().tolist(), wide=1),
        problems=grid(["file", "problem", ""], _problem_rows(audit), wide=0),
        more_problems=max(0, len(audit.problems) - ROWS_SHOWN),
        groups=_groups(audit),
        n_groups=int(audit.copies["source_id"].nunique()),
        leaks={kind: [_pair(audit, row) for row in _shown(audit, kind)] for kind in ("label", "split")},
        n_leaks={kind: int((audit.leaks["kind"] == kind).sum()) for kind in ("label", "split")},
        sample=grid(SAMPLE_HEAD, _sample_rows(audit), numeric=(2, 3, 4, 5, 6)),
        shortcuts=grid(SHORTCUT_HEAD, _shortcut_rows(audit), numeric=(1,), wide=2),
        alarm=f"{ALARM:.2f}",
    )


SAMPLE_HEAD = ["split", "class", "files", "sources", "files that count", "90 % by files", "90 % honestly"]
SHORTCUT_HEAD = ["what was seen", "AUC", "what tells most"]


def _cards(audit: Audit) -> list[dict[str, str]]:
    crossing = int((audit.leaks["kind"] == "split").sum())
    flagged = int(audit.shortcuts["flagged"].astype(bool).sum())
    return [
        {"title": "files", "value": f"{audit.n_files:,}"},
        {"title": "different radiographs", "value": f"{audit.n_sources:,}"},
        {"title": "radiographs in several splits", "value": f"{crossing:,}"},
        {"title": "shortcuts flagged", "value": f"{flagged:,}"},
    ]


def _counts_rows(audit: Audit) -> list[list[Any]]:
    rows = audit.counts.itertuples(index=False, name=None)
    return [[SPLIT_NAMES.get(split, split), name, f"{files:,}", f"{n:,}"] for split, name, files, n in rows]


def _problem_rows(audit: Audit) -> list[list[Any]]:
    rows = audit.problems.head(ROWS_SHOWN).itertuples(index=False)
    return [[row.path, row.problem, "used as far as it goes" if row.used else "left out"] for row in rows]


def _sample_rows(audit: Audit) -> list[list[Any]]:
    return [
        [
            SPLIT_NAMES.get(row["split"], row["split"]),
            row["class"],
            f"{row['files']:,}",
            f"{row['sources']:,}",
            f"{row['effective']:,.0f}",
            *ninety_percent(row),
        ]
        for row in audit.sample_size.to_dict("records")
    ]


def _shortcut_rows(audit: Audit) -> list[list[Any]]:
    rows = []
    for row in audit.shortcuts.itertuples():
        value = {**cell(row.auc, row.low, row.high, 2), "alarm": row.flagged}
        told = f"{row.carrier}, {row.direction} in fractured (AUC {row.carrier_auc:.2f})"
        told = "" if pd.isna(row.carrier) else told
        rows.append([row.signs, value, {"main": told, "small": row.note, "alarm": False}])
    return rows


def _shown(audit: Audit, kind: str) -> list[Any]:
    return list(audit.leaks[audit.leaks["kind"] == kind].head(PAIRS_SHOWN).itertuples())


def _pair(audit: Audit, row: Any) -> dict[str, Any]:
    """Two pictures side by side, and how it is known that they show the same radiograph."""
    files = audit.table.set_index("path")
    return {
        "where": row.where,
        "evidence": evidence_sentence(row),
        "pictures": [_picture(audit, path, files.loc[path]) for path in (row.one, row.other)],
        "laid": _laid_on_each_other(Path(audit.root), row),
    }


def _laid_on_each_other(root: Path, row: Any) -> str:
    """The chessboard of a registered pair as text for an `img` element; "" where there is none."""
    if row.how != "registered":
        return ""
    try:
        laid = lay_on(*(read_radiograph(root / path, target_side=PICTURE_SIDE) for path in (row.one, row.other)))
    except ImageError:  # moved or deleted since
        return ""
    return "" if laid is None else _uri(laid)


def evidence_sentence(row: Any) -> str:
    """How a pair is known to show the same radiograph."""
    if row.how == "same pixels":
        return "The pixels are the same."
    if row.how == "through other copies":
        return "Each is a copy of other files of this group, and these are copies of each other."
    if row.how == "by name only":
        return "The names say so (or metadata.csv); the pictures could not be laid on each other."
    forms = "".join(f"{name}, " for name in ("mirrored", "inverted") if getattr(row, name))
    return (
        f"Laid on each other ({forms}turned by {row.degrees:.0f}°, enlarged {row.scale:.2f} times), the fine "
        f"structure has a correlation of {row.correlation:.2f} over {percent(row.overlap)} of the anatomy."
    )


def _groups(audit: Audit) -> list[dict[str, Any]]:
    """The largest groups of copies, with some of their pictures."""
    copies = audit.copies
    files = audit.table.set_index("path")
    shown = []
    for source, part in list(copies.groupby("source_id", sort=False))[:GROUPS_SHOWN]:
        pictures = [_picture(audit, path, files.loc[path]) for path in part["path"].head(FILES_SHOWN)]
        more = max(0, len(part) - FILES_SHOWN)
        shown.append(
            {"source": source, "files": len(part), "more": more, "by": part["source_by"].iloc[0], "pictures": pictures}
        )
    return shown


def _picture(audit: Audit, path: str, row: pd.Series) -> dict[str, str]:
    kind = class_name(row["label"])
    split = SPLIT_NAMES.get(row["split"], row["split"])
    colour = CLASS_COLOURS[row["label"]] if row["label"] in (0, 1) else INK
    try:
        uri = _uri(shrink(read_radiograph(Path(audit.root) / path, target_side=PICTURE_SIDE), PICTURE_SIDE))
    except ImageError:  # moved or deleted since
        uri = ""
    return {
        "uri": uri,
        "alt": f"Radiograph {path}: {kind}, {split}",
        "path": path,
        "kind": kind,
        "split": split,
        "colour": colour,
    }


def _uri(pixels: np.ndarray) -> str:
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return data_uri(data.tobytes(), "image/jpeg")
