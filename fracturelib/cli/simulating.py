"""`fracturelib simulate`."""

from __future__ import annotations

import argparse

from fracturelib.cli.shared import SEED, add_command, number_from

MOST = 1_000_000  # images in a set: files by the million are no use in one folder


def add_simulate(commands: argparse._SubParsersAction) -> None:
    """The parser of `simulate`."""
    parser = add_command(commands, "simulate", _simulate, "make the embedded set of simulated radiographs")
    parser.add_argument("folder", nargs="?", default="data/simulated", help="where (default: %(default)s)")
    parser.add_argument("--seed", type=SEED, default=0, help="seed of the whole set (default: %(default)s)")
    parser.add_argument("--count", type=number_from(1, MOST), help="number of images (default: 1,200 + 240 + 480)")
    formats = ("png", "png16", "jpeg", "dicom")
    parser.add_argument("--format", default="png", choices=formats, help="how files are written (default: %(default)s)")
    parser.add_argument("--leaky", action="store_true", help="spread rotated copies over the splits, as a lesson")
    parser.add_argument(
        "--device-shift",
        nargs="?",
        type=float,
        const=1.0,
        default=0.0,
        metavar="STRENGTH",
        help="take the test split from another machine; 1 (the default strength) is clearly different",
    )
    parser.add_argument("--mixture-shift", action="store_true", help="few hands to learn from, many to be tested on")
    parser.add_argument("--replace", action="store_true", help="put the set in the place of another simulated one")


def _simulate(options: argparse.Namespace) -> int:
    from fracturelib.simulation import simulate

    simulate(
        options.folder,
        replace=options.replace,
        seed=options.seed,
        counts=options.count,
        format=options.format,
        leaky=options.leaky,
        device_shift=options.device_shift,
        mixture_shift=options.mixture_shift,
    )
    print(f"Simulated radiographs: {options.folder}")
    return 0
