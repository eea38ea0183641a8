"""`report.html`: what a run did, how well, and what its numbers do not show, in one file that asks no network.

Every text is escaped by the template engine, so that a file name cannot become markup; the page runs one script, which
its policy knows by its hash, and whatever that script moves stands there as a still, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from fracturelib import plots
from fracturelib.config import CLASS_NAMES, POSITIVE
from fracturelib.evaluation import least_certain, worst_errors
from fracturelib.evaluation.consequences import probability_cells
from fracturelib.files import check_output_folder, write_text
from fracturelib.report.case import case_shown
from fracturelib.report.context import report_context
from fracturelib.report.figures import (
    FIGURES,
    ReportFigure,
    Shown,
    image_uri,
    report_figures,
    save_figures,
    shown_pictures,
)
from fracturelib.report.model_card import MODEL_CARD
from fracturelib.report.tested import Tested
from fracturelib.stress.probing import SHOWN
from fracturelib.writing.modules import bundle, script_policy
from fracturelib.writing.palette import CLASS_COLOURS
from fracturelib.writing.template import fill_in

PAGE = "report.html"
PIXELS_PER_INCH = 90  # on the page; the letters of a figure are then as large as its caption


def write_report(folder: str | Path, tested: Tested) -> Path:
    """Write `report.html` and, as `figures/<name>.png`, its figures; returns the path of the report.

    The folder is made if it is missing. A picture of the galleries that is no longer there leaves its name.
    """
    folder = Path(folder)
    threshold = tested.evaluation.threshold
    worst, unsure = (
        shown_pictures(choose(tested.predictions, threshold=threshold, count=SHOWN), tested)
        for choose in (worst_of_each, least_certain)
    )
    figures, script = report_figures(tested, worst), bundle("report.js")
    save_figures(folder / "figures", figures)
    context = report_context(tested, name=folder.name) | {
        "errors_sentence": _errors_sentence(tested.predictions, threshold),
        "errors": [_shown(one, threshold, tested) for one in worst],
        "unsure": [_shown(one, threshold, tested) for one in unsure],
        "figures": {name: _embedded(figure) for name, figure in figures.items()},
        "living": living_part(tested),
        "script": Markup(script),
        "policy": script_policy(script),
    }
    path = folder / PAGE
    write_text(path, fill_in("report/page_template.html", **context))
    return path


def living_part(tested: Tested) -> dict[str, Any] | None:
    """What moves under the finger, as `operating_point.js` takes it; None where a class is missing."""
    predictions, threshold = tested.predictions, tested.evaluation.threshold
    if predictions["label"].nunique() < 2:
        return None
    content = {
        "cells": probability_cells(predictions, threshold=threshold),
        "threshold": threshold,
        "prevalence": float(predictions["label"].mean()),
        "miss": 1,
        "parts": ["patients", "histogram", "roc", "reliability", "costs"],
        "marks": [{"name": "the run's threshold", "threshold": threshold}],
        "choose": False,
    }
    return {"files": f"{len(predictions):,}", "content": content}


def check_report_folder(folder: str | Path, *, outside: Sequence[str | Path] = ()) -> Path:
    """The folder, once it is known that a report may be written there; nothing is made.

    Raises:
        FracturelibError: it lies in a folder of `outside`, cannot be made or written to, or holds a file of a report's
            names that is not of our own making.
    """
    figures = [f"figures/{name}.png" for name in FIGURES]
    return check_output_folder(folder, dict.fromkeys([PAGE, MODEL_CARD, *figures], ()), outside=outside)


def _embedded(figure: ReportFigure) -> dict[str, Any]:
    """Text for `src` and `alt`, and the size on the page, which is fewer pixels than the file has."""
    width, height = (round(inches * PIXELS_PER_INCH) for inches in figure.inches)
    return {"uri": figure.data_uri(), "alt": figure.alt, "width": width, "height": height}


def worst_of_each(predictions: pd.DataFrame, *, threshold: float, count: int) -> pd.DataFrame:
    """`worst_errors`, as many misses as false alarms; a kind with few errors leaves its room to the other."""
    errors = worst_errors(predictions, threshold=threshold, count=len(predictions))
    place = errors.groupby("label").cumcount()  # of each error among those of its kind, the surest first
    chosen = errors.iloc[np.sort(np.argsort(place, kind="stable")[:count])]
    return chosen.sort_values("label", ascending=False, kind="stable")


def _errors_sentence(predictions: pd.DataFrame, threshold: float) -> str:
    """How many files were called wrongly."""
    errors = worst_errors(predictions, threshold=threshold, count=len(predictions))
    missed = int((errors["label"] == POSITIVE).sum())
    return (
        f"{len(errors)} of {len(predictions)} files were called wrongly "
        f"(missed fractures: {missed}, false alarms: {len(errors) - missed})."
    )


def _shown(one: Shown, threshold: float, tested: Tested) -> dict[str, Any]:
    """One file of a gallery for the template."""
    row = one.row
    called = int(row.probability >= threshold)
    wrong = ("false alarm", "missed fracture")[row.label]
    kind = wrong if called != row.label else f"right: {CLASS_NAMES[row.label]}"
    box = ", the fracture outlined" if one.box is not None else ""
    text = f"Radiograph {row.path}: {kind}, probability {row.probability:.2f}"
    heat = "" if one.image is None or one.heat is None else image_uri(plots.heat_overlay(one.image, one.heat))
    cold = one.heat is None or not one.heat.any()
    return {
        "kind": kind,
        "colour": CLASS_COLOURS[row.label],
        "probability": f"{row.probability:.2f}",
        "path": row.path,
        "uri": "" if one.image is None else image_uri(one.image, one.box),
        "alt": f"{text}{box}.",
        "cases": [case_shown(case) for case in tested.cases.get(row.path, ())],
        "heat": heat,
        "heat_alt": f"The same with Grad-CAM laid over it{': no heat' if cold else ''}.",
    }
