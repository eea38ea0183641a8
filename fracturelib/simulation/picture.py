"""One patient and one radiograph: solids → path lengths → attenuation → noise → window."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fracturelib.errors import FracturelibError
from fracturelib.simulation import confounders, physics
from fracturelib.simulation.anatomy import AGE_GROUPS, Limb, draw_build
from fracturelib.simulation.fractures import (
    COMPLETE,
    FRACTURE_TYPES,
    REGIONS,
    Fracture,
    Piece,
    Site,
    break_bone,
    draw_fracture,
    draw_site,
    intact,
    outline_points,
)
from fracturelib.simulation.projection import project_solid
from fracturelib.simulation.skeleton import make_limb
from fracturelib.simulation.solids import Film, Motion, Slices, sample_texture

VIEWS = ("frontal", "lateral")
# Height of the film in mm on an adult.
FIELD = {
    "forearm": (120, 230),
    "hand": (110, 190),
    "upper arm": (140, 260),
    "thigh": (170, 300),
    "lower leg": (150, 280),
}
REGION_SHARES = (0.27, 0.2, 0.14, 0.14, 0.25)  # in the order of REGIONS
AGE_SHARES = (0.3, 0.5, 0.2)  # in the order of AGE_GROUPS
# The other bone of a pair often breaks too when the first one moved far.
FELLOWS = {"radius": "ulna", "ulna": "radius", "tibia": "fibula", "fibula": "tibia"}
PURPOSES = {name: i for i, name in enumerate(("anatomy", "fracture", "nuisance", "film", "noise", "setting"))}


@dataclass(frozen=True)
class Setting:
    """What the metadata tells about a patient besides the fracture, and the shape of the two films.

    The writer gives the same setting to a few patients, of whom a fixed share is fractured: so none of it tells the label.
    """

    region: str
    age_group: str
    hardware: bool
    cast: bool
    long_side: tuple[float, float]
    landscape: tuple[bool, bool]


def draw_setting(entropy: tuple[int, ...]) -> Setting:
    """Draw region, age group, metal, plaster and film shapes."""
    rng = generator(entropy, "setting")
    return Setting(
        str(rng.choice(REGIONS, p=REGION_SHARES)),
        str(rng.choice(AGE_GROUPS, p=AGE_SHARES)),
        bool(rng.random() < confounders.HARDWARE_SHARE),
        bool(rng.random() < confounders.CAST_SHARE),
        tuple(float(rng.choice((1.0, 1.2, 1.25, 1.35, 1.5), p=(0.2, 0.2, 0.3, 0.2, 0.1))) for _ in VIEWS),
        tuple(bool(rng.random() < 0.15) for _ in VIEWS),
    )


@dataclass(frozen=True)
class Patient:
    """Everything about one patient that both views share."""

    entropy: tuple[int, ...]
    setting: Setting
    limb: Limb
    site: Site
    fractures: tuple[Fracture, ...]
    rods: tuple[confounders.Rod, ...]
    cast: confounders.Cast | None

    @property
    def fracture(self) -> Fracture | None:
        """The main fracture, or None."""
        return self.fractures[0] if self.fractures else None


@dataclass(frozen=True)
class SimulatedRadiograph:
    """A picture with every step on the way to it.

    Args:
        path_lengths: tissue → (H, W) float32 in mm.
        line_integral: (H, W) sum of mu L.
        transmitted: (H, W) share of the beam that passes straight through.
        expected_counts, counts: (H, W) photons per pixel, before and after noise.
        signal: (H, W) negative logarithm, enhanced.
        picture: (H, W) uint8, bone bright.
        bbox: (x, y, w, h) of the fracture in pixels, or None.
        conspicuity: see `conspicuity`; 0 without a fracture.
        pixel: pixel side in mm.
        patient: the patient behind it.
        view: "frontal" or "lateral".
    """

    path_lengths: dict[str, np.ndarray]
    line_integral: np.ndarray
    transmitted: np.ndarray
    expected_counts: np.ndarray
    counts: np.ndarray
    signal: np.ndarray
    picture: np.ndarray
    bbox: tuple[int, int, int, int] | None
    conspicuity: float
    pixel: float
    patient: Patient
    view: str


def generator(entropy: tuple[int, ...], purpose: str, extra: int = 0) -> np.random.Generator:
    """A stream of its own for each purpose, so that one choice never shifts another."""
    return np.random.default_rng([*entropy, PURPOSES[purpose], extra])


def draw_patient(
    entropy: tuple[int, ...],
    setting: Setting,
    *,
    fractured: bool,
    fracture_type: str | None = None,
    displacement_mm: float | None = None,
) -> Patient:
    """Draw a patient; nothing but the fracture depends on `fractured`."""
    rng = generator(entropy, "anatomy")
    build = draw_build(rng, setting.age_group)
    limb = make_limb(rng, build, arm=setting.region in ("forearm", "hand", "upper arm"))
    nuisance = generator(entropy, "nuisance")
    site = draw_site(nuisance, setting.region)
    limb, rods, plaster = _draw_nuisances(nuisance, limb, site, setting)
    fractures = ()
    if fractured:
        fractures = _draw_fractures(generator(entropy, "fracture"), limb, site, fracture_type, displacement_mm)
    return Patient(entropy, setting, limb, site, fractures, tuple(rods), plaster)


def take_radiograph(
    patient: Patient,
    view: str,
    *,
    device: str = "A",
    dose: float | None = None,
    image_side: int = 256,
) -> SimulatedRadiograph:
    """One view of a patient; `dose` in uGy in the open beam, `image_side` the short side in pixels."""
    film_rng = generator(patient.entropy, "film", VIEWS.index(view))
    film = _draw_film(film_rng, patient, view, image_side)
    exposure = physics.draw_exposure(film_rng, physics.DEVICES[device], dose=dose)
    whole = project_body(patient.limb, film)
    paths = project_body(patient.limb, film, patient.fractures) if patient.fractures else whole
    extras = _foreign_paths(film_rng, patient, film, whole)
    whole, paths = ({**_tissues(body, extras)} for body in (whole, paths))
    metal = extras["metal"] > 0.05

    integral, integral_whole = physics.line_integral(paths), physics.line_integral(whole)
    expected = physics.expected_counts(integral, exposure, film.pixel)
    clean_whole = expected if not patient.fractures else physics.expected_counts(integral_whole, exposure, film.pixel)
    signal_whole = physics.log_signal(clean_whole, exposure, film.pixel)
    window = physics.choose_window(
        physics.enhance(signal_whole, exposure, film.pixel), (integral_whole > 0.25) & ~metal, exposure
    )
    noise = generator(patient.entropy, "noise", VIEWS.index(view))
    counts = physics.detect(expected, noise)
    signal = physics.enhance(physics.log_signal(counts, exposure, film.pixel), exposure, film.pixel)
    grey = confounders.collimate(film_rng, physics.to_grey(signal, window, exposure.gamma))
    bbox, seen = None, 0.0
    if patient.fractures:
        bbox = _bounding_box(patient, film)
        seen = conspicuity(expected, clean_whole, bbox)
    picture = np.round(grey * 255).astype(np.uint8)
    return SimulatedRadiograph(
        paths, integral, np.exp(-integral), expected, counts, signal, picture, bbox, seen, film.pixel, patient, view
    )


def simulate_one(
    patient_seed: int = 0,
    *,
    region: str | None = None,
    view: str = "frontal",
    fracture_type: str | None = None,
    displacement_mm: float | None = None,
    dose: float | None = None,
    age_group: str | None = None,
    hardware: bool | None = None,
    cast: bool | None = None,
    device: str = "A",
    image_side: int = 256,
) -> SimulatedRadiograph:
    """One radiograph with all its intermediate arrays; `fracture_type=None` leaves the bone whole.

    The same `patient_seed` gives the same person: change the fracture, the displacement or the dose and the rest stays.

    Args:
        patient_seed: any non-negative integer.
        region: one of REGIONS, drawn if None.
        fracture_type: one of FRACTURE_TYPES, or None for no fracture.
        displacement_mm: sideways step of a complete fracture, drawn if None.
        dose: air kerma of the open beam at the detector in uGy, drawn if None.
        age_group: "child", "adult" or "older", drawn if None.
        hardware, cast: whether there is metal or plaster, drawn if None.

    Raises:
        FracturelibError: a name is not one of the lists above.
    """
    lists = (("region", region, REGIONS), ("fracture_type", fracture_type, FRACTURE_TYPES), ("age_group", age_group, AGE_GROUPS),
             ("device", device, tuple(physics.DEVICES)), ("view", view, VIEWS))  # fmt: skip
    for name, value, known in lists:
        if value is not None and value not in known:
            raise FracturelibError(f"{name} is '{value}'", cure=f"choose one of {', '.join(known)}")
    given = {"region": region, "age_group": age_group, "hardware": hardware, "cast": cast}
    setting = replace(
        draw_setting((patient_seed,)), **{name: value for name, value in given.items() if value is not None}
    )
    patient = draw_patient(
        (patient_seed,), setting, fractured=fracture_type is not None, fracture_type=fracture_type,
        displacement_mm=displacement_mm,
    )  # fmt: skip
    return take_radiograph(patient, view, device=device, dose=dose, image_side=image_side)


def project_body(limb: Limb, film: Film, fractures: tuple[Fracture, ...] = ()) -> dict[str, np.ndarray]:
    """Path lengths in mm of the limb: cortex, marrow, and the flesh (skin to skin) and muscle around them."""
    shape = film.shape
    cortex, marrow, spongy = (np.zeros(shape, dtype=np.float32) for _ in range(3))
    for i, bone in enumerate(limb.bones):
        for piece in _pieces(limb, i, bone, fractures):
            _add_piece(piece, film, cortex, marrow, spongy)
    motion = _flesh_motion(limb, fractures)
    flesh, muscle = (_union(solids, film, motion) for solids in (limb.flesh, limb.muscle))
    muscle *= _fibres(limb, film)
    # Spongy bone is marrow with some cortex in it.
    return {"cortex": cortex + spongy, "marrow": marrow - spongy, "flesh": flesh, "muscle": np.minimum(muscle, flesh)}


def conspicuity(expected: np.ndarray, expected_whole: np.ndarray, bbox: tuple[int, int, int, int]) -> float:
    """Contrast-to-noise ratio of a fracture: how far it changes the signal, against the photon noise, in its bounding box.

    The root mean square over the box of ``log(N / N0) sqrt(N0)``, where N and N0 are the expected counts per pixel
    with and without the fracture and ``1 / sqrt(N0)`` is the noise of the logarithm (Rose, J. Opt. Soc. Am. 38, 1948).
    """
    x, y, w, h = bbox
    counts, whole = (part[y : y + h, x : x + w].astype(np.float64) for part in (expected, expected_whole))
    change = np.log(np.maximum(counts, 1e-3) / np.maximum(whole, 1e-3))
    return float(np.sqrt(np.mean(change**2 * whole)))


def _draw_nuisances(rng, limb: Limb, site: Site, setting: Setting):
    """Canals, old injuries, metal and plaster: the same draws whatever the label."""
    canal, old = rng.random(2)
    bones = list(limb.bones)
    place = limb.by_name[site.bone]
    seeds = [np.random.default_rng(seed) for seed in rng.integers(1 << 62, size=4)]
    if canal < 0.35:
        bones[place] = replace(bones[place], main=confounders.nutrient_canal(seeds[0], bones[place].main))
    if old < 0.1:
        bones[place] = replace(bones[place], main=confounders.old_injury(seeds[1], bones[place].main))
    limb = replace(limb, bones=tuple(bones))
    tube = limb.bone(site.bone).main
    rods = confounders.draw_hardware(seeds[2], limb, site) if setting.hardware else []
    shell = confounders.draw_cast(seeds[3], limb, tube.point(site.share * tube.length)[2]) if setting.cast else None
    return limb, rods, shell


def _draw_fractures(
    rng, limb: Limb, site: Site, kind: str | None, displacement_mm: float | None
) -> tuple[Fracture, ...]:
    main = draw_fracture(rng, limb, site, kind=kind, displacement_mm=displacement_mm)
    fellow = FELLOWS.get(site.bone)
    also, jitter = rng.random(), rng.uniform(-0.06, 0.06)
    width = 2 * float(np.mean(limb.bone(site.bone).main.at(main.crack.base)[2:4]))
    if fellow is None or main.kind not in COMPLETE or also > 0.2 + 0.7 * min(main.displacement / width, 1):
        return (main,)
    tube = limb.bone(fellow).main
    share = float(np.clip((main.motion.pivot[2] - tube.origin[2]) / tube.length + jitter, 0.12, 0.94))
    second = draw_fracture(
        rng, limb, Site(fellow, share), kind=main.kind if main.kind != "comminuted" else "transverse"
    )
    pivot = tuple(tube.point(share * tube.length))
    # Both bones carry the same far part, so they move alike.
    return (main, replace(second, motion=replace(main.motion, pivot=pivot), displacement=main.displacement))


def _draw_film(rng, patient: Patient, view: str, image_side: int) -> Film:
    """Angle, rotation, field and shape of the film; the site is on it, anywhere but at the very edge."""
    size = patient.limb.build.size
    theta = (0.0 if view == "frontal" else np.pi / 2) + rng.normal(0, np.deg2rad(9))
    which = VIEWS.index(view)
    long_pixels = round(image_side * patient.setting.long_side[which])
    shape = (image_side, long_pixels) if patient.setting.landscape[which] else (long_pixels, image_side)
    height = rng.uniform(*FIELD[patient.setting.region]) * size
    pixel = height / long_pixels
    tube = patient.limb.bone(patient.site.bone).main
    middle = tube.point(patient.site.share * tube.length)
    centre_u = middle[0] * np.cos(theta) + middle[1] * np.sin(theta)
    shift = rng.uniform(-0.3, 0.3, 2) * np.array([shape[1], shape[0]]) * pixel * np.array([0.6, 1.0])
    roll = rng.normal(0, np.deg2rad(7)) + rng.choice((0.0, np.pi / 2, -np.pi / 2), p=(0.9, 0.05, 0.05))
    return Film(shape, pixel, (centre_u + shift[0], middle[2] + shift[1]), float(theta), float(roll))


def _foreign_paths(rng, patient: Patient, film: Film, whole: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Metal, plaster and skin folds; they depend on the whole body only."""
    folds, marker, line = rng.random(3)
    seeds = [np.random.default_rng(seed) for seed in rng.integers(1 << 62, size=2)]
    metal = confounders.rod_path(list(patient.rods), film)
    if marker < 0.45:
        metal = metal + confounders.marker_path(seeds[0], film, whole["flesh"])
    plaster = np.zeros(film.shape, dtype=np.float32)
    if patient.cast is not None:
        plaster = confounders.cast_path(patient.cast, patient.limb, film)
    crease = np.zeros(film.shape, dtype=np.float32)
    if folds < 0.3:
        crease = confounders.skin_folds(seeds[1], film, whole["flesh"])
    return {"metal": metal, "plaster": plaster, "folds": crease}


def _tissues(body: dict[str, np.ndarray], extras: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Split skin to skin into bone, muscle and fat, so that the parts add up, and add what is foreign."""
    bone = body["cortex"] + body["marrow"]
    soft = np.clip(body["flesh"] - bone, 0, None) + np.clip(extras["folds"], -5, None)
    soft = np.clip(soft, 0, None)
    muscle = np.clip(body["muscle"] - bone, 0, soft)
    return {"cortex": body["cortex"], "marrow": body["marrow"], "muscle": muscle, "fat": soft - muscle,
            "metal": extras["metal"], "plaster": extras["plaster"]}  # fmt: skip


def _pieces(limb: Limb, index: int, bone, fractures: tuple[Fracture, ...]) -> list[Piece]:
    for fracture in fractures:
        if limb.by_name[fracture.site.bone] == index:
            return break_bone(bone, fracture)
    if not fractures:
        return intact(bone)
    return intact(bone, _carried(bone, fractures[0]))


def _carried(bone, fracture: Fracture) -> Motion | None:
    """How a whole bone follows the broken one: rigidly beyond it, bending beside it, not at all before it."""
    finger = fracture.site.bone[-1]
    if finger.isdigit() and bone.name[-1] != finger:
        return None
    solid, pivot = bone.main, fracture.motion.pivot[2]
    ends = sorted(
        [solid.origin[2], (solid.origin + solid.length * solid.axis)[2]]
        if hasattr(solid, "axis")
        else [solid.centre[2]] * 2
    )
    if ends[0] >= pivot - 2:
        return fracture.motion
    if ends[1] <= pivot:
        return None
    return replace(fracture.motion, softness=0.22 * (ends[1] - ends[0]))


def _flesh_motion(limb: Limb, fractures: tuple[Fracture, ...]) -> Motion | None:
    """Skin and muscle bend where the bone breaks; one finger's bone does not move the hand."""
    if not fractures or fractures[0].site.bone[-1].isdigit():
        return None
    motion = fractures[0].motion
    return replace(motion, shift=tuple(0.6 * s for s in motion.shift), softness=38.0 * limb.build.size)


def _add_piece(piece: Piece, film: Film, cortex: np.ndarray, marrow: np.ndarray, spongy: np.ndarray) -> None:
    """Add one rigid piece; its fused solids are joined by the larger path."""
    chords = [
        project_solid(solid, film, above=above, below=below, motion=piece.motion)
        for solid, above, below in piece.solids
    ]
    chords = [chord for chord in chords if chord is not None]
    if not chords:
        return
    if len(chords) == 1:
        window, outer, inner, filling = chords[0].window, chords[0].outer, chords[0].inner, chords[0].filling
    else:
        window, outer, inner, filling = _join(chords)
    cortex[window] += outer - inner
    marrow[window] += inner
    spongy[window] += inner * np.minimum(filling, 1)


def _join(chords) -> tuple[Slices, np.ndarray, np.ndarray, np.ndarray]:
    rows = [min(c.window[0].start for c in chords), max(c.window[0].stop for c in chords)]
    columns = [min(c.window[1].start for c in chords), max(c.window[1].stop for c in chords)]
    window = slice(*rows), slice(*columns)
    outer, inner, filling = (np.zeros((rows[1] - rows[0], columns[1] - columns[0]), dtype=np.float32) for _ in range(3))
    for c in chords:
        part = (slice(c.window[0].start - rows[0], c.window[0].stop - rows[0]),
                slice(c.window[1].start - columns[0], c.window[1].stop - columns[0]))  # fmt: skip
        filling[part] = np.where(c.inner > inner[part], c.filling, filling[part])
        np.maximum(outer[part], c.outer, out=outer[part])
        np.maximum(inner[part], c.inner, out=inner[part])
    return window, outer, np.minimum(inner, outer), filling


def _union(solids, film: Film, motion: Motion | None) -> np.ndarray:
    path = np.zeros(film.shape, dtype=np.float32)
    for solid in solids:
        chords = project_solid(solid, film, motion=motion)
        if chords is not None:
            np.maximum(path[chords.window], chords.outer, out=path[chords.window])
    return path


def _fibres(limb: Limb, film: Film) -> np.ndarray:
    """Bundles of muscle with fat between them: the muscle's share of the path varies along and across the limb."""
    u, v = film.grid()
    scale = np.float32(0.22 / limb.build.size)
    return 1 - 0.07 * np.clip(1 + sample_texture(v * scale, u * scale, limb.flesh[0].texture), 0, 3)


def _bounding_box(patient: Patient, film: Film) -> tuple[int, int, int, int]:
    """(x, y, w, h) in pixels around every broken edge, with 2 mm to spare."""
    points = []
    for fracture in patient.fractures:
        tube = patient.limb.bone(fracture.site.bone).main
        for marks in outline_points(tube, fracture):
            uv = film.project(marks)
            points += [uv, fracture.motion.push(uv, film.theta)] if fracture.kind in COMPLETE else [uv]
    pixels = film.to_pixels(np.concatenate(points))
    spare = 2.0 / film.pixel
    limits = np.array([film.shape[1], film.shape[0]])
    low = np.clip(np.floor(pixels.min(axis=0) - spare), 0, limits - 2).astype(int)
    high = np.clip(np.ceil(pixels.max(axis=0) + spare), low + 2, limits).astype(int)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])
