"""The figures of a run's report, each with the alternative text that stands in for it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from fracturelib import plots
from fracturelib.catalog import polarities, root_of
from fracturelib.config import POSITIVE
from fracturelib.errors import CatalogError, ImageError
from fracturelib.evaluation import Evaluation, apply_temperature
from fracturelib.files import MARK, replaced
from fracturelib.images import read_radiograph
from fracturelib.plots.style import STYLE
from fracturelib.report.tested import Tested
from fracturelib.stress.probing import Probes
from fracturelib.writing.numbers import UNKNOWN, number
from fracturelib.writing.palette import CLASS_COLOURS
from fracturelib.writing.template import data_uri

SIZE = (5.8, 4.3)  # inches; at 150 dots per inch the letters stay readable on a phone
DPI = 150
THUMBNAIL_SIDE = 256


class ReportFigure(NamedTuple):
    """A figure as a PNG file, its width and height in inches, and what a reader who cannot see it should know."""

    png: bytes
    inches: tuple[float, float]
    alt: str

    def data_uri(self) -> str:
        """The PNG as text for an `img` element, so that the page needs no other file."""
        return data_uri(self.png, "image/png")


class Shown(NamedTuple):
    """One file of a gallery.

    Attributes:
        row: its prediction.
        image: greyscale thumbnail (H, W), None when it cannot be read any more.
        box: the fracture's place (x, y, w, h) in the thumbnail, None where it is not known.
        heat: Grad-CAM (S, S), 0…1, None where there is none.
    """

    row: Any
    image: np.ndarray | None
    box: tuple[float, float, float, float] | None
    heat: np.ndarray | None


FIGURES = (  # all that a report may have
    *("data", "loss", "validation", "scores", "confusion", "roc", "precision_recall", "probabilities", "reliability"),
    *("subgroups", "robustness", "localisation", "occlusion", "errors"),
)


def report_figures(tested: Tested, errors: list[Shown]) -> dict[str, ReportFigure]:
    """Every figure of the report by name; "subgroups", "errors" and those of the probes only where there are any."""
    table, history, evaluation = tested.table, tested.history, tested.evaluation
    truth, chance, threshold = tested.predictions["label"], tested.predictions["probability"], evaluation.threshold
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
        "reliability": _reliability(evaluation, truth, tested.predictions.get("raw", chance)),
    }
    if len(evaluation.subgroups):
        figures["subgroups"] = _subgroups(evaluation)
    figures |= _probes(tested.probes)
    gallery = _gallery(errors)
    return figures if gallery is None else figures | {"errors": gallery}


def save_figures(folder: str | Path, figures: dict[str, ReportFigure]) -> list[Path]:
    """Each figure as `<folder>/<name>.png`; the folder is made if it is missing."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.png" for name in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        with replaced(path) as partial:
            partial.write_bytes(figure.png)
    return paths


def _draw(plot: Callable[[Axes], Axes], alt: str, size: tuple[float, float] = SIZE) -> ReportFigure:
    """A figure that pyplot does not know of, so that a notebook neither shows nor keeps it."""
    with plt.rc_context(STYLE):
        figure = Figure(figsize=size)
        plot(figure.subplots())
        return _finished(figure, alt)


def _finished(figure: Figure, alt: str) -> ReportFigure:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": MARK})
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


def _reliability(evaluation: Evaluation, truth: pd.Series, chance: pd.Series) -> ReportFigure:
    """The reliability diagram, and beside it the one with the temperature where there is one."""
    if evaluation.temperature is None:
        return _draw(lambda ax: plots.reliability_diagram(truth, chance, ax=ax), _reliability_alt(evaluation))
    with plt.rc_context(STYLE):
        figure = Figure(figsize=(2 * SIZE[0], SIZE[1] + 0.4))
        left, right = figure.subplots(1, 2)
        plots.reliability_diagram(truth, chance, ax=left)
        plots.reliability_diagram(truth, apply_temperature(chance, evaluation.temperature), ax=right)
        for ax, title in ((left, "as trained"), (right, f"with temperature {evaluation.temperature:.2f}")):
            ax.set_title(title, pad=66)
        return _finished(figure, _reliability_alt(evaluation))


def _probes(probes: Probes) -> dict[str, ReportFigure]:
    """Figures of robustness, localisation and occlusion, where they were made."""
    figures = {}
    if len(probes.robustness):
        parts = [f"{row.perturbation} {row.level:g}: {_number(row.auc)}" for row in probes.robustness.itertuples()]
        alt = f"AUC under damage to the pictures. {'; '.join(parts)}."
        figures["robustness"] = _draw(lambda ax: plots.robustness_curves(probes.robustness, ax=ax), alt)
    if len(probes.localisation):
        rows = probes.localisation.itertuples()
        parts = [f"{row.measure} {row.value:.2f}, chance {row.chance:.2f}, middle {row.centre:.2f}" for row in rows]
        alt = f"Grad-CAM against the fracture boxes. {'; '.join(parts)}."
        figures["localisation"] = _draw(
            lambda ax: plots.localisation_points(probes.localisation, ax=ax), alt, (SIZE[0], 2.9)
        )
        parts = [f"{row.erased} {_number(row.value)}" for row in probes.occlusion.itertuples()]
        alt = f"Mean change of the probability of a fracture when a box is erased. {'; '.join(parts)}."
        figures["occlusion"] = _draw(lambda ax: plots.occlusion_points(probes.occlusion, ax=ax), alt, (SIZE[0], 2.9))
    return figures


def shown_pictures(chosen: pd.DataFrame, tested: Tested) -> list[Shown]:
    """The chosen files with a thumbnail, their fracture box and their heat map, where there are any.

    No image where it was moved or deleted since the run.
    """
    sizes = tested.table.set_index("path")[["width", "height"]]
    found = []
    for row, polarity in zip(chosen.itertuples(), polarities(chosen), strict=True):
        try:
            image = _thumbnail(root_of(tested.table) / row.path, polarity)
        except (CatalogError, ImageError, OSError):
            image = None
        box = None
        if image is not None and row.path in sizes.index and pd.notna(getattr(row, "bbox_x", np.nan)):
            across, down = np.array(image.shape[::-1]) / sizes.loc[row.path].to_numpy(float)
            box = (row.bbox_x * across, row.bbox_y * down, row.bbox_w * across, row.bbox_h * down)
        found.append(Shown(row, image, box, tested.probes.heat.get(row.path)))
    return found


def _gallery(errors: list[Shown]) -> ReportFigure | None:
    """The images that are still there, in one figure; None without any."""
    seen = [(one, one.image) for one in errors if one.image is not None]
    if not seen:
        return None
    missed = sum(one.row.label == POSITIVE for one, _ in seen)
    alt = (
        f"The {len(seen)} most confident errors: missed fractures (orange frame): {missed}, false alarms "
        f"(blue frame): {len(seen) - missed}."
    )
    columns = min(4, len(seen))
    pictures = [image if one.heat is None else plots.heat_overlay(image, one.heat) for one, image in seen]
    with plt.rc_context(STYLE):
        figure = Figure(figsize=(2.3 * columns, 3.1 * -(-len(seen) // columns)))
        plots.error_gallery(pd.DataFrame([one.row for one, _ in seen]), pictures, columns=columns, figure=figure)
        return _finished(figure, alt)


def image_uri(image: np.ndarray, box: tuple[float, float, float, float] | None = None) -> str:
    """A greyscale or colour image, with a box outlined in it, as text for an `img` element."""
    picture = Image.fromarray(image)
    if box is not None:
        picture = picture.convert("RGB")
        x, y, w, h = box
        ImageDraw.Draw(picture).rectangle((x, y, x + w, y + h), outline=CLASS_COLOURS[1], width=2)
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=85)
    return data_uri(buffer.getvalue(), "image/jpeg")


def _thumbnail(path: Path, polarity: str) -> np.ndarray:
    """Greyscale (H, W) with a short side of at most about twice `THUMBNAIL_SIDE`."""
    image = read_radiograph(path, target_side=THUMBNAIL_SIDE, polarity=polarity)
    return image[:: max(1, min(image.shape) // THUMBNAIL_SIDE), :: max(1, min(image.shape) // THUMBNAIL_SIDE)]


def _number(value: float) -> str:
    return number(value, 2, missing=UNKNOWN)


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
    summary = evaluation.calibration_summary.set_index("quantity")
    cooled = ""
    if evaluation.temperature is not None:
        cooled = f", and {summary.loc['ece', 'with_temperature']:.2f} with the temperature {evaluation.temperature:.2f}"
    return (
        "Reliability diagram: share of fractured files against the predicted probability in "
        f"{len(evaluation.calibration)} bins; expected calibration error {_number(evaluation.value('ece'))}{cooled}."
    )
