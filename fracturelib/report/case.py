"""A page about one picture: where the model looked, its number and what that means, and what it resembles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from fracturelib import plots
from fracturelib.config import CLASS_NAMES
from fracturelib.errors import EvaluationError
from fracturelib.explain import heat_maps
from fracturelib.files import check_output, check_output_folder, write_text
from fracturelib.images import read_radiograph
from fracturelib.prediction import Limits, Predicted
from fracturelib.prediction.nearest import Case, nearest_cases
from fracturelib.report.figures import THUMBNAIL_SIDE, image_uri
from fracturelib.runs import Run
from fracturelib.writing.palette import CLASS_COLOURS
from fracturelib.writing.template import fill_in
from fracturelib.writing.verdicts import Answer, Doubt, doubt_told


@contextmanager
def case_pages(
    folder: str | Path, run: Run, limits: Limits, *, outside: Iterable[str | Path] = ()
) -> Iterator[Callable[[Predicted], Path]]:
    """A function that writes the page of one prediction into `folder`, which is made with the first; its path.

    Raises:
        FracturelibError: the folder lies in one of `outside`, or cannot be made or written to.
    """
    place = check_output_folder(folder, {}, outside=outside)
    names: dict[str, int] = {}

    def write(row: Predicted) -> Path:
        stem = Path(row.path).stem
        names[stem] = names.get(stem, 0) + 1
        name = stem if names[stem] == 1 else f"{stem}-{names[stem]}"  # files of one name in two folders
        place.mkdir(parents=True, exist_ok=True)
        page = check_output(place / f"{name}.html")
        write_text(page, case_page(row, run, limits))
        return page

    yield write


def case_page(row: Predicted, run: Run, limits: Limits) -> str:
    """The page as HTML, in one file."""
    file = Path(row.path)
    picture = _shrunk(read_radiograph(file, target_side=THUMBNAIL_SIDE, polarity=run.config.polarity))
    heat = None if row.reason not in (Doubt.NONE, Doubt.UNSURE) else _heat(run, file)
    reference = run.reference
    near = [] if reference is None else nearest_cases(run.model, reference, run.config, [file])[0]
    return fill_in(
        "report/case_template.html",
        name=file.name,
        run=run.record.get("name", run.folder.name),
        answer=row.answer,
        called=row.answer == Answer.FRACTURE,
        reason=doubt_told(row.reason),
        meaning=_meaning(row, run, limits),
        picture=image_uri(picture),
        heat=None if heat is None else image_uri(plots.heat_overlay(picture, heat)),
        cases=[case_shown(case) for case in near],
    )


def case_shown(case: Case) -> dict[str, str]:
    """A training picture for a template."""
    label = CLASS_NAMES[case.label]
    return {
        "uri": "" if case.image is None else image_uri(case.image),
        "label": label,
        "colour": CLASS_COLOURS[case.label],
        "path": case.path,
        "similarity": f"{case.similarity:.2f}",
        "alt": f"Training picture {case.path}: {label}.",
    }


def _meaning(row: Predicted, run: Run, limits: Limits) -> list[str]:
    """The number, and what can and cannot be read from it."""
    if np.isnan(row.probability):
        return [
            f"No probability is given. (The network's own output, {row.raw:.3f}, means nothing for such a picture.)"
        ]
    said = [f"P(fractured) = {row.probability:.3f}. The run calls a picture fractured from {limits.threshold:.3f} on."]
    if limits.limit is not None:
        said.append(f"It may say “no fracture” below {min(limits.limit, limits.threshold):.3f}.")
    said.append(
        f"It is calibrated on the run's validation pictures: of pictures like those with this number, about "
        f"{round(100 * row.probability)} in 100 show a fracture."
        if run.temperature is not None
        else f"The run has no temperature; this is what the network gave ({row.raw:.3f})."
    )
    said.append("It holds at best where fractures are as frequent as in the run's data.")
    return said


def _heat(run: Run, file: Path) -> np.ndarray | None:
    try:
        return heat_maps(run.model, pd.DataFrame({"path": [file.name]}), run.config, root=file.parent)[0]
    except EvaluationError:  # a trunk without places
        return None


def _shrunk(picture: np.ndarray) -> np.ndarray:
    step = max(1, min(picture.shape) // THUMBNAIL_SIDE)
    return picture[::step, ::step]
