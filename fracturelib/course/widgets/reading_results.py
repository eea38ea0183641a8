"""What a reader sees after the last case of notebook 06: the own numbers beside the model's, and where the two part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fracturelib import plots
from fracturelib.config import CLASS_NAMES
from fracturelib.course.figures.reading import readers_against_model
from fracturelib.course.reader_study import call_scores, class_scores, cohens_kappa, disagreements, with_model
from fracturelib.course.reader_study.scoring import ratings
from fracturelib.course.widgets.exploration import mark_box
from fracturelib.images import read_radiograph
from fracturelib.plots.style import STYLE
from fracturelib.writing.palette import CLASS_COLOURS
from fracturelib.writing.words import percent

MOST_SHOWN = 8  # cases of disagreement: more would be scrolled past
COLUMNS = 4
SCORES = {"sensitivity": "sensitivity", "specificity": "specificity", "accuracy": "accuracy", "auc": "AUC"}


def side_by_side(read: pd.DataFrame) -> pd.DataFrame:
    """Reader and model on the same cases, each value with its 95 % interval; `read` is from `reading.with_model`."""
    who = {
        "you": call_scores(read["label"], read["called"], ratings(read["called"], read["sure"])),
        "the model": call_scores(read["label"], read["model_called"], read["probability"]),
    }
    found = {name: [_with_interval(row) for row in table.itertuples()] for name, table in who.items()}
    return pd.DataFrame({"on these cases": [SCORES[metric] for metric in who["you"]["metric"]], **found})


def agreement_table(read: pd.DataFrame) -> pd.DataFrame:
    """Cohen's kappa of each two of reader, model and truth."""
    pairs = {
        "you and the truth": ("called", "label"),
        "the model and the truth": ("model_called", "label"),
        "you and the model": ("called", "model_called"),
    }
    rows = []
    for name, (first, second) in pairs.items():
        found = cohens_kappa(read[first], read[second])
        kappa = pd.Series({"value": found["kappa"], "low": found["low"], "high": found["high"]})
        rows.append((name, percent(found["agreement"], 1), percent(found["expected"], 1), _with_interval(kappa)))
    return pd.DataFrame(rows, columns=["who", "say the same", "by chance alone", "Cohen's kappa"])


def _with_interval(row) -> str:
    if np.isnan(row.value):
        return "not estimable"
    return f"{row.value:.2f}" + ("" if np.isnan(row.low) else f" ({row.low:.2f} to {row.high:.2f})")


def disagreement_gallery(
    read: pd.DataFrame, *, heat: Callable[[pd.DataFrame], np.ndarray] | None = None
) -> Figure | str:
    """The cases on which reader, model and truth do not agree, up to `MOST_SHOWN`, with the box of the fracture.

    Args:
        read: from `reading.with_model`; its ``attrs["root"]`` is the folder of the files.
        heat: rows → Grad-CAM maps (n, S, S), 0…1, laid over the pictures; None shows the pictures alone.
    """
    rows = disagreements(read).iloc[:MOST_SHOWN]
    if rows.empty:
        return "You, the model and the truth agree on every case."
    pictures = [read_radiograph(Path(read.attrs["root"]) / path) for path in rows["path"]]
    if heat is not None:
        pictures = [plots.heat_overlay(picture, warm) for picture, warm in zip(pictures, heat(rows), strict=True)]
    titles = [
        f"truth: {CLASS_NAMES[row.label]}\nyou: {CLASS_NAMES[row.called]}\nmodel: P(fractured) {row.probability:.2f}"
        for row in rows.itertuples()
    ]
    figure = plt.figure(figsize=(2.6 * COLUMNS, 3.9 * -(-len(rows) // COLUMNS)), layout="constrained")
    colours = [CLASS_COLOURS[label] for label in rows["label"]]
    axes = plots.image_grid(pictures, titles, columns=COLUMNS, colours=colours, figure=figure)
    if "bbox_x" in rows:
        for ax, box in zip(axes, rows[["bbox_x", "bbox_y", "bbox_w", "bbox_h"]].to_numpy(float), strict=True):
            mark_box(ax, box)
    return figure


def reading_results(
    answers: pd.DataFrame,
    predictions: pd.DataFrame,
    *,
    threshold: float,
    heat: Callable[[pd.DataFrame], np.ndarray] | None = None,
) -> list[Figure | pd.DataFrame | str]:
    """All that a reader learns at the end.

    Args:
        answers: from `Reading.answers`.
        predictions: the model's, of all the files that it was tested on, the cases among them.
        threshold: of the model.
        heat: see `disagreement_gallery`.

    Raises:
        EvaluationError: a case has no prediction.
    """
    read = with_model(answers, predictions, threshold=threshold)
    own = class_scores(read.assign(reader=1))
    with plt.rc_context(STYLE):
        figure, ax = plt.subplots(figsize=(6.6, 7.4))
        readers_against_model(own, predictions["label"], predictions["probability"], threshold=threshold, own=1, ax=ax)
    parts = "Where reader, model and truth part. The frame has the colour of the truth; the box marks the fracture"
    warm = "; the warm places spoke for a fracture to the model (Grad-CAM)." if heat is not None else "."
    return [figure, side_by_side(read), agreement_table(read), parts + warm, disagreement_gallery(read, heat=heat)]
