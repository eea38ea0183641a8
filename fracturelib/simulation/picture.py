"""One radiograph: solids → path lengths → attenuation → noise → window."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fracturelib.errors import FracturelibError
from fracturelib.simulation import confounders, physics
from fracturelib.simulation.anatomy import AGE_GROUPS
from fracturelib.simulation.body import project_body, split_tissues
from fracturelib.simulation.devices import DEVICES, Device, Exposure, draw_exposure
from fracturelib.simulation.fractures import outline_points
from fracturelib.simulation.patient import VIEWS, Patient, draw_patient, draw_setting, generator
from fracturelib.simulation.patterns import COMPLETE, FRACTURE_TYPES, REGIONS
from fracturelib.simulation.solids import Film

# Height of the film in mm on an adult.
FIELD = {
    "forearm": (105, 185), "wrist": (88, 128), "hand": (58, 80), "upper arm": (120, 215), "thigh": (190, 285),
    "lower leg": (120, 220),
}  # fmt: skip
HAND_MIDDLE = (2.0, 662.0)  # x and z in mm on an adult; the whole hand fills the field
# Beam directions in degrees. A hand's second view is taken obliquely, as is usual, so that the bones lie side by side.
DIRECTIONS = {"frontal": 0.0, "lateral": 90.0}
OBLIQUE_HAND = 40.0


@dataclass(frozen=True)
class SimulatedRadiograph:
    """A picture with every step on the way to it.

    Args:
        path_lengths: tissue → (H, W) float32 in mm.
        line_integral: (H, W) sum of mu L.
        transmitted: (H, W) share of the beam that passes straight through.
        expected_counts, counts: (H, W) photons per pixel, before and after noise.
        signal: (H, W) negative logarithm, enhanced.
        grey: (H, W) float32 in 0…1, bone bright (but for a few that are shown inverted).
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
    grey: np.ndarray
    bbox: tuple[int, int, int, int] | None
    conspicuity: float
    pixel: float
    patient: Patient
    view: str

    @property
    def picture(self) -> np.ndarray:
        """(H, W) uint8."""
        return np.round(self.grey * 255).astype(np.uint8)


def take_radiograph(
    patient: Patient,
    view: str,
    *,
    device: Device = DEVICES["A"],
    dose: float | None = None,
    image_side: int = 256,
) -> SimulatedRadiograph:
    """One view of a patient; `dose` in uGy in the open beam, `image_side` the short side in pixels."""
    film_rng = generator(patient.entropy, "film", VIEWS.index(view))
    film = _draw_film(film_rng, patient, view, image_side)
    exposure = draw_exposure(film_rng, device, dose=dose)
    whole = project_body(patient.limb, film)
    paths = project_body(patient.limb, film, patient.fractures) if patient.fractures else whole
    extras, marker = _foreign_paths(film_rng, patient, film, whole)
    if not device.typed:
        extras["metal"] = extras["metal"] + np.float32(0.9) * marker
    whole, paths = (split_tissues(body, extras) for body in (whole, paths))
    integral, integral_whole = physics.line_integral(paths), physics.line_integral(whole)
    expected = expected_whole = physics.expected_counts(integral, exposure, film.pixel)
    if patient.fractures:
        expected_whole = physics.expected_counts(integral_whole, exposure, film.pixel)
    # The window comes from the unbroken body, so that no fracture shifts the grey level of the rest.
    body = (integral_whole > 0.25) & (extras["metal"] < 0.05)
    window = physics.choose_window(_processed(expected_whole, exposure, film.pixel), body, exposure)
    noise_rng = generator(patient.entropy, "noise", VIEWS.index(view))
    counts = physics.detect(expected, noise_rng)
    signal = physics.add_grain(physics.log_signal(counts, exposure, film.pixel), noise_rng, exposure, film.pixel)
    signal = physics.enhance(signal, exposure, film.pixel)
    grey = confounders.collimate(film_rng, physics.to_grey(signal, window, exposure), device.frames)
    if device.typed:
        grey = np.maximum(grey, marker)
    if exposure.inverted:
        grey = 1 - grey
    bbox = _bounding_box(patient, film) if patient.fractures else None
    seen = conspicuity(expected, expected_whole, bbox) if bbox else 0.0
    return SimulatedRadiograph(
        paths, integral, np.exp(-integral), expected, counts, signal, grey, bbox, seen, film.pixel, patient, view
    )


def _processed(counts: np.ndarray, exposure: Exposure, pixel: float) -> np.ndarray:
    """Counts → logarithm → enhancement."""
    return physics.enhance(physics.log_signal(counts, exposure, pixel), exposure, pixel)


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
    lists = (
        ("region", region, REGIONS),
        ("view", view, VIEWS),
        ("fracture_type", fracture_type, FRACTURE_TYPES),
        ("age_group", age_group, AGE_GROUPS),
        ("device", device, tuple(DEVICES)),
    )
    for name, value, known in lists:
        if value is not None and value not in known:
            raise FracturelibError(f"{name} is '{value}'", cure=f"choose one of {', '.join(known)}")
    given: dict[str, Any] = {"region": region, "age_group": age_group, "hardware": hardware, "cast": cast}
    given = {name: value for name, value in given.items() if value is not None}
    setting = replace(draw_setting((patient_seed,)), **given)
    patient = draw_patient(
        (patient_seed,), setting, fractured=fracture_type is not None, fracture_type=fracture_type,
        displacement_mm=displacement_mm,
    )  # fmt: skip
    return take_radiograph(patient, view, device=DEVICES[device], dose=dose, image_side=image_side)


def conspicuity(expected: np.ndarray, expected_whole: np.ndarray, bbox: tuple[int, int, int, int]) -> float:
    """Contrast-to-noise ratio of a fracture: how far it changes the signal, against the photon noise, in its box.

    The root mean square over the box of ``log(N / N0) sqrt(N0)``, where N and N0 are the expected counts per pixel
    with and without the fracture and ``1 / sqrt(N0)`` is the noise of the logarithm (Rose, J. Opt. Soc. Am. 38, 1948).
    """
    x, y, w, h = bbox
    counts, whole = (part[y : y + h, x : x + w].astype(np.float64) for part in (expected, expected_whole))
    change = np.log(np.maximum(counts, 1e-3) / np.maximum(whole, 1e-3))
    return float(np.sqrt(np.mean(change**2 * whole)))


def _draw_film(rng: np.random.Generator, patient: Patient, view: str, image_side: int) -> Film:
    """Angle, rotation, field and shape of the film; the site is on it, anywhere but at the very edge."""
    size = patient.limb.build.size
    oblique = view == "lateral" and patient.setting.region == "hand"
    theta = np.deg2rad((OBLIQUE_HAND if oblique else DIRECTIONS[view]) + rng.normal(0, 9))
    which = VIEWS.index(view)
    long_pixels = round(image_side * patient.setting.long_side[which])
    shape = (image_side, long_pixels) if patient.setting.landscape[which] else (long_pixels, image_side)
    height = rng.uniform(*FIELD[patient.setting.region]) * size
    pixel = height / long_pixels
    tube = patient.limb.tube(patient.site.bone)
    middle = tube.point(patient.site.share * tube.length)
    centre = np.array([middle[0] * np.cos(theta) + middle[1] * np.sin(theta), middle[2]])
    reach = np.array([0.18, 0.3])  # shares of the field by which the site may lie off its middle
    if patient.setting.region == "hand":
        hand = size * np.array([HAND_MIDDLE[0] * np.cos(theta), HAND_MIDDLE[1]])
        centre, reach = 0.8 * centre + 0.2 * hand, 0.7 * reach
    shift = rng.uniform(-reach, reach) * np.array([shape[1], shape[0]]) * pixel
    roll = rng.normal(0, np.deg2rad(7)) + rng.choice((0.0, np.pi / 2, -np.pi / 2), p=(0.9, 0.05, 0.05))
    return Film(shape, pixel, (float(centre[0] + shift[0]), float(centre[1] + shift[1])), float(theta), float(roll))


def _foreign_paths(
    rng: np.random.Generator, patient: Patient, film: Film, whole: dict[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Metal, plaster and skin folds, and the side marker (0…1); they depend on the whole body only."""
    folds, marked = rng.random(2)
    seeds = [np.random.default_rng(seed) for seed in rng.integers(1 << 62, size=2)]
    metal = confounders.rod_path(list(patient.rods), film)
    marker, plaster = (np.zeros(film.shape, dtype=np.float32) for _ in range(2))
    if marked < 0.45:
        marker = confounders.draw_marker(seeds[0], film, whole["flesh"])
    if patient.cast is not None:
        plaster = confounders.cast_path(patient.cast, patient.limb, film)
    crease = np.zeros(film.shape, dtype=np.float32)
    if folds < 0.3:
        crease = confounders.skin_folds(seeds[1], film, whole["flesh"])
    return {"metal": metal, "plaster": plaster, "folds": crease}, marker


def _bounding_box(patient: Patient, film: Film) -> tuple[int, int, int, int]:
    """(x, y, w, h) in pixels around every broken edge, with 2 mm to spare."""
    points = []
    for fracture in patient.fractures:
        tube = patient.limb.tube(fracture.site.bone)
        for marks in outline_points(tube, fracture):
            uv = film.project(marks)
            points += [uv, fracture.motion.push(uv, film.theta)] if fracture.kind in COMPLETE else [uv]
    pixels = film.to_pixels(np.concatenate(points))
    spare = 2.0 / film.pixel
    limits = np.array([film.shape[1], film.shape[0]])
    low = np.clip(np.floor(pixels.min(axis=0) - spare), 0, limits - 2).astype(int)
    high = np.clip(np.ceil(pixels.max(axis=0) + spare), low + 2, limits).astype(int)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])
