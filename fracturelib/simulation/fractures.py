"""Fractures: where a bone breaks, along which surface, and how the far part moves.

A complete fracture cuts the bone at a surface and moves everything beyond it, so that gap, step, overlap and angle
appear in both views by themselves. An incomplete one (greenstick, buckle, hairline) opens a slot in part of the wall,
bends the bone or bulges it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fracturelib.simulation.anatomy import Bone, Limb, LongBone
from fracturelib.simulation.patterns import COMPLETE, Pattern, Site
from fracturelib.simulation.solids import FILLING, RIM_SAMPLES, A, B, Crack, Ellipsoid, Motion, Tube, X, Y

ANGLES = np.linspace(0, 2 * np.pi, RIM_SAMPLES, endpoint=False)

CutSolid = tuple[Tube | Ellipsoid, Crack | None, Crack | None]  # a solid, the crack above it, the crack below it


@dataclass(frozen=True)
class Fracture:
    """One broken bone.

    Args:
        kind: one of FRACTURE_TYPES.
        site: bone and place.
        crack: the surface along which the bone parts, or the slot of an incomplete fracture.
        displacement: how far the far part is moved sideways, in mm.
        motion: the movement of the far part (rigid).
        wedge: for a comminuted fracture, the surface that bounds the loose wedge on the far side.
        callus: mineral content of healing bone around it, 0…1; 0 is a fresh fracture.
    """

    kind: str
    site: Site
    crack: Crack
    displacement: float
    motion: Motion
    wedge: Crack | None = None
    wedge_motion: Motion | None = None
    chips: tuple[Ellipsoid, ...] = ()
    callus: Ellipsoid | None = None


@dataclass(frozen=True)
class Piece:
    """Solids that move together, and how they moved."""

    solids: tuple[CutSolid, ...]
    motion: Motion | None = None


def draw_fracture(
    rng: np.random.Generator,
    limb: Limb,
    site: Site,
    *,
    kind: str | None = None,
    displacement_mm: float | None = None,
) -> Fracture:
    """Draw a fracture at a site; type and displacement may be given."""
    drawn = site.pattern.draw_kind(rng, limb.build.age_group)
    kind = kind or drawn
    tube = limb.tube(site.bone)
    t = site.share * tube.length
    width = 2 * tube.half_width(t)
    step = _draw_displacement(rng, site.pattern, kind, width)
    step = step if displacement_mm is None else float(displacement_mm)
    motion = _draw_motion(rng, site.pattern, kind, tube.point(t), width, step)
    crack = _draw_crack(rng, kind, t, width, motion.tilt)
    wedge: Crack | None = None
    wedge_motion: Motion | None = None
    chips: tuple[Ellipsoid, ...] = ()
    if kind == "comminuted":
        crack, wedge, wedge_motion = _split_wedge(rng, crack, tube, width, motion)
        chips = _draw_chips(rng, tube, t, width)
    healing = rng.random() < 0.12
    callus = _draw_callus(rng, tube, t, width) if healing and kind in COMPLETE else None
    return Fracture(kind, site, crack, step, motion, wedge, wedge_motion, chips, callus)


def break_bone(bone: LongBone, fracture: Fracture) -> list[Piece]:
    """The pieces of a bone after a fracture."""
    tube, near, far = bone.main, _whole(bone.near), _whole(bone.far)
    if fracture.kind not in COMPLETE:
        bent = _deform(tube, fracture)
        joined = [Piece(((bent, None, None), *near))]
        return joined if not far else [*joined, Piece(far, fracture.motion)]
    last = fracture.wedge or fracture.crack
    pieces = [
        Piece(((tube, fracture.crack, None), *near)),
        Piece(((tube, None, last), *far), fracture.motion),
    ]
    if fracture.wedge is not None:
        pieces.append(Piece(((tube, fracture.wedge, fracture.crack),), fracture.wedge_motion))
        pieces += [Piece(((chip, None, None),)) for chip in fracture.chips]
    if fracture.callus is not None:
        pieces.append(Piece(((fracture.callus, None, None),)))
    return pieces


def intact(bone: Bone, motion: Motion | None = None) -> list[Piece]:
    """A whole bone as one piece."""
    return [Piece(_whole((bone.main, *bone.near, *bone.far)), motion)]


def outline_points(tube: Tube, fracture: Fracture) -> Sequence[np.ndarray]:
    """Points (N, 3) on the rim of the fracture: what its bounding box must hold."""
    across, along_y = tube.frame()
    marks = []
    for crack in (fracture.crack, fracture.wedge):
        if crack is None:
            continue
        open_part = crack.opening > 0.25 * crack.opening.max()
        angles, heights = ANGLES[open_part], crack.height[open_part]
        rows = np.array([tube.at(crack.base + height) for height in heights])
        sideways = (rows[:, X] + rows[:, A] * np.cos(angles))[:, None] * across
        sideways = sideways + (rows[:, Y] + rows[:, B] * np.sin(angles))[:, None] * along_y
        marks.append(tube.origin + (crack.base + heights)[:, None] * tube.axis + sideways)
    return marks


def _whole(solids: Sequence[Tube | Ellipsoid]) -> tuple[CutSolid, ...]:
    return tuple((solid, None, None) for solid in solids)


def _draw_displacement(rng: np.random.Generator, pattern: Pattern, kind: str, width: float) -> float:
    """Sideways step in mm: a sixth of the complete fractures hardly moved, some moved by a whole bone's width."""
    slight, small, large = rng.random() < 0.15, rng.uniform(0.0, 0.12), np.clip(rng.gamma(2.0, 0.3), 0.12, 1.3)
    usual = rng.uniform(*(pattern.step or (0, 1)))
    if kind not in COMPLETE:
        return 0.0
    if pattern.step:
        return float(usual * width)
    return float((small if slight else large) * width)


def _draw_motion(
    rng: np.random.Generator, pattern: Pattern, kind: str, pivot: np.ndarray, width: float, step: float
) -> Motion:
    """Shift, shortening or gap, and angle of the far part; without a pattern large steps come with larger angles.

    All numbers are drawn before they are used, so that another type or step leaves the rest of the patient alone.
    """
    direction, lean, slide = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.6), rng.random()
    bend, buckle, green, more = rng.uniform((0, 3, 8, 0), (5, 14, 28, 1))
    gap, overlap = rng.uniform(0.6, 2.2) + 0.05 * step, rng.uniform(0.2, 0.8) * width
    usual, driven = rng.uniform(*(pattern.degrees or (0, 0))), rng.uniform(*(pattern.impacted or (0, 0))) * width
    if pattern.toward is not None:
        direction = np.deg2rad(pattern.toward) + 0.6 * (direction - np.pi) / np.pi
    complete = usual if pattern.degrees else bend + min(step / width, 1) * 22 * more
    degrees = {"hairline": 0.0, "buckle": buckle, "greenstick": green}.get(kind, complete)
    if kind not in COMPLETE:
        gap = 0.0
    elif pattern.impacted:
        gap = -driven
    elif step > 0.7 * width and slide < 0.6:
        gap = -overlap  # the ends slid past each other
    shift = (step * np.cos(direction), step * np.sin(direction), gap)
    angle = np.deg2rad(degrees)
    return Motion(tuple(pivot), (angle * np.cos(direction + lean), angle * np.sin(direction + lean)), shift)


def _draw_crack(rng: np.random.Generator, kind: str, t: float, width: float, tilt: tuple[float, float]) -> Crack:
    """The surface of a fracture as a height around the bone's rim."""
    phase = rng.uniform(0, 2 * np.pi)
    if kind in ("greenstick", "buckle"):
        # A bent stick tears on its outer side; under a lighter load it buckles on its inner side.
        phase = np.arctan2(tilt[1], tilt[0]) + (np.pi if kind == "greenstick" else 0.0)
    steepest = {
        "transverse": (0, 20),
        "oblique": (32, 60),
        "comminuted": (0, 45),
        "greenstick": (0, 20),
        "hairline": (0, 60),
    }
    steep = rng.uniform(*steepest.get(kind, (0, 12)))
    height = np.tan(np.deg2rad(steep)) * width / 2 * np.cos(ANGLES - phase)
    if kind == "spiral":
        height = _helix(phase, rng.uniform(1.6, 3.2) * width)
    height = height + _jags(rng, rng.uniform(0.02, 0.075) * width)
    opening, depth, core = _draw_opening(rng, kind, width, phase)
    return Crack(float(t), height.astype(np.float32), opening.astype(np.float32), depth, core)


def _draw_opening(rng: np.random.Generator, kind: str, width: float, phase: float) -> tuple[np.ndarray, float, float]:
    """Where around the rim a crack gapes and how far, in mm; which shares of wall and filling it takes."""
    facing = np.cos(ANGLES - phase)
    if kind == "greenstick":
        return rng.uniform(0.05, 0.14) * width * np.clip(facing + 0.25, 0, None), 1.0, 0.6
    if kind == "hairline":
        reach, gape = rng.uniform((-0.3, 0.6), (1.0, 1.5))
        opening = gape * np.clip((np.cos(ANGLES - phase + 0.7) + reach) * 3, 0, 1)
        return opening, float(rng.uniform(0.7, 1.0)), float(rng.uniform(0.3, 0.7))
    if kind == "buckle":
        return np.clip(facing + 0.4, 0, None), 1.0, 1.0
    return np.ones(RIM_SAMPLES), 1.0, 1.0


def _helix(phase: float, pitch: float) -> np.ndarray:
    """A spiral fracture: one turn of a helix, closed by a steep straight part."""
    turn = ((ANGLES + phase) % (2 * np.pi)) / (2 * np.pi)
    closing = 0.22
    climb = np.where(turn < 1 - closing, turn / (1 - closing), (1 - turn) / closing)
    return pitch * (climb - 0.5)


def _jags(rng: np.random.Generator, amplitude: float) -> np.ndarray:
    """Teeth of the broken edge: a periodic random curve."""
    orders = np.arange(2, 15)
    phases, sizes = rng.uniform(0, 2 * np.pi, len(orders)), rng.standard_normal(len(orders)) / orders**0.7
    curve = (sizes[:, None] * np.cos(orders[:, None] * ANGLES + phases[:, None])).sum(axis=0)
    return amplitude * curve / max(curve.std(), 1e-6)


def _split_wedge(rng, crack: Crack, tube: Tube, width: float, motion: Motion) -> tuple[Crack, Crack, Motion]:
    """A butterfly wedge: the crack divides into two that meet on the other side of the bone."""
    side = rng.uniform(0, 2 * np.pi)
    bulge = rng.uniform(0.5, 1.0) * width * np.clip(np.cos(ANGLES - side) + 0.15, 0, None)
    upper = replace(crack, height=(crack.height - bulge).astype(np.float32))
    lower = replace(crack, height=(crack.height + bulge + 0.2).astype(np.float32))
    push = rng.uniform(0.05, 0.35) * width + 0.3 * np.hypot(*motion.shift[:2])
    shift = (push * np.cos(side), push * np.sin(side), motion.shift[2] / 2)
    lean = np.deg2rad(rng.uniform(-14, 14, 2))
    return upper, lower, Motion(motion.pivot, tuple(lean), shift)


def _draw_chips(rng: np.random.Generator, tube: Tube, t: float, width: float) -> tuple[Ellipsoid, ...]:
    chips = []
    for _ in range(rng.integers(1, 5)):
        angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.8) * width
        offset = np.array([away * np.cos(angle), away * np.sin(angle), rng.uniform(-0.7, 0.7) * width])
        radii = rng.uniform(0.04, 0.16, 3) * width * np.array([1, 1, 1.6])
        chips.append(Ellipsoid(tube.point(t) + offset, radii, wall=2.0, filling=0.5, lean=rng.uniform(-0.8, 0.8)))
    return tuple(chips)


def _draw_callus(rng: np.random.Generator, tube: Tube, t: float, width: float) -> Ellipsoid:
    """Healing bone: a poorly mineralised cuff around the fracture."""
    radii = width / 2 * np.array([rng.uniform(1.3, 1.9), rng.uniform(1.3, 1.9), rng.uniform(1.6, 3.0)])
    return Ellipsoid(
        tube.point(t), radii, 0.05, rng.uniform(0.08, 0.22), texture=int(rng.integers(1 << 30)), grain=0.15
    )


def _deform(tube: Tube, fracture: Fracture) -> Tube:
    """Bend or bulge a bone that is not broken through, and open its slot."""
    stations, crack = tube.stations.copy(), fracture.crack
    away = tube.away_from(crack.base)
    hinge = 4.0 * np.log1p(np.exp(np.clip(away / 4.0, -30, 30)))  # mm beyond the kink, smoothly
    stations[:, X] += np.tan(fracture.motion.tilt[0]) * hinge
    stations[:, Y] += np.tan(fracture.motion.tilt[1]) * hinge
    bent = replace(tube, stations=stations)
    if fracture.kind != "buckle":
        return bent.with_slots(crack)
    width = 2 * tube.half_width(crack.base)
    bump = np.exp(-(away**2) / (2 * (0.14 * width) ** 2))
    side = ANGLES[int(np.argmax(crack.opening))]
    strength = 0.14 * width
    stations[:, A] += strength * bump * (0.45 + 0.55 * abs(np.cos(side)))
    stations[:, B] += strength * bump * (0.45 + 0.55 * abs(np.sin(side)))
    stations[:, X] += 0.6 * strength * np.cos(side) * bump
    stations[:, Y] += 0.6 * strength * np.sin(side) * bump
    stations[:, FILLING] = np.clip(stations[:, FILLING] + 0.12 * bump, 0, 0.9)
    return bent
