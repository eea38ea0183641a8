"""`fracturelib export` and `fracturelib doctor`."""

from __future__ import annotations

import argparse

from fracturelib.cli.shared import NOTICE, add_command

NOT_THE_SAME = 1


def add_export(commands: argparse._SubParsersAction) -> None:
    """The parser of `export`."""
    parser = add_command(commands, "export", _export, "write a run's network as a file for programs without Python")
    parser.add_argument("folder", metavar="RUN", help="folder of the run, for example runs/demo")
    parser.add_argument(
        "--onnx", metavar="FILE", required=True, help="grey uint8 pictures at the run's size in, calibrated P out"
    )


def add_doctor(commands: argparse._SubParsersAction) -> None:
    """The parser of `doctor`."""
    parser = add_command(
        commands, "doctor", _doctor, "say whether this machine gives the numbers that a run had (exit code 0 or 1)"
    )
    parser.add_argument("folder", metavar="RUN", help="folder of the run, for example runs/demo")


def _export(options: argparse.Namespace) -> int:
    from fracturelib.files import check_output
    from fracturelib.prediction.exporting import export_onnx
    from fracturelib.runs import load_run

    file = check_output(options.onnx, outside=[options.folder])
    run = load_run(options.folder)
    difference = export_onnx(run, file)
    size = file.stat().st_size / 1e6
    side = run.config.picture_side
    print(f"Input:   pictures, uint8 (batch, 1, {side}, {side}), grey\nOutput:  probability, calibrated")
    print(f"Checked: three pictures, largest difference {difference:.1g}\nFile:    {file} ({size:.1f} MB)")
    print(NOTICE)
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from fracturelib.runs import load_run, repeat_self_test

    run = load_run(options.folder)
    test = repeat_self_test(run)
    print("picture  then      here      difference")
    for number, (then, here) in enumerate(zip(test.kept, test.found, strict=True), 1):
        print(f"{number:<9}{then:<10.6f}{here:<10.6f}{abs(then - here):.1e}")
    made, now = run.record.get("machine", {}), run.record.get("versions", {})
    print(f"\nMade on {made.get('system', 'an unknown system')} with torch {now.get('torch', '?')}.")
    if test.passed:
        print(f"This machine gives the run's numbers (within {test.tolerance:g}).")
        return 0
    print(
        f"This machine gives OTHER numbers: they differ by up to {test.difference:.2g}, and {test.tolerance:g} is "
        "allowed.\nLikely causes: another version of torch, another kind of processor, or another precision."
    )
    return NOT_THE_SAME
