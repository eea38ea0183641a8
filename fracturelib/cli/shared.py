"""What several commands share: the shape of a parser, the table of metrics, the CSV file."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from fracturelib.config import CLASS_NAMES
from fracturelib.errors import ConfigError
from fracturelib.files import check_output, replaced
from fracturelib.writing.numbers import UNKNOWN, estimate, number
from fracturelib.writing.verdicts import told

if TYPE_CHECKING:
    import pandas as pd

    from fracturelib.catalog import DataOptions

LAYOUTS = ("folders", "classes", "mura", "fracatlas", "grazpedwri", "detection", "table", "dicom")  # for --help at once
NOTICE = "For teaching and research; no medical device."


def add_command(
    commands: argparse._SubParsersAction,
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
    *,
    together: bool = False,
) -> argparse.ArgumentParser:
    """A sub-command; `run` gets the parsed options and returns the exit code.

    `together` says that processes started by torchrun share its work; they would all do and write the same otherwise.
    """
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=NOTICE)
    parser.set_defaults(run=run if together else partial(_alone, run, name))
    add_traceback(parser)
    return parser


def _alone(run: Callable[[argparse.Namespace], int], name: str, options: argparse.Namespace) -> int:
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1":
        cure = "start it without torchrun; train, predict and audit are shared"
        raise ConfigError(f"`{name}` is done by one process", cause="torchrun started several", cure=cure)
    return run(options)


def add_traceback(parser: argparse.ArgumentParser) -> None:
    """The option --traceback, which is understood before and after the command's name."""
    parser.add_argument(
        "--traceback",
        action="store_true",
        default=argparse.SUPPRESS,  # `main` knows the default
        help="show where in the program an error arose (as FRACTURELIB_DEBUG=1 does)",
    )


def number_from(low: float, high: float, kind: type = int) -> Callable[[str], float]:
    """The type of an option that takes numbers of a kind from `low` to `high`."""

    def number(text: str) -> float:
        value = kind(text)
        if not low <= value <= high:  # so written, not-a-number fails as well
            raise argparse.ArgumentTypeError(f"{text} is not from {low:g} to {high:g}")
        return value

    return number


def add_data_options(parser: argparse.ArgumentParser, *, polarity: bool = True, keep_ids: bool = True) -> None:
    """How a data set is read: the same for every command that takes one."""
    group = parser.add_argument_group("how the data are read (chosen by what is found, and always said)")
    group.add_argument("--layout", default="auto", metavar="NAME", help=f"{', '.join(LAYOUTS)} (default: auto)")
    group.add_argument("--labels", default="", metavar="FILE", help="table of labels: CSV, TSV or XLSX")
    group.add_argument("--columns", default="", metavar="LIST", help="of that table: path=Image,label=Dx,patient=MRN")
    group.add_argument(
        "--classes",
        default="",
        metavar="TEXT",
        help='what names of classes mean: "fractured=Comminuted,Greenstick; not fractured=Healthy"',
    )
    if polarity:
        group.add_argument(
            "--polarity",
            choices=("keep", "fix"),
            help="what to do with pictures that look inverted (dark bone); default: what the run does, else keep",
        )
    if keep_ids:
        group.add_argument(
            "--keep-ids", action="store_true", help="give ids of patients and studies as they are stored"
        )


def add_features_limit(parser: argparse._ActionsContainer) -> None:
    """The option --features-limit of the commands that use the bank of features."""
    parser.add_argument(
        "--features-limit",
        type=number_from(0, 1e6, float),
        default=4.0,
        metavar="GB",
        help="disk space for features and facts of files kept between runs, in the folder .features beside them; "
        "0: none (default: %(default)s)",
    )


def add_verify(parser: argparse._ActionsContainer) -> None:
    """The option --verify of the commands that keep what they found in the files."""
    parser.add_argument(
        "--verify", action="store_true", help="read every file again, also those that are as they were last time"
    )


def data_options(options: argparse.Namespace) -> DataOptions:
    """What `add_data_options` asked for."""
    from fracturelib.catalog import DataOptions

    return DataOptions(options.layout, options.labels, options.columns, options.classes, options.keep_ids)


def print_reading(table: pd.DataFrame) -> None:
    """How the data were read, and what label 1 stands for where that is not a fracture."""
    from fracturelib.catalog import about
    from fracturelib.writing.words import LABEL_MEANINGS

    known = about(table)
    lines = [*known.said, *([LABEL_MEANINGS[known.meaning]] if known.meaning in LABEL_MEANINGS else [])]
    for name, line in zip(["Data:", *[""] * len(lines)], lines, strict=False):
        print(f"{name:<6}{line}", flush=True)


SEED = number_from(0, 2**31 - 1)


def print_metrics(metrics: dict, data: str) -> None:
    """The model and both baselines, one metric a line, with the interval where it can be given."""
    from fracturelib.evaluation import HEADLINE

    unit = metrics.get("unit", "sources")  # a run of an older version counted sources
    patients = f" of {metrics['n_units']} {unit}" if unit != "sources" else ""
    print(
        f"{metrics['set_name'].capitalize()} set in {data}: {metrics['n_files']} images from {metrics['n_sources']} "
        f"sources{patients}, {metrics['n_fractured']} fractured\n"
    )
    models = list(dict.fromkeys(row["model"] for row in metrics["comparison"]))
    cells = {
        (row["model"], row["metric"]): estimate(row["value"], row["low"], row["high"]) for row in metrics["comparison"]
    }
    print(" " * 20 + "".join(f"{name:<24}" for name in models).rstrip())
    for metric in (*HEADLINE, "average_precision"):
        print(f"{metric:<20}" + "".join(f"{cells[name, metric]:<24}" for name in models).rstrip())
    print(f"\nIn brackets: 95 % interval, bootstrap over {unit}")
    for row in metrics["confusion"]:
        called = ", ".join(f"{row[name]} called {name}" for name in CLASS_NAMES)
        print(f"{row['truth']}: {called}")
    for sentence in metrics["warnings"]:
        print(f"warning: {sentence}")


def print_differences(table: pd.DataFrame, names: tuple[str, str], *, higher: str, lower: str) -> None:
    """A table of `compare` or `drop_table`: both values, the difference with its interval, and the verdict in words."""
    print(f"{'':<14}{names[0]:<16}{names[1]:<16}difference (95 % interval)")
    for row in table.to_dict("records"):
        values = "".join(f"{number(row[side], missing=UNKNOWN):<16}" for side in ("first", "second"))
        difference = estimate(row["difference"], row["low"], row["high"], signed=True, missing="")
        said = told(row["verdict"], row["reason"], row["unit"], higher=higher, lower=lower)
        print(f"{row['metric']:<14}{values}{difference:<28}{said}".rstrip())


@contextmanager
def csv_file(path: str | None, *, columns: Sequence[str], outside: Iterable[str] = ()) -> Iterator[TextIO]:
    """An open text file for --csv, which gets its name when the block ends well; without a name nothing is kept.

    Raises:
        FracturelibError: before any work, where `check_output` says that the file may not be written.
    """
    if path is None:
        named: AbstractContextManager[Path] = nullcontext(Path(os.devnull))
    else:
        named = replaced(check_output(path, columns=columns, outside=outside))
    # A file name that is no UTF-8 must not end the work: its bytes are escaped.
    with named as place, place.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        yield file
