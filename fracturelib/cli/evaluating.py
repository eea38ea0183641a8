"""`fracturelib evaluate` and `fracturelib compare`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from fracturelib.cli.shared import (
    NOTICE,
    add_command,
    add_data_options,
    add_features_limit,
    add_verify,
    csv_file,
    data_options,
    print_differences,
    print_metrics,
    print_reading,
)
from fracturelib.errors import EvaluationError
from fracturelib.files.tables import safe_table
from fracturelib.writing.numbers import estimate, percent
from fracturelib.writing.verdicts import explained, told

FIRST_COLUMNS = ("path", "label", "probability", "prediction")  # of --csv


def add_evaluate(commands: argparse._SubParsersAction) -> None:
    """The parser of `evaluate`."""
    parser = add_command(commands, "evaluate", _evaluate, "test a saved run, on its own data or on another folder")
    parser.add_argument("folder", metavar="RUN", help="folder of the run, for example runs/demo")
    parser.add_argument("--data", metavar="DIR", help="another data set (default: the run's own test split)")
    parser.add_argument(
        "--prevalence", type=float, metavar="SHARE", help="say what a call is worth at this share of fractures (0 to 1)"
    )
    parser.add_argument("--csv", metavar="FILE", help="write one row per image to this file")
    parser.add_argument("--report", metavar="FOLDER", help="write report.html and MODEL_CARD.md into this folder")
    parser.add_argument("--strict", action="store_true", help="stop at a damaged file instead of skipping it")
    add_features_limit(parser)
    add_verify(parser)
    add_data_options(parser)


def add_compare(commands: argparse._SubParsersAction) -> None:
    """The parser of `compare`."""
    parser = add_command(commands, "compare", _compare, "compare two runs on the same test images")
    parser.add_argument("first", metavar="RUN", help="folder of a finished run")
    parser.add_argument("second", metavar="RUN", help="folder of another")


def _evaluate(options: argparse.Namespace) -> int:
    from fracturelib.comparing import drop_from_run
    from fracturelib.evaluation import describe_rule
    from fracturelib.pipeline import evaluate_run
    from fracturelib.report import check_report_folder
    from fracturelib.runs import load_run

    if options.prevalence is not None and not 0 <= options.prevalence <= 1:
        raise EvaluationError(f"the prevalence is {options.prevalence:g}", cure="give a share between 0 and 1")
    run = load_run(options.folder)
    if options.report is not None:
        check_report_folder(options.report, outside=[options.folder])
    with csv_file(options.csv, columns=FIRST_COLUMNS, outside=[options.folder]) as file:
        evaluation, predictions = evaluate_run(
            run,
            data=options.data,
            strict=options.strict,
            polarity=options.polarity,
            report=options.report,
            options=data_options(options),
            features_limit=round(options.features_limit * 1e9),
            verify=options.verify,
            on_data=print_reading,
        )
        safe_table(predictions).to_csv(file, index=False, lineterminator="\n")
    external = evaluation.set_name == "external test"
    if evaluation.set_name == "overlapping test":
        print(
            f"NO EXTERNAL TEST: the run has learnt from {evaluation.n_learnt} of these {evaluation.n_files} pictures.\n"
        )
    if external:
        print("EXTERNAL TEST: images from elsewhere; model, threshold and temperature come along unchanged.\n")
    print_metrics(evaluation.to_dict(), options.data or run.config.data)
    print(f"Threshold {run.threshold:.3f}: {describe_rule(run.config.threshold)}.")
    print(_calibration(evaluation, run.record.get("calibration") or {}))
    if options.prevalence is not None:
        _print_prevalence(predictions, run.threshold, options.prevalence)
    drop = drop_from_run(run, predictions) if external else None
    if drop is not None:
        print("\nAgainst the run's own test set:")
        print_differences(drop, ("external", "internal"), higher="higher elsewhere", lower="lower elsewhere")
    if options.csv:
        print(f"Table:  {options.csv}")
    if options.report:
        print(f"Report: {options.report}/report.html")
    print(NOTICE)
    return 0


def _calibration(evaluation, chosen: Mapping[str, Any]) -> str:
    summary = evaluation.calibration_summary.set_index("quantity")
    said = "Brier score {brier:.3f}, calibration error {ece:.3f}"
    before = said.format(**summary["as_trained"])
    if evaluation.temperature is None:
        return f"{before}; the run has no temperature ({chosen.get('reason') or 'not known why'})."
    after = said.format(**summary["with_temperature"])
    return f"{before}; with the run's temperature {evaluation.temperature:.2f}: {after}."


def _print_prevalence(predictions, threshold: float, prevalence: float) -> None:
    """What a call is worth where this share of the patients has a fracture."""
    from fracturelib.evaluation import predictive_value_table

    row = predictive_value_table(predictions, threshold=threshold, prevalences=(prevalence,)).iloc[0]
    print(f"\nWhere {percent(prevalence, digits=1)} of the patients have a fracture:")
    for name, words in (("ppv", "a call “fractured”"), ("npv", "a call “not fractured”")):
        value = estimate(row[name], row[f"{name}_low"], row[f"{name}_high"], missing="")
        value = f"right in {value} of the cases" if value else explained(row[f"{name}_reason"], row["unit"])
        print(f"{words:<24}{value}")


def _compare(options: argparse.Namespace) -> int:
    from fracturelib.comparing import compare_runs

    table = compare_runs(options.first, options.second)
    print(f"first:  {options.first}\nsecond: {options.second}")
    print("Each at its own threshold, on the same test images; the interval of the difference is paired.\n")
    print_differences(table, ("first", "second"), higher="first is higher", lower="second is higher")
    auc = table.set_index("metric").loc["auc"]
    said = told(
        auc["verdict"],
        auc["reason"],
        auc["unit"],
        higher="The first run ranks these images better than the second.",
        lower="The second run ranks these images better than the first.",
        neither="No difference shown in the AUC: with these images, either run could be the better one.",
        unknown="The difference in the AUC is {}.",
    )
    print(f"\n{said}")
    print(NOTICE)
    return 0
