"""X-ray machines with their processing and display, and one exposure drawn from a machine's ranges."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

Range = tuple[float, float]


@dataclass(frozen=True)
class Device:
    """An X-ray machine with its image processing; pairs are least and greatest values of a uniform draw.

    Args:
        name: goes into the column `device`.
        dose: air kerma of the open beam at the detector in uGy (drawn log-uniformly).
        efficiency: share of the photons that the detector counts.
        focal_blur, detector_blur: standard deviations in mm.
        scatter: scattered over primary radiation behind the body.
        grain, grain_mm: strength of the machine's own noise, in units of the logarithm, and the size of its blotches.
        local: share of the slow variations of brightness that the processing removes.
        sharpen, halo: strength of its unsharp mask, and the mask's standard deviation in mm.
        gamma, contrast: exponent of the display curve, and how far it is bent to an S, 0…1.
        reach: share of the grey scale that the brightest bone reaches.
        levels: number of different grey levels.
        frames: chances of no frame, a black shutter and an unexposed strip.
        inverted: share of pictures that were exported with bone dark.
        typed: whether the side marker is typed into the picture; else it is a lead letter in the beam.
        monochrome1: whether the machine's DICOM files store bone dark (and say so).
    """

    name: str = "A"
    dose: Range = (12.0, 120.0)
    efficiency: float = 0.65
    focal_blur: float = 0.25
    detector_blur: float = 0.2
    scatter: Range = (0.15, 0.6)
    grain: float = 0.0
    grain_mm: float = 0.3
    local: Range = (0.15, 0.55)
    sharpen: Range = (0.2, 0.8)
    halo: float = 1.4
    gamma: Range = (1.0, 1.7)
    contrast: float = 0.0
    reach: Range = (0.8, 1.0)
    levels: float = 4096
    frames: tuple[float, float, float] = (0.5, 0.3, 0.2)
    inverted: float = 0.0
    typed: bool = False
    monochrome1: bool = False

    def towards(self, other: Device, strength: float) -> Device:
        """A machine between this one (0) and the other one (1), or beyond it."""
        return replace(other, **{
            field.name: _between(getattr(self, field.name), getattr(other, field.name), strength)
            for field in fields(self) if field.name not in ("name", "typed", "monochrome1")
        })  # fmt: skip


def _between(own, other, strength: float):
    if isinstance(own, tuple):
        return tuple(_between(*pair, strength) for pair in zip(own, other, strict=True))
    return max(own + strength * (other - own), 0.0)


DEVICES = {
    "A": Device(),
    # A plate reader with little dose and processing that was tuned to look crisp: edges and noise stand out.
    "B": Device(
        "B", dose=(4.0, 40.0), efficiency=0.5, focal_blur=0.3, detector_blur=0.18, scatter=(0.3, 0.9), grain=0.012,
        grain_mm=0.4, local=(0.35, 0.7), sharpen=(1.0, 2.2), halo=1.0, gamma=(0.8, 1.3), contrast=0.3,
        reach=(0.85, 1.0), levels=256, frames=(0.25, 0.65, 0.1), inverted=0.04, typed=True, monochrome1=True,
    ),
}  # fmt: skip


def shifted_device(strength: float) -> Device:
    """The own machine at 0, else the other one, that far away."""
    return DEVICES["A"].towards(DEVICES["B"], strength) if strength else DEVICES["A"]


@dataclass(frozen=True)
class Exposure:
    """One exposure as drawn from a device's ranges; see `Device` for the units."""

    dose: float
    efficiency: float
    focal_blur: float
    detector_blur: float
    scatter: float
    local: float
    sharpen: float
    gamma: float
    reach: float
    black: float
    halo: float = 1.4
    contrast: float = 0.0
    levels: float = 4096
    grain: float = 0.0
    grain_mm: float = 0.3
    inverted: bool = False


def draw_exposure(rng: np.random.Generator, device: Device, *, dose: float | None = None) -> Exposure:
    """Draw one exposure; `dose` in uGy may be given."""
    low, high = np.log(device.dose)
    drawn = float(np.exp(rng.uniform(low, high)))
    drawn_ranges = {
        name: float(rng.uniform(*getattr(device, name))) for name in ("scatter", "local", "sharpen", "gamma", "reach")
    }
    blur = rng.uniform(0.7, 1.5, 2)
    return Exposure(
        dose=drawn if dose is None else float(dose),
        efficiency=device.efficiency,
        focal_blur=device.focal_blur * blur[0],
        detector_blur=device.detector_blur * blur[1],
        black=float(rng.uniform(0.02, 0.12)),
        halo=device.halo,
        contrast=device.contrast,
        levels=round(device.levels),
        grain=device.grain,
        grain_mm=device.grain_mm,
        inverted=bool(rng.random() < device.inverted),
        **drawn_ranges,
    )
