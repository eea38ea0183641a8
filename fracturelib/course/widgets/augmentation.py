"""Notebook 02's panels: variants of one radiograph, and whether a crop leaves its label true."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fracturelib.catalog import BOX, root_of, with_boxes
from fracturelib.course.figures.augmentation import crop_figure, six_variants
from fracturelib.course.studies.augmentation import LEAST_IN_SIGHT, share_in_sight
from fracturelib.course.widgets.common import Panel, choice, slider, steps, whole_number
from fracturelib.images import read_radiograph
from fracturelib.writing.numbers import percent


def variants_panel(table: pd.DataFrame, *, examples: int = 12) -> Panel:
    """Move the strengths of the augmentations and watch six variants of one radiograph."""
    rows = table[table["split"] == "train"].groupby("label", sort=False).head(examples // 2)
    files = {f"{row.source_id}": row.path for row in rows.itertuples()}
    root = root_of(table)
    controls = {
        "file": choice("Radiograph", files, next(reversed(files.values()))),
        "rotation": slider("Rotation up to (°)", 10, 0, 180, 5, form=".0f"),
        "flip": slider("Chance of a flip", 0.5, 0, 1, 0.1, form=".1f"),
        "crop": slider("Crop keeps (side)", 0.9, 0.3, 1, 0.05),
        "image_size": steps("Image size (pixels)", [32, 64, 96, 128, 160, 224], 224),
        "seed": whole_number("Seed", 0, 0, 20),
    }

    def draw(file: str, **strengths: Any) -> Figure:
        return six_variants(read_radiograph(root / file), **strengths)

    return Panel(draw, controls, title="Six variants of one radiograph").start()


def crop_example(table: pd.DataFrame, *, fraction: float, number: int = 0, seed: int = 0) -> list[Figure | str]:
    """One fractured radiograph with a random crop and its fracture marked, beside what is left.

    Args:
        table: with box columns.
        fraction: side of the crop as a share of the picture's.
        number: which fractured radiograph; numbers past the end start again.
        seed: of the place of the crop.
    """
    rows = with_boxes(table)
    if rows.empty:
        return ["This data set does not say where its fractures are."]
    row = rows.iloc[[number % len(rows)]]
    picture = read_radiograph(root_of(table) / row["path"].iloc[0])
    height, width = picture.shape
    # The first draw of `share_in_sight`, so that the number below belongs to this very crop.
    left, top = np.random.default_rng(seed).uniform(0, 1 - fraction, 2) * (width, height)
    seen = float(share_in_sight(row, fraction, seed=seed, draws=1)[0, 0])
    box = row[list(BOX)].to_numpy(float)[0]
    figure = crop_figure(picture, box, (left, top, fraction * width, fraction * height))
    verdict = "the label no longer fits" if seen < LEAST_IN_SIGHT else "the label still fits"
    return [figure, f"{percent(seen, 1)} of the fracture's box is in sight: {verdict}."]


def crop_panel(table: pd.DataFrame) -> Panel:
    """Crop a fractured radiograph and see whether its fracture is still there."""
    controls = {
        "fraction": slider("Crop keeps (side)", 0.5, 0.2, 1, 0.05),
        "number": whole_number("Radiograph", 0, 0, 30),
        "seed": whole_number("Seed", 0, 0, 20),
    }
    return Panel(lambda **values: crop_example(table, **values), controls, title="Is the fracture still there?").start()
