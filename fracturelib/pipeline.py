"""The main job in one call each: train and judge a run, test a saved one."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch

from fracturelib import catalog
from fracturelib.catalog import FACTS_FOLDER, KeptFacts, fingerprint, read_catalog
from fracturelib.catalog.metadata import join_metadata
from fracturelib.catalog.options import DEFAULTS, DataOptions
from fracturelib.catalog.pseudonyms import with_pseudonyms
from fracturelib.comparing import drop_from_run
from fracturelib.config import SPLITS, TrainConfig, parse_threshold_rule
from fracturelib.errors import DataWarning, FracturelibError, FracturelibWarning, RunError
from fracturelib.evaluation import (
    Evaluation,
    Scored,
    baseline_predictions,
    calibrated,
    choose_combination,
    choose_limit,
    choose_temperature,
    choose_threshold,
    evaluate,
    predict,
    threshold_on,
)
from fracturelib.evaluation.similarity import Reference
from fracturelib.features import (
    BANK_FOLDER,
    DEFAULT_LIMIT,
    FeatureBank,
    FeatureDataset,
    check_engine,
    compute_features,
    feature_loaders,
    feature_shape,
)
from fracturelib.loaders import Loaders, RadiographDataset, TableLoader, make_loader, make_loaders, share
from fracturelib.model import FractureClassifier, build_model
from fracturelib.prediction.engines import difference_to_float32, give_engine
from fracturelib.prediction.nearest import Case, nearest_cases
from fracturelib.prediction.reference import compare_with_training
from fracturelib.report import Tested, write_model_card, write_report
from fracturelib.runs import (
    CHECKPOINT,
    MODEL,
    RECORD_FILE,
    Run,
    check_name,
    claimed,
    learnt_pictures,
    load_run,
    new_record,
    own_options,
    read_record,
    reading_record,
    remove_leftovers,
    write_record,
    write_run,
)
from fracturelib.runtime.processes import by_first, is_first, rank_and_size
from fracturelib.stress.probing import run_probes, shown_paths
from fracturelib.training import fit
from fracturelib.transforms import eval_transform
from fracturelib.writing.verdicts import Caution


def train_run(
    config: TrainConfig,
    *,
    folder: str | Path,
    preset: str = "recipe",
    resume: bool = False,
    strict: bool = False,
    make_split: bool = False,
    keep_conflicts: bool = False,
    options: DataOptions = DEFAULTS,
    features_limit: int = DEFAULT_LIMIT,
    verify: bool = False,
    on_data: Callable[[pd.DataFrame], None] | None = None,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
) -> Run:
    """Read the data, train, evaluate on the test split, write the run folder with its report.

    Args:
        config: settings.
        folder: the run's folder, for example ``runs/first``; made only after data and weights are known to be good.
        preset: name of the set of settings that `config` began from, for the record.
        resume: go on with an interrupted run in `folder`; a finished one is returned as it is.
        strict, make_split, keep_conflicts: as in `read_catalog`.
        options: how the data are read; see `DataOptions`. The run keeps them, for `evaluate_run`.
        features_limit: most bytes that features may take in ``.features``, the bank beside the run; 0: no bank, and
            nothing is kept of the files that were read.
        verify: read every file again, also those that did not change since they were last read.
        on_data: called with the table once the data are read.
        on_epoch: called after every epoch with the history so far.

    Raises:
        RunError: the folder holds a run already (without `resume`), or one with other settings or data.
        CatalogError, ImageError, WeightsError, TrainingError: as their modules say.
    """
    folder, started = Path(folder), time.monotonic()
    check_name(folder.name)
    with claimed(folder), recorded_warnings() as messages:
        _check_target(folder, resume)
        bank = FeatureBank(folder.parent / BANK_FOLDER, limit=features_limit) if features_limit else None
        read = functools.partial(
            read_catalog,
            config.data,
            strict=strict,
            make_split=make_split,
            keep_conflicts=keep_conflicts,
            polarity=config.polarity,
            seed=config.seed,
            options=options,
            kept=None if bank is None else KeptFacts(bank.folder / FACTS_FOLDER, verify=verify),
        )
        table = by_first(read)  # of several processes
        if on_data is not None:
            on_data(table)
        start = _prepare(config, folder, table, options, make_split=make_split, keep_conflicts=keep_conflicts)
        start.record["preset"] = preset
        if resume and (folder / MODEL).exists():
            return _finished_run(folder, start.record)
        if config.computed_by_onnxruntime:
            start.record["engine"] = give_engine(start.model, table, config)
        _open_folder(folder, start.record)
        trained = _train(start, folder / CHECKPOINT, bank, resume=resume, on_epoch=on_epoch)
        if not is_first():  # of several processes; the first one judges and writes
            return Run(folder, config, start.record, start.model, trained.history, {})
        tested, validation = _judge(start, trained)
        facts = {"warnings": messages, "seconds": round(time.monotonic() - started, 1)}
        tested = replace(tested, record={**tested.record, **facts})
        return _write(folder, start, tested, trained.reference, validation)


class _Start(NamedTuple):
    """What training starts from; `record` is the run's ``config.json`` so far."""

    config: TrainConfig
    table: pd.DataFrame
    loaders: Loaders
    model: FractureClassifier
    record: dict[str, Any]


class _Trained(NamedTuple):
    """The history, the trained model's predictions for validation and test images, and what it has learnt from.

    `validation` has the measures and distances of its images as well, see `compare_with_training`.
    """

    history: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame
    reference: Reference


def _prepare(
    config: TrainConfig,
    folder: Path,
    table: pd.DataFrame,
    options: DataOptions,
    *,
    make_split: bool,
    keep_conflicts: bool,
) -> _Start:
    """Check the data and build the model; nothing is written, so that bad data or weights leave no trace."""
    loaders = make_loaders(table, config)
    # what these validation images cannot serve fails now, not after training
    to_be_judged = loaders.val.dataset.table.assign(probability=0.5)
    choose_threshold(to_be_judged, rule=config.threshold)
    choose_limit(to_be_judged, guarantee=config.guarantee)
    model = build_model(config)
    if config.computed_by_onnxruntime:
        check_engine(model, config)
    record = new_record(config, table, model, folder)
    if rank_and_size()[1] > 1:
        record |= _for_processes(model)
    record["data"] |= {"make_split": make_split, "keep_conflicts": keep_conflicts}
    record["data"] |= reading_record(folder, table, options)
    return _Start(config, table, loaders, model, record)


def _for_processes(model: FractureClassifier) -> dict[str, Any]:
    """Prepare batch norm of the trained stages for several processes; how many there are, and what was done.

    Each process sees a part of a batch only. torch shares the statistics between GPUs; on CPUs they stay as they are.
    """
    facts: dict[str, Any] = {"processes": rank_and_size()[1]}
    if model.trained_modules and torch.cuda.is_available():
        model.trunk = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model.trunk)
        model.unfreeze(model.trained_modules[0])
        facts["batch_norm"] = "statistics of the whole batch (SyncBatchNorm)"
    elif model.trained_modules:
        model.still_norms = True
        facts["batch_norm"] = "of the trained stages kept in eval mode"
    return facts


def _open_folder(folder: Path, record: dict[str, Any]) -> None:
    """Make the run's folder, or go on with it if its run began with the same data, and write the record so far."""
    if folder.exists() and any(folder.iterdir()):
        _check_same_data(folder, record)
    folder.mkdir(parents=True, exist_ok=True)
    write_record(folder, record)


def _train(
    start: _Start,
    checkpoint: Path,
    bank: FeatureBank | None,
    *,
    resume: bool,
    on_epoch: Callable[[pd.DataFrame], None] | None,
) -> _Trained:
    """Fit the head, on features where that is possible, and predict what it was not trained on."""
    model, config = start.model, start.config
    loaders = _fastest(model, start.loaders, config, bank)
    if start.record.get("processes") and model.trained_modules:
        loaders = Loaders(*(share(loader, parts=loader is loaders.train) for loader in loaders))
    history = fit(model, loaders.train, loaders.val, config, checkpoint=checkpoint, resume=resume, on_epoch=on_epoch)
    validation, test = predict(model, loaders.val), predict(model, loaders.test)
    reference, measures = compare_with_training(model, start.table, config, loaders.val.dataset, bank=bank)
    return _Trained(history, validation.join(measures), test, reference)


def _judge(start: _Start, trained: _Trained) -> tuple[Tested, pd.DataFrame]:
    """Choose threshold, temperature and limits on the validation images, test with them fixed; and these images."""
    config, history = start.config, trained.history
    calibration = choose_temperature(trained.validation)
    temperature = calibration.temperature
    threshold = choose_threshold(trained.validation, rule=config.threshold)
    if parse_threshold_rule(config.threshold)[0] != "fixed":  # a number that somebody gave is meant as it is shown
        threshold = threshold_on(threshold, temperature)
    validation = calibrated(trained.validation, temperature)
    predictions = with_prediction(calibrated(trained.test, temperature), threshold)
    evaluation = evaluate(
        predictions,
        threshold=threshold,
        threshold_rule=config.threshold,
        temperature=temperature,
        baselines=baseline_predictions(start.table, rule=config.threshold),
        seed=config.seed,
    )
    probes = run_probes(start.model, start.table, config, predictions, threshold=threshold, temperature=temperature)
    facts: dict[str, Any] = {"threshold": threshold, "temperature": temperature, "calibration": asdict(calibration)}
    facts["limit"] = choose_limit(validation, guarantee=config.guarantee)
    facts["combination"] = choose_combination(validation)
    facts["novelty"] = {"limit": trained.reference.limit, "usual": trained.reference.usual}
    if start.model.engine is not None:
        difference = difference_to_float32(start.model, start.table, config)
        facts["engine"] = {**start.record["engine"], "difference": difference}
    facts |= {name: history.attrs[name] for name in ("best_epoch", "stopped_early")}
    cases = _nearest_of_shown(start.model, trained.reference, config, start.table, predictions, threshold)
    record = {**start.record, **facts}
    return Tested(record, start.table, history, evaluation, predictions, probes, cases=cases), validation


def _nearest_of_shown(
    model: FractureClassifier,
    reference: Reference,
    config: TrainConfig,
    table: pd.DataFrame,
    predictions: pd.DataFrame,
    threshold: float,
) -> dict[str, list[Case]]:
    """The training pictures that each picture of the report's galleries resembles most, by its path."""
    paths = shown_paths(predictions, threshold=threshold)
    files = [catalog.root_of(table) / path for path in paths]
    return dict(zip(paths, nearest_cases(model, reference, config, files), strict=True))


def _write(folder: Path, start: _Start, tested: Tested, reference: Reference, validation: pd.DataFrame) -> Run:
    """Write pages, numbers and, last, the model: its presence says that the run is complete."""
    record, history, evaluation = dict(tested.record), tested.history, tested.evaluation
    write_report(folder, tested)
    write_model_card(folder, tested)
    predictions, table = tested.predictions, start.table
    record = write_run(folder, record, start.model, history, evaluation, predictions, table, reference, validation)
    return Run(folder, start.config, record, start.model, history, evaluation.to_dict())


def evaluate_run(
    run: Run,
    *,
    data: str | Path | None = None,
    strict: bool = False,
    polarity: str | None = None,
    report: str | Path | None = None,
    options: DataOptions = DEFAULTS,
    features_limit: int = DEFAULT_LIMIT,
    verify: bool = False,
    on_data: Callable[[pd.DataFrame], None] | None = None,
) -> tuple[Evaluation, pd.DataFrame]:
    """Test numbers and predictions of a saved run, at the run's own threshold and temperature.

    Args:
        run: from `load_run`.
        data: another folder (an external test); default the run's own data. A folder with just the two class
            folders counts as one test split.
        polarity: "keep" or "fix" pictures that look inverted; default: as in training.
        report: write `report.html` and `MODEL_CARD.md` of this test into this folder, which is made if missing.
        options: how `data` is read; the run's own data are read as they were when it was trained.
        features_limit: as in `train_run`; where no bank stands beside the run, none is made.
        verify: read every file again, also those that did not change since they were last read.
        on_data: called with the table once the data are read.

    Returns:
        The evaluation, and one row per test image: path, label, probability, prediction, source_id, ….

    Warns:
        DataWarning: the run's own data are not what they were when it was trained.
    """
    external, own = is_external(run, data), run.record["data"]
    _check_there(run, data)
    bank = _bank_beside(run, features_limit)
    kept = None if bank is None else KeptFacts(bank.folder / FACTS_FOLDER, verify=verify)
    table = read_catalog(
        run.config.data if data is None else data,
        strict=strict,
        make_split=own["make_split"] and not external,
        keep_conflicts=own["keep_conflicts"],
        polarity=polarity or run.config.polarity,
        seed=run.config.seed,
        options=options if external else own_options(run, keep_ids=options.keep_ids),
        only_tested=external,
        kept=kept,
    )
    if on_data is not None:
        on_data(table)
    same = fingerprint(table) == own["fingerprint"]
    external = external and not same  # a copy of the run's own data is no other data
    if external and data is not None:
        table = _with_metadata_above(table, Path(data), options)
    if not external and not same:
        warnings.warn("the data changed since this run was trained; its numbers may differ", DataWarning, stacklevel=2)
    found = predict(run.model, _test_loader(table, run, bank))
    predictions = with_prediction(calibrated(found, run.temperature), run.threshold)
    evaluation = evaluate(
        predictions,
        threshold=run.threshold,
        threshold_rule=run.config.threshold,
        temperature=run.temperature,
        baselines=_external_baselines(run, table, kept)
        if external
        else baseline_predictions(table, rule=run.config.threshold),
        set_name="external test" if external else "test",
        seed=run.config.seed,
    )
    if not same:
        evaluation = _with_overlap(run, table, evaluation)
    external = evaluation.set_name == "external test"
    if report is not None:
        probes = run_probes(
            run.model, table, run.config, predictions, threshold=run.threshold, temperature=run.temperature
        )
        drop = drop_from_run(run, predictions) if external else None
        cases = {}
        if run.reference is not None:
            cases = _nearest_of_shown(run.model, run.reference, run.config, table, predictions, run.threshold)
        tested = Tested(run.record, table, run.history, evaluation, predictions, probes, drop, cases)
        write_report(report, tested)
        write_model_card(report, tested)
    return evaluation, predictions


def _check_there(run: Run, data: str | Path | None) -> None:
    """Raise RunError if the run's own data are asked for, and are not where they were."""
    if data is None and not Path(run.config.data).is_dir():
        raise RunError(
            "the data that this run was trained on are not here",
            file=run.config.data,
            cause="the run or its data were moved, or come from another machine",
            cure="name the folder with --data FOLDER",
        )


def _bank_beside(run: Run, limit: int) -> FeatureBank | None:
    """The bank that the run was trained with, at least as large as it is: a test takes nothing from what training kept.

    A run that was copied elsewhere has none beside it, and gets none.
    """
    folder = run.folder.parent / BANK_FOLDER
    if not limit or not folder.is_dir() or not os.access(folder, os.W_OK):
        return None
    return FeatureBank(folder, limit=max(limit, FeatureBank(folder).size()))


def _with_overlap(run: Run, table: pd.DataFrame, evaluation: Evaluation) -> Evaluation:
    """The evaluation with the number of test files whose pictures the run has learnt from, and a caution about them."""
    if "files" not in run.record:  # a run of an earlier version did not keep them
        return evaluation
    learnt = int(learnt_pictures(run, table[table["split"] == "test"]).sum())
    if not learnt:
        return replace(evaluation, n_learnt=0)
    cautions = [Caution.LEARNT_FROM, *evaluation.cautions]
    return replace(evaluation, n_learnt=learnt, set_name="overlapping test", cautions=cautions)


def is_external(run: Run, data: str | Path | None) -> bool:
    """True when `data` names another folder than the one that the run was trained on."""
    return data is not None and Path(data).resolve() != Path(run.config.data).resolve()


def _with_metadata_above(table: pd.DataFrame, folder: Path, options: DataOptions) -> pd.DataFrame:
    """One split of a larger set (…/test) is described by the metadata.csv of that set: its patients count."""
    file = folder.resolve().parent / "metadata.csv"
    if folder.resolve().name not in SPLITS or (folder / "metadata.csv").is_file() or not file.is_file():
        return table
    described = join_metadata(table.assign(path=folder.resolve().name + "/" + table["path"]), file)
    return with_pseudonyms(described.assign(path=table["path"]), keep_ids=options.keep_ids)


def _external_baselines(run: Run, external: pd.DataFrame, kept: KeptFacts | None) -> dict[str, Scored] | None:
    """The baselines, fitted on the run's own training images, if these are still where they were; else none."""
    try:
        table = read_catalog(
            run.config.data,
            make_split=run.record["data"]["make_split"],
            keep_conflicts=run.record["data"]["keep_conflicts"],
            polarity=run.config.polarity,
            seed=run.config.seed,
            options=own_options(run),
            kept=kept,
        )
    except FracturelibError:
        return None
    return baseline_predictions(table, test=external[external["split"] == "test"], rule=run.config.threshold)


def with_prediction(predictions: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """A copy of the predictions with the column ``prediction`` (0 or 1) after ``probability``."""
    predictions = predictions.copy()
    place = predictions.columns.get_loc("probability") + 1
    predictions.insert(place, "prediction", (predictions["probability"] >= threshold).astype(int))
    return predictions


@contextlib.contextmanager
def recorded_warnings() -> Iterator[list[str]]:
    """Collect the project's warnings for the run's record, and still show each of them."""
    messages: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", FracturelibWarning)
        show = warnings.showwarning

        def record_and_show(message, category, *rest, **named) -> None:
            if issubclass(category, FracturelibWarning):
                messages.append(str(message))
            show(message, category, *rest, **named)

        warnings.showwarning = record_and_show
        yield messages


def _check_target(folder: Path, resume: bool) -> None:
    """Refuse to write into a folder that holds something already, before any time is spent."""
    remove_leftovers(folder)
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / RECORD_FILE).exists():
            raise RunError("the folder holds files, but no run", file=folder, cure="choose another --name")
        if resume:
            read_record(folder)
            return
        raise RunError(
            "the folder of this run is not empty",
            file=folder,
            cause="a run of this name exists",
            cure="choose another --name, or go on with --resume",
        )
    if folder.exists() and not folder.is_dir():
        raise RunError("the run's folder is a file", file=folder, cure="choose another --name")


def _check_same_data(folder: Path, record: dict[str, Any]) -> None:
    """An interrupted run goes on only with the images that it began with; the checkpoint checks the settings."""
    if read_record(folder)["data"]["fingerprint"] != record["data"]["fingerprint"]:
        raise RunError(
            "the data changed since this run was interrupted",
            file=folder,
            cause="files were added, removed or replaced",
            cure="train again under another --name",
        )


def _finished_run(folder: Path, record: dict[str, Any]) -> Run:
    """A finished run that was asked for again with the same settings and data."""
    run = load_run(folder)
    for what, now, then in (
        ("settings", _settings(record), _settings(run.record)),
        ("data", record["data"]["fingerprint"], run.record["data"]["fingerprint"]),
        ("trunk weights", record["weights"]["sha256"], run.record["weights"]["sha256"]),
    ):
        if now != then:
            raise RunError(
                f"the run is finished, and was made with other {what}",
                file=folder,
                cause=f"the {what} changed since",
                cure="choose another --name, or delete the folder",
            )
    return run


def _settings(record: dict[str, Any]) -> dict[str, Any]:
    """The settings that change the result; paths, workers and devices do not."""
    settings = TrainConfig.from_dict(record["config"]).to_dict()  # those that an earlier version did not know as well
    return {name: value for name, value in settings.items() if name not in ("data", "workers", "device")}


def _fastest(model: FractureClassifier, loaders: Loaders, config: TrainConfig, bank: FeatureBank | None) -> Loaders:
    """Features computed once, as far as the trunk is frozen and the settings allow it; images otherwise."""
    if config.views == 0 or not model.has_frozen_part:
        return loaders
    if model.trained_modules:  # maps are a hundred times larger than features
        views = min(config.views, config.epochs)
        shape = feature_shape(model, loaders.train.dataset, config, views=views)
        kept = bank.dtype(shape) if bank is not None and bank.holds(shape) else None
        size = f"{math.prod(shape) * 4 / 1e9:.1f} GB in float32"
        print(
            f"Maps that go into {config.unfreeze}: {shape[1]} images × {views} views, {size}: "
            + (f"kept in {kept}." if kept is not None else "too much to keep, so every epoch computes them again.")
        )
        if kept is None:
            return loaders
    return feature_loaders(model, loaders, config, bank=bank)


def _test_loader(table: pd.DataFrame, run: Run, bank: FeatureBank | None) -> TableLoader:
    """The test pictures, as features from the bank where the run was trained on such."""
    config, rows = run.config, table[table["split"] == "test"]
    dataset = RadiographDataset(rows, eval_transform(config), side=config.picture_side, seed=config.seed)
    if bank is None or config.views == 0 or run.model.trained_modules or not run.model.has_frozen_part:
        return make_loader(dataset, config, shuffle=False)
    features = FeatureDataset(dataset.table, compute_features(run.model, dataset, config, bank=bank))
    return make_loader(features, replace(config, workers=0), shuffle=False)
