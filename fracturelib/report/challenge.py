"""`index.html`: "Can you beat the model at 20 X-rays?", one file to read radiographs in and then to meet a run's model.

It holds the pictures, the model's answers and the truth, but no path, no name of a file and no number of a patient.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from fracturelib.catalog import BOX, polarities
from fracturelib.catalog.cases import CASES, choose_cases
from fracturelib.errors import EvaluationError, RunError
from fracturelib.evaluation.consequences import probability_cells
from fracturelib.explain import heat_maps
from fracturelib.files import write_text
from fracturelib.files.places import SIMULATION
from fracturelib.files.readings import SURENESS, case_keys
from fracturelib.images import read_radiograph
from fracturelib.runs import Run, saved_table
from fracturelib.writing.modules import bundle, script_policy
from fracturelib.writing.numbers import in_brackets, interval, number
from fracturelib.writing.template import data_uri, fill_in

CHALLENGE = "index.html"
MOST_BYTES = 2_850_000  # of all pictures as text: the page stays below 3 MB
SIDES = (1024, 800, 640, 512, 400, 320, 256)  # longest side of a picture; the first with which all of them fit is taken
HEAT_SIDE = 32  # a heat map is no finer than 7 × 7 cells at 224 pixels


class Case(NamedTuple):
    """A radiograph to be read.

    Attributes:
        picture: grey, at most as large as the page can use.
        size: width and height of the file.
        heat: Grad-CAM (S, S) of 0…1; all 0 where nothing spoke for a fracture, or where the trunk allows none.
        row: of the run's predictions.
    """

    picture: Image.Image
    size: tuple[int, int]
    heat: NDArray[Any]
    row: Any


def write_challenge(
    run: Run, file: str | Path, *, count: int = CASES, seed: int = 0, data: str | Path | None = None
) -> Path:
    """Write the page with `count` cases of the run's test set; returns its path.

    Args:
        run: from `load_run`.
        file: what is written; replaced whole.
        count, seed: as in `choose_cases`.
        data: where the run's data set is now; by default where the run knows it to be.

    Raises:
        RunError: the data are not there; ImageError: a picture is missing or has changed since the run.
        EvaluationError: see `choose_cases`.
    """
    root = _data_of(run, data)
    predictions = saved_table(run.folder, run.record)
    chosen = choose_cases(predictions, count=count, seed=seed)
    heat = _heat_maps(run, chosen, root)
    cases = [
        _read(root, row, warm, polarity)
        for row, warm, polarity in zip(chosen.itertuples(), heat, polarities(chosen), strict=True)
    ]
    pictures = "simulated pictures" if (root / SIMULATION).is_file() else f"data set “{root.resolve().name}”"
    content = {
        "title": f"Can you beat the model at {len(cases)} X-rays?",
        "pictures": pictures,
        "sureness": {str(sure): name for sure, name in SURENESS.items()},
        "threshold": run.threshold,
        "side": HEAT_SIDE,
        "model": {"cells": probability_cells(predictions, threshold=run.threshold)},
        "cases": _described(cases, case_keys(chosen), run.threshold),
    }
    write_text(file, _filled_in(content, run, files=len(predictions), boxes="bbox_x" in predictions))
    return Path(file)


def _data_of(run: Run, data: str | Path | None) -> Path:
    root = Path(run.config.data if data is None else data)
    if not root.is_dir():
        raise RunError(
            "the pictures that this run was tested on are not here",
            file=root,
            cause="the run or its data were moved, or come from another machine",
            cure="name the folder with --data FOLDER",
        )
    return root


def _heat_maps(run: Run, chosen: pd.DataFrame, root: Path) -> NDArray[Any]:
    try:
        return heat_maps(run.model.to("cpu"), chosen, run.config, root=root)
    except EvaluationError:  # no layer of this trunk keeps places
        return np.zeros((len(chosen), 1, 1))


def _read(root: Path, row: Any, heat: NDArray[Any], polarity: str) -> Case:
    sha256 = getattr(row, "sha256", None)
    picture = Image.fromarray(read_radiograph(root / row.path, sha256=sha256, polarity=polarity))
    size = picture.size
    picture.thumbnail((SIDES[0], SIDES[0]), Image.Resampling.LANCZOS)  # a hundred whole radiographs would fill memory
    return Case(picture, size, heat, row)


def _described(cases: Sequence[Case], keys: Sequence[str], threshold: float) -> list[dict[str, Any]]:
    """The cases as `challenge.js` takes them."""
    pictures = _encoded([case.picture for case in cases])
    return [
        {
            "picture": picture,
            "key": key,
            "label": int(case.row.label),
            "called": int(case.row.probability >= threshold),
            "probability": float(case.row.probability),
            "box": _box(case),
            "heat": _heat(case.heat) if case.heat.any() else None,
        }
        for case, key, picture in zip(cases, keys, pictures, strict=True)
    ]


def _encoded(pictures: Sequence[Image.Image]) -> list[str]:
    """All pictures as JPEG in text, as large as the page allows."""
    for side in SIDES:
        found = [_jpeg(picture, side) for picture in pictures]
        if sum(map(len, found)) <= MOST_BYTES:
            break
    return found


def _jpeg(picture: Image.Image, side: int) -> str:
    smaller, buffer = picture.copy(), io.BytesIO()
    smaller.thumbnail((side, side), Image.Resampling.LANCZOS)
    smaller.save(buffer, format="JPEG", quality=85, optimize=True)
    return data_uri(buffer.getvalue(), "image/jpeg")


def _box(case: Case) -> list[float] | None:
    """Left, top, width and height of the fracture as shares of the picture; None where its place is not known."""
    values = np.array([getattr(case.row, name, np.nan) for name in BOX], dtype=float)
    return None if np.isnan(values).any() else (values / [*case.size, *case.size]).tolist()


def _heat(heat: NDArray[Any]) -> str:
    """A heat map as bytes 0…255 (HEAT_SIDE²) in text."""
    small = cv2.resize(heat.astype(np.float32), (HEAT_SIDE, HEAT_SIDE), interpolation=cv2.INTER_AREA)
    return base64.b64encode(np.rint(255 * small.clip(0, 1)).astype(np.uint8).tobytes()).decode("ascii")


def _filled_in(content: dict[str, Any], run: Run, *, files: int, boxes: bool) -> str:
    auc = pd.DataFrame(run.metrics["scores"]).set_index("metric").loc["auc"]
    ends = in_brackets(interval(auc["low"], auc["high"], 2))
    script, pictures = bundle("challenge.js"), content["pictures"]
    return fill_in(
        "report/challenge_template.html",
        content=content,
        script=Markup(script),
        policy=script_policy(script),
        pictures_sentence=f"{pictures[0].upper()}{pictures[1:]}; the model has learnt from others.",
        model_files=f"{files:,}",
        warm=any(case["heat"] for case in content["cases"]),
        calibrated=run.temperature is not None,
        auc_sentence=f": AUC {number(auc['value'], 2)} {ends}".rstrip(),
        marks_sentence="; the thin box marks the place, where it is known" if boxes else "",
    )
