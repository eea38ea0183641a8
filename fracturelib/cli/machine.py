"""Commands about this machine: `fracturelib weights`, `check` and `prepare`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fracturelib.cli.shared import add_command

if TYPE_CHECKING:
    from fracturelib.course.readiness import Finding

NOT_READY = 1


def add_weights(commands: argparse._SubParsersAction) -> None:
    """The parser of `weights`."""
    parser = add_command(commands, "weights", _weights, "say which pretrained weights this machine has")
    parser.add_argument("--architecture", default="resnet18", help="torchvision network (default: %(default)s)")


def add_check(commands: argparse._SubParsersAction) -> None:
    """The parser of `check`."""
    add_command(commands, "check", _check, "say whether this machine is ready for the notebooks (exit code 0 or 1)")


def add_prepare(commands: argparse._SubParsersAction) -> None:
    """The parser of `prepare`."""
    parser = add_command(
        commands, "prepare", _prepare, "make and fetch beforehand what the notebooks need, so that no network is needed"
    )
    parser.add_argument(
        "--weights",
        choices=("auto", "imagenet", "distilled"),
        default="auto",
        help="imagenet: fetch torchvision's weights as well; the others fetch nothing (default: %(default)s)",
    )


def _weights(options: argparse.Namespace) -> int:
    from fracturelib.trunks.weights import available_weights

    for row in available_weights(options.architecture):
        print(f"{row['weights']:<10} {row['status']:<9} {row['place']}")
    return 0


def _check(options: argparse.Namespace) -> int:
    from fracturelib.course.readiness import check_machine

    return _tell(check_machine())


def _prepare(options: argparse.Namespace) -> int:
    from fracturelib.course.readiness import prepare_machine

    findings = prepare_machine(weights=options.weights)
    print()
    return _tell(findings)


def _tell(findings: Iterable[Finding]) -> int:
    """One line for each finding as it comes, then the verdict; returns the exit code."""
    missing = []
    for finding in findings:
        print(f"{'ok' if finding.ready else 'NOT READY':<10}{finding.what}: {finding.found}", flush=True)
        if not finding.ready:
            missing.append(finding)
            print(f"{'':<10}what to do: {finding.cure}")
    if missing:
        print(f"\nThis machine is not ready yet: {', '.join(finding.what for finding in missing)}.")
        return NOT_READY
    print("\nThis machine is ready.")
    return 0
