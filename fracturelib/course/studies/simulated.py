"""Simulated radiographs for the questions of notebook 01: one limb, and only what is asked changes."""

from __future__ import annotations

from functools import lru_cache

from fracturelib.errors import FracturelibError
from fracturelib.simulation import SimulatedRadiograph, simulate_one

NO_FRACTURE = "none"


def take(
    *,
    fracture_type: str = NO_FRACTURE,
    displacement_mm: float = 2.0,
    dose: float = 20.0,
    region: str = "forearm",
    view: str = "frontal",
    patient: int = 0,
) -> SimulatedRadiograph:
    """One simulated radiograph of a limb without metal or plaster; `dose` in µGy at the detector.

    Raises:
        FracturelibError: the dose is not above 0.
    """
    if not dose > 0:
        raise FracturelibError(f"the dose is {dose:g} µGy", cause="without photons there is no picture",
                               cure="choose a dose above 0")  # fmt: skip
    return simulate_one(
        patient,
        region=region,
        view=view,
        fracture_type=None if fracture_type == NO_FRACTURE else fracture_type,
        displacement_mm=displacement_mm,
        dose=dose,
        hardware=False,
        cast=False,
    )


@lru_cache(maxsize=64)
def breaking_place(region: str, view: str, patient: int) -> tuple[int, int, int, int]:
    """Where this patient's bone breaks, (x, y, w, h) in pixels, whatever is broken now."""
    box = take(fracture_type="transverse", displacement_mm=2.0, region=region, view=view, patient=patient).bbox
    assert box is not None  # a fractured radiograph has a box
    return box
