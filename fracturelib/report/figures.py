"""The figures of a run's report, each with the alternative text that stands in for it."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from fracturelib import plots
from fracturelib.errors import ImageError
from fracturelib.evaluation import Evaluation, worst_errors
from fracturelib.images import read_radiograph
from fracturelib.plots.style import STYLE

SIZE = (5.8, 4.3)  # inches; at 150 dots per inch the letters stay readable on a phone
DPI = 150
ERRORS_SHOWN = 8
THUMBNAIL_SIDE = 256


class ReportFigure(NamedTuple):
    """A figure as a PNG file, its width and height in inches, and what a reader who cannot see it should know."""

    png: bytes
    inches: tuple[float, float]
    alt: str

    def data_uri(self) -> str:
        """The PNG as text for an `img` element, so that the page needs no other file."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


def report_figures(
    *,
    table: pd.DataFrame,
    history: pd.DataFrame,
    evaluation: Evaluation,
    predictions: pd.DataFrame,
    errors: list[tuple[Any, np.ndarray | None]],
) -> dict[str, ReportFigure]:
    """Every figure of the report by name; "subgroups" and "errors" only where there are any, and their images."""
    truth, chance, threshold = predictions["label"], predictions["probability"], evaluation.threshold
    auc = evaluation.scores.set_index("metric").loc["auc"]
    interval = (auc["low"], auc["high"])
    figures = {
        "data": _draw(lambda ax: plots.class_counts(table, ax=ax), _data_alt(table)),
        "loss": _draw(lambda ax: plots.loss_curves(history, ax=ax), _loss_alt(history)),
        "validation": _draw(lambda ax: plots.validation_curves(history, ax=ax), _validation_alt(history)),
        "scores": _draw(lambda ax: plots.score_forest(evaluation.comparison, ax=ax), _scores_alt(evaluation)),
        "confusion": _draw(lambda ax: plots.confusion_matrix(evaluation.confusion, ax=ax), _confusion_alt(evaluation)),
        "roc": _draw(
            lambda ax: plots.roc_curve(truth, chance, threshold=threshold, interval=interval, ax=ax),
            f"ROC curve with {_auc(evaluation)} and the point at the threshold {threshold:.2f}.",
        ),
        "precision_recall": _draw(
            lambda ax: plots.precision_recall_curve(truth, chance, threshold=threshold, ax=ax),
            f"Precision-recall curve with average precision {_number(evaluation.value('average_precision'))}; "
            f"guessing would give {truth.mean():.2f}.",
        ),
        "probabilities": _draw(
            lambda ax: plots.probability_histogram(truth, chance, threshold=threshold, ax=ax),
            f"Histogram of the predicted probabilities by true class, with the threshold at {threshold:.2f}.",
        ),
        "reliability": _draw(lambda ax: plots.reliability_diagram(truth, chance, ax=ax), _reliability_alt(evaluation)),
    }
    if len(evaluation.subgroups):
        figures["subgroups"] = _subgroups(evaluation)
    gallery = _gallery(errors)
    return figures if gallery is None else figures | {"errors": gallery}


def save_figures(folder: str | Path, figures: dict[str, ReportFigure]) -> list[Path]:
    """Each figure as `<folder>/<name>.png`; the folder is made if it is missing."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.png" for name in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        path.write_bytes(figure.png)
    return paths


def _draw(plot: Callable[[Axes], Axes], alt: str, size: tuple[float, float] = SIZE) -> ReportFigure:
    """A figure that pyplot does not know of, so that a notebook neither shows nor keeps it."""
    with plt.rc_context(STYLE):
        figure = Figure(figsize=size)
        plot(figure.subplots())
        return _finished(figure, alt)


def _finished(figure: Figure, alt: str) -> ReportFigure:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return ReportFigure(buffer.getvalue(), tuple(figure.get_size_inches()), alt)


def _subgroups(evaluation: Evaluation) -> ReportFigure:
    """Sensitivity and specificity of every subgroup, side by side."""
    rows = len(evaluation.subgroups)
    with plt.rc_context(STYLE):
        figure = Figure(figsize=(SIZE[0], 1.9 + 0.34 * rows))
        left, right = figure.subplots(1, 2, sharey=True)
        plots.subgroup_forest(evaluation.subgroups, metric="sensitivity", ax=left)
        plots.subgroup_forest(evaluation.subgroups, metric="specificity", ax=right)
        for ax in (left, right):
            ax.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
        left.set_xlabel("sensitivity")
        right.set(xlabel="specificity", ylabel="")
        right.tick_params(axis="y", labelleft=False)
        groups = ", ".join(dict.fromkeys(evaluation.subgroups["column"]))
        alt = f"Sensitivity and specificity in {rows} groups ({groups}); the numbers are in the table below."
        return _finished(figure, alt)


def readable_errors(
    predictions: pd.DataFrame, *, threshold: float, root: str | Path | None
) -> list[tuple[Any, np.ndarray | None]]:
    """The worst errors as (row, greyscale thumbnail); None for an image that was moved or deleted since the run."""
    found = []
    for row in worst_errors(predictions, threshold=threshold, count=ERRORS_SHOWN).itertuples():
        try:
            found.append((row, None if root is None else _thumbnail(Path(root) / row.path)))
        except (ImageError, OSError):
            found.append((row, None))
    return found


def _gallery(errors: list[tuple[Any, np.ndarray | None]]) -> ReportFigure | None:
    """The images that are still there, in one figure; None without any."""
    rows, images = [row for row, image in errors if image is not None], [i for _, i in errors if i is not None]
    if not images:
        return None
    missed = sum(row.label == 1 for row in rows)
    alt = (
        f"The {len(rows)} most confident errors: missed fractures (vermillion frame): {missed}, false alarms "
        f"(blue frame): {len(rows) - missed}."
    )
    columns = min(4, len(images))
    with plt.rc_context(STYLE):
        figure = Figure(figsize=(2.3 * columns, 3.1 * -(-len(images) // columns)))
        plots.error_gallery(pd.DataFrame(rows), images, columns=columns, figure=figure)
        return _finished(figure, alt)


def image_uri(image: np.ndarray) -> str:
    """A greyscale image as text for an `img` element."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _thumbnail(path: Path) -> np.ndarray:
    """Greyscale (H, W) with a short side of at most about twice `THUMBNAIL_SIDE`."""
    image = read_radiograph(path, target_side=THUMBNAIL_SIDE)
    return image[:: max(1, min(image.shape) // THUMBNAIL_SIDE), :: max(1, min(image.shape) // THUMBNAIL_SIDE)]


def _number(value: float) -> str:
    return "not estimable" if np.isnan(value) else f"{value:.2f}"


def _auc(evaluation: Evaluation) -> str:
    return f"AUC {_number(evaluation.value('auc'))}"


def _data_alt(table: pd.DataFrame) -> str:
    counts = table.groupby("split").agg(files=("label", "size"), fractured=("label", "sum"))
    parts = [f"{row.Index}: {row.files} files, {row.fractured} fractured" for row in counts.itertuples()]
    return "Bars of the number of files and original images by split and class. " + "; ".join(parts) + "."


def _loss_alt(history: pd.DataFrame) -> str:
    first, last = history.iloc[0], history.iloc[-1]
    return (
        f"Loss over {len(history)} epochs: training from {first['train_loss']:.2f} to {last['train_loss']:.2f}, "
        f"validation from {first['val_loss']:.2f} to {last['val_loss']:.2f}."
    )


def _validation_alt(history: pd.DataFrame) -> str:
    last = history.iloc[-1]
    return (
        f"Accuracy and AUC over {len(history)} epochs; at the end validation accuracy {last['val_accuracy']:.2f}, "
        f"validation AUC {_number(last['val_auc'])}."
    )


def _scores_alt(evaluation: Evaluation) -> str:
    rows = evaluation.comparison[evaluation.comparison["metric"] == "auc"]
    parts = [f"{row.model} {_number(row.value)}" for row in rows.itertuples()]
    return f"Scores of the model beside its baselines, with 95 % intervals. AUC: {', '.join(parts)}."


def _confusion_alt(evaluation: Evaluation) -> str:
    (true_negative, false_positive), (false_negative, true_positive) = evaluation.confusion.to_numpy()
    return (
        f"Confusion matrix. Of the fractured files {true_positive} were found and {false_negative} were missed; "
        f"of the others {true_negative} were called not fractured and {false_positive} were false alarms."
    )


def _reliability_alt(evaluation: Evaluation) -> str:
    return (
        "Reliability diagram: share of fractured files against the predicted probability in "
        f"{len(evaluation.calibration)} bins; expected calibration error {_number(evaluation.value('ece'))}."
    )
