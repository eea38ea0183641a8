"""What a lazy model could mistake for a fracture, or for its absence: drawn for every patient, whatever the label."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter

from fracturelib.simulation.anatomy import Limb
from fracturelib.simulation.fractures import ANGLES
from fracturelib.simulation.patterns import Site
from fracturelib.simulation.projection import project_tube
from fracturelib.simulation.solids import CENTRE, HALF, WALL, Crack, Film, Tube, sample_texture

# 5 x 7 dot letters of the side markers.
LETTERS = {
    "R": ("11110", "10001", "10001", "11110", "10100", "10010", "10001"),
    "L": ("10000", "10000", "10000", "10000", "10000", "10000", "11111"),
}


@dataclass(frozen=True)
class Rod:
    """A round metal rod, or a tube of plastic: start and end in mm, radius in mm."""

    start: np.ndarray
    end: np.ndarray
    radius: float


@dataclass(frozen=True)
class Cast:
    """A plaster shell around the limb from z0 to z1 mm; `offset` moves it to one side, which makes it a splint."""

    z0: float
    z1: float
    gap: float
    thickness: float
    offset: tuple[float, float]
    texture: int


def draw_cast(rng: np.random.Generator, limb: Limb, site_z: float) -> Cast:
    """A cast around some part of the limb near the middle of the film."""
    size = limb.build.size
    above, below = rng.uniform(40, 160, 2) * size
    thickness, angle = rng.uniform(3.0, 7.0) * size, rng.uniform(0, 2 * np.pi)
    lean = rng.uniform(0.7, 1.0) * thickness if rng.random() < 0.4 else 0.0
    offset = (lean * np.cos(angle), lean * np.sin(angle))
    return Cast(
        site_z - above, site_z + below, rng.uniform(1.0, 4.0) * size, thickness, offset, int(rng.integers(1 << 30))
    )


def cast_path(cast: Cast, limb: Limb, film: Film) -> np.ndarray:
    """(H, W) path length through plaster in mm: wound in turns, so its thickness is uneven."""
    skin = limb.skin
    path = np.zeros(film.shape, dtype=np.float32)
    for sign in (1, -1):
        chords = project_tube(_around(skin, cast, outside=sign > 0), film)
        if chords is not None:
            path[chords.window] += sign * chords.outer
    u, v = film.grid()
    # Folds run around the limb, so the tile's long axis goes across.
    folds = sample_texture(u * 0.35, v * 0.3 + 0.06 * u, cast.texture)
    return np.clip(path, 0, None) * np.clip(1 + 0.09 * gaussian_filter(folds, 1.0), 0.4, None)


def draw_hardware(rng: np.random.Generator, limb: Limb, site: Site) -> list[Rod]:
    """A plate with screws, a nail, or wires, on the bone of the site but at a place of its own."""
    tube = limb.tube(site.bone)
    share = float(np.clip(site.share + rng.uniform(-0.2, 0.2), 0.15, 0.9))
    half = tube.half_width(share * tube.length)
    kind = rng.choice(("plate", "nail", "wires"), p=(0.6, 0.15, 0.25))
    if kind == "plate":
        return _plate(rng, tube, share, half)
    if kind == "nail":
        span = np.clip(share + np.array([-0.35, 0.3]), 0.08, 0.95) * tube.length
        cavity = max(half - float(tube.at(share * tube.length)[WALL]), 1.0)
        return _chain(tube, span, min(0.8 * cavity, 5.0))
    rods = []
    for _ in range(rng.integers(1, 4)):
        lean = rng.normal(0, 0.35, 2) * half * 3
        middle, reach = tube.point(share * tube.length), rng.uniform(2.0, 4.0) * half
        along = tube.axis * reach + np.array([lean[0], lean[1], 0])
        rods.append(Rod(middle - along + rng.normal(0, 0.2, 3) * half, middle + along, rng.uniform(0.6, 1.0)))
    return rods


def rod_path(rods: list[Rod], film: Film) -> np.ndarray:
    """(H, W) path length through rods in mm: the chord of a cylinder, and no longer than the rod seen end-on."""
    path = np.zeros(film.shape, dtype=np.float32)
    for rod in rods:
        ends = film.project(np.stack([rod.start, rod.end]))
        window = film.window(ends, margin=rod.radius + 1)
        if window is None:
            continue
        u, v = (part[window] for part in film.grid())
        along = (ends[1] - ends[0]).astype(np.float32)
        planar = float(np.hypot(*along))
        place = ((u - np.float32(ends[0, 0])) * along[0] + (v - np.float32(ends[0, 1])) * along[1]) / max(
            planar**2, 1e-6
        )
        place = np.clip(place, 0, 1)
        distance2 = (u - ends[0, 0] - place * along[0]) ** 2 + (v - ends[0, 1] - place * along[1]) ** 2
        length = float(np.linalg.norm(rod.end - rod.start))
        deep = np.sqrt(max(length**2 - planar**2, 0.0)) + 2 * rod.radius
        chord = 2 * np.sqrt(np.clip(rod.radius**2 - distance2, 0, None)) * length / max(planar, 0.05 * length)
        path[window] += np.minimum(chord, deep).astype(np.float32)
    return path


def nutrient_canal(rng: np.random.Generator, tube: Tube) -> Tube:
    """A vessel's oblique channel through one wall: a short dark line that is no fracture."""
    base = rng.uniform(0.25, 0.7) * tube.length
    half, phase = tube.half_width(base), rng.uniform(0, 2 * np.pi)
    turn = (ANGLES - phase + np.pi) % (2 * np.pi) - np.pi
    height = np.tan(np.deg2rad(rng.uniform(55, 75))) * half * np.sin(np.clip(turn, -1.2, 1.2))
    opening = rng.uniform(0.08, 0.16) * half * np.clip(1.6 - np.abs(turn) / rng.uniform(0.4, 0.7), 0, 1)
    canal = Crack(base, height.astype(np.float32), opening.astype(np.float32), depth=rng.uniform(0.4, 0.8), core=0.0)
    return tube.with_slots(canal)


def old_injury(rng: np.random.Generator, tube: Tube) -> Tube:
    """A long healed fracture: the bone is thicker and a little bent there, its wall whole."""
    stations = tube.stations.copy()
    away = tube.away_from(rng.uniform(0.25, 0.75) * tube.length)
    half = float(np.mean(stations[len(stations) // 2, HALF]))
    bump = np.exp(-(away**2) / (2 * (rng.uniform(0.6, 1.4) * half) ** 2))
    stations[:, HALF] += (rng.uniform(0.08, 0.22, 2) * half) * bump[:, None]
    stations[:, WALL] += rng.uniform(0.02, 0.14) * half * bump
    stations[:, CENTRE] += rng.normal(0, 0.12, 2) * half * bump[:, None]
    return replace(tube, stations=stations)


def skin_folds(rng: np.random.Generator, film: Film, flesh: np.ndarray) -> np.ndarray:
    """(H, W) change in mm of the soft-tissue path: creases and folds that run across everything."""
    change = np.zeros(film.shape, dtype=np.float32)
    u, v = film.grid()
    for _ in range(rng.integers(1, 4)):
        angle, bend, wave = rng.normal(0, 0.35), rng.normal(0, 0.004), rng.uniform(0, 6.3)
        place = film.centre[1] + rng.uniform(-0.45, 0.45) * film.shape[0] * film.pixel
        du = u - film.centre[0]
        distance = (v - place) + np.tan(angle) * du + bend * du * du + 1.5 * np.sin(du / 14 + wave)
        width, depth = rng.uniform(0.4, 1.4), rng.choice((-1, 1)) * rng.uniform(1.0, 4.0)
        change += depth * np.exp(-(distance**2) / (2 * width**2))
    return np.clip(change, -0.6 * flesh, None) * np.clip(flesh / 20, 0, 1)


def draw_marker(rng: np.random.Generator, film: Film, flesh: np.ndarray) -> np.ndarray:
    """(H, W) in 0…1: a letter in the emptiest corner."""
    height, width = film.shape
    letter = str(rng.choice(("R", "L")))
    dot = max(round(rng.uniform(0.008, 0.014) * height), 1)
    glyph = np.kron(
        np.array([[int(c) for c in row] for row in LETTERS[letter]], dtype=np.float32),
        np.ones((dot, dot), dtype=np.float32),
    )
    tall, wide = glyph.shape
    margin = rng.uniform(0.03, 0.09, 2) * (height, width)
    rows, columns = (int(margin[0]), height - tall - int(margin[0])), (int(margin[1]), width - wide - int(margin[1]))
    corners = [(row, column) for row in rows for column in columns]
    loads = [float(flesh[r : r + tall, c : c + wide].mean()) + 1e-3 * i for i, (r, c) in enumerate(corners)]
    row, column = corners[int(np.argmin(loads))]
    path = np.zeros(film.shape, dtype=np.float32)
    path[row : row + tall, column : column + wide] = glyph
    return gaussian_filter(path, 0.5)


def collimate(rng: np.random.Generator, grey: np.ndarray, frames: tuple[float, float, float]) -> np.ndarray:
    """Edges of the exposed field: nothing, a black shutter or an unexposed bright strip, with these chances."""
    height, width = grey.shape
    kind = rng.choice(("none", "shutter", "strip"), p=np.array(frames) / sum(frames))
    borders = rng.uniform(0.0, 0.09, 4) * (rng.random(4) < 0.6)
    soft, level = rng.uniform(0.5, 2.5), rng.uniform(0.75, 1.0)
    side, depth, wave = rng.integers(4), rng.uniform(0.01, 0.08), rng.uniform(0, 6.3, 2)
    rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None]
    gaps = (rows, height - 1 - rows, columns, width - 1 - columns)
    if kind == "shutter":
        for gap, border, extent in zip(gaps, borders, (height, height, width, width), strict=True):
            if border > 0:
                grey = grey * np.clip((gap - border * extent) / soft, 0, 1)
    elif kind == "strip":
        along = columns if side < 2 else rows
        edge = (
            depth
            * (height if side < 2 else width)
            * (1 + 0.1 * np.sin(along / 23 + wave[0]) + 0.05 * np.sin(along / 5 + wave[1]))
        )
        inside = np.clip((gaps[side] - edge) / soft, 0, 1)
        grey = grey * inside + level * (1 - inside)
    return grey


def _around(skin: Tube, cast: Cast, *, outside: bool) -> Tube:
    """The cast's outer or inner surface."""
    steps = len(skin.stations)
    z = skin.origin[2] + np.linspace(0, skin.length, steps)
    first, last = np.searchsorted(z, (cast.z0, cast.z1))
    first, last = min(int(first), steps - 3), max(int(last), int(min(first, steps - 3)) + 2)
    part = skin.stations[first:last].copy()
    part[:, HALF] += cast.gap
    if outside:
        ends = np.minimum(np.arange(len(part)), np.arange(len(part))[::-1])  # the plaster thins out towards them
        part[:, HALF] += cast.thickness * np.clip((ends[:, None] + 0.5) / 3, 0, 1)
        part[:, CENTRE] += cast.offset
    origin = np.array([0.0, 0.0, z[first]])
    return replace(skin, origin=origin, stations=part, length=float(z[min(last, steps) - 1] - z[first]))


def _chain(tube: Tube, span: np.ndarray, radius: float) -> list[Rod]:
    """A rod that follows the bone's curve."""
    points = [tube.point(t) for t in np.linspace(span[0], span[1], 9)]
    return [Rod(a, b, radius) for a, b in pairwise(points)]


def _plate(rng: np.random.Generator, tube: Tube, share: float, half: float) -> list[Rod]:
    """Parallel rods make a flat plate; screws go through it and the bone."""
    across, along_y = tube.frame()
    angle = rng.uniform(0, 2 * np.pi)
    out = np.cos(angle) * across + np.sin(angle) * along_y
    side = -np.sin(angle) * across + np.cos(angle) * along_y
    holes = int(rng.integers(4, 8))
    pitch = float(np.clip(1.3 * half, 4, 16))
    middle = tube.point(share * tube.length)
    thick = float(np.clip(0.12 * half, 0.6, 1.6))
    ends = [middle + out * (half + thick) + tube.axis * pitch * (holes / 2) * sign for sign in (-1, 1)]
    breadth = min(0.45 * half, 5.0)
    offsets = np.linspace(-breadth, breadth, max(int(np.ceil(2 * breadth / (1.2 * thick))), 2))
    rods = [Rod(ends[0] + side * o, ends[1] + side * o, thick) for o in offsets]
    for hole in range(holes):
        if rng.random() < 0.2:
            continue
        at = middle + tube.axis * pitch * (hole + 0.5 - holes / 2)
        reach = rng.uniform(0.8, 1.15) * half
        rods.append(Rod(at + out * (half + 2.5 * thick), at - out * reach, max(0.13 * half, 0.6)))
    return rods
