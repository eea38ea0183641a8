"""From path lengths to a picture: attenuation, scatter, blur, photon noise, logarithm and display window.

Attenuation follows Beer and Lambert, ``I = I0 exp(-sum(mu_i L_i))``. The coefficients are mu/rho of NIST's tables
(Hubbell and Seltzer, NISTIR 5632, 2004: ICRU-44 tissues, elements) times the density, all at one effective energy of
40 keV, about that of a 60–70 kV beam after the body has hardened it. A single energy leaves beam hardening out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from fracturelib.simulation.devices import Exposure

# Linear attenuation coefficients in 1/cm at 40 keV: mu/rho [cm2/g] times density [g/cm3].
ATTENUATION = {
    "cortex": 0.6655 * 1.92,  # bone, cortical (ICRU-44)
    "marrow": 0.2396 * 0.98,  # yellow marrow, taken as fat tissue (ICRU-44)
    "muscle": 0.2688 * 1.05,  # soft tissue and muscle (ICRU-44)
    "fat": 0.2396 * 0.95,  # adipose tissue (ICRU-44)
    "metal": 3.629 * 7.87,  # surgical steel, taken as iron
    "plaster": 0.76 * 0.85,  # gypsum CaSO4.2H2O by its elements, at the density of a set bandage
}
# Photons per mm2 and uGy of air kerma of a 70 kV beam behind a patient (RQA 5, IEC 62220-1).
PHOTONS_PER_MM2_UGY = 30_174.0


def line_integral(paths: Mapping[str, np.ndarray]) -> np.ndarray:
    """Path lengths in mm by tissue → sum of mu L, without unit."""
    return np.sum([np.float32(ATTENUATION[tissue] / 10) * length for tissue, length in paths.items()], axis=0)


def photons_in_air(exposure: Exposure, pixel: float) -> float:
    """Counted photons per pixel of the open beam."""
    return exposure.dose * PHOTONS_PER_MM2_UGY * pixel**2 * exposure.efficiency


def expected_counts(integral: np.ndarray, exposure: Exposure, pixel: float) -> np.ndarray:
    """Mean number of photons per pixel: the blurred primary beam and a broad veil of scatter."""
    primary = gaussian_filter(np.exp(-integral), exposure.focal_blur / pixel, mode="nearest")
    body = 1 - np.exp(-integral)  # air does not scatter
    veil = broad_blur(primary * body, 22.0 / pixel) * np.float32(exposure.scatter)
    return (photons_in_air(exposure, pixel) * (primary + veil)).astype(np.float32)


def detect(expected: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Counts drawn from Poisson's distribution: the variance equals the mean."""
    return rng.poisson(expected).astype(np.float32)


def log_signal(counts: np.ndarray, exposure: Exposure, pixel: float) -> np.ndarray:
    """Detector blur, then ``-log(counts / counts in air)``: dark air, bright bone."""
    blurred = gaussian_filter(counts, exposure.detector_blur / pixel, mode="nearest")
    return -np.log(np.maximum(blurred, 0.5) / np.float32(photons_in_air(exposure, pixel)))


def add_grain(signal: np.ndarray, rng: np.random.Generator, exposure: Exposure, pixel: float) -> np.ndarray:
    """The machine's own noise: blotches of `grain_mm`, as strong everywhere as `grain` says."""
    if not exposure.grain:
        return signal
    blotches = gaussian_filter(rng.standard_normal(signal.shape, dtype=np.float32), exposure.grain_mm / pixel)
    return signal + np.float32(exposure.grain) * blotches / blotches.std()


def enhance(signal: np.ndarray, exposure: Exposure, pixel: float) -> np.ndarray:
    """The usual processing: flatten slow variations (local contrast), lift edges (unsharp masking)."""
    slow = broad_blur(signal, 14.0 / pixel)
    flat = signal - np.float32(exposure.local) * slow
    return flat + np.float32(exposure.sharpen) * (
        signal - gaussian_filter(signal, exposure.halo / pixel, mode="nearest")
    )


@dataclass(frozen=True)
class Window:
    """Display window: the signal at black and at white."""

    black: float
    white: float


def choose_window(signal: np.ndarray, body: np.ndarray, exposure: Exposure) -> Window:
    """Black just below air, white so that the densest bone reaches `reach` of the scale.

    Args:
        signal: the noise-free, enhanced signal of the *unbroken* body, so that a fracture cannot move the window.
        body: (H, W) bool, where there is tissue but no metal.
    """
    air = float(np.percentile(signal, 2))
    bone = float(np.percentile(signal[body], 99.5)) if body.any() else air + 1.0
    span = max(bone - air, 0.3) / exposure.reach
    return Window(air - exposure.black * span, air + span)


def to_grey(signal: np.ndarray, window: Window, exposure: Exposure) -> np.ndarray:
    """Signal → float32 grey in 0…1 along the device's tone curve, in its number of grey levels."""
    share = np.clip((signal - window.black) / (window.white - window.black), 0, 1)
    curve = share ** np.float32(exposure.gamma)
    curve += np.float32(exposure.contrast) * (curve * curve * (3 - 2 * curve) - curve)  # towards an S
    steps = np.float32(exposure.levels - 1)
    return (np.round(curve * steps) / steps).astype(np.float32)


def broad_blur(picture: np.ndarray, sigma: float) -> np.ndarray:
    """A wide Gaussian blur at reduced resolution; `sigma` in pixels."""
    step = max(int(sigma // 4), 1)
    if step == 1:
        return gaussian_filter(picture, sigma, mode="nearest")
    height, width = picture.shape
    padded = np.pad(picture, ((0, -height % step), (0, -width % step)), mode="edge")
    small = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step).mean(axis=(1, 3))
    small = gaussian_filter(small, sigma / step, mode="nearest")
    return _stretch(_stretch(small, step, height, axis=0), step, width, axis=1)


def _stretch(small: np.ndarray, step: int, size: int, *, axis: int) -> np.ndarray:
    """Linear interpolation between the middles of cells of `step` pixels."""
    place = np.clip((np.arange(size, dtype=np.float32) + 0.5) / step - 0.5, 0, small.shape[axis] - 1)
    left = np.minimum(place.astype(int), max(small.shape[axis] - 2, 0))
    right = np.minimum(left + 1, small.shape[axis] - 1)
    part = np.expand_dims(place - left, 1 - axis)
    near, far = np.take(small, left, axis), np.take(small, right, axis)
    return near + part * (far - near)
