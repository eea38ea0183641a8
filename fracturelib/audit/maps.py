"""Which maps may lay one picture on another? Those that enough of their keypoints agree on.

Keypoints of both pictures that are most similar to each other are matched (cross-check, as in OpenCV's matcher). The
commonest difference of their directions tells the turn, and pairs of matches that turn so tell the similarity, as many
others agree on as can be (as by RANSAC: Fischler and Bolles, Communications of the ACM 24 (1981), 381–395, but with
pairs that the directions speak for, and without chance). Nearly all pictures that are no copies end here.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from fracturelib.audit.pictures import INVERTED, MIRRORED, Form, Picture, unit_descriptors

FEWEST_POINTS = 6  # keypoints that must agree on one map
MATCH = 0.75  # least similarity of two keypoints that are taken for the same place
TOLERANCE = 3.0  # pixels at which a keypoint still agrees with the map
LOOSE = 10.0  # and at which one makes a turn about the middle worth a look
DRAWS = 500  # pairs of matches that a similarity is looked for by
# Share of the keypoints of a picture that turn alike at least. In each of 2,800 pairs of copies that were found without
# this bar (wrist set, FracAtlas with planted copies, synthetic set), 39 or more of 200 did.
LEAST_TURNED = 0.1
SHORTEST, ASIDE = 8.0, np.radians(20)  # pixels between two such keypoints; by which they may turn otherwise
SCALES = (0.4, 2.5)  # a copy is not made more than so much smaller or larger, after the long sides were made equal
STRETCH = 1.4  # and not stretched by more than this; pictures are compared squeezed into a square as well
_BEFORE, _AFTER = np.arange(36) - 1, (np.arange(36) + 1) % 36  # neighbours in a circle of 36 steps


def candidate_maps(
    one: Picture, other: Picture, matches: tuple[np.ndarray, np.ndarray], *, form: Form = Form.AS_IT_IS
) -> list[np.ndarray]:
    """Maps (2, 3) from the pixels of `one`, in a form, to those of `other` that enough of the `matches` agree on.

    For each of the commonest turns, the similarity that most of its matches agree on. On a long bone's shaft keypoints
    look alike, and they tell the direction better than the place; so the turns about the middle are tried too, the way
    most copies are made.
    """
    here, there = matches
    if len(here) < FEWEST_POINTS:
        return []
    mirrored = form is Form.MIRRORED
    flip = np.diag([-1.0, 1.0]) if mirrored else np.eye(2)
    angles = {Form.AS_IT_IS: one.angles, Form.MIRRORED: 180 - one.angles, Form.INVERTED: one.angles + 180}[form]
    before, after = _complex(one.points[here] @ flip), _complex(other.points[there])
    fewest, maps = max(FEWEST_POINTS, LEAST_TURNED * min(len(one.points), len(other.points))), []
    for near, degrees in _commonest_turns(other.angles[there] - angles[here], fewest):
        tried = [(_about_the_middle(one, other, degrees, flip), LOOSE)]
        similarity = _similarity(before[near], after[near], degrees)
        if similarity is not None:
            tried.insert(0, (np.hstack([similarity[:, :2] @ flip, similarity[:, 2:]]), TOLERANCE))
        maps += [
            mapping
            for mapping, within in tried
            if agreeing(one, other, mapping, *matches, within=within) >= FEWEST_POINTS
        ]
    return [mapping for mapping in maps if plausible(mapping, mirrored=mirrored)]


def _similarity(before: np.ndarray, after: np.ndarray, degrees: float) -> np.ndarray | None:
    """The similarity (2, 3) that most of some matches agree on, which turns by about `degrees`; None where none does.

    Points (k,) are complex numbers, so that a similarity is a product and a sum. Two matches give one; as both tell
    the turn too, by their directions, nearly all wrong pairs of matches are known by it, and few need a count.
    """
    first, second = _pairs_of(len(before))
    run = before[second] - before[first]
    far = abs(run) > SHORTEST
    first, linear = first[far], (after[second] - after[first])[far] / run[far]  # (h,)
    size, aside = abs(linear), np.angle(linear * np.exp(-1j * np.radians(degrees)))
    likely = (size > SCALES[0]) & (size < SCALES[1]) & (abs(aside) < ASIDE)
    if not likely.any():
        return None
    first, linear = first[likely], linear[likely]
    shift = after[first] - linear * before[first]
    counts = (abs(linear[:, None] * before + shift[:, None] - after) < TOLERANCE).sum(axis=1)  # (h,)
    best = counts.argmax()
    factor, offset = linear[best], shift[best]
    for _ in range(2):
        agree = abs(factor * before + offset - after) < TOLERANCE
        factor, offset = _least_squares(before[agree], after[agree])
    return np.array([[factor.real, -factor.imag, offset.real], [factor.imag, factor.real, offset.imag]])


def _least_squares(before: np.ndarray, after: np.ndarray) -> tuple[complex, complex]:
    """Factor and shift that bring some points (k,), as complex numbers, nearest to others."""
    middle, goal = before.mean(), after.mean()
    from_middle = before - middle
    power = np.vdot(from_middle, from_middle).real
    factor = np.vdot(from_middle, after - goal) / power if power > 0 else 1 + 0j
    return complex(factor), complex(goal - factor * middle)


@cache
def _pairs_of(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of some numbers, all of them or about DRAWS: each number with those that follow it in a circle."""
    steps = np.arange(1, count // 2 + 1)[: max(1, DRAWS // max(count, 1))]
    first = np.tile(np.arange(count), len(steps))
    return first, (first + np.repeat(steps, count)) % max(count, 1)


def _complex(points: np.ndarray) -> np.ndarray:
    return points[:, 0] + 1j * points[:, 1]


def matching(one: Picture, other: Picture, form: Form) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of keypoints in `one`, in a form, and in `other` that are most similar to each other, both (m,)."""
    if min(len(one.points), len(other.points)) < FEWEST_POINTS:
        return np.zeros(0, int), np.zeros(0, int)
    here = unit_descriptors(one)
    if form is not Form.AS_IT_IS:
        here = here[:, MIRRORED if form is Form.MIRRORED else INVERTED]
    similar = here @ unit_descriptors(other).T  # (k, l)
    every, best = np.arange(len(similar)), similar.argmax(axis=1)
    back = np.ascontiguousarray(similar.T).argmax(axis=1)
    rows = np.flatnonzero((back[best] == every) & (similar[every, best] > MATCH))
    return rows, best[rows]


def agreeing(
    one: Picture, other: Picture, mapping: np.ndarray, here: np.ndarray, there: np.ndarray, *, within: float = TOLERANCE
) -> int:
    """How many matches the map brings together, up to so many pixels."""
    misses = one.points[here] @ mapping[:, :2].T + mapping[:, 2] - other.points[there]
    return int(np.count_nonzero((misses**2).sum(axis=1) < within**2))


def _commonest_turns(differences: np.ndarray, fewest: float) -> list[tuple[np.ndarray, float]]:
    """The two commonest of some angles, each as the numbers of those near a peak of their histogram and their median.

    Angles are in degrees; a peak has `fewest` of them at least.
    """
    turns, found = differences % 360, []
    left = np.arange(len(turns))
    for _ in range(2):
        counts = np.bincount((turns[left] // 10).astype(int), minlength=36)[:36]
        wide = counts + counts[_BEFORE] + counts[_AFTER]
        peak = int(wide.argmax())
        if wide[peak] < fewest:
            break
        from_peak = (turns[left] - (peak * 10 + 5) + 180) % 360 - 180
        near = abs(from_peak) <= 15
        found.append((left[near], peak * 10 + 5 + float(np.sort(from_peak[near])[near.sum() // 2])))
        left = left[~near]
    return found


def _about_the_middle(one: Picture, other: Picture, degrees: float, flip: np.ndarray) -> np.ndarray:
    """The map (2, 3) that turns `one`, or its mirror image, about its middle and puts this on the middle of `other`."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    linear = np.array([[cos, -sin], [sin, cos]]) @ flip
    middles = [(np.array(picture.structure.shape[::-1]) - 1) / 2 for picture in (one, other)]
    return np.column_stack([linear, middles[1] - linear @ middles[0]])


def plausible(mapping: np.ndarray, *, mirrored: bool) -> bool:
    """Whether a copy may be made so: not much smaller, larger or stretched, and mirrored where it is to be."""
    (a, b), (c, d) = mapping[:, :2].tolist()
    turn, bend = np.hypot(a + d, c - b) / 2, np.hypot(a - d, c + b) / 2
    large, small = turn + bend, abs(turn - bend)  # the singular values
    flips = bend > turn
    return bool(flips == mirrored and small > SCALES[0] and large < SCALES[1] and large < STRETCH * small)
