"""`fracturelib trunks`."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fracturelib.cli.shared import NOTICE, add_command
from fracturelib.config import TrainConfig
from fracturelib.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

DEFAULT = "resnet18"


def add_trunks(commands: argparse._SubParsersAction) -> None:
    """The parser of `trunks`."""
    parser = add_command(
        commands, "trunks", _trunks, "say which trunk suits a folder's pictures, from its training part alone"
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"what --architecture takes, NAME@none with random weights; all are compared with {DEFAULT}",
    )
    parser.add_argument("--data", metavar="DIR", help="folder with train, val and test inside")
    parser.add_argument("--suggest", action="store_true", help="list trunks that have served, and which are here")
    parser.add_argument("--make-split", action="store_true", help="make a missing val or test split, by source")
    parser.add_argument(
        "--runs", default="runs", metavar="FOLDER", help="features are kept in .features in it (default: %(default)s)"
    )
    parser.add_argument("--figure", metavar="FILE", help="draw AUC against cost into this new PNG or SVG file")


def _trunks(options: argparse.Namespace) -> int:
    from fracturelib.course.studies.trunks import suggested_trunks

    if options.suggest:
        print(suggested_trunks().to_string(index=False), "\n")
    if options.data:
        return _compare(options)
    if not options.suggest:
        raise ConfigError("the pictures are not named", cure="give --data DIR, or --suggest for a list of trunks")
    return 0


def _compare(options: argparse.Namespace) -> int:
    from fracturelib.catalog import FACTS_FOLDER, KeptFacts, read_catalog
    from fracturelib.course.studies.trunks import compare_trunks
    from fracturelib.features import BANK_FOLDER, FeatureBank
    from fracturelib.files import check_output_folder

    figure = _figure(options.figure)
    bank = FeatureBank(check_output_folder(Path(options.runs) / BANK_FOLDER, {}))
    kept = KeptFacts(bank.folder / FACTS_FOLDER)
    table = read_catalog(options.data, make_split=options.make_split, kept=kept)
    names = list(dict.fromkeys([DEFAULT, *options.names]))
    width = max(map(len, names)) + 2
    print(f"{'trunk':<{width}}{'AUC':<24}{f'against {DEFAULT}':<28}{'s/100':>7}{'MB':>6}  licence")
    found = compare_trunks(
        table, names, TrainConfig(data=options.data), bank=bank, on_trunk=partial(_print_row, width=width)
    )
    print("\nGrouped cross-validation of a logistic regression on the training part; in brackets: 95 % interval.")
    if figure is not None:
        _draw(found, figure)
        print(f"Figure: {figure}")
    print(NOTICE)
    return 0


def _print_row(row: pd.Series, *, width: int) -> None:
    from fracturelib.writing.numbers import estimate

    if row["problem"]:
        print(f"{row['trunk']:<{width}}{row['problem']}", flush=True)
        return
    auc = estimate(row["auc"], row["low"], row["high"])
    change = estimate(row["difference"], row["difference_low"], row["difference_high"], signed=True, missing="")
    same = row["trunk"] == DEFAULT
    print(
        f"{row['trunk']:<{width}}{auc:<24}{'' if same else change:<28}{row['seconds']:>7.1f}{row['megabytes']:>6.0f}"
        f"  {row['licence']}",
        flush=True,
    )


def _figure(name: str | None) -> Path | None:
    if name is None:
        return None
    file = Path(name)
    if file.suffix not in (".png", ".svg") or file.exists() or not file.parent.is_dir():
        cause = "it exists" if file.exists() else "its folder does not exist, or it is no .png or .svg file"
        raise ConfigError("the figure cannot be written", file=file, cause=cause, cure="name another file")
    return file


def _draw(found: pd.DataFrame, file: Path) -> None:
    from matplotlib.figure import Figure

    from fracturelib.files import replaced
    from fracturelib.plots import trunk_costs

    figure = Figure(figsize=(6, 4), layout="constrained")
    trunk_costs(found, ax=figure.add_subplot())
    with replaced(file) as partial:
        figure.savefig(partial, format=file.suffix[1:], dpi=150)
