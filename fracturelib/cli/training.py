"""`fracturelib train`, which is also `train.py`."""

from __future__ import annotations

import argparse
import contextlib
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fracturelib.cli.shared import (
    NOTICE,
    add_command,
    add_data_options,
    add_features_limit,
    add_verify,
    data_options,
    print_metrics,
    print_reading,
)
from fracturelib.config import PRESETS, TrainConfig, preset_settings
from fracturelib.errors import ConfigError
from fracturelib.files import check_output_folder

if TYPE_CHECKING:
    import pandas as pd

    from fracturelib.runs import Run


def add_train(commands: argparse._SubParsersAction) -> None:
    """The options are made from the fields of `TrainConfig`."""
    add_train_options(
        add_command(commands, "train", _train, "train on a folder of X-rays and write a report", together=True)
    )


def add_train_options(parser: argparse.ArgumentParser) -> None:
    """One option per field of `TrainConfig`, then those that say how to run; one that is not given leaves no trace."""
    parser.add_argument("--preset", default="recipe", metavar="NAME", help=_presets())
    settings = parser.add_argument_group("settings of the run (kept in config.json)")
    for entry in fields(TrainConfig):
        kind = str(entry.type)
        settings.add_argument(
            _option(entry.name),
            type={"int": int, "float": float, "str": str}[kind],
            default=argparse.SUPPRESS,
            metavar=kind.upper(),
            help=f"{entry.metadata['help']} (default: {entry.default})".replace("%", "%%"),
        )
    how = parser.add_argument_group("how to run")
    how.add_argument("--name", help="name of the run (default: date, time and a random end)")
    how.add_argument("--runs", default="runs", metavar="FOLDER", help="where runs are kept (default: %(default)s)")
    add_features_limit(how)
    how.add_argument("--resume", action="store_true", help="go on with the interrupted run of this name")
    how.add_argument("--make-split", action="store_true", help="make a missing val or test split, by source")
    how.add_argument("--strict", action="store_true", help="stop at a damaged file instead of skipping it")
    how.add_argument(
        "--keep-conflicts", action="store_true", help="keep files with the same content and different labels"
    )
    add_verify(how)
    add_data_options(parser, polarity=False)  # a setting of the run


def _option(setting: str) -> str:
    return "--" + setting.replace("_", "-")


def _presets() -> str:
    """The help text of --preset."""
    sets = [
        f"{name} ({', '.join(f'{_option(setting)} {value}' for setting, value in values.items())})"
        for name, values in PRESETS.items()
        if values
    ]
    return f"a named set of settings; options that are given win over it: {', '.join(sets)} (default: %(default)s)"


def _train(options: argparse.Namespace) -> int:
    from fracturelib.features.bank import BANK_FOLDER
    from fracturelib.runs import check_name
    from fracturelib.runtime.processes import is_restart, joined_processes, may_restart

    given = {entry.name: getattr(options, entry.name) for entry in fields(TrainConfig) if entry.name in options}
    config = preset_settings(options.preset, **given)
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    name = f"{now}_{secrets.token_hex(3)}" if options.name is None else options.name  # two may start in one second
    check_name(name)
    if options.name is None and may_restart():
        raise ConfigError("what torchrun restarts has to find its run again", cure="give the run a --name")
    options.resume |= is_restart()
    runs = Path(options.runs)
    folder = check_output_folder(runs / name, {})
    check_output_folder(runs / BANK_FOLDER, {})

    with joined_processes(), _run_folder(folder, resume=options.resume) as place:
        _train_and_print(config, place, options)
    return 0


@contextlib.contextmanager
def _run_folder(folder: Path, *, resume: bool) -> Iterator[Path]:
    """The run's folder in the first process; a temporary one in the others, to go on with: a copy of it."""
    from fracturelib.runtime.processes import from_first, is_first

    if is_first():
        files = folder.rglob("*") if resume else []
        from_first({file.relative_to(folder): file.read_bytes() for file in files if file.is_file()})
        yield folder
        return
    with tempfile.TemporaryDirectory() as elsewhere:
        place = Path(elsewhere) / folder.name
        for name, content in from_first(None).items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)
        yield place


def _train_and_print(config: TrainConfig, folder: Path, options: argparse.Namespace) -> None:
    from fracturelib.pipeline import train_run
    from fracturelib.runs import CHECKPOINT
    from fracturelib.runtime.processes import is_first

    try:
        run = train_run(
            config,
            folder=folder,
            preset=options.preset,
            resume=options.resume,
            strict=options.strict,
            make_split=options.make_split,
            keep_conflicts=options.keep_conflicts,
            options=data_options(options),
            on_data=print_reading if is_first() else None,
            features_limit=round(options.features_limit * 1e9),
            verify=options.verify,
            on_epoch=_print_epoch,
        )
    except KeyboardInterrupt as stop:
        if (folder / CHECKPOINT).exists():
            stop.add_note(
                f"What was learnt so far is kept in {folder}. Go on with the same options and --name {folder.name} "
                "--resume."
            )
        raise
    if not is_first():
        return
    print(f"\nTrunk:  {run.model.origin.detail}")
    if run.record.get("engine"):
        print(_engine(run.record["engine"]))
    print(f"Epoch kept: {run.record['best_epoch']}; threshold {run.threshold:.3f}, chosen on validation images")
    print(_probabilities(run))
    print_metrics(run.metrics, config.data)
    print(f"\nReport: {folder / 'report.html'}\nRun:    {folder}\n{NOTICE}")


def _engine(engine: dict) -> str:
    """What computed the trunk, and how far that is from float32."""
    found = engine["difference"]
    return (
        f"Engine: {engine['precision']} by {engine['runtime']} {engine['version']}; to float32 a mean cosine of "
        f"{found['cosine_mean']:.4f}, AUC {found['auc']:.3f} instead of {found['auc_float32']:.3f} "
        f"({found['pictures']} validation pictures)"
    )


def _probabilities(run: Run) -> str:
    """What is known about the run's probabilities: temperature and guarantee."""
    chosen, limit = run.record["calibration"], run.record["limit"]
    said = f"Temperature {run.temperature:.2f}" if run.temperature else f"No temperature: {chosen['reason']}"
    return said + ("\n" if limit is None else f"; “no fracture” is said below {min(limit, run.threshold):.3f}\n")


def _print_epoch(history: pd.DataFrame) -> None:
    row = history.iloc[-1]
    print(
        f"epoch {row.epoch:3.0f}  learning rate {row.learning_rate:.1e}  loss {row.train_loss:.3f} train, "
        f"{row.val_loss:.3f} val  AUC {row.val_auc:.3f} val{'  risen' if row.risen else ''}",
        flush=True,
    )
