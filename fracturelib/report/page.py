"""`report.html`: what a run did, how well, and what its numbers do not show, in one file without scripts or links.

Every text is escaped by the template engine, so that a file name cannot become markup.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from fracturelib import plots
from fracturelib.config import CLASS_NAMES
from fracturelib.evaluation import Evaluation, least_certain, worst_errors
from fracturelib.report.context import report_context
from fracturelib.report.figures import ReportFigure, Shown, image_uri, report_figures, save_figures, shown_pictures
from fracturelib.stress.probing import SHOWN, Probes
from fracturelib.writing.palette import CLASS_COLOURS
from fracturelib.writing.template import fill_in

PIXELS_PER_INCH = 90  # on the page; the letters of a figure are then as large as its caption


def write_report(
    folder: str | Path,
    *,
    record: Mapping[str, Any],
    table: pd.DataFrame,
    history: pd.DataFrame,
    evaluation: Evaluation,
    predictions: pd.DataFrame,
    checks: Probes | None = None,
    drop: pd.DataFrame | None = None,
    root: str | Path | None = None,
) -> Path:
    """Write `report.html` and, as `figures/<name>.png`, its figures; returns the path of the report.

    Args:
        folder: the run's folder; it is made if it is missing.
        record: the content of `config.json`; what it lacks is shown as "not available".
        table: the whole data set, all splits.
        history: as `fit` gives it.
        evaluation: the result on `predictions`.
        predictions: one row per test file: path, label, probability, source_id, ….
        checks: from `run_probes`; what was not checked is shown as "not available".
        drop: from `drop_table`, for an external test.
        root: the folder of the images, for the gallery of errors; default `table.attrs["root"]`.
    """
    folder = Path(folder)
    if "best_epoch" in record and "best_epoch" not in history.attrs:  # a history from a file has no attrs
        history = history.copy()
        history.attrs["best_epoch"] = record["best_epoch"]
    root = root if root is not None else table.attrs.get("root")
    threshold = evaluation.threshold
    worst, unsure = (
        shown_pictures(choose(predictions, threshold=threshold, count=SHOWN), table, root=root, checks=checks)
        for choose in (worst_errors, least_certain)
    )
    figures = report_figures(
        table=table, history=history, evaluation=evaluation, predictions=predictions, errors=worst, checks=checks
    )
    save_figures(folder / "figures", figures)
    context = report_context(
        record=record, table=table, history=history, evaluation=evaluation, checks=checks, drop=drop, name=folder.name
    )
    context |= _failures(predictions, threshold) | {
        "errors": [_shown(one, threshold) for one in worst],
        "unsure": [_shown(one, threshold) for one in unsure],
        "figures": {name: _embedded(figure) for name, figure in figures.items()},
    }
    path = folder / "report.html"
    path.write_text(fill_in("report/page_template.html", **context), encoding="utf-8")
    return path


def _embedded(figure: ReportFigure) -> dict[str, Any]:
    """Text for `src` and `alt`, and the size on the page, which is fewer pixels than the file has."""
    width, height = (round(inches * PIXELS_PER_INCH) for inches in figure.inches)
    return {"uri": figure.data_uri(), "alt": figure.alt, "width": width, "height": height}


def _failures(predictions: pd.DataFrame, threshold: float) -> dict[str, Any]:
    """How many files were called wrongly."""
    errors = worst_errors(predictions, threshold=threshold, count=len(predictions))
    missed = int((errors["label"] == 1).sum())
    return {
        "errors_sentence": f"{len(errors)} of {len(predictions)} files were called wrongly "
        f"(missed fractures: {missed}, false alarms: {len(errors) - missed})."
    }


def _shown(one: Shown, threshold: float) -> dict[str, str]:
    """One file of a gallery for the template."""
    row = one.row
    called = int(row.probability >= threshold)
    wrong = ("false alarm", "missed fracture")[row.label]
    kind = wrong if called != row.label else f"right: {CLASS_NAMES[row.label]}"
    box = ", the fracture outlined" if one.box is not None else ""
    text = f"Radiograph {row.path}: {kind}, probability {row.probability:.2f}"
    heat = one.image is not None and one.heat is not None
    return {
        "kind": kind,
        "colour": CLASS_COLOURS[row.label],
        "probability": f"{row.probability:.2f}",
        "path": row.path,
        "uri": "" if one.image is None else image_uri(one.image, one.box),
        "alt": f"{text}{box}.",
        "heat": image_uri(plots.heat_overlay(one.image, one.heat)) if heat else "",
        "heat_alt": f"The same with Grad-CAM laid over it{'' if heat and one.heat.any() else ': no heat'}.",
    }
