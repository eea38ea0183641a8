"""What a reader sees after the last case: the reader's numbers beside the model's, and where the two part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fracturelib.course.figures.reading import disagreement_gallery, readers_against_model
from fracturelib.course.reader_study.scoring import (
    call_scores,
    class_scores,
    cohens_kappa,
    first_readings,
    ratings,
    told_counts,
    with_model,
)
from fracturelib.course.reader_study.session import simulated_class
from fracturelib.errors import EvaluationError
from fracturelib.evaluation import HEADLINE
from fracturelib.files.readings import pool_readings
from fracturelib.plots.style import STYLE
from fracturelib.writing.numbers import estimate, percent


def side_by_side(read: pd.DataFrame, *, who: str = "you") -> pd.DataFrame:
    """Reader and model on the same cases, each value with its 95 % interval; `read` is from `with_model`."""
    scored = {
        who: call_scores(read["label"], read["called"], ratings(read["called"], read["sure"])),
        "the model": call_scores(read["label"], read["model_called"], read["probability"]),
    }
    found = {
        name: [estimate(row.value, row.low, row.high, 2) for row in table.itertuples()]
        for name, table in scored.items()
    }
    return pd.DataFrame({"on these cases": [HEADLINE[metric] for metric in scored[who]["metric"]], **found})


def agreement_table(read: pd.DataFrame, *, who: str = "you") -> pd.DataFrame:
    """Cohen's kappa of each two of reader, model and truth; no interval where they agree in all cases, or in none."""
    pairs = {
        f"{who} and the truth": ("called", "label"),
        "the model and the truth": ("model_called", "label"),
        f"{who} and the model": ("called", "model_called"),
    }
    rows = []
    for name, (first, second) in pairs.items():
        found = cohens_kappa(read[first], read[second])
        kappa = estimate(found["kappa"], found["low"], found["high"], 2)
        if np.isnan(found["low"]) and not np.isnan(found["kappa"]):
            kappa += " (no interval)"
        rows.append((name, percent(found["agreement"], 1), percent(found["expected"], 1), kappa))
    return pd.DataFrame(rows, columns=["who", "say the same", "by chance alone", "Cohen's kappa"])


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
    point = own.iloc[0]
    figure.set_label(
        f"The model's ROC curve, and you as a point at sensitivity {point['sensitivity']:.2f} and specificity "
        f"{point['specificity']:.2f}"
    )
    parts = "Where reader, model and truth disagree. The frame has the colour of the truth; the box marks the fracture"
    warm = "; the warm places made the model say fractured (Grad-CAM)." if heat is not None else "."
    tables = [side_by_side(read), agreement_table(read)]
    return [told_counts(read), figure, *tables, parts + warm, disagreement_gallery(read, heat=heat)]


def class_or_made_up(
    folder: str | Path, cases: pd.DataFrame, *, day: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """All readings of these cases in a folder, those of one class (`first_readings`), and what that class is called.

    Where the folder has no such class it is a made-up one, whose name says why.
    """
    try:
        pooled = pool_readings(folder, cases=cases)
        return pooled, first_readings(pooled, day=day), "your class"
    except EvaluationError as error:
        made_up = simulated_class(cases)
        return made_up, made_up, f"a made-up class ({error.what})"
