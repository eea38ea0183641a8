"""Do two files show the same radiograph? One picture is laid on the other, and their fine structure is compared.

Two wrists in the same pose look alike, and both may carry the same letter "R"; but no turning and stretching brings the
trabeculae and edges of one onto those of the other. The map comes from keypoints (see `maps`), the verdict from the
correlation over the common anatomy.

A high correlation alone proves little where there is little to see: along a smooth shaft one tibia fits another as well
here as a little further down. So the misfit that is left is held against the misfit that a small shift would make, in
the direction in which it makes least; and a part that fits must fit more sharply than a whole, because sliding along a
shaft until something fits leaves a part of it uncovered.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import cv2
import numpy as np

from fracturelib.audit.maps import agreeing, candidate_maps, matching, plausible
from fracturelib.audit.pictures import (
    GRAIN,
    NOTHING,
    SIDE,
    Form,
    Picture,
    describe_picture,
    inverse,
    shrink,
)
from fracturelib.audit.reading import Read

# Least correlation of two copies, and the largest share that their misfit may be of the misfit after a shift by GRAIN:
# where one anatomy covers the other (from the overlap WHOLE on), and where it covers only a part. Chosen on half of the
# real sources, one clean and two leaky simulated sets. Different radiographs reached 0.86, and along two shafts 0.95,
# with an overlap of 0.66 and a share of 0.53; the few copies that overlapped so little had a share below 0.28.
SAME, WHOLE, LARGEST_MISFIT, LARGEST_MISFIT_OF_PART = 0.9, 0.9, 0.8, 0.4
# A copy with changed local contrast, coarse JPEG blocks or a painted mark correlates less, and fits as sharply.
ALTERED = 0.8
REFINING = {6: 0.45, 30: 0.65}  # steps by which a map is refined before it is given up, from which correlation on
DIRECTIONS = 8  # of those shifts
COARSE, HOPELESS = 2, 0.4  # of a first look: every so many pixels; correlation below which a map is dropped
LEAST_OVERLAP = 0.5  # of the smaller anatomy
LEAST_AREA = 1200  # pixels of common anatomy


@dataclass(frozen=True)
class Evidence:
    """How one picture was laid on another, and how well it fits.

    Attributes:
        correlation: of the fine structure over the common anatomy, -1…1.
        overlap: common anatomy as a share of the smaller one.
        points: keypoints that agree.
        degrees: rotation, counter-clockwise, -180…180.
        scale: enlargement, as the geometric mean over both axes, after both long sides were made equal.
        mirrored: the picture had to be mirrored first.
        inverted: bright and dark had to be exchanged first.
    """

    correlation: float
    overlap: float
    points: int
    degrees: float
    scale: float
    mirrored: bool
    inverted: bool = False

    def to_dict(self) -> dict[str, float | int | bool]:
        """The evidence as plain values."""
        return asdict(self)


def compare(one: Picture, other: Picture, *, form: Form = Form.AS_IT_IS) -> Evidence | None:
    """Lay `one`, in a form, on `other`; None unless they show the same radiograph."""
    fit = best_fit(one, other, form=form)
    return None if fit is None else fit[0]


def compare_either_way(one: Read, other: Read) -> Evidence | None:
    """`compare` in every form, also squeezed into a square; the best fit."""
    forms = [
        (a, b, form)
        for a in (one.picture, one.square)
        for b in (other.picture, other.square)
        for form in Form
        if a is not None and b is not None
    ]
    found = [compare(a, b, form=form) for a, b, form in forms]
    return max((evidence for evidence in found if evidence), key=lambda fit: fit.correlation, default=None)


def best_fit(one: Picture, other: Picture, *, form: Form = Form.AS_IT_IS) -> tuple[Evidence, np.ndarray] | None:
    """As `compare`, with the map (2, 3) from the pixels of `one` to those of `other`, both of `SIDE`."""
    mirrored, inverted = form is Form.MIRRORED, form is Form.INVERTED
    matches = matching(one, other, form)
    maps = candidate_maps(one, other, matches, form=form)
    if not maps:
        return None
    one = inverse(one) if inverted else one
    laid = _Overlay(one, other, step=COARSE)
    coarse = [laid.correlate(mapping)[0] for mapping in maps]
    for place in np.argsort(coarse)[::-1]:
        if coarse[place] < HOPELESS:
            break
        settled = _settle(_Overlay(one, other), maps[place])
        if settled is not None and plausible(settled[0], mirrored=mirrored):
            fit, correlation, overlap = settled
            points = agreeing(one, other, fit, *matches)
            return Evidence(correlation, overlap, points, *_turn_and_scale(fit, mirrored), mirrored, inverted), fit
    return None


def _settle(laid: _Overlay, mapping: np.ndarray) -> tuple[np.ndarray, float, float] | None:
    """The map, refined as far as needed, under which both show the same radiograph, with its correlation and overlap.

    None where none is found.
    """
    correlation, overlap = laid.correlate(mapping)
    for steps, promising in REFINING.items():
        if _fits(laid, mapping, correlation, overlap):
            return mapping, correlation, overlap
        if correlation < promising:
            return None
        mapping = laid.refine(mapping, steps)
        correlation, overlap = laid.correlate(mapping)
    return (mapping, correlation, overlap) if _fits(laid, mapping, correlation, overlap) else None


def _fits(laid: _Overlay, mapping: np.ndarray, correlation: float, overlap: float) -> bool:
    """Whether the misfit is small, also beside that of shifts by GRAIN, in the directions of a half circle."""
    if correlation < (SAME if overlap < WHOLE else ALTERED) or overlap < LEAST_OVERLAP:
        return False
    angles = np.arange(DIRECTIONS) * np.pi / DIRECTIONS
    shifts = [np.array([[0, 0, GRAIN * np.cos(angle)], [0, 0, GRAIN * np.sin(angle)]]) for angle in angles]
    shifted = max(laid.correlate(mapping + shift)[0] for shift in shifts)
    sharp = overlap < WHOLE or correlation < SAME
    return 1 - correlation <= (LARGEST_MISFIT_OF_PART if sharp else LARGEST_MISFIT) * (1 - shifted)


def lay_on(one: np.ndarray, other: np.ndarray, *, cells: int = 6) -> np.ndarray | None:
    """A chessboard of two radiographs, uint8 (H, W) each, `one` laid on `other`: edges run on across its fields.

    Returns:
        uint8 picture with a long side of `SIDE` pixels, or None where they do not show the same radiograph.
    """
    small = [shrink(pixels, SIDE) for pixels in (one, other)]
    pictures = [describe_picture(pixels) for pixels in small]
    fits = [best_fit(*pictures, form=form) for form in Form]
    best = max((fit for fit in fits if fit), key=lambda fit: fit[0].correlation, default=None)
    if best is None:
        return None
    height, width = small[1].shape
    moved = cv2.warpAffine(255 - small[0] if best[0].inverted else small[0], best[1], (width, height))
    field = max(height, width) / cells
    rows, columns = np.indices((height, width)) // field
    return np.where((rows + columns) % 2 == 0, moved, small[1]).astype(np.uint8)


class _Overlay:
    """One picture laid on another under several maps; with `step`, only every so many pixels are looked at."""

    def __init__(self, one: Picture, other: Picture, *, step: int = 1) -> None:
        self.step = step
        self.moving, self.moving_anatomy = _values(one.structure), _anatomy(one.structure)
        still = np.ascontiguousarray(other.structure[::step, ::step])
        self.still, self.still_anatomy = _values(still), _anatomy(still)
        self.areas = cv2.countNonZero(self.moving_anatomy) / step**2, cv2.countNonZero(self.still_anatomy)

    def correlate(self, mapping: np.ndarray) -> tuple[float, float]:
        """Correlation of the fine structure over the common anatomy, and that anatomy's share of the smaller one."""
        size, scaled = self.still.shape[::-1], mapping / self.step
        anatomy = cv2.warpAffine(self.moving_anatomy, scaled, size, flags=cv2.INTER_NEAREST) & self.still_anatomy
        area = cv2.countNonZero(anatomy)
        smaller = max(1.0, min(self.areas[0] * abs(_determinant(mapping)), self.areas[1]))
        if area * self.step**2 < LEAST_AREA:
            return 0.0, area / smaller
        common = anatomy.astype(np.float32)
        a = cv2.warpAffine(self.moving, scaled, size, flags=cv2.INTER_LINEAR) * common
        b = self.still * common
        a -= common * (a.sum() / area)
        b -= common * (b.sum() / area)
        power = np.vdot(a, a) * np.vdot(b, b)
        return float(np.vdot(a, b) / np.sqrt(max(power, 1e-9))), min(1.0, area / smaller)

    def refine(self, mapping: np.ndarray, steps: int) -> np.ndarray:
        """The map near `mapping` with the largest correlation (ECC: Evangelidis and Psarakis, IEEE PAMI 30 (2008))."""
        start = cv2.invertAffineTransform(mapping).astype(np.float32)  # OpenCV asks for the way back
        stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, steps, 1e-4)
        try:
            _, found = cv2.findTransformECC(
                self.still, self.moving, start, cv2.MOTION_AFFINE, stop, self.moving_anatomy, 3
            )
        except cv2.error:  # does not converge: there is nothing to refine
            return mapping
        return cv2.invertAffineTransform(found.astype(np.float64))


def _values(structure: np.ndarray) -> np.ndarray:
    """`Picture.structure` as float32 with 0, the mean, where there is no anatomy."""
    values = structure.astype(np.float32)
    values[structure == NOTHING] = 0
    return values


def _anatomy(structure: np.ndarray) -> np.ndarray:
    """1 where there is anatomy, else 0, uint8."""
    return (structure != NOTHING).view(np.uint8)


def _determinant(mapping: np.ndarray) -> float:
    (a, b), (c, d) = mapping[:, :2].tolist()
    return a * d - b * c


def _turn_and_scale(mapping: np.ndarray, mirrored: bool) -> tuple[float, float]:
    """Rotation in degrees, counter-clockwise as one sees it, and mean enlargement of an affine map."""
    linear = mapping[:, :2] @ (np.diag([-1.0, 1.0]) if mirrored else np.eye(2))
    left, _, right = np.linalg.svd(linear)
    rotation = left @ right  # the nearest pure rotation; y runs downwards in pictures
    degrees = float(np.degrees(np.arctan2(-rotation[1, 0], rotation[0, 0])))
    return degrees, float(np.sqrt(abs(np.linalg.det(linear))))
