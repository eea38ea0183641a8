"""One patient's arm or leg as solids: bones with a shell, marrow and spongy ends, and the soft tissue around them.

Sizes are rounded values for adults, in mm; each patient varies them, a child shrinks them and has growth plates.
The arm's z runs from the shoulder (0) to the finger tips, the leg's from the hip (0) to the heel.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from scipy.interpolate import PchipInterpolator

from fracturelib.simulation.solids import CENTRE, FILLING, HALF, RIM_SAMPLES, WALL, Crack, Ellipsoid, Tube

STATIONS = 240
AGE_GROUPS = ("child", "adult", "older")


@dataclass(frozen=True)
class Bone:
    """A bone: its main solid, and others fused to its near or far end (heads, necks, condyles).

    Fused solids are joined by the larger of two path lengths: exact where they are centred alike along the beam.
    """

    name: str
    main: Tube | Ellipsoid
    near: tuple[Tube | Ellipsoid, ...] = ()
    far: tuple[Tube | Ellipsoid, ...] = ()


@dataclass(frozen=True)
class LongBone(Bone):
    """A bone whose main solid is a tube: it can break, and carry metal."""

    main: Tube


@dataclass(frozen=True)
class Build:
    """What varies between patients: age group, size, thickness of shell and flesh, shares of spongy bone and fat."""

    age_group: str
    size: float
    shell: float
    flesh: float
    spongy: float
    fat: float


@dataclass(frozen=True)
class Limb:
    """Everything in the beam that belongs to the patient; `flesh` is skin to skin, its inside is muscle."""

    bones: tuple[Bone, ...]
    flesh: tuple[Tube | Ellipsoid, ...]
    build: Build
    by_name: dict[str, int] = field(default_factory=dict)

    @property
    def skin(self) -> Tube:
        """The flesh around the long bones; fingers and feet have their own."""
        assert isinstance(self.flesh[0], Tube)
        return self.flesh[0]

    def tube(self, name: str) -> Tube:
        """The main solid of the long bone of that name."""
        bone = self.bones[self.by_name[name]]
        assert isinstance(bone, LongBone), f"{name} is no long bone"
        return bone.main

    def with_tube(self, name: str, tube: Tube) -> Limb:
        """The same limb with another main solid of that bone."""
        bones, place = list(self.bones), self.by_name[name]
        bones[place] = replace(bones[place], main=tube)
        return replace(self, bones=tuple(bones))


def draw_build(rng: np.random.Generator, age_group: str) -> Build:
    """Draw a patient of an age group: children are small, older people have thin shells and little spongy bone."""
    limits = {
        "child": ((0.5, 0.85), (0.8, 1.1), (0.8, 1.1)),
        "adult": ((0.9, 1.1), (0.85, 1.2), (0.8, 1.2)),
        "older": ((0.88, 1.05), (0.5, 0.85), (0.5, 0.8)),
    }[age_group]
    size, shell, spongy = (rng.uniform(*pair) for pair in limits)
    return Build(age_group, size, shell, rng.uniform(0.82, 1.3), spongy, rng.uniform(0.06, 0.22))


class Sculptor:
    """Makes the solids of one patient; every shape gets its own small irregularities from `rng`."""

    def __init__(self, rng: np.random.Generator, build: Build) -> None:
        self.rng, self.build = rng, build
        self.limb_scale = build.size
        # A child's bones are slim against their length, and the flesh is fuller.
        self.girth = build.size * rng.uniform(0.92, 1.08)
        self.grain = rng.uniform(0.08, 0.2)

    def tube(self, start, end, shape, *, bow=(0.0, 0.0), domes=(0.6, 0.6)) -> Tube:
        """A bone from start to end; `shape` has rows (share of length, a, b, wall, filling)."""
        start, end = (np.asarray(point, dtype=float) * self.limb_scale for point in (start, end))
        length = float(np.linalg.norm(end - start))
        s = np.linspace(0, 1, STATIONS)
        knots = np.asarray(shape, dtype=float)
        a, b, wall, filling = PchipInterpolator(knots[:, 0], knots[:, 1:])(s).T
        a, b = a * self.girth * self._wobble(0.03), b * self.girth * self._wobble(0.03)
        wall = np.maximum(wall * self.girth * self.build.shell * self._wobble(0.08), 0.3)
        close = _domes(s * length, length, domes[0] * min(a[0], b[0]), domes[1] * min(a[-1], b[-1]))
        arch = np.sin(np.pi * s) * self.limb_scale
        wander = [0.25 * self.girth * (self._wobble(1.0) - 1) for _ in range(2)]
        cx, cy = (bow[i] * self.rng.uniform(0.6, 1.5) * arch + wander[i] for i in range(2))
        filling = np.clip(filling * self.build.spongy, 0.0, 0.9)
        stations = np.stack([cx, cy, a * close, b * close, wall, filling], axis=1)
        axis = (end - start) / length
        return Tube(start, axis, stations, length, texture=self._offset(), grain=self.grain)

    def blob(self, centre, radii, *, wall=0.8, filling=0.3, lean=0.0) -> Ellipsoid:
        """A short bone or a rounded end."""
        radii = np.asarray(radii, dtype=float) * self.girth * self.rng.uniform(0.93, 1.07, 3)
        centre = np.asarray(centre, dtype=float) * self.limb_scale
        wall, filling = wall * self.girth * self.build.shell, np.clip(filling * self.build.spongy, 0, 0.9)
        return Ellipsoid(centre, radii, max(wall, 0.3), float(filling), lean, self._offset(), self.grain)

    def lump(self, centre, radii, *, wall=0.6, filling=0.3, lean=0.0) -> tuple[Ellipsoid, ...]:
        """A short bone of irregular shape: three ellipsoids around one centre."""
        radii, centre = np.asarray(radii, dtype=float), np.asarray(centre, dtype=float)
        offsets = self.rng.normal(0, 0.2, (3, 3)) * radii / self.limb_scale**0.5
        shrink = (0.95, 0.85, 0.8)
        leans = lean + self.rng.normal(0, 0.4, 3) * (0, 1, 1)
        return tuple(
            self.blob(centre + offset, radii * size, wall=wall, filling=filling, lean=float(tilt))
            for offset, size, tilt in zip(offsets, shrink, leans, strict=True)
        )

    def flesh(self, shape) -> Tube:
        """Soft tissue around z, fat around muscle; `shape` has rows (z, a, b, centre x, centre y)."""
        knots = np.asarray(shape, dtype=float)
        z0, z1 = knots[0, 0] * self.limb_scale, knots[-1, 0] * self.limb_scale
        z = np.linspace(knots[0, 0], knots[-1, 0], STATIONS)
        a, b, cx, cy = PchipInterpolator(knots[:, 0], knots[:, 1:])(z).T * self.limb_scale
        fat, zeros = self.build.flesh, np.zeros(STATIONS)
        skin = self.build.fat * np.sqrt(a * b) * fat
        columns = [cx, cy, a * fat * self._wobble(0.02), b * fat * self._wobble(0.02), skin, zeros]
        stations = np.stack(columns, axis=1)
        return Tube(np.array([0, 0, z0]), np.array([0, 0, 1.0]), stations, z1 - z0, texture=self._offset(), grain=0.0)

    def flesh_along(self, tube: Tube, radius: float) -> Tube:
        """The skin around a finger's bone."""
        stations = np.zeros((STATIONS, 6))
        stations[:, CENTRE] = tube.stations[:, CENTRE]
        radius *= self.limb_scale * self.build.flesh**0.5
        stations[:, WALL] = 0.2 * radius
        longer = tube.length + 1.6 * radius
        stations[:, HALF] = (radius * _domes(np.linspace(0, longer, STATIONS), longer, radius, radius))[:, None]
        return Tube(tube.origin - 0.8 * radius * tube.axis, tube.axis, stations, longer, grain=0.0)

    def growth_plate(self, tube: Tube, share: float, *, width: float) -> Tube:
        """A child's unossified plate across a bone's end: a wavy slot with denser bone on both sides."""
        base, angles = share * tube.length, np.linspace(0, 2 * np.pi, RIM_SAMPLES, endpoint=False)
        lean = self.rng.uniform(-2.0, 2.0) * np.cos(angles + self.rng.uniform(0, 6.3))
        wave = self.rng.uniform(0.2, 0.9) * np.cos(2 * angles + self.rng.uniform(0, 6.3))
        height = ((lean + wave) * self.girth).astype(np.float32)
        opening = np.full(RIM_SAMPLES, width * self.girth, dtype=np.float32)
        stations = tube.stations.copy()
        stations[:, FILLING] += 0.14 * np.exp(-((np.abs(tube.away_from(base)) - width) ** 2) / (2 * 1.2**2))
        crack = Crack(base, height, opening, depth=0.95, core=0.95)
        return replace(tube, stations=stations).with_slots(crack)

    def _wobble(self, strength: float) -> np.ndarray:
        return 1 + strength * (_bumps() * self.rng.standard_normal(_bumps().shape[1])).sum(axis=1)

    def _offset(self) -> int:
        return int(self.rng.integers(1 << 30))


@lru_cache(maxsize=1)
def _bumps() -> np.ndarray:
    """(STATIONS, 16) overlapping bumps; weighted by normal numbers they make a smooth curve of unit deviation."""
    s, centres = np.linspace(0, 1, STATIONS)[:, None], np.linspace(0, 1, 16)
    bumps = np.exp(-((s - centres) ** 2) / (2 * 0.06**2))
    return bumps / np.sqrt((bumps**2).sum(axis=1, keepdims=True))


def _domes(t: np.ndarray, length: float, start: float, end: float) -> np.ndarray:
    """Factor on the radius that closes both ends of a tube like part of an ellipse."""
    close = np.ones_like(t)
    for distance, depth in ((t, start), (length - t, end)):
        if depth > 0:
            near = np.clip(1 - distance / depth, 0, 1)
            close = close * np.sqrt(np.clip(1 - near * near, 0, 1))
    return close
