"""One patient: the setting that the metadata tells, the limb, the broken bones, metal and plaster."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fracturelib.simulation import confounders
from fracturelib.simulation.anatomy import Limb, draw_build
from fracturelib.simulation.fractures import Fracture, draw_fracture
from fracturelib.simulation.mixture import Mixture, draw_mixture
from fracturelib.simulation.patterns import COMPLETE, Site, draw_site
from fracturelib.simulation.skeleton import make_limb

VIEWS = ("frontal", "lateral")
ARM = ("forearm", "wrist", "hand", "upper arm")
# The other bone of a pair often breaks too when the first one moved far.
FELLOWS = {"radius": "ulna", "ulna": "radius", "tibia": "fibula", "fibula": "tibia"}
PURPOSES = {name: i for i, name in enumerate(("anatomy", "fracture", "nuisance", "film", "noise", "setting"))}


@dataclass(frozen=True)
class Setting:
    """What the metadata tells about a patient besides the fracture, and the shape of the two films.

    The writer gives one setting to a few patients, of whom a fixed share is fractured: so none of it tells the label.
    """

    region: str
    age_group: str
    hardware: bool
    cast: bool
    long_side: tuple[float, float]
    landscape: tuple[bool, bool]


def draw_setting(entropy: tuple[int, ...], mixture: Mixture | None = None) -> Setting:
    """Draw film shapes, and region, age group, metal and plaster where they are not given."""
    rng = generator(entropy, "setting")
    mixture = mixture or draw_mixture(rng)
    return Setting(
        *mixture,
        (_draw_long_side(rng), _draw_long_side(rng)),
        (bool(rng.random() < 0.15), bool(rng.random() < 0.15)),
    )


def _draw_long_side(rng: np.random.Generator) -> float:
    return float(rng.choice((1.0, 1.2, 1.25, 1.35, 1.5), p=(0.2, 0.2, 0.3, 0.2, 0.1)))


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
    limb = make_limb(rng, build, arm=setting.region in ARM)
    nuisance = generator(entropy, "nuisance")
    site = draw_site(nuisance, setting.region)
    limb, rods, plaster = _draw_nuisances(nuisance, limb, site, setting)
    fractures: tuple[Fracture, ...] = ()
    if fractured:
        fractures = _draw_fractures(generator(entropy, "fracture"), limb, site, fracture_type, displacement_mm)
    return Patient(entropy, setting, limb, site, fractures, tuple(rods), plaster)


def _draw_nuisances(
    rng: np.random.Generator, limb: Limb, site: Site, setting: Setting
) -> tuple[Limb, list[confounders.Rod], confounders.Cast | None]:
    """Canals, old injuries, metal and plaster: the same draws whatever the label."""
    canal, old = rng.random(2)
    tube = limb.tube(site.bone)
    seeds = [np.random.default_rng(seed) for seed in rng.integers(1 << 62, size=4)]
    if canal < 0.35:
        tube = confounders.nutrient_canal(seeds[0], tube)
    if old < 0.1:
        tube = confounders.old_injury(seeds[1], tube)
    limb = limb.with_tube(site.bone, tube)
    rods = confounders.draw_hardware(seeds[2], limb, site) if setting.hardware else []
    shell = confounders.draw_cast(seeds[3], limb, tube.point(site.share * tube.length)[2]) if setting.cast else None
    return limb, rods, shell


def _draw_fractures(
    rng, limb: Limb, site: Site, kind: str | None, displacement_mm: float | None
) -> tuple[Fracture, ...]:
    main = draw_fracture(rng, limb, site, kind=kind, displacement_mm=displacement_mm)
    fellow = FELLOWS.get(site.bone)
    also, jitter = rng.random(), rng.uniform(-0.06, 0.06)
    width = 2 * limb.tube(site.bone).half_width(main.crack.base)
    if fellow is None or main.kind not in COMPLETE or also > 0.2 + 0.7 * min(main.displacement / width, 1):
        return (main,)
    tube = limb.tube(fellow)
    share = float(np.clip((main.motion.pivot[2] - tube.origin[2]) / tube.length + jitter, 0.12, 0.94))
    second = draw_fracture(
        rng,
        limb,
        Site(replace(site.pattern, bone=fellow), share),
        kind=main.kind if main.kind != "comminuted" else "transverse",
    )
    pivot = tuple(tube.point(share * tube.length))
    # Both bones carry the same far part, so they move alike.
    return (main, replace(second, motion=replace(main.motion, pivot=pivot), displacement=main.displacement))
