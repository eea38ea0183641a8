"""Notebook 01: browse a data set, look at the copies of one radiograph, and make a radiograph step by step."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fracturelib.config import CLASS_NAMES, SPLITS
from fracturelib.course.widgets.common import Panel, choice, slider, steps, whole_number
from fracturelib.images import read_radiograph
from fracturelib.plots import image_grid
from fracturelib.plots.style import STYLE
from fracturelib.simulation import FRACTURE_TYPES, REGIONS, VIEWS, SimulatedRadiograph, simulate_one
from fracturelib.writing.palette import CLASS_COLOURS, INK
from fracturelib.writing.words import SPLIT_NAMES

ANY = "any"
NO_FRACTURE = "none"
COLUMNS, ROWS = 4, 2
DOSES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)  # air kerma in µGy; a usual exposure is 10 to 100
CLOSE_UP_SIDE = 64  # pixels: the least side of the close-up


def select(table: pd.DataFrame, *, split: str = ANY, kind: str = ANY, region: str = ANY) -> pd.DataFrame:
    """The rows of one split, one class (by name) and one region; `ANY` leaves a question open."""
    keep = pd.Series(True, index=table.index)
    if split != ANY:
        keep &= table["split"] == split
    if kind != ANY:
        keep &= table["label"] == CLASS_NAMES.index(kind)
    if region != ANY and "region" in table:
        keep &= table["region"] == region
    found = table[keep]
    found.attrs = dict(table.attrs)
    return found


def gallery(rows: pd.DataFrame, *, boxes: bool = False) -> Figure:
    """Up to eight radiographs with source and class, framed in the colour of the class; `boxes` marks the fractures."""
    images = [read_radiograph(Path(rows.attrs["root"]) / path) for path in rows["path"]]
    titles = [
        f"{row.source_id}\n{CLASS_NAMES[row.label]}\n{SPLIT_NAMES[row.split]}" for row in rows.itertuples(index=False)
    ]
    lines = max(1, -(-len(images) // COLUMNS))
    figure = plt.figure(figsize=(2.1 * COLUMNS, 3.2 * lines), layout="constrained")
    axes = image_grid(
        images, titles, columns=COLUMNS, colours=[CLASS_COLOURS[label] for label in rows["label"]], figure=figure
    )
    if boxes and "bbox_x" in rows:
        for ax, box in zip(axes, rows[["bbox_x", "bbox_y", "bbox_w", "bbox_h"]].to_numpy(float), strict=True):
            mark_box(ax, box)
    return figure


def browse(
    table: pd.DataFrame,
    *,
    split: str = ANY,
    kind: str = ANY,
    region: str = ANY,
    page: int = 1,
    boxes: bool = False,
) -> list[Figure | str]:
    """One page of the radiographs that fit, and a sentence that counts them; pages start again at the end."""
    found = select(table, split=split, kind=kind, region=region)
    if found.empty:
        return ["No radiograph fits: choose another split, class or region."]
    pages = -(-len(found) // (COLUMNS * ROWS))
    shown = (page - 1) % pages
    part = found.iloc[shown * COLUMNS * ROWS : (shown + 1) * COLUMNS * ROWS]
    part.attrs = dict(table.attrs)
    text = f"{len(found):,} files of {found['source_id'].nunique():,} original radiographs; page {shown + 1} of {pages}"
    return [gallery(part, boxes=boxes), text]


def browse_panel(table: pd.DataFrame) -> Panel:
    """Browse by split, class and region."""
    splits = {"any": ANY} | {SPLIT_NAMES[split]: split for split in SPLITS if (table["split"] == split).any()}
    controls = {
        "split": choice("Split", splits, ANY),
        "kind": choice("Class", [ANY, *CLASS_NAMES], ANY),
        "page": whole_number("Page", 1, 1, max(1, -(-len(table) // (COLUMNS * ROWS)))),
    }
    if "region" in table:
        controls["region"] = choice("Region", [ANY, *sorted(table["region"].dropna().unique())], ANY)
    if "bbox_x" in table:
        controls["boxes"] = choice("Fracture", {"find it yourself": False, "show the box": True}, False)
    return Panel(lambda **values: browse(table, **values), controls, title="Browse the data").start()


def copies(table: pd.DataFrame, source: str) -> list[Figure | str]:
    """All files made of one original radiograph (up to eight), with the split that each is in."""
    found = table[table["source_id"] == source].iloc[: COLUMNS * ROWS]
    found.attrs = dict(table.attrs)
    counts = found["split"].value_counts()
    where = ", ".join(f"{counts[split]} in {SPLIT_NAMES[split]}" for split in SPLITS if split in counts)
    return [gallery(found), f"{source}: {len(found)} files, {where}"]


def copies_panel(table: pd.DataFrame) -> Panel:
    """Choose an original radiograph and see its copies; those in most splits come first."""
    order = table.groupby("source_id")["split"].nunique().sort_values(ascending=False, kind="stable")
    sources = list(order.index[:40])
    controls = {"source": choice("Original", sources, sources[0])}
    return Panel(lambda source: copies(table, source), controls, title="Copies of one radiograph").start()


def mark_box(ax: Axes, box: tuple[float, float, float, float] | np.ndarray | None) -> None:
    """Outline (x, y, w, h) in pixels; nothing where there is no box."""
    if box is not None and np.isfinite(np.asarray(box, dtype=float)).all():
        x, y, w, h = box
        ax.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor=CLASS_COLOURS[1], linewidth=2))


def take(
    *,
    fracture_type: str = NO_FRACTURE,
    displacement_mm: float = 2.0,
    dose: float = 20.0,
    region: str = "forearm",
    view: str = "frontal",
    patient: int = 0,
) -> SimulatedRadiograph:
    """One simulated radiograph of a limb without metal or plaster; `dose` in µGy at the detector."""
    return simulate_one(
        patient,
        region=region,
        view=view,
        fracture_type=None if fracture_type == NO_FRACTURE else fracture_type,
        displacement_mm=displacement_mm,
        dose=dose,
        hardware=False,
        cast=False,
    )


def picture_steps(radiograph: SimulatedRadiograph, *, place: tuple[int, int, int, int] | None = None) -> Figure:
    """The steps from bone to picture, side by side.

    Args:
        radiograph: from `simulate_one`.
        place: (x, y, w, h) in pixels of the close-up; default the fracture's box, or the middle where there is none.
    """
    height, width = radiograph.picture.shape
    # The open beam is far brighter than the limb: the scale ends with the limb, so that its noise can be seen.
    bright = float(np.quantile(radiograph.counts[radiograph.line_integral > 0.3], 0.95))
    low, high = (float(np.quantile(radiograph.signal, share)) for share in (0.005, 0.995))
    thick = float(radiograph.path_lengths["cortex"].max())
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 3, figsize=(8.4, 2 * (2.7 * height / width + 0.6)), layout="constrained")
        bone, through, counted, signal, picture, close = axes.ravel()
        _draw(bone, radiograph.path_lengths["cortex"], (0, thick), f"1 · path in hard bone\n0 to {thick:.0f} mm")
        _draw(through, radiograph.transmitted, (0, 1), "2 · share that gets through\n0 to 1")
        _draw(counted, radiograph.counts, (0, bright), f"3 · photons counted\n0 to {bright:,.0f} per pixel")
        _draw(signal, radiograph.signal, (low, high), f"4 · minus the logarithm\n{low:.1f} to {high:.1f}")
        _draw(picture, radiograph.picture, (0, 255), "5 · display window\n0 to 255: the file")
        mark_box(picture, radiograph.bbox)
        x, y, w, h = _close_up(place or radiograph.bbox, radiograph.picture.shape)
        _draw(close, radiograph.picture[y : y + h, x : x + w], (0, 255), "close-up\nof the file")
    return figure


def make_picture(
    fracture_type: str, displacement_mm: float, dose: float, region: str, view: str, patient: int
) -> list[Figure | str]:
    """The panel's work: make one radiograph and show its steps; the close-up stays at the place of the break."""
    radiograph = take(
        fracture_type=fracture_type,
        displacement_mm=displacement_mm,
        dose=dose,
        region=region,
        view=view,
        patient=patient,
    )
    if fracture_type == NO_FRACTURE:
        text = "The bone is whole: the close-up shows where it would break."
    else:
        text = f"Contrast-to-noise ratio of the fracture: {radiograph.conspicuity:.1f} (the larger, the plainer)."
    return [picture_steps(radiograph, place=_place(region, view, patient)), text]


def physics_panel() -> Panel:
    """Choose a fracture, its displacement and the dose, and see every step of the picture."""
    controls = {
        "fracture_type": choice("Fracture type", [NO_FRACTURE, *FRACTURE_TYPES], "oblique"),
        "displacement_mm": slider("Displacement (mm)", 3.0, 0.0, 12.0, 0.5, form=".1f"),
        "dose": steps("Dose (µGy)", {f"{dose:g}": dose for dose in DOSES}, 20.0),
        "region": choice("Region", list(REGIONS), "forearm"),
        "view": choice("View", list(VIEWS), "frontal"),
        "patient": whole_number("Patient", 2, 0, 20),
    }
    return Panel(make_picture, controls, title="Make a radiograph").start()


@lru_cache(maxsize=64)
def _place(region: str, view: str, patient: int) -> tuple[int, int, int, int]:
    """Where this patient's bone breaks, (x, y, w, h) in pixels, whatever is broken now."""
    box = take(fracture_type="transverse", displacement_mm=2.0, region=region, view=view, patient=patient).bbox
    assert box is not None  # a fractured radiograph has a box
    return box


def _close_up(box: tuple[int, int, int, int] | None, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """A square (x, y, w, h) inside the picture around the box, or around the middle."""
    height, width = shape
    x, y, w, h = box or (width // 2, height // 2, 0, 0)
    side = min(max(CLOSE_UP_SIDE, round(1.3 * max(w, h))), height, width)
    left = int(np.clip(x + w // 2 - side // 2, 0, width - side))
    top = int(np.clip(y + h // 2 - side // 2, 0, height - side))
    return left, top, side, side


def _draw(ax: Axes, values: np.ndarray, limits: tuple[float, float], title: str) -> None:
    """An array in grey, its smallest value black and its largest white, without axes."""
    ax.imshow(values, cmap="gray", vmin=limits[0], vmax=limits[1])
    ax.set_title(title, fontsize=12)
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set(visible=True, color=INK, linewidth=0.5)
