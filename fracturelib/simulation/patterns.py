"""Where bones break and how: the common fractures of each region, with their place, direction and size.

Places and directions of hand and wrist follow Rockwood and Green's Fractures in Adults and in Children: the boxer's
neck, the base of the thumb, shafts of phalanges, the crushed tuft; Colles', Smith's and the child's torus fracture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

FRACTURE_TYPES = ("transverse", "oblique", "spiral", "comminuted", "greenstick", "buckle", "hairline")
COMPLETE = FRACTURE_TYPES[:4]
DORSAL, PALMAR, ULNAR = -90.0, 90.0, 180.0  # degrees around the bone; 0 points to the thumb's side

Kinds = Mapping[str, float]
Range = tuple[float, float]

# How often each type is drawn. Greenstick and buckle fractures are those of soft, growing bone.
SHAFT_KINDS: dict[str, Kinds] = {
    "child": {
        "transverse": 0.21, "oblique": 0.16, "spiral": 0.12, "comminuted": 0.07, "greenstick": 0.22, "buckle": 0.13,
        "hairline": 0.09,
    },
    "adult": {"transverse": 0.28, "oblique": 0.25, "spiral": 0.19, "comminuted": 0.18, "hairline": 0.10},
    "older": {"transverse": 0.26, "oblique": 0.26, "spiral": 0.19, "comminuted": 0.19, "hairline": 0.10},
}  # fmt: skip
WRIST_KINDS: dict[str, Kinds] = {
    "child": {"buckle": 0.45, "greenstick": 0.25, "transverse": 0.3},
    "adult": {"transverse": 0.57, "oblique": 0.15, "comminuted": 0.1, "hairline": 0.18},
    "older": {"transverse": 0.57, "oblique": 0.15, "comminuted": 0.1, "hairline": 0.18},
}


def _always(**kinds: float) -> dict[str, Kinds]:
    return dict.fromkeys(SHAFT_KINDS, kinds)


THIGH_KINDS = _always(transverse=0.2, oblique=0.22, spiral=0.2, comminuted=0.1, hairline=0.28)
NECK = _always(transverse=0.55, oblique=0.2, comminuted=0.22, hairline=0.03)
SMALL_SHAFT = _always(transverse=0.45, oblique=0.35, spiral=0.17, hairline=0.03)
THUMB_BASE = _always(transverse=0.3, oblique=0.45, comminuted=0.25)
TUFT = _always(transverse=0.35, comminuted=0.65)


@dataclass(frozen=True)
class Pattern:
    """One kind of injury of one bone.

    Args:
        bone: name of the bone.
        place: share of the bone's length between which it breaks.
        weight: how often, against the other patterns of the region.
        kinds: types and their shares, by age group.
        toward: which way the far part leans and moves, in degrees around the bone; None for any.
        degrees: by how much it leans; None: little for small steps, more for large ones.
        step: how far it moves sideways, in widths of the bone; None: hardly for a sixth, else a sixth to more than one.
        impacted: how far the ends are driven into each other, in widths of the bone; below 0, and for None, there is a
            gap. It goes both ways, so that brightness alone tells nothing.
    """

    bone: str
    place: Range
    weight: float
    kinds: Mapping[str, Kinds] = field(hash=False)
    toward: float | None = None
    degrees: Range | None = None
    step: Range | None = None
    impacted: Range | None = None

    def draw_kind(self, rng: np.random.Generator, age_group: str) -> str:
        """A type of FRACTURE_TYPES."""
        kinds = self.kinds[age_group]
        return str(rng.choice(list(kinds), p=np.array(list(kinds.values())) / sum(kinds.values())))


def _shaft(bone: str, low: float, high: float, weight: float, step: Range | None = None) -> Pattern:
    return Pattern(bone, (low, high), weight, SHAFT_KINDS, step=step)


def _hand() -> tuple[Pattern, ...]:
    bent, moved, driven = (25.0, 60.0), (0.3, 0.9), (-0.2, 0.15)
    patterns = [
        Pattern("metacarpal5", (0.72, 0.84), 7, NECK, PALMAR, bent, moved, driven),
        Pattern("metacarpal4", (0.72, 0.84), 2, NECK, PALMAR, bent, moved, driven),
        Pattern("metacarpal1", (0.14, 0.28), 3, THUMB_BASE, ULNAR, (20, 45), (0.5, 1.1), (-0.2, 0.15)),
    ]
    for ray in range(2, 6):
        patterns.append(
            Pattern(f"metacarpal{ray}", (0.3, 0.65), 0.8, SMALL_SHAFT, PALMAR, (15, 45), (0.5, 1.3), driven)
        )
    for ray in range(1, 6):
        patterns.append(Pattern(f"proximal{ray}", (0.2, 0.75), 0.9, SMALL_SHAFT, DORSAL, (20, 50), (0.5, 1.2), driven))
        patterns.append(Pattern(f"distal{ray}", (0.55, 0.8), 0.3, TUFT, None, (5, 30), (0.3, 1.0)))
    for ray in range(2, 6):
        patterns.append(Pattern(f"middle{ray}", (0.3, 0.75), 0.3, SMALL_SHAFT, DORSAL, (20, 50), (0.5, 1.2), driven))
    return tuple(patterns)


PATTERNS: dict[str, tuple[Pattern, ...]] = {
    "forearm": (_shaft("radius", 0.3, 0.82, 5, (0.0, 0.4)), _shaft("ulna", 0.3, 0.9, 4, (0.0, 0.4))),
    "wrist": (
        Pattern("radius", (0.86, 0.94), 5, WRIST_KINDS, DORSAL, (4, 24), (0.03, 0.18), (-0.06, 0.09)),  # Colles
        Pattern("radius", (0.86, 0.94), 1.5, WRIST_KINDS, PALMAR, (4, 24), (0.03, 0.18), (-0.06, 0.09)),  # Smith
    ),
    "hand": _hand(),
    "upper arm": (_shaft("humerus", 0.13, 0.2, 2, (0.0, 0.5)), _shaft("humerus", 0.25, 0.85, 5, (0.0, 0.5))),
    "thigh": (Pattern("femur", (0.2, 0.87), 1, THIGH_KINDS, step=(0.0, 0.2)),),
    "lower leg": (_shaft("tibia", 0.3, 0.92, 6, (0.0, 0.4)), _shaft("fibula", 0.35, 0.93, 3, (0.0, 0.6))),
}
REGIONS = tuple(PATTERNS)


@dataclass(frozen=True)
class Site:
    """A place on a bone and what happens there; drawn for every patient, broken or not, so that framing and metal
    cannot tell."""

    pattern: Pattern
    share: float

    @property
    def bone(self) -> str:
        """Name of the bone."""
        return self.pattern.bone


def draw_site(rng: np.random.Generator, region: str) -> Site:
    """Where this patient's bone is, or would be, broken."""
    patterns = PATTERNS[region]
    weights = np.array([pattern.weight for pattern in patterns], dtype=float)
    pattern = patterns[rng.choice(len(patterns), p=weights / weights.sum())]
    return Site(pattern, float(rng.uniform(*pattern.place)))
