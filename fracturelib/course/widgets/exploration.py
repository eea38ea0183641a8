"""Notebook 01's panels: browse a data set, see the copies of one radiograph, make a radiograph step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fracturelib.catalog import rows
from fracturelib.config import CLASS_NAMES, SPLITS
from fracturelib.course.figures.radiographs import GALLERY_COLUMNS, gallery, picture_steps
from fracturelib.course.studies.simulated import NO_FRACTURE, breaking_place, take
from fracturelib.course.widgets.common import Panel, choice, slider, steps, whole_number
from fracturelib.simulation import FRACTURE_TYPES, REGIONS, VIEWS
from fracturelib.writing.words import SPLIT_NAMES

ANY = "any"
HIDDEN, SHOWN, BOXED = "hidden", "shown", "boxed"  # the answers of the browse panel
PAGE = 2 * GALLERY_COLUMNS  # radiographs that are shown at once
DOSES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)  # air kerma in µGy; a usual exposure is 10 to 100


def select(table: pd.DataFrame, *, split: str = ANY, kind: str = ANY, region: str = ANY) -> pd.DataFrame:
    """The rows of one split, one class (by name) and one region; `ANY` leaves a question open."""
    keep = pd.Series(True, index=table.index)
    if split != ANY:
        keep &= table["split"] == split
    if kind != ANY:
        keep &= table["label"] == CLASS_NAMES.index(kind)
    if region != ANY and "region" in table:
        keep &= table["region"] == region
    return rows(table, keep)


def browse(
    table: pd.DataFrame, *, page: int = 1, boxes: bool = False, blind: bool = False, **chosen: str
) -> list[Figure | str]:
    """One page of the rows that `select` gives, shuffled, and a sentence that counts them; pages begin anew at the end.

    `boxes` marks the fractures; `blind` hides classes and fractures, on the same page in the same order.
    """
    found = select(table, **chosen)
    found = rows(found, np.random.default_rng(0).permutation(len(found)))
    if found.empty:
        return ["No radiograph fits: choose another split, class or region."]
    pages = -(-len(found) // PAGE)
    shown = (page - 1) % pages
    part = rows(found, slice(shown * PAGE, (shown + 1) * PAGE))
    text = f"{len(found):,} files of {found['source_id'].nunique():,} original radiographs; page {shown + 1} of {pages}"
    return [gallery(part, boxes=boxes, blind=blind), text]


def browse_panel(table: pd.DataFrame) -> Panel:
    """Browse by split, class and region."""
    splits = {"any": ANY} | {SPLIT_NAMES[split]: split for split in SPLITS if (table["split"] == split).any()}
    controls = {
        "split": choice("Split", splits, ANY),
        "kind": choice("Class", [ANY, *CLASS_NAMES], ANY),
        "page": whole_number("Page", 1, 1, max(1, -(-len(table) // PAGE))),
    }
    if "region" in table:
        controls["region"] = choice("Region", [ANY, *sorted(table["region"].dropna().unique())], ANY)
    answers = {"hidden: look first": HIDDEN, "shown": SHOWN}
    if "bbox_x" in table:
        answers["shown with the fracture's box"] = BOXED
    controls["answers"] = choice("Answers", answers, HIDDEN)

    def draw(answers: str, **chosen: Any) -> list[Figure | str]:
        return browse(table, blind=answers == HIDDEN, boxes=answers == BOXED, **chosen)

    return Panel(draw, controls, title="Browse the data").start()


def copies(table: pd.DataFrame, source: str) -> list[Figure | str]:
    """All files made of one original radiograph (up to eight), with the split that each is in."""
    found = rows(rows(table, table["source_id"] == source), slice(PAGE))
    counts = found["split"].value_counts()
    where = ", ".join(f"{counts[split]} in {SPLIT_NAMES[split]}" for split in SPLITS if split in counts)
    return [gallery(found), f"{source}: {len(found)} files, {where}"]


def copies_panel(table: pd.DataFrame) -> Panel:
    """Choose an original radiograph and see its copies; those in most splits come first."""
    order = table.groupby("source_id")["split"].nunique().sort_values(ascending=False, kind="stable")
    sources = list(order.index[:40])
    controls = {"source": choice("Original", sources, sources[0])}
    return Panel(lambda source: copies(table, source), controls, title="Copies of one radiograph").start()


def make_picture(*, fracture_type: str, region: str, view: str, patient: int, **strengths: float) -> list[Figure | str]:
    """One radiograph made step by step; the close-up stays at the place of the break, whatever is broken."""
    radiograph = take(fracture_type=fracture_type, region=region, view=view, patient=patient, **strengths)
    if fracture_type == NO_FRACTURE:
        text = "The bone is whole: the close-up shows where it would break."
    else:
        text = f"Contrast-to-noise ratio of the fracture: {radiograph.conspicuity:.1f} (the larger, the plainer)."
    return [picture_steps(radiograph, place=breaking_place(region, view, patient)), text]


def physics_panel() -> Panel:
    """Choose a fracture, its displacement and the dose, and see every step of the picture."""
    controls = {
        "fracture_type": choice("Fracture type", [NO_FRACTURE, *FRACTURE_TYPES], "oblique"),
        "displacement_mm": slider("Displacement (mm)", 3.0, 0.0, 12.0, 0.5, form=".1f"),
        "dose": steps("Dose (µGy)", {f"{dose:g}": dose for dose in DOSES}, 20.0),
        "region": choice("Region", list(REGIONS), "forearm"),
        "view": choice("View", list(VIEWS), "frontal"),
        "patient": whole_number("Patient", 2, 0, 20),
    }
    return Panel(make_picture, controls, title="Make a radiograph").start()
