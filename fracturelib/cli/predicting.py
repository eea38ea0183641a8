"""`fracturelib predict`."""

from __future__ import annotations

import argparse
import csv
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import ExitStack
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

from fracturelib.cli.shared import NOTICE, add_command, add_data_options, csv_file, data_options
from fracturelib.files.tables import as_text, safe_table
from fracturelib.writing.numbers import number
from fracturelib.writing.verdicts import Answer, Doubt, doubt_told

if TYPE_CHECKING:
    from fracturelib.prediction import Groups, Limits, Predicted
    from fracturelib.runs import KeptRun

ROWS_ON_SCREEN = 40
FIRST_COLUMNS = ("path", "probability", "prediction")  # of --csv, in every version
KINDS = {"patient_id": "patient", "study_id": "study"}


def add_predict(commands: argparse._SubParsersAction) -> None:
    """The parser of `predict`."""
    parser = add_command(
        commands, "predict", _predict, "estimate P(fractured) for files and folders of X-rays", together=True
    )
    parser.add_argument("folder", metavar="RUN", help="folder of the run, for example runs/demo")
    parser.add_argument("paths", nargs="+", metavar="FILE|FOLDER", help="X-rays; folders are searched through")
    parser.add_argument("--csv", metavar="FILE", help="write the table of pictures to this file")
    parser.add_argument("--csv-patients", metavar="FILE", help="write one row per patient to this file")
    parser.add_argument("--csv-studies", metavar="FILE", help="write one row per study to this file")
    parser.add_argument(
        "--guarantee",
        metavar="TEXT",
        help="sensitivity=0.95, or none: set where “no fracture” may be said, on the run's validation pictures "
        "(default: as the run was trained)",
    )
    parser.add_argument("--explain", metavar="DIR", help="write one small page per picture into this folder")
    parser.add_argument("--strict", action="store_true", help="stop at a damaged file instead of skipping it")
    add_data_options(parser)


def _predict(options: argparse.Namespace) -> int:
    from fracturelib.runtime.processes import is_first, joined_processes

    with joined_processes():
        return _predict_and_write(options) if is_first() else _help(options)


def _help(options: argparse.Namespace) -> int:
    """The part of another than the first process: to look at pictures with the same run."""
    from fracturelib.prediction import predict_stream
    from fracturelib.runs import load_run

    run = load_run(options.folder)
    limits = _limits(run, options.guarantee)
    rows = predict_stream(
        run,
        options.paths,
        strict=options.strict,
        limits=limits,
        options=data_options(options),
        polarity=options.polarity,
    )
    deque(rows, maxlen=0)
    return 0


def _predict_and_write(options: argparse.Namespace) -> int:
    from fracturelib.prediction import Groups, predict_stream
    from fracturelib.prediction.answers import GroupAnswer

    run = _run(options)
    limits = _limits(run, options.guarantee)
    groups, tally = Groups(run, limits), _Tally(limits)
    outputs = {"patient_id": options.csv_patients, "study_id": options.csv_studies}
    outside = [options.folder, *(path for path in options.paths if Path(path).is_dir())]
    with ExitStack() as stack:
        page = None
        if options.explain:
            from fracturelib.report.case import case_pages
            from fracturelib.runs import Run

            assert isinstance(run, Run)  # `_run` sees to it: heat maps need torch
            page = stack.enter_context(case_pages(options.explain, run, limits, outside=outside))
        grouped = {
            kind: stack.enter_context(csv_file(path, columns=GroupAnswer._fields, outside=[options.folder]))
            for kind, path in outputs.items()
        }
        file = stack.enter_context(csv_file(options.csv, columns=FIRST_COLUMNS, outside=[options.folder]))
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(tally.columns)
        rows = predict_stream(
            run,
            options.paths,
            strict=options.strict,
            limits=limits,
            groups=groups,
            options=data_options(options),
            polarity=options.polarity,
        )
        for row in rows:
            writer.writerow(["" if isinstance(cell, float) and isnan(cell) else as_text(cell) for cell in row])
            tally.add(row)
            if page is not None:
                page(row)
        for kind, output in grouped.items():
            safe_table(groups.answers(kind)).to_csv(output, index=False, lineterminator="\n")
    tally.tell()
    for kind, noun in KINDS.items():
        _tell_groups(groups, kind, noun)
    print(_meaning(run))
    for name, path in (("Table", options.csv), ("Patients", options.csv_patients), ("Studies", options.csv_studies)):
        if path:
            print(f"{name + ':':<10}{path}")
    if options.explain:
        print(f"Pages:    {options.explain}")
    print(NOTICE)
    return 0


def _run(options: argparse.Namespace) -> KeptRun:
    """The run; for a few pictures without torch, where it can do without: that takes longer to load than these do."""
    from fracturelib.prediction import are_few
    from fracturelib.runs import load_run, load_run_lightly

    light = not options.explain and are_few(options.paths)
    return load_run_lightly(options.folder) if light else load_run(options.folder)


def _limits(run: KeptRun, guarantee: str | None) -> Limits:
    """The run's limits, or those of a guarantee that is asked for now.

    Raises:
        RunError: the run is of an earlier version, which kept no validation pictures.
        EvaluationError: as `choose_limit`.
    """
    from fracturelib.errors import RunError
    from fracturelib.evaluation import choose_limit
    from fracturelib.prediction import Limits, run_limits

    if guarantee is None:
        return run_limits(run)
    if run.validation is None:
        cure = "train again under another --name, or leave --guarantee out"
        raise RunError("the run keeps no validation pictures to choose a guarantee on", file=run.folder, cure=cure)
    return Limits(run.threshold, choose_limit(run.validation, guarantee=guarantee))


class _Tally:
    """The rows on the screen, and how many there are of each answer and reason."""

    def __init__(self, limits: Limits) -> None:
        from fracturelib.prediction import Predicted

        self.columns = Predicted._fields
        self._limits, self._shown = limits, list[Predicted]()
        self._answers, self._reasons = Counter[Answer](), Counter[Doubt]()

    def add(self, row: Predicted) -> None:
        """Count a row."""
        self._answers[row.answer] += 1
        self._reasons[row.reason] += 1
        if len(self._shown) < ROWS_ON_SCREEN:
            self._shown.append(row)

    def tell(self) -> None:
        """Print the first rows, the counts and the limits."""
        cells = [("path", "probability", "answer", "reason")]
        cells += [(row.path, number(row.probability), row.answer, row.reason) for row in self._shown]
        _print_aligned(cells)
        count, threshold = self._answers.total(), f"the threshold {self._limits.threshold:.3f}"
        if count > len(self._shown):
            print(f"… and {count - len(self._shown)} more rows; --csv FILE writes all of them")
        called = self._answers[Answer.FRACTURE]
        print(f"\n{called} of {count} at or above {threshold}.")
        if self._limits.limit is not None:
            below = min(self._limits.limit, self._limits.threshold)
            print(f"“No fracture” is said below {below:.3f}: of {self._answers[Answer.NO_FRACTURE]} pictures.")
        if self._answers[Answer.HUMAN]:
            print(f"A human must look at {self._answers[Answer.HUMAN]} of {count}:")
        for doubt, times in self._reasons.most_common():
            if doubt != Doubt.NONE:
                print(f"  {times} × {doubt}. {doubt_told(doubt)}")


def _tell_groups(groups: Groups, kind: str, noun: str) -> None:
    """One table of patients or of studies, where any are known."""
    table = groups.answers(kind)
    if table.empty:
        return
    print(f"\nBy {noun}: {groups.rule} of the calibrated probabilities (chosen on validation patients)")
    cells = [(noun, "probability", "answer", "reason", "pictures")]
    for row in table.head(ROWS_ON_SCREEN).itertuples():
        cells.append((row.name, number(row.probability), row.answer, row.reason, f"{row.used} of {row.pictures} used"))
    _print_aligned(cells)
    if len(table) > ROWS_ON_SCREEN:
        print(f"… and {len(table) - ROWS_ON_SCREEN} more")


def _print_aligned(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _meaning(run: KeptRun) -> str:
    """What the probabilities are."""
    if run.temperature is not None:
        return f"Probabilities are calibrated with the run's temperature {run.temperature:.2f}, fitted on validation."
    reason = (run.record.get("calibration") or {}).get("reason") or "not known"
    return f"The run has no temperature ({reason}): probabilities are what the network gave."
