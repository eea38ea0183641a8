"""Simulated radiographs: anatomy, fractures, imaging physics, and the writer of the embedded data set.

``simulate`` and ``ensure_simulated`` write a set in the standard layout; ``simulate_one`` makes one picture and keeps
every step on the way (solid → path length → attenuation → noise → window).
"""

from fracturelib.simulation.patient import VIEWS
from fracturelib.simulation.patterns import FRACTURE_TYPES, REGIONS
from fracturelib.simulation.picture import SimulatedRadiograph, simulate_one
from fracturelib.simulation.writer import ensure_simulated, simulate

__all__ = [
    "FRACTURE_TYPES",
    "REGIONS",
    "VIEWS",
    "SimulatedRadiograph",
    "ensure_simulated",
    "simulate",
    "simulate_one",
]
