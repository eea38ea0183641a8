"""Notebook 02: variants of one radiograph, and which changes leave its label true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fracturelib.config import POSITIVE, TrainConfig
from fracturelib.course.widgets.common import Panel, choice, slider, steps, whole_number
from fracturelib.images import read_radiograph
from fracturelib.plots import image_grid
from fracturelib.plots.style import STYLE, legend_above, styled
from fracturelib.runtime import seeded
from fracturelib.transforms import denormalize, eval_transform, train_transform
from fracturelib.writing.palette import CLASS_COLOURS, INK
from fracturelib.writing.words import percent

VARIANTS = 6
BOX = ["bbox_x", "bbox_y", "bbox_w", "bbox_h"]
MOSTLY = 0.5  # less than this share of the box in sight: the fracture counts as cut away


def variants(radiograph: np.ndarray, config: TrainConfig, *, count: int = VARIANTS, seed: int = 0) -> torch.Tensor:
    """What the network would get in `count` epochs: uint8 (H, W) → float32 (count, 3, S, S), normalised."""
    transform = train_transform(config)
    images = []
    for epoch in range(count):
        with seeded(seed, "preview", epoch):
            images.append(transform(radiograph))
    return torch.stack(images)


def displayed(images: torch.Tensor) -> list[np.ndarray]:
    """Normalised images (B, 3, S, S) → greys 0…1, each (S, S); the three channels are equal."""
    return list(denormalize(images)[:, 0].numpy())


def six_variants(
    radiograph: np.ndarray,
    *,
    rotation: float = 10.0,
    flip: float = 0.5,
    crop: float = 0.9,
    image_size: int = 224,
    seed: int = 0,
) -> Figure:
    """The radiograph as validation sees it, beside six variants as training sees it.

    Args:
        radiograph: uint8 (H, W).
        rotation: largest rotation in degrees.
        flip: chance of a left-right flip.
        crop: side of the crop as a share of the side of the picture.
        image_size: side of the result in pixels.
        seed: another seed gives six others.
    """
    config = replace(
        TrainConfig(), rotation_degrees=rotation, flip_probability=flip, crop_fraction=crop, image_size=image_size
    )
    images = displayed(torch.cat([eval_transform(config)(radiograph)[None], variants(radiograph, config, seed=seed)]))
    titles = ["validation:\nnever changed", *(f"training,\nepoch {epoch + 1}" for epoch in range(VARIANTS))]
    figure = plt.figure(figsize=(9, 5.4), layout="constrained")
    image_grid(images, titles, columns=4, figure=figure)
    return figure


def variants_panel(table: pd.DataFrame, *, examples: int = 12) -> Panel:
    """Move the strengths of the augmentations and watch six variants of one radiograph."""
    rows = table[table["split"] == "train"].groupby("label", sort=False).head(examples // 2)
    files = {f"{row.source_id}": row.path for row in rows.itertuples()}
    root = Path(table.attrs["root"])
    controls = {
        "file": choice("Radiograph", files, next(reversed(files.values()))),
        "rotation": slider("Rotation up to (°)", 10, 0, 180, 5, form=".0f"),
        "flip": slider("Chance of a flip", 0.5, 0, 1, 0.1, form=".1f"),
        "crop": slider("Crop keeps (side)", 0.9, 0.3, 1, 0.05),
        "image_size": steps("Image size (pixels)", [32, 64, 96, 128, 160, 224], 224),
        "seed": whole_number("Seed", 0, 0, 20),
    }

    def draw(file: str, **strengths: float) -> Figure:
        return six_variants(read_radiograph(root / file), **strengths)

    return Panel(draw, controls, title="Six variants of one radiograph").start()


def known_fractures(table: pd.DataFrame) -> pd.DataFrame:
    """The fractured rows whose place is known; simulated sets know it for all."""
    if "bbox_x" not in table:
        return table.iloc[:0].assign(**dict.fromkeys(BOX, np.nan))
    found = table[(table["label"] == POSITIVE) & table[BOX].notna().all(axis=1)]
    found.attrs = dict(table.attrs)
    return found


def share_in_sight(rows: pd.DataFrame, fraction: float, *, seed: int = 0, draws: int = 20) -> np.ndarray:
    """How much of each fracture's box a random crop keeps.

    The crop is that of `train_transform` without the rotation: a window whose sides are `fraction` of the picture's,
    anywhere inside it with equal chance.

    Args:
        rows: with width, height and the box columns, in pixels.
        fraction: 0…1.
        seed, draws: of the random places, `draws` for each row.

    Returns:
        (rows, draws) shares 0…1 of the box's area.
    """
    rng = np.random.default_rng(seed)
    size = rows[["width", "height"]].to_numpy(float)
    box = rows[BOX].to_numpy(float)
    low, high = box[:, :2] / size, (box[:, :2] + box[:, 2:]) / size  # (rows, 2), as shares of the picture
    corner = rng.uniform(0, 1 - fraction, (len(rows), draws, 2))
    seen = np.minimum(high[:, None], corner + fraction) - np.maximum(low[:, None], corner)
    return np.clip(seen, 0, None).prod(axis=2) / (high - low).prod(axis=1)[:, None]


def crop_losses(rows: pd.DataFrame, fractions: tuple[float, ...], *, seed: int = 0) -> pd.DataFrame:
    """For each crop: the share of crops in which the fracture is mostly cut away, and wholly.

    Columns: fraction, mostly_gone (less than half of the box in sight), gone (nothing of it in sight).
    """
    found = []
    for fraction in fractions:
        seen = share_in_sight(rows, fraction, seed=seed)
        found.append((fraction, (seen < MOSTLY).mean(), (seen == 0).mean()))
    return pd.DataFrame(found, columns=["fraction", "mostly_gone", "gone"])


@styled
def crop_loss_curve(losses: pd.DataFrame, *, marked: float | None = None, ax: Axes) -> Axes:
    """Wrong labels made by cropping, against the side of the crop; `marked` is the setting in use."""
    ax.plot(losses["fraction"], losses["mostly_gone"], "o-", color=CLASS_COLOURS[1], label="mostly cut away")
    ax.plot(losses["fraction"], losses["gone"], "s--", color=INK, label="nothing left of it")
    if marked is not None:
        ax.axvline(marked, color=CLASS_COLOURS[0], linestyle=":", linewidth=2, label=f"the recipe: {marked:g}")
    ax.set(xlabel="side of the crop, as a share of the picture's side", ylabel="share of crops of fractured bones")
    ax.set_ylim(bottom=-0.01)
    legend_above(ax, columns=3, columnspacing=1.2)
    return ax


def crop_example(table: pd.DataFrame, *, fraction: float, number: int = 0, seed: int = 0) -> list[Figure | str]:
    """One fractured radiograph with a random crop and its fracture marked, beside what is left.

    Args:
        table: with box columns.
        fraction: side of the crop as a share of the picture's.
        number: which fractured radiograph; numbers past the end start again.
        seed: of the place of the crop.
    """
    rows = known_fractures(table)
    if rows.empty:
        return ["This data set does not say where its fractures are."]
    row = rows.iloc[[number % len(rows)]]
    picture = read_radiograph(Path(table.attrs["root"]) / row["path"].iloc[0])
    height, width = picture.shape
    # The first draw of `share_in_sight`, so that the number below belongs to this very crop.
    left, top = np.random.default_rng(seed).uniform(0, 1 - fraction, 2) * (width, height)
    right, bottom = left + fraction * width, top + fraction * height
    seen = float(share_in_sight(row, fraction, seed=seed, draws=1)[0, 0])
    with plt.rc_context(STYLE):
        figure, (whole, part) = plt.subplots(1, 2, figsize=(7, 4), layout="constrained")
        for ax, title in ((whole, "the file, with the crop"), (part, "what training sees")):
            ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
            ax.set(title=title, xticks=[], yticks=[])
            ax.grid(False)
            x, y, w, h = row[BOX].to_numpy(float)[0]
            ax.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor=CLASS_COLOURS[1], linewidth=2))
        whole.add_patch(
            Rectangle(
                (left, top), right - left, bottom - top, fill=False, edgecolor="white", linestyle="--", linewidth=2
            )
        )
        part.set(xlim=(left, right), ylim=(bottom, top))
    verdict = "the label no longer fits" if seen < MOSTLY else "the label still fits"
    return [figure, f"{percent(seen, 1)} of the fracture's box is in sight: {verdict}."]


def crop_panel(table: pd.DataFrame) -> Panel:
    """Crop a fractured radiograph and see whether its fracture is still there."""
    controls = {
        "fraction": slider("Crop keeps (side)", 0.5, 0.2, 1, 0.05),
        "number": whole_number("Radiograph", 0, 0, 30),
        "seed": whole_number("Seed", 0, 0, 20),
    }
    return Panel(lambda **values: crop_example(table, **values), controls, title="Is the fracture still there?").start()


def candidate_gallery(pictures: Mapping[str, np.ndarray], *, columns: int = 4) -> Figure:
    """Named pictures (H, W), 0…255 or 0…1, side by side."""
    lines = -(-len(pictures) // columns)
    figure = plt.figure(figsize=(2.25 * columns, 2.9 * lines), layout="constrained")
    image_grid(list(pictures.values()), list(pictures), columns=columns, figure=figure)
    return figure
