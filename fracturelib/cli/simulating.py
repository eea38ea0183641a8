"""`fracturelib simulate`."""

from __future__ import annotations

import argparse

from fracturelib.cli.shared import add_command


def add_simulate(commands: argparse._SubParsersAction) -> None:
    """The parser of `simulate`."""
    parser = add_command(commands, "simulate", _simulate, "make the embedded set of simulated radiographs")
    parser.add_argument("folder", nargs="?", default="data/simulated", help="where (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the whole set (default: %(default)s)")
    parser.add_argument("--count", type=int, help="number of images (default: 1,200 + 240 + 480)")
    parser.add_argument("--leaky", action="store_true", help="spread rotated copies over the splits, as a lesson")
    parser.add_argument("--device-shift", action="store_true", help="take the test split from another machine")


def _simulate(options: argparse.Namespace) -> int:
    from fracturelib.simulation import ensure_simulated

    folder = ensure_simulated(
        options.folder,
        seed=options.seed,
        counts=options.count,
        leaky=options.leaky,
        device_shift=options.device_shift,
    )
    print(f"Simulated radiographs: {folder}")
    return 0
