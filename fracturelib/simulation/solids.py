"""Solids with closed-form X-ray path lengths: generalised cylinders (tubes) and ellipsoids.

Space is in millimetres: x to the patient's side, y to the front, z along the limb, away from the body. The beam is
parallel and turns about z: seen at the angle ``theta`` a point lies on the film at ``u = x cos(theta) + y sin(theta)``,
``v = z``. A ray through an ellipse with half-axes a and b, passing at distance d from its centre, is inside it for
``2 (a b / A) sqrt(1 - (d / A)^2)``, where A is half the width of the ellipse's shadow. So no voxels are needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter

Slices = tuple[slice, slice]
RIM_SAMPLES = 128  # samples around a bone's circumference in a crack table
TILE = 512  # side of the periodic texture tile
TILE_MM = 0.4  # millimetres per sample of that tile
# Columns of a tube's stations: centre offsets and half-widths along the two directions across it, wall (mm), filling.
X, Y, A, B, WALL, FILLING = range(6)
CENTRE, HALF = slice(X, Y + 1), slice(A, B + 1)


@dataclass(frozen=True)
class Film:
    """The detector: where it is, how large its pixels are and from which side the beam comes.

    Args:
        shape: height and width in pixels.
        pixel: pixel side in mm.
        centre: (u, v) of the middle of the film in mm.
        theta: direction of the beam about the limb's axis in radians, 0 = frontal.
        roll: rotation of the film in its own plane in radians.
    """

    shape: tuple[int, int]
    pixel: float
    centre: tuple[float, float]
    theta: float = 0.0
    roll: float = 0.0
    _cache: dict = field(default_factory=dict, repr=False, compare=False)

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """(u, v) in mm of every pixel centre, each (H, W) float32."""
        if "grid" not in self._cache:
            rows, columns = np.indices(self.shape, dtype=np.float32)
            x = (columns - (self.shape[1] - 1) / 2) * self.pixel
            y = (rows - (self.shape[0] - 1) / 2) * self.pixel
            cos, sin = np.float32(np.cos(self.roll)), np.float32(np.sin(self.roll))
            u = np.float32(self.centre[0]) + x * cos - y * sin
            v = np.float32(self.centre[1]) + x * sin + y * cos
            self._cache["grid"] = (u.astype(np.float32), v.astype(np.float32))
        return self._cache["grid"]

    def to_pixels(self, uv: np.ndarray) -> np.ndarray:
        """(N, 2) points in mm → (N, 2) pixel coordinates (column, row)."""
        du, dv = uv[:, 0] - self.centre[0], uv[:, 1] - self.centre[1]
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        x, y = du * cos + dv * sin, -du * sin + dv * cos
        middle = np.array([(self.shape[1] - 1) / 2, (self.shape[0] - 1) / 2])
        return np.stack([x, y], axis=1) / self.pixel + middle

    def window(self, uv: np.ndarray, margin: float) -> Slices | None:
        """The part of the film around some points, `margin` mm wider on each side; None if it is off the film."""
        points = self.to_pixels(uv)
        margin = margin / self.pixel + 1
        low = np.maximum(np.floor(points.min(axis=0) - margin), 0).astype(int)
        high = np.minimum(np.ceil(points.max(axis=0) + margin) + 1, self.shape[::-1]).astype(int)
        if np.any(high - low < 2):
            return None
        return slice(low[1], high[1]), slice(low[0], high[0])

    def project(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) points in mm → (N, 2) positions (u, v) on the film in mm."""
        cos, sin = np.cos(self.theta), np.sin(self.theta)
        return np.stack([points[:, 0] * cos + points[:, 1] * sin, points[:, 2]], axis=1)


@dataclass(frozen=True)
class Motion:
    """A small rigid movement of everything beyond a pivot: what a fracture does to the far part of a limb.

    Args:
        pivot: (x, y, z) in mm.
        tilt: how far the far end leans towards +x and +y, in radians.
        shift: translation in mm.
        softness: half-length in mm over which the movement fades in along z; 0 moves everything (a rigid fragment).
    """

    pivot: tuple[float, float, float]
    tilt: tuple[float, float] = (0.0, 0.0)
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    softness: float = 0.0

    def in_view(self, theta: float) -> tuple[np.ndarray, float, np.ndarray]:
        """Pivot (u, v), in-plane angle and shift (u, v) as one view shows them."""
        cos, sin = np.cos(theta), np.sin(theta)
        pivot = np.array([self.pivot[0] * cos + self.pivot[1] * sin, self.pivot[2]])
        angle = self.tilt[0] * cos + self.tilt[1] * sin
        shift = np.array([self.shift[0] * cos + self.shift[1] * sin, self.shift[2]])
        return pivot, float(angle), shift

    def push(self, uv: np.ndarray, theta: float) -> np.ndarray:
        """Where rigidly moved points (N, 2) end up."""
        pivot, angle, shift = self.in_view(theta)
        cos, sin = np.cos(angle), np.sin(angle)
        du, dv = (uv - pivot).T
        return np.stack([du * cos + dv * sin, -du * sin + dv * cos], axis=1) + pivot + shift

    def pull_back(self, u: np.ndarray, v: np.ndarray, theta: float) -> tuple[np.ndarray, np.ndarray]:
        """Where the material now at (u, v) came from, faded in over `softness`."""
        pivot, angle, shift = (np.asarray(part, dtype=np.float32) for part in self.in_view(theta))
        cos, sin = np.cos(angle), np.sin(angle)
        du, dv = u - pivot[0] - shift[0], v - pivot[1] - shift[1]
        u0, v0 = du * cos - dv * sin + pivot[0], du * sin + dv * cos + pivot[1]
        if self.softness <= 0:
            return u0, v0
        ramp = np.clip((v - pivot[1]) / np.float32(2 * self.softness) + np.float32(0.5), 0, 1)
        ramp = ramp * ramp * (3 - 2 * ramp)
        return u + ramp * (u0 - u), v + ramp * (v0 - v)


@dataclass(frozen=True)
class Crack:
    """A surface that crosses a tube, given by its height around the circumference.

    Args:
        base: position along the tube in mm.
        height: (RIM_SAMPLES,) mm above `base`, over the angle 0…2π around the tube.
        opening: (RIM_SAMPLES,) width of the slot in mm, 0 where the wall is whole.
        depth: share of the wall that is gone, 0…1.
        core: share of the spongy filling that is gone, 0…1.
    """

    base: float
    height: np.ndarray
    opening: np.ndarray
    depth: float = 1.0
    core: float = 0.0


@dataclass(frozen=True)
class Tube:
    """A generalised cylinder with elliptic cross-sections and a shell.

    Args:
        origin, axis: start in mm and unit direction.
        stations: (N, 6) evenly spaced along the axis, with the columns X, Y, A, B, WALL (in mm) and FILLING (0…1).
        length: mm along the axis.
        slots: cracks and plates that take material away without moving anything.
        texture: offset into the texture tile, so that no two bones look alike.
        grain: strength of the spongy texture, 0…1.
    """

    origin: np.ndarray
    axis: np.ndarray
    stations: np.ndarray
    length: float
    slots: tuple[Crack, ...] = ()
    texture: int = 0
    grain: float = 0.3

    def frame(self) -> tuple[np.ndarray, np.ndarray]:
        """The two unit vectors across the tube along which a and b are measured."""
        across = np.array([1.0, 0.0, 0.0]) - self.axis[0] * self.axis
        across /= np.linalg.norm(across)
        return across, np.cross(self.axis, across)

    def at(self, t: float) -> np.ndarray:
        """The row of `stations` at t mm along the axis, interpolated."""
        steps = len(self.stations) - 1
        place = float(np.clip(t / self.length * steps, 0, steps))
        left = min(int(place), steps - 1)
        return self.stations[left] + (place - left) * (self.stations[left + 1] - self.stations[left])

    def half_width(self, t: float) -> float:
        """The mean of both half-widths in mm at t."""
        return float(np.mean(self.at(t)[HALF]))

    def away_from(self, t: float) -> np.ndarray:
        """(N,) how far beyond t each station lies, in mm."""
        return np.linspace(0, self.length, len(self.stations)) - t

    def point(self, t: float) -> np.ndarray:
        """The centre (x, y, z) in mm of the cross-section at t."""
        across, along_y = self.frame()
        row = self.at(t)
        return self.origin + t * self.axis + row[X] * across + row[Y] * along_y

    def rim(self, t: float, samples: int = 24) -> np.ndarray:
        """(samples, 3) points on the surface around the cross-section at t."""
        across, along_y = self.frame()
        row, angle = self.at(t), np.linspace(0, 2 * np.pi, samples, endpoint=False)[:, None]
        return self.point(t) + row[2] * np.cos(angle) * across + row[3] * np.sin(angle) * along_y

    def with_slots(self, *slots: Crack) -> Tube:
        """The same tube with more slots."""
        return replace(self, slots=self.slots + slots)


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid with a shell; `lean` turns it about x (towards the front), in radians."""

    centre: np.ndarray
    radii: np.ndarray
    wall: float = 1.0
    filling: float = 0.3
    lean: float = 0.0
    texture: int = 0
    grain: float = 0.3


@dataclass(frozen=True)
class Chords:
    """Path lengths in mm of one solid on a part of the film: through all of it and through its inside."""

    window: Slices
    outer: np.ndarray
    inner: np.ndarray
    filling: np.ndarray


@lru_cache(maxsize=1)
def texture_tile() -> np.ndarray:
    """(TILE, TILE) periodic noise with streaks along its first axis, zero mean and unit deviation: spongy bone."""
    rng = np.random.default_rng(1895)
    streaks = gaussian_filter(rng.standard_normal((TILE, TILE)), (8.0, 1.5), mode="wrap")
    clouds = gaussian_filter(rng.standard_normal((TILE, TILE)), (9.0, 9.0), mode="wrap")
    struts = gaussian_filter(rng.standard_normal((TILE, TILE)), (1.5, 4.0), mode="wrap")
    tile = sum(part / part.std() * weight for part, weight in ((streaks, 1.0), (clouds, 0.8), (struts, 0.3)))
    return ((tile - tile.mean()) / tile.std()).astype(np.float32)


def sample_texture(t: np.ndarray, q: np.ndarray, offset: int) -> np.ndarray:
    """The tile at t mm along and q mm across, from a place of its own."""
    rows = (t / np.float32(TILE_MM)).astype(np.int32) + offset % 509
    columns = (q / np.float32(TILE_MM)).astype(np.int32) + offset // 509 % 509
    return texture_tile()[rows % TILE, columns % TILE]
