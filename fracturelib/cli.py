"""The command line: ``fracturelib simulate · train · evaluate · predict · weights``.

Heavy modules are imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path

from fracturelib import __version__
from fracturelib.config import CLASS_NAMES, POSITIVE, TrainConfig
from fracturelib.errors import ConfigError, FracturelibError, FracturelibWarning

USER_ERROR = 2
INTERRUPTED = 130
ROWS_ON_SCREEN = 40
PRINTED_METRICS = ("accuracy", "auc", "sensitivity", "specificity")
NOTICE = "For teaching and research; no medical device."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 2 an error that the user can cure, 130 interrupted."""
    _speak_plainly()
    parser = make_parser()
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return options.run(options)
    except FracturelibError as error:
        print(f"error: {error}", *getattr(error, "__notes__", []), sep="\n", file=sys.stderr)
        return USER_ERROR
    except PermissionError as error:
        print(
            f"error: no permission for {error.filename}\n  what to do:   choose another folder",
            file=sys.stderr,
        )
        return USER_ERROR
    except KeyboardInterrupt:
        print("\nInterrupted." + getattr(options, "when_interrupted", ""), file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def make_parser() -> argparse.ArgumentParser:
    """The parser with all commands; the options of `train` are made from the fields of `TrainConfig`."""
    parser = argparse.ArgumentParser(
        prog="fracturelib", description="Transfer learning on radiographs, judged honestly.", epilog=NOTICE
    )
    parser.add_argument("--version", action="version", version=f"fracturelib {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_simulate(commands)
    add_train_options(_add(commands, "train", _train, "train on a folder of X-rays and write a report"))
    _add_evaluate(commands)
    _add_predict(commands)
    weights = _add(commands, "weights", _weights, "say which pretrained weights this machine has")
    weights.add_argument("--architecture", default="resnet18", help="torchvision network (default: %(default)s)")
    return parser


def add_train_options(parser: argparse.ArgumentParser) -> None:
    """One option per field of `TrainConfig`, then those that say how to run."""
    settings = parser.add_argument_group("settings of the run (kept in config.json)")
    for entry in fields(TrainConfig):
        flags = ["--" + entry.name.replace("_", "-")]
        kind = {"int": int, "float": float, "str": str}[entry.type]
        help_text = entry.metadata["help"].replace("%", "%%") + " (default: %(default)s)"
        settings.add_argument(
            *flags,
            dest=entry.name,
            type=kind,
            default=entry.default,
            metavar=entry.type.upper(),
            help=help_text,
        )
    how = parser.add_argument_group("how to run")
    how.add_argument("--name", help="name of the run (default: the date and time)")
    how.add_argument("--runs", default="runs", metavar="FOLDER", help="where runs are kept (default: %(default)s)")
    how.add_argument("--resume", action="store_true", help="go on with the interrupted run of this name")
    how.add_argument("--make-split", action="store_true", help="make a missing val or test split, by source")
    how.add_argument("--strict", action="store_true", help="stop at a damaged file instead of skipping it")
    how.add_argument(
        "--keep-conflicts", action="store_true", help="keep files with the same content and different labels"
    )


def train_main() -> int:
    """Entry of ``train.py``: `fracturelib train` under its own name."""
    return main(["train", *sys.argv[1:]])


def _add(
    commands: argparse._SubParsersAction, name: str, run: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=NOTICE)
    parser.set_defaults(run=run)
    return parser


def _add_simulate(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "simulate", _simulate, "make the embedded set of simulated radiographs")
    parser.add_argument("folder", nargs="?", default="data/simulated", help="where (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the whole set (default: %(default)s)")
    parser.add_argument("--count", type=int, help="number of images (default: 1,200 + 240 + 480)")
    parser.add_argument("--leaky", action="store_true", help="spread rotated copies over the splits, as a lesson")
    parser.add_argument("--device-shift", action="store_true", help="take the test split from another machine")


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "evaluate", _evaluate, "test a saved run, on its own data or on another folder")
    parser.add_argument("folder", metavar="RUN", help="folder of the run, for example runs/demo")
    parser.add_argument("--data", metavar="DIR", help="another data set (default: the run's own test split)")
    parser.add_argument("--csv", metavar="FILE", help="write one row per image to this file")
    parser.add_argument("--strict", action="store_true", help="stop at a damaged file instead of skipping it")


def _add_predict(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "predict", _predict, "estimate P(fractured) for files and folders of X-rays")
    parser.add_argument("folder", metavar="RUN", help="folder of the run, for example runs/demo")
    parser.add_argument("paths", nargs="+", metavar="FILE|FOLDER", help="X-rays; folders are searched through")
    parser.add_argument("--csv", metavar="FILE", help="write the table to this file")
    parser.add_argument("--strict", action="store_true", help="stop at a damaged file instead of skipping it")


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


def _train(options: argparse.Namespace) -> int:
    config = TrainConfig(**{entry.name: getattr(options, entry.name) for entry in fields(TrainConfig)})
    name = options.name or datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    if Path(name).name != name or name in (".", ".."):
        raise ConfigError(
            f"the name '{name}' is no plain folder name", cure="use --runs for the place, --name for the name"
        )
    folder = Path(options.runs) / name
    options.when_interrupted = (
        f"\nWhat was learnt so far is kept in {folder}. Go on with the same options and --name {name} --resume."
    )
    from fracturelib.pipeline import train_run

    run = train_run(
        config,
        folder=folder,
        resume=options.resume,
        strict=options.strict,
        make_split=options.make_split,
        keep_conflicts=options.keep_conflicts,
        on_epoch=_print_epoch,
    )
    print(f"\nTrunk:  {run.model.origin.detail}")
    print(f"Best epoch: {run.record['best_epoch']}; threshold {run.threshold:.3f}, chosen on validation images\n")
    _print_metrics(run.metrics, config.data)
    print(f"\nReport: {folder / 'report.html'}\nRun:    {folder}\n{NOTICE}")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from fracturelib.pipeline import evaluate_run
    from fracturelib.runs import load_run

    run = load_run(options.folder)
    evaluation, predictions = evaluate_run(run, data=options.data, strict=options.strict)
    _print_metrics(evaluation.to_dict(), options.data or run.config.data)
    print(f"Threshold {run.threshold:.3f}, chosen on the run's own validation images.")
    _write_csv(predictions, options.csv)
    print(NOTICE)
    return 0


def _predict(options: argparse.Namespace) -> int:
    from fracturelib.pipeline import predict_files
    from fracturelib.runs import load_run

    run = load_run(options.folder)
    table = predict_files(run, options.paths, strict=options.strict)
    shown = table.head(ROWS_ON_SCREEN)
    print(shown.to_string(index=False, formatters={"probability": "{:.3f}".format}))
    if len(table) > len(shown):
        print(f"… and {len(table) - len(shown)} more rows; --csv FILE writes all of them")
    called = (table["prediction"] == CLASS_NAMES[POSITIVE]).sum()
    print(f"\n{called} of {len(table)} at or above the threshold {run.threshold:.3f}.")
    _write_csv(table, options.csv)
    print(NOTICE)
    return 0


def _weights(options: argparse.Namespace) -> int:
    from fracturelib.weights import available_weights

    for row in available_weights(options.architecture):
        print(f"{row['weights']:<10} {row['status']:<9} {row['place']}")
    return 0


def _print_epoch(history) -> None:
    row = history.iloc[-1]
    print(
        f"epoch {row.epoch:3.0f}  learning rate {row.learning_rate:.1e}  loss {row.train_loss:.3f} train, "
        f"{row.val_loss:.3f} val  AUC {row.val_auc:.3f} val{'  *' if row.improved else ''}",
        flush=True,
    )


def _print_metrics(metrics: dict, data: str) -> None:
    """The model and both baselines, one metric a line, with the interval where it can be given."""
    print(
        f"{metrics['set_name'].capitalize()} set in {data}: {metrics['n_files']} images from {metrics['n_sources']} "
        f"sources, {metrics['n_fractured']} fractured\n"
    )
    models = list(dict.fromkeys(row["model"] for row in metrics["comparison"]))
    cells = {(row["model"], row["metric"]): _cell(row) for row in metrics["comparison"]}
    print(" " * 20 + "".join(f"{name:<22}" for name in models))
    for metric in PRINTED_METRICS:
        print(f"{metric:<20}" + "".join(f"{cells[name, metric]:<22}" for name in models))
    print("\n[ ]: 95 % interval, bootstrap over sources")
    for row in metrics["confusion"]:
        called = ", ".join(f"{row[name]} called {name}" for name in CLASS_NAMES)
        print(f"{row['truth']}: {called}")
    for sentence in metrics["warnings"]:
        print(f"warning: {sentence}")


def _cell(row: dict) -> str:
    if row["value"] is None:
        return "not estimable"
    interval = "" if row["low"] is None else f" [{row['low']:.3f}, {row['high']:.3f}]"
    return f"{row['value']:.3f}{interval}"


def _write_csv(table, path: str | None) -> None:
    """Write beside the final name and rename: an interrupted write leaves no half table."""
    if path is None:
        return
    target = Path(path)
    if not target.parent.is_dir():
        raise FracturelibError("the folder for --csv does not exist", file=target.parent, cure="make it first")
    partial = target.with_name(target.name + ".part")
    table.to_csv(partial, index=False)
    partial.replace(target)
    print(f"Table:  {target}")


def _speak_plainly() -> None:
    """Show the project's warnings as one plain line each, without a source line."""
    warnings.simplefilter("always", FracturelibWarning)
    usual = warnings.formatwarning

    def plain(message, category, filename, lineno, line=None) -> str:
        if issubclass(category, FracturelibWarning):
            return f"warning: {message}\n"
        return usual(message, category, filename, lineno, line)

    warnings.formatwarning = plain


def _terminate(_number: int, _frame: object) -> None:
    """SIGTERM ends a command as Ctrl-C does, so that both leave the same usable checkpoint."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    raise SystemExit(main())
