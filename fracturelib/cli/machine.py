"""Commands about this machine: `fracturelib weights`."""

from __future__ import annotations

import argparse

from fracturelib.cli.shared import add_command


def add_weights(commands: argparse._SubParsersAction) -> None:
    """The parser of `weights`."""
    parser = add_command(commands, "weights", _weights, "say which pretrained weights this machine has")
    parser.add_argument("--architecture", default="resnet18", help="torchvision network (default: %(default)s)")


def _weights(options: argparse.Namespace) -> int:
    from fracturelib.weights import available_weights

    for row in available_weights(options.architecture):
        print(f"{row['weights']:<10} {row['status']:<9} {row['place']}")
    return 0
