"""From solids to path lengths: the chords of tubes and ellipsoids, cut at fracture surfaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fracturelib.simulation.solids import (
    CENTRE,
    HALF,
    RIM_SAMPLES,
    B,
    Chords,
    Crack,
    Ellipsoid,
    Film,
    Motion,
    Tube,
    X,
    sample_texture,
)

FINER = 16  # rows of the look-up table for each station
LEAST_PLANAR = 0.35  # an axis nearer to the beam than this is drawn as if it leaned this much


def project_tube(
    tube: Tube,
    film: Film,
    *,
    above: Crack | None = None,
    below: Crack | None = None,
    motion: Motion | None = None,
) -> Chords | None:
    """Path lengths through a tube, or through its part before the crack `above` and after the crack `below`.

    The ray meets the front and the back wall at two angles around the tube, where the crack has two heights; in between
    the cut is taken as straight. So the share of a chord that remains is a clipped linear function.
    Returns None where the tube is off the film.
    """
    if motion is None and _far_off(tube, film):
        return None
    window = film.window(_outline(tube, film, motion), margin=2.0)
    if window is None:
        return None
    u, v = (part[window] for part in film.grid())
    if motion is not None:
        u, v = motion.pull_back(u, v, film.theta)
    ray = _RayFrame(tube, film.theta)
    t, q = ray.along(u, v)
    rows = _look_up(ray.table, t, tube.length)
    offset, half, thickness, wall, filling = rows
    d = (q - offset) / half
    inside = np.clip(1 - d * d, 0, 1) * ((t >= 0) & (t <= tube.length))
    outer = thickness * np.sqrt(inside)
    # The marrow cavity is the smaller ellipse left inside the wall.
    shrink = np.clip(1 - wall / half, 0.0, 1)
    d_in = d / np.maximum(shrink, 1e-3)
    inner = (
        thickness * np.clip(1 - wall / ray.depth(rows), 0, 1) * np.sqrt(np.clip(1 - d_in * d_in, 0, 1)) * (inside > 0)
    )
    inner *= shrink > 1e-3
    inner = np.minimum(inner, outer)
    if above is not None or below is not None or tube.slots:
        outer, inner = _Cut(ray, tube, t, d, film.pixel).through(outer, inner, above, below)
    return Chords(window, outer, inner, _grainy(filling, tube, t, q))


def project_ellipsoid(solid: Ellipsoid, film: Film, *, motion: Motion | None = None) -> Chords | None:
    """Path lengths through an ellipsoid and its inside, exact from any direction; None where it is off the film."""
    centre = film.project(solid.centre[None])
    reach = float(np.max(solid.radii))
    corners = centre if motion is None else motion.push(centre, film.theta)
    window = film.window(corners, margin=reach + 2)
    if window is None:
        return None
    u, v = (part[window] for part in film.grid())
    if motion is not None:
        u, v = motion.pull_back(u, v, film.theta)
    u, v = u - np.float32(centre[0, 0]), v - np.float32(centre[0, 1])
    outer = _ellipsoid_chord(solid.radii, solid.lean, film.theta, u, v)
    inner = np.zeros_like(outer)
    if solid.filling > 0 and np.min(solid.radii) > solid.wall:
        inner = _ellipsoid_chord(solid.radii - solid.wall, solid.lean, film.theta, u, v)
    return Chords(window, outer, inner, _grainy(np.float32(solid.filling), solid, v, u))


def project_solid(
    solid: Tube | Ellipsoid,
    film: Film,
    *,
    above: Crack | None = None,
    below: Crack | None = None,
    motion: Motion | None = None,
) -> Chords | None:
    """`project_tube` or `project_ellipsoid`; an ellipsoid is never cut, only moved."""
    if isinstance(solid, Tube):
        return project_tube(solid, film, above=above, below=below, motion=motion)
    return project_ellipsoid(solid, film, motion=motion)


def _grainy(filling: np.ndarray | np.float32, solid: Tube | Ellipsoid, t: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The share of spongy bone with its texture; soft tissue (grain 0) has none."""
    if not solid.grain:
        return np.broadcast_to(filling, t.shape)
    return filling * np.clip(1 + np.float32(solid.grain) * sample_texture(t, q, solid.texture), 0, None)


def _ellipsoid_chord(radii: np.ndarray, lean: float, theta: float, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Chord of the ray at (u, v) from the centre: the two roots of a quadratic in the depth."""
    cos, sin = np.cos(lean), np.sin(lean)
    turn = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])
    form = turn.T @ np.diag(1 / np.asarray(radii, dtype=float) ** 2) @ turn
    plane = np.array([[np.cos(theta), np.sin(theta), 0], [0, 0, 1.0]])
    beam = np.array([-np.sin(theta), np.cos(theta), 0])
    alpha = beam @ form @ beam
    mixed = plane @ form @ beam
    quad = (alpha * plane @ form @ plane.T - np.outer(mixed, mixed)).astype(np.float32)
    root = np.float32(alpha) - quad[0, 0] * u * u - 2 * quad[0, 1] * u * v - quad[1, 1] * v * v
    return np.float32(2 / alpha) * np.sqrt(np.clip(root, 0, None))


class _RayFrame:
    """A tube as one view sees it: the direction on the film, the foreshortening and a table along the axis."""

    def __init__(self, tube: Tube, theta: float) -> None:
        across, along_y = tube.frame()
        sideways = np.array([np.cos(theta), np.sin(theta), 0.0])
        planar = np.array([tube.axis @ sideways, tube.axis[2]])
        self.foreshortening = max(float(np.hypot(*planar)), LEAST_PLANAR)
        self.direction = planar / max(float(np.hypot(*planar)), 1e-6)
        self.start = np.array([tube.origin @ sideways, tube.origin[2]])
        normal = self.direction[1] * sideways - np.array([0, 0, self.direction[0]])
        self.cos, self.sin = float(normal @ across), float(normal @ along_y)
        cx, cy, a, b, wall, filling = tube.stations.T
        half = np.hypot(a * self.cos, b * self.sin)
        thickness = 2 * a * b / np.maximum(half, 1e-6) / self.foreshortening
        columns = [cx * self.cos + cy * self.sin, np.maximum(half, 1e-3), thickness, wall, filling]
        fine = np.linspace(0, len(cx) - 1, FINER * (len(cx) - 1) + 1)
        self.table = np.stack([np.interp(fine, np.arange(len(cx)), column) for column in columns]).astype(np.float32)

    def along(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position along the tube and across it, in mm."""
        du, dv = u - np.float32(self.start[0]), v - np.float32(self.start[1])
        e0, e1 = (np.float32(part) for part in self.direction)
        return (du * e0 + dv * e1) / np.float32(self.foreshortening), du * e1 - dv * e0

    def depth(self, rows: tuple[np.ndarray, ...]) -> np.ndarray:
        """Half the extent along the beam at the middle of the tube, in mm."""
        return np.maximum(rows[2] * np.float32(self.foreshortening / 2), 1e-3)

    def wall_angles(self, tube: Tube, at: float, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Table positions around the rim at which the ray enters and leaves; d is the offset over the half-width."""
        _, _, a, b, _, _ = tube.at(at)
        middle = np.arctan2(b * self.sin, a * self.cos)
        spread = np.arccos(np.clip(d, -1, 1))
        scale = np.float32(RIM_SAMPLES / (2 * np.pi))
        front = ((middle + spread) * scale).astype(np.int32) % RIM_SAMPLES
        back = ((middle - spread) * scale).astype(np.int32) % RIM_SAMPLES
        return front, back


def _look_up(table: np.ndarray, t: np.ndarray, length: float) -> tuple[np.ndarray, ...]:
    """The table's columns at t mm along a tube; its rows are a small fraction of a pixel apart."""
    rows = table.shape[1] - 1
    place = np.clip(t * np.float32(rows / length) + np.float32(0.5), 0, rows).astype(np.intp)
    return tuple(column.take(place) for column in table)


@dataclass(frozen=True)
class _Cut:
    """A tube that is to be cut, as the rays of one view meet it.

    Args:
        ray, tube: the view's frame, and the tube.
        t, d: (H, W) position along the tube in mm, and the ray's offset over the half-width.
        pixel: pixel side in mm.
    """

    ray: _RayFrame
    tube: Tube
    t: np.ndarray
    d: np.ndarray
    pixel: float

    def through(
        self, outer: np.ndarray, inner: np.ndarray, above: Crack | None, below: Crack | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """What the cracks that bound a fragment, then the slots, leave of the path lengths."""
        ratio = inner / np.maximum(outer, 1e-3)
        for crack, sign in ((above, 1), (below, -1)):
            if crack is not None:
                share_out, share_in = self._shares(crack, sign, ratio)
                outer, inner = outer * share_out, inner * share_in
        walls = np.clip(outer - inner, 0, None)
        for slot in self.tube.slots:
            gone = self._gone(slot)
            walls = walls * (1 - np.float32(slot.depth) * gone)
            inner = inner * (1 - np.float32(slot.core) * gone)
        return walls + inner, inner

    def _shares(self, crack: Crack, sign: int, ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shares of the whole path and of the path inside the wall that lie on one side of a crack."""
        front, back = self.ray.wall_angles(self.tube, crack.base, self.d)
        high, low = crack.height[front], crack.height[back]
        middle, slope = (high + low) / 2, np.abs(high - low) / 2
        gap = sign * (crack.base + middle - self.t)
        least = self.pixel / 2
        return _soft_step(gap, np.maximum(slope, least)), _soft_step(gap, np.maximum(slope * ratio, least))

    def _gone(self, slot: Crack) -> np.ndarray:
        """Share of the two walls' thickness that a slot takes away."""
        sides = self.ray.wall_angles(self.tube, slot.base, self.d)
        near, far = (_coverage(slot.opening[at], self.t - slot.base - slot.height[at], self.pixel) for at in sides)
        return (near + far) / 2


def _soft_step(gap: np.ndarray, half_width: np.ndarray) -> np.ndarray:
    """0 far before the cut, 1 far after it, linear over its extent along the ray."""
    return np.clip(0.5 + gap / (2 * half_width), 0, 1)


def _coverage(width: np.ndarray, distance: np.ndarray, pixel: float) -> np.ndarray:
    """Share of a pixel that a slot of this width covers, at this distance from its middle."""
    overlap = (width + pixel) / 2 - np.abs(distance)
    return np.clip(np.minimum(overlap, width), 0, pixel) / np.float32(pixel)


def _far_off(tube: Tube, film: Film) -> bool:
    """Whether a ball around the tube surely misses the film: a quick answer for most of a limb's bones."""
    middle = film.project((tube.origin + tube.length / 2 * tube.axis)[None])[0]
    reach = tube.length / 2 + 3 * float(np.abs(tube.stations[:, X : B + 1]).max()) + 4
    diagonal = film.pixel * float(np.hypot(*film.shape)) / 2
    return float(np.hypot(*(middle - film.centre))) > reach + diagonal


def _outline(tube: Tube, film: Film, motion: Motion | None) -> np.ndarray:
    """A cloud of (u, v) points that surely bounds the tube's shadow."""
    reach = tube.stations[:, HALF].max(axis=1) + np.abs(tube.stations[:, CENTRE]).max(axis=1)
    steps = np.linspace(0, len(tube.stations) - 1, 9).astype(int)
    span = np.linspace(0, tube.length, len(tube.stations))[steps]
    middle = film.project(tube.origin + span[:, None] * tube.axis)
    widest = np.array([reach[max(i - 30, 0) : i + 31].max() for i in steps])
    corners = [middle + widest[:, None] * np.array(side) for side in ((1, 1), (-1, 1), (1, -1), (-1, -1))]
    points = np.concatenate(corners)
    if motion is None:
        return points
    moved = motion.push(points, film.theta)
    return moved if motion.softness <= 0 else np.concatenate([points, moved])
