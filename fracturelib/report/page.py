"""`report.html`: what a run did, how well, and what its numbers do not show, in one file without scripts or links.

Every text is escaped by the template engine, so that a file name cannot become markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from fracturelib.evaluation import Evaluation, worst_errors
from fracturelib.plots.style import CLASS_COLOURS
from fracturelib.report.context import LIMITS, report_context
from fracturelib.report.figures import ReportFigure, image_uri, readable_errors, report_figures, save_figures

PIXELS_PER_INCH = 90  # on the page; the letters of a figure are then as large as its caption


def write_report(
    folder: str | Path,
    *,
    record: Mapping[str, Any],
    table: pd.DataFrame,
    history: pd.DataFrame,
    evaluation: Evaluation,
    predictions: pd.DataFrame,
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
        root: the folder of the images, for the gallery of errors; default `table.attrs["root"]`.
    """
    folder = Path(folder)
    if "best_epoch" in record and "best_epoch" not in history.attrs:  # a history from a file has no attrs
        history = history.copy()
        history.attrs["best_epoch"] = record["best_epoch"]
    root = root if root is not None else table.attrs.get("root")
    errors = readable_errors(predictions, threshold=evaluation.threshold, root=root)
    figures = report_figures(
        table=table, history=history, evaluation=evaluation, predictions=predictions, errors=errors
    )
    save_figures(folder / "figures", figures)
    context = report_context(record=record, table=table, history=history, evaluation=evaluation, name=folder.name)
    context |= _failures(predictions, evaluation.threshold, errors)
    context |= {"figures": {name: _embedded(figure) for name, figure in figures.items()}, "limits": LIMITS}
    template = resources.files("fracturelib.report").joinpath("page_template.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    path = folder / "report.html"
    path.write_text(environment.from_string(template).render(context), encoding="utf-8")
    return path


def _embedded(figure: ReportFigure) -> dict[str, Any]:
    """Text for `src` and `alt`, and the size on the page, which is fewer pixels than the file has."""
    width, height = (round(inches * PIXELS_PER_INCH) for inches in figure.inches)
    return {"uri": figure.data_uri(), "alt": figure.alt, "width": width, "height": height}


def _failures(
    predictions: pd.DataFrame, threshold: float, shown: Sequence[tuple[Any, np.ndarray | None]]
) -> dict[str, Any]:
    """How many files were called wrongly, and the gallery of those in `shown`."""
    errors = worst_errors(predictions, threshold=threshold, count=len(predictions))
    missed = int((errors["label"] == 1).sum())
    return {
        "errors": [_error(row, image) for row, image in shown],
        "errors_sentence": f"{len(errors)} of {len(predictions)} files were called wrongly "
        f"(missed fractures: {missed}, false alarms: {len(errors) - missed}).",
    }


def _error(row: Any, image: np.ndarray | None) -> dict[str, str]:
    """One wrongly called file for the gallery."""
    kind = "missed fracture" if row.label == 1 else "false alarm"
    return {
        "kind": kind,
        "colour": CLASS_COLOURS[row.label],
        "probability": f"{row.probability:.2f}",
        "path": row.path,
        "uri": "" if image is None else image_uri(image),
        "alt": f"Radiograph {row.path}: {kind}, probability {row.probability:.2f}.",
    }
