"""Does the model look at the fracture? Grad-CAM, its score against known fracture boxes, and an occlusion check.

Grad-CAM: Selvaraju et al., ICCV 2017, through captum's `LayerGradCam`. Pointing game: Zhang et al., "Top-down neural
attention by excitation backprop", IJCV 126 (2018), 1084–1102. A heat map is coarse (7 × 7 cells at 224 pixels), and it
shows what moves the output, not why: see Arun et al., Radiology: Artificial Intelligence 3 (2021), e200267.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fracturelib.catalog import BOX, polarities, root_of, with_boxes
from fracturelib.catalog.about import fracture_boxes
from fracturelib.config import TrainConfig
from fracturelib.errors import EvaluationError
from fracturelib.evaluation.intervals import mean_interval, units_of, verdict_on
from fracturelib.images import read_radiograph
from fracturelib.images.squares import window
from fracturelib.model import FractureClassifier
from fracturelib.transforms import eval_transform
from fracturelib.trunks.pooling import Tiled, innermost

CANDIDATES = 60  # how many places are tried for the control box


def grad_cam(model: FractureClassifier, images: Tensor) -> NDArray[Any]:
    """Heat maps (B, S, S), 0…1, of what speaks for a fracture in images (B, 3, S, S); all 0 where nothing does.

    The layer is the last that still has places. Gradients are taken with respect to activations: no parameter gets one.

    Raises:
        EvaluationError: no layer of the trunk keeps places.
    """
    from captum.attr import LayerAttribution, LayerGradCam

    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    try:
        layer = _last_layer_with_places(model.trunk, images[:1].to(device))
        explainer = LayerGradCam(_Logits(model), layer)
        inputs = images.to(device).requires_grad_()
        with torch.enable_grad():
            cells = explainer.attribute(inputs, relu_attributions=True).detach()
    finally:
        model.train(was_training)
    heat = LayerAttribution.interpolate(cells, tuple(images.shape[-2:]), "bilinear")[:, 0]
    highest = heat.amax(dim=(1, 2), keepdim=True)
    return (heat / highest.clamp_min(1e-12)).cpu().numpy()


class _Logits(nn.Module):
    """Images → log-odds with a graph, which `FractureClassifier` does not build while its trunk is frozen."""

    def __init__(self, model: FractureClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.head[:-1](self.model.trunk(images))  # (B, 1)


def _last_layer_with_places(trunk: nn.Module, image: Tensor) -> nn.Module:
    """The last child of the trunk whose output (1, C, h, w) has more than one place."""
    found: list[nn.Module] = []

    def note(module: nn.Module, _: Any, output: Any) -> None:
        shape = output.shape if isinstance(output, Tensor) else (0, 0, 0)
        if len(shape) == 4 and shape[2] == shape[3] > 1:
            found.append(module)
        elif len(shape) > 2 and shape[-1] != 1:  # tokens (1, N, C), or channels last: places are mixed from here on
            found.clear()

    children = [] if isinstance(trunk, Tiled) else innermost(trunk).children()  # of tiles there are many maps
    hooks = [child.register_forward_hook(note) for child in children]
    try:
        with torch.no_grad():
            trunk(image)
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        raise EvaluationError(
            "this trunk has no maps: Grad-CAM needs a layer whose output keeps places (C, h, w), more than one",
            cause="it works on tokens (a transformer) or on tiles, or the images are too small for it",
            cure="use a convolutional trunk, or larger images (image_size)",
        )
    return found[-1]


def heat_maps(model: FractureClassifier, rows: pd.DataFrame, config: TrainConfig, *, root: str | Path) -> NDArray[Any]:
    """`grad_cam` of the files in `rows`, over the whole picture of each (n, S, S), squeezed to a square.

    Their paths are relative to `root`. Raises ImageError.
    """
    transform = eval_transform(config)
    found = []
    for start in range(0, len(rows), config.batch_size):
        part = rows.iloc[start : start + config.batch_size]
        pictures = [
            read_radiograph(Path(root) / path, target_side=config.picture_side, polarity=polarity)
            for path, polarity in zip(part["path"], polarities(part), strict=True)
        ]
        heat = grad_cam(model, torch.stack([transform(picture) for picture in pictures]))
        if config.fit != "square":
            pairs = zip(heat, pictures, strict=True)
            heat = np.stack([_over_picture(one, picture, config.fit) for one, picture in pairs])
        found.append(heat)
    return np.concatenate(found) if found else np.zeros((0, config.picture_side, config.picture_side))


def _over_picture(heat: NDArray[Any], picture: NDArray[Any], fit: str) -> NDArray[Any]:
    """A heat map (S, S) of what the model saw of a picture (H, W) → of all of the picture; 0 where it saw nothing."""
    left, top, width, height = window(picture, fit)
    places = (torch.arange(len(heat)) + 0.5) / len(heat)  # along the picture, 0…1
    x = 2 * (places * picture.shape[1] - left) / width - 1  # along what was seen, -1…1
    y = 2 * (places * picture.shape[0] - top) / height - 1
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)[None]  # (1, S, S, 2)
    heat_tensor = torch.from_numpy(heat)[None, None].float()
    return nn.functional.grid_sample(heat_tensor, grid, align_corners=False)[0, 0].numpy()


def box_mask(row: Any, side: int, *, margin: float = 0.0) -> NDArray[Any]:
    """Mask (S, S) of a row's fracture box in the square that the model sees, widened by `margin` of the side."""
    x, y, width, height = (float(getattr(row, name)) for name in BOX)
    across, down = side / row.width, side / row.height  # the picture is resized to a square, whatever its shape
    left, right = x * across - margin * side, (x + width) * across + margin * side
    top, bottom = y * down - margin * side, (y + height) * down + margin * side
    centres = np.arange(side) + 0.5
    inside = ((centres > top) & (centres < bottom))[:, None] & ((centres > left) & (centres < right))
    if not inside.any():  # a box that is narrower than a pixel
        inside[min(side - 1, int((top + bottom) / 2)), min(side - 1, int((left + right) / 2))] = True
    return inside


def localisation(
    model: FractureClassifier, table: pd.DataFrame, config: TrainConfig, *, root: str | Path | None = None
) -> pd.DataFrame:
    """Grad-CAM against the known fracture boxes, one row per fractured file of `table` with a box.

    Columns: path, source_id (and patient_id), then `hit` (the hottest place lies in the box, widened by half a cell
    of the map, 1/14 of the side: the tolerance of the pointing game), `share` (of the heat inside the box itself), and
    the same two for heat spread evenly (`chance_…`) and for a hill in the middle of the picture (`centre_…`). A map
    without any heat is a miss.

    Raises:
        EvaluationError: no row has a box; ImageError: a file cannot be read.
    """
    rows = _boxed(table)
    heat = heat_maps(model, rows, config, root=root_of(table, root))
    side = config.picture_side
    hill = _centre_hill(side)
    found, boxes = [], fracture_boxes(table)
    for row, one in zip(rows.itertuples(), heat, strict=True):
        box, wide = (_all_boxes(row, boxes, side, margin) for margin in (0.0, 1 / 28))
        found.append(
            {
                "hit": float(one.any() and wide.flat[int(one.argmax())]),
                "share": float(one[box].sum() / one.sum()) if one.any() else 0.0,
                "chance_hit": float(wide.mean()),
                "chance_share": float(box.mean()),
                "centre_hit": float(wide.flat[int(hill.argmax())]),
                "centre_share": float(hill[box].sum()),
            }
        )
    named = rows.filter(["path", "source_id", "patient_id"]).reset_index(drop=True)
    return pd.concat([named, pd.DataFrame(found)], axis=1)


def _all_boxes(row: Any, boxes: dict[str, list[tuple[float, ...]]], side: int, margin: float) -> NDArray[Any]:
    """Mask (S, S) of every fracture box of a picture: of its own columns where there is no table of boxes."""
    each = [row._replace(**dict(zip(BOX, box, strict=True))) for box in boxes.get(row.path, [])] or [row]
    return np.logical_or.reduce([box_mask(one, side, margin=margin) for one in each])


def _boxed(table: pd.DataFrame) -> pd.DataFrame:
    rows = with_boxes(table)
    if rows.empty:
        raise EvaluationError(
            "no fractured image has a known fracture box",
            cause=f"metadata.csv has no columns {', '.join(BOX)}, or they are empty",
            cure="use the simulated set, or add boxes in pixels of the file",
        )
    return rows


def _centre_hill(side: int) -> NDArray[Any]:
    """A Gaussian (S, S) in the middle of the picture, a quarter of its side wide, with the sum 1."""
    steps = (np.arange(side) + 0.5) / side - 0.5
    line = np.exp(-(steps**2) / (2 * 0.25**2))
    hill = np.outer(line, line)
    return hill / hill.sum()


def localisation_summary(found: pd.DataFrame, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """`localisation` in two rows, "hit rate" and "share of heat": the model with interval, chance, centre, verdicts.

    Columns: measure, value, low, high, reason, n, units, chance, centre, and for both levels `against_…` (a `Verdict`
    on the paired difference model minus level) and `against_…_reason`.
    """
    codes = units_of(found).codes
    rows = []
    for measure, name in (("hit rate", "hit"), ("share of heat", "share")):
        interval = partial(mean_interval, codes=codes, resamples=resamples, seed=seed)
        row = {"measure": measure, **interval(found[name], proportion=name == "hit")}
        for level in ("chance", "centre"):
            row[level] = float(found[f"{level}_{name}"].mean())
            gap = interval(found[name] - found[f"{level}_{name}"])
            row[f"against_{level}"] = verdict_on(gap["low"], gap["high"])
            row[f"against_{level}_reason"] = gap["reason"]
        rows.append(row)
    return pd.DataFrame(rows)


def erase(image: NDArray[Any], box: tuple[int, int, int, int], rng: np.random.Generator) -> NDArray[Any]:
    """The picture (H, W), uint8, with a box (x, y, w, h) filled in from its surroundings.

    Telea's inpainting carries the surroundings inwards (Journal of Graphics Tools 9 (2004), 23–34); grain as strong as
    around the box is put on it, so that the hole is not conspicuous by its smoothness.
    """
    x, y, w, h = box
    mask = np.zeros(image.shape, np.uint8)
    mask[y : y + h, x : x + w] = 1
    filled = cv2.inpaint(np.ascontiguousarray(image), mask, 3, cv2.INPAINT_TELEA).astype(float)
    around = cv2.dilate(mask, np.ones((9, 9), np.uint8)).astype(bool) & (mask == 0)
    # of the filled picture: what is erased would itself stand out from its blurred surroundings
    grain = (filled - cv2.GaussianBlur(filled, (0, 0), 1.5))[around].std() if around.any() else 0.0
    filled[mask == 1] += rng.normal(0, grain, int(mask.sum()))
    return np.clip(np.rint(filled), 0, 255).astype(np.uint8)


def occlusion(
    model: FractureClassifier, table: pd.DataFrame, config: TrainConfig, *, root: str | Path | None = None
) -> pd.DataFrame:
    """What erasing the fracture does to P(fractured), one row per fractured file of `table` with a box.

    Columns: path, source_id (and patient_id), probability (untouched), without_fracture, without_other (an equally
    large box elsewhere, as alike in mean and spread of the grey values as can be found), and the two changes
    `change` and `change_other`, negative for a fall. A file whose box leaves no other place is left out.

    Raises:
        EvaluationError: no row has a box; ImageError: a file cannot be read.
    """
    rows = _boxed(table)
    root = root_of(table, root)
    transform, device = eval_transform(config), next(model.parameters()).device
    chances, kept = [], []
    for number, (row, polarity) in enumerate(zip(rows.itertuples(), polarities(rows), strict=True)):
        image = read_radiograph(root / row.path, target_side=config.picture_side, polarity=polarity)
        rng = np.random.default_rng([config.seed, number])
        box = _pixels(row, image.shape)
        other = _elsewhere(image, box, rng)
        if other is None:
            continue
        kept.append(number)
        versions = [image, erase(image, box, rng), erase(image, other, rng)]
        batch = torch.stack([transform(version) for version in versions]).to(device)
        chances.append(model.predict_proba(batch).float().cpu().numpy())
    columns = ["probability", "without_fracture", "without_other"]
    found = pd.DataFrame(np.array(chances, dtype=float).reshape(-1, 3), columns=columns)
    found["change"] = found["without_fracture"] - found["probability"]
    found["change_other"] = found["without_other"] - found["probability"]
    named = rows.filter(["path", "source_id", "patient_id"]).iloc[kept].reset_index(drop=True)
    return pd.concat([named, found], axis=1)


def _pixels(row: Any, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The row's box in whole pixels of a picture (H, W) that may be smaller than the file, inside of it."""
    across, down = shape[1] / row.width, shape[0] / row.height
    left, top = max(0, int(row.bbox_x * across)), max(0, int(row.bbox_y * down))
    right = min(shape[1], int(np.ceil((row.bbox_x + row.bbox_w) * across)))
    bottom = min(shape[0], int(np.ceil((row.bbox_y + row.bbox_h) * down)))
    return left, top, max(1, right - left), max(1, bottom - top)


def _elsewhere(
    image: NDArray[Any], box: tuple[int, int, int, int], rng: np.random.Generator
) -> tuple[int, int, int, int] | None:
    """Of some random places that do not touch the box, the one that looks most like it; None if there is no place."""
    x, y, w, h = box

    def look(left: int, top: int) -> NDArray[Any]:
        patch = image[top : top + h, left : left + w].astype(float)
        return np.array([patch.mean(), patch.std()])

    lefts = rng.integers(0, image.shape[1] - w + 1, CANDIDATES)
    tops = rng.integers(0, image.shape[0] - h + 1, CANDIDATES)
    apart = [
        (int(left), int(top)) for left, top in zip(lefts, tops, strict=True) if abs(left - x) >= w or abs(top - y) >= h
    ]
    if not apart:
        return None
    left, top = min(apart, key=lambda place: float(np.abs(look(*place) - look(x, y)).sum()))
    return left, top, w, h


def occlusion_summary(found: pd.DataFrame, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Mean change of P(fractured) in three rows: fracture erased, equal box elsewhere erased, and their difference.

    Columns: erased, value, low, high, reason, n, units, verdict (a `Verdict` on the change).
    """
    codes = units_of(found).codes
    rows = []
    for name, values in (
        ("the fracture", found["change"]),
        ("an equal box elsewhere", found["change_other"]),
        ("difference", found["change"] - found["change_other"]),
    ):
        row = {"erased": name, **mean_interval(values, codes, resamples=resamples, seed=seed)}
        rows.append(row | {"verdict": verdict_on(row["low"], row["high"])})
    return pd.DataFrame(rows)
