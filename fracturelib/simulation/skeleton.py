"""The tables of the arm's and the leg's bones: rows are (share of length, half-widths x and y, wall, filling), mm."""

from __future__ import annotations

import numpy as np

from fracturelib.simulation.anatomy import Bone, Build, Limb, LongBone, Sculptor
from fracturelib.simulation.solids import Ellipsoid, Tube

HUMERUS = (
    (0, 21, 21, 0.8, 0.30), (0.07, 22, 21, 0.9, 0.28), (0.14, 15, 15, 1.8, 0.18), (0.25, 12, 12, 3.2, 0.08),
    (0.5, 11, 11.5, 4.2, 0.05),
    (0.75, 12, 10, 3.8, 0.07), (0.88, 20, 9, 2.2, 0.2), (0.96, 28, 9.5, 1.0, 0.3), (1, 27, 10, 0.8, 0.3),
)  # fmt: skip
RADIUS = (
    (0, 11, 11, 0.9, 0.25), (0.05, 11, 10.5, 1.2, 0.25), (0.1, 7, 7, 1.8, 0.15), (0.17, 8.5, 8, 2.2, 0.1),
    (0.5, 7, 6.5, 3, 0.05),
    (0.75, 7.5, 6.5, 2.5, 0.1), (0.88, 11.5, 9, 1.4, 0.25), (0.96, 16, 11, 0.9, 0.32), (1, 16, 11, 0.7, 0.35),
)  # fmt: skip
ULNA = (
    (0, 10, 10, 1.2, 0.28), (0.08, 11, 13, 1.5, 0.25), (0.16, 9, 10, 2.2, 0.12), (0.5, 6.5, 7, 2.9, 0.05),
    (0.8, 5.5, 5.5, 2.2, 0.1),
    (0.94, 6, 6, 1.2, 0.22), (1, 8, 8, 0.7, 0.3),
)  # fmt: skip
METACARPAL = ((0, 8, 8, 0.7, 0.3), (0.12, 7, 7.5, 1.0, 0.2), (0.45, 4.3, 4.8, 1.6, 0.06),
(0.78, 5.2, 5.8, 1.1, 0.18), (0.92, 7.2, 7.5, 0.7, 0.3), (1, 7, 7.2, 0.6, 0.3))  # fmt: skip
PHALANX = (
    (0, 7, 6, 0.6, 0.3),
    (0.15, 6, 5, 0.9, 0.2),
    (0.55, 4.2, 3.8, 1.4, 0.06),
    (0.85, 4.8, 4, 0.9, 0.18),
    (1, 5.4, 4.4, 0.6, 0.28),
)
TIP = (
    (0, 5.5, 4.5, 0.6, 0.28),
    (0.25, 4, 3.5, 0.8, 0.15),
    (0.6, 2.6, 2.4, 1.0, 0.1),
    (0.88, 3.8, 2.4, 0.7, 0.15),
    (1, 3.2, 2, 0.5, 0.2),
)
FEMUR = (
    (0, 19, 18, 1.0, 0.3), (0.08, 24, 20, 1.6, 0.25), (0.16, 18, 17, 3.5, 0.14), (0.3, 14.5, 14.5, 5.6, 0.05),
    (0.55, 14, 14.5, 6.4, 0.04),
    (0.78, 17, 16, 4.2, 0.08), (0.9, 30, 22, 1.8, 0.25), (0.97, 39, 28, 0.9, 0.32), (1, 37, 28, 0.8, 0.33),
)  # fmt: skip
TIBIA = (
    (0, 36, 24, 0.8, 0.33), (0.05, 35, 25, 0.9, 0.32), (0.14, 22, 21, 2.2, 0.2), (0.28, 14.5, 16.5, 4.2, 0.07),
    (0.6, 11.5, 12.5, 5, 0.04),
    (0.82, 13, 13, 3, 0.1), (0.93, 19, 16, 1.3, 0.27), (1, 24, 19, 0.8, 0.33),
)  # fmt: skip
FIBULA = (
    (0, 10, 10, 0.8, 0.28), (0.06, 9, 9, 1, 0.22), (0.15, 6, 6, 1.8, 0.1), (0.5, 6, 6.5, 2.4, 0.05),
    (0.82, 6, 6.5, 2, 0.08), (0.93, 9, 9, 1.1, 0.22),
    (1, 8, 9.5, 0.8, 0.28),
)  # fmt: skip

# Lengths in mm of metacarpal, proximal, middle and distal phalanx of the thumb and the four fingers.
RAYS = ((46, 33, 0, 23), (67, 41, 23, 17), (65, 45, 28, 18), (58, 42, 27, 18), (54, 34, 19, 16))
RAY_X = (22.0, 13.0, 1.0, -10.0, -20.0)
RAY_SPREAD = (0.75, 0.13, 0.02, -0.08, -0.2)


def arm_parts(make: Sculptor) -> tuple[list[Bone], list[Tube | Ellipsoid]]:
    """Upper arm, forearm, wrist and hand, with shoulder blade and collar bone as far as a film shows them."""
    child = make.build.age_group == "child"
    humerus = make.tube((0, 0, 12), (2, 0, 316), HUMERUS, bow=(2, 3), domes=(1.0, 0.5))
    radius = make.tube((15, 3, 322), (9, 0, 560), RADIUS, bow=(6, 2), domes=(0.25, 0.25))
    ulna = make.tube((-6, -4, 297), (-15, -2, 556), ULNA, bow=(-2, -3), domes=(0.9, 0.6))
    if child:
        radius = make.growth_plate(radius, 0.965, width=1.5)
        ulna = make.growth_plate(ulna, 0.965, width=1.3)
        humerus = make.growth_plate(humerus, 0.10, width=1.8)
    head = make.blob((-9, -2, 18), (23, 23, 23), wall=0.8, filling=0.3)
    condyles = (make.blob((15, 3, 311), (10, 8, 9)), make.blob((-9, 2, 313), (16, 7, 8)))
    styloid = (make.blob((19, 0, 562), (6, 7, 9)),)
    bones: list[Bone] = [LongBone("humerus", humerus, (head,), condyles)]
    bones += [LongBone("radius", radius, (), styloid), LongBone("ulna", ulna), *_shoulder(make), *_wrist(make)]
    hand, fingers = _fingers(make, child)
    flesh_shape = (
        (-90, 95, 70, -60, 0), (-30, 75, 62, -30, 0), (40, 52, 50, -4, 0), (150, 45, 46, 0, 0),
        (280, 42, 42, 0, 0), (320, 43, 40, 0, 0),
        (370, 42, 39, 0, 0), (470, 34, 31, -2, 0), (550, 28, 20, -3, 0), (572, 31, 18, -2, 0),
        (600, 41, 16, -1, 0), (645, 44, 13, -1, 0), (664, 43, 9, -1, 0), (682, 40, 2, -1, 0),
    )  # fmt: skip
    return bones + hand, [make.flesh(flesh_shape), *fingers]


def _shoulder(make: Sculptor) -> list[Bone]:
    """Shoulder blade and collar bone: thin, and only there so that a humerus does not end in the void."""
    clavicle = make.tube(
        (-8, 8, -28), (-140, 20, -48), ((0, 9, 6, 1.2, 0.15), (0.5, 6, 6, 2, 0.1), (1, 9, 8, 1, 0.2)), bow=(0, 10)
    )
    rim = make.tube(
        (-36, -6, -12), (-50, -16, 70), ((0, 9, 6, 0.8, 0.2), (0.3, 9, 6, 0.8, 0.2), (1, 4, 3, 1.2, 0.1)), bow=(3, 0)
    )
    blade = make.blob((-85, -28, 35), (45, 3.5, 70), wall=0.9, filling=0.05)
    acromion = make.blob((-4, -14, -26), (16, 12, 6), wall=1.0, filling=0.25)
    return [Bone("clavicle", clavicle), Bone("scapula", rim, (blade, acromion))]


def _wrist(make: Sculptor) -> list[Bone]:
    """Eight carpal bones in two rows."""
    rows = (
        ("scaphoid", 14, 571, 6.5, 8.5), ("lunate", 3, 570, 7, 7), ("triquetrum", -9, 573, 6.5, 7),
        ("pisiform", -11, 577, 4.5, 5),
        ("trapezium", 19, 583, 7.5, 7), ("trapezoid", 10, 585, 6, 6.5), ("capitate", 0.5, 583, 7, 10.5),
        ("hamate", -10.5, 584, 7.5, 8.5),
    )  # fmt: skip
    bones = []
    for name, x, z, rx, rz in rows:
        y = 8.0 if name == "pisiform" else make.rng.uniform(-2.5, 2.5)
        main, *rest = make.lump((x, y, z), (rx, 7, rz), wall=0.4, filling=0.3)
        bones.append(Bone(name, main, tuple(rest)))
    return bones


def _fingers(make: Sculptor, child: bool) -> tuple[list[Bone], list[Tube]]:
    """Five rays; every finger fans out and bends by its own amount, as a hand on a table does."""
    bones: list[Bone] = []
    skin = []
    spread, curl = make.rng.uniform(0.7, 1.3), make.rng.uniform(0.0, 0.25)
    for ray, lengths in enumerate(RAYS):
        lean = RAY_SPREAD[ray] * (spread if ray else make.rng.uniform(0.7, 1.2))
        at = np.array([RAY_X[ray], 6.0 if ray == 0 else 0.0, 593.0 - (4 if ray == 0 else abs(ray - 2))])
        bend = 0.08
        for part, length in enumerate(lengths):
            if not length:
                continue
            name = f"{('metacarpal', 'proximal', 'middle', 'distal')[part]}{ray + 1}"
            # From the knuckles on, fingers curl; each one a little differently, so that they part in the lateral view.
            bend += 0.0 if part == 0 else make.rng.uniform(0.3, 1.0) * curl * (1.3 - 0.25 * ray)
            bend = min(bend, 1.1)
            direction = np.array([np.sin(lean) * np.cos(bend), np.sin(bend), np.cos(lean) * np.cos(bend)])
            shape = METACARPAL if part == 0 else TIP if part == 3 else PHALANX
            bone = make.tube(at, at + direction * length, shape, bow=(0, -1.5), domes=(0.5, 0.7))
            if child:
                share = 0.88 if part == 0 and ray else 0.1
                bone = make.growth_plate(bone, share, width=1.2)
            bones.append(LongBone(name, bone))
            if part:
                skin.append(make.flesh_along(bone, (0, 10.5, 9.5, 8.5)[part]))
            elif ray == 0:
                skin.append(make.flesh_along(bone, 14))
            at = at + direction * (length + 2.2)
    return bones, skin


def leg_parts(make: Sculptor) -> tuple[list[Bone], list[Tube | Ellipsoid]]:
    """Thigh, knee, lower leg, ankle and foot, with the hip as far as a film shows it."""
    child = make.build.age_group == "child"
    femur = make.tube((8, 0, 2), (-6, 0, 436), FEMUR, bow=(3, 9), domes=(1.1, 0.5))
    tibia = make.tube((-4, 0, 444), (-4, 0, 812), TIBIA, bow=(-3, 3), domes=(0.2, 0.15))
    fibula = make.tube((33, -16, 466), (24, -6, 832), FIBULA, bow=(4, -4), domes=(0.8, 1.2))
    if child:
        femur = make.growth_plate(femur, 0.945, width=2.2)
        tibia = make.growth_plate(make.growth_plate(tibia, 0.05, width=2.0), 0.95, width=1.8)
        fibula = make.growth_plate(fibula, 0.935, width=1.5)
    head = make.blob((-44, 2, -18), (24, 24, 24), wall=1.0, filling=0.36)
    neck = make.tube((10, 0, 34), (-36, 2, -12), ((0, 18, 15, 2.2, 0.26), (0.5, 15, 12, 2, 0.26), (1, 16, 15, 1, 0.3)))
    trochanter = make.blob((14, -6, 8), (14, 15, 19), wall=1.0, filling=0.26)
    condyles = (make.blob((17, -12, 428), (20, 22, 19)), make.blob((-27, -12, 430), (21, 23, 20)))
    bones: list[Bone] = [
        LongBone("femur", femur, (head, neck, trochanter), condyles),
        LongBone("tibia", tibia, (), (make.blob((-22, 0, 818), (8, 10, 11)),)),
        LongBone("fibula", fibula),
        Bone("patella", make.blob((-3, 33, 414), (20, 9, 21), wall=1.2, filling=0.34)),
    ]
    bones += _pelvis(make) + _foot(make)
    flesh_shape = (
        (-160, 150, 110, -60, 0), (-60, 128, 100, -40, 0), (40, 92, 88, -14, -4), (200, 76, 80, -6, -3),
        (340, 58, 62, -4, 0), (430, 56, 58, -4, 2),
        (470, 54, 54, 2, -4), (570, 54, 60, 4, -14), (690, 38, 42, 4, -6), (780, 33, 36, 3, -3),
        (820, 38, 40, 2, -3), (850, 35, 42, 0, -6), (870, 30, 36, 0, -6), (884, 12, 14, 0, -6),
    )  # fmt: skip
    return bones, [make.flesh(flesh_shape), *_foot_flesh(make)]


def _pelvis(make: Sculptor) -> list[Bone]:
    """Socket, iliac wing and pubic branch around the hip."""
    socket = make.blob((-56, 0, -26), (26, 30, 34), wall=1.6, filling=0.16)
    wing = make.blob((-70, -14, -100), (60, 10, 75), wall=1.4, filling=0.12)
    pubis = make.tube((-62, 14, -6), (-130, 36, 30), ((0, 11, 9, 1.2, 0.2), (0.6, 8, 7, 1.4, 0.15), (1, 13, 9, 1, 0.2)))
    ischium = make.tube(
        (-66, -12, 4), (-96, -10, 78), ((0, 16, 14, 1.4, 0.2), (0.7, 15, 12, 1.2, 0.22), (1, 9, 8, 1.2, 0.2))
    )
    return [Bone("pelvis", socket, (wing, pubis, ischium))]


def _foot(make: Sculptor) -> list[Bone]:
    """Ankle and foot; the metatarsals point along y, at the viewer of a frontal film."""
    blobs = {
        "talus": ((-4, 8, 832), (17, 26, 15), -0.1), "calcaneus": ((-1, -16, 860), (15, 38, 17), 0.25),
        "navicular": ((-6, 40, 842), (16, 9, 14), 0.0), "cuboid": ((12, 44, 860), (11, 17, 11), 0.1),
        "cuneiform": ((-9, 57, 850), (18, 12, 12), 0.1),
    }  # fmt: skip
    lumps = {name: make.lump(at, radii, wall=0.8, lean=lean) for name, (at, radii, lean) in blobs.items()}
    bones = [Bone(name, main, tuple(rest)) for name, (main, *rest) in lumps.items()]
    for ray in range(5):
        x, radii = -20 + 10 * ray, (6.5 if ray == 0 else 4.5, 36, 6)
        bones.append(
            Bone(
                f"metatarsal{ray + 1}",
                make.blob((x, 102 - 3 * ray, 864 + ray), radii, wall=1.5, filling=0.08, lean=0.25),
            )
        )
    return bones


def _foot_flesh(make: Sculptor) -> list[Ellipsoid]:
    parts = (
        ((-1, -18, 858), (32, 50, 32), 0.1),
        ((-2, 40, 856), (38, 70, 30), 0.3),
        ((-2, 120, 876), (44, 80, 17), 0.1),
    )
    return [make.blob(at, radii, wall=4.0, lean=lean) for at, radii, lean in parts]


def make_limb(rng: np.random.Generator, build: Build, *, arm: bool) -> Limb:
    """All solids of one arm or one leg."""
    bones, flesh = (arm_parts if arm else leg_parts)(Sculptor(rng, build))
    names = {bone.name: i for i, bone in enumerate(bones)}
    return Limb(tuple(bones), tuple(flesh), build, names)
