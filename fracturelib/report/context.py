"""The sentences and tables of a run that its report and its model card share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from fracturelib.catalog import about, describe, shared_sources
from fracturelib.config import CLASS_NAMES
from fracturelib.evaluation import HEADLINE, METRICS, Evaluation
from fracturelib.files.places import shareable
from fracturelib.report import sections
from fracturelib.report.claim import claim_items
from fracturelib.report.tested import Tested
from fracturelib.writing.numbers import interval, number
from fracturelib.writing.tables import MISSING, cell, grid
from fracturelib.writing.verdicts import explained, told
from fracturelib.writing.words import LABEL_MEANINGS, SPLIT_NAMES

RANDOM_WEIGHTS = (
    "The trunk has random weights: nothing was learnt from ImageNet, and this is no transfer learning. "
    "Expect much worse numbers than with pretrained weights."
)
INTENDED = (
    "To learn how transfer learning on radiographs works and how such a model is judged. Input: one radiograph. "
    "Output: the probability, as the model sees it, that a bone in it is fractured."
)
NOT_INTENDED = (
    "Diagnosis, triage, screening, a second reading; images of a kind that is not among the training images below."
)
LIMITS = (
    "The labels are taken as they are. Who set them, from which images and with which agreement, is not checked here.",
    "An interval shows the chance of drawing other images of the same kind. It does not cover other hospitals, "
    "devices, ages or fracture types.",
    "One training run is shown. Another seed gives somewhat other numbers.",
    "A high score does not show that the model looks at the fracture: compare with the metadata baseline, look at the "
    "errors, and at the section on where the model looks.",
    "A heat map shows what moves the output, coarsely. It does not show why, and a model can be right for a wrong "
    "reason that lies at the right place.",
    "Probabilities hold at best for the share of fractures in these data.",
)


def report_context(tested: Tested, *, name: str) -> dict[str, Any]:
    """The sentences and tables that the report and the model card share; `name` stands in for a missing one."""
    record, evaluation = tested.record, tested.evaluation
    data = _data(record, tested.table, evaluation)
    return {
        **_head(record, evaluation, name),
        **_result(evaluation),
        **data,
        **sections.calls(evaluation),
        **sections.calibration(evaluation, record),
        "guarantee_sentence": sections.guarantee(record, tested.predictions, threshold=evaluation.threshold),
        "subgroups": sections.subgroups(evaluation.subgroups),
        **sections.probes(tested.probes),
        **_training(record, tested.history),
        "drop": _drop(tested.drop),
        "claim": claim_items(tested, partitions=data["data"]["caption"]),
        "limits": LIMITS,
        "intended": INTENDED,
        "not_intended": NOT_INTENDED,
    }


def _head(record: Mapping[str, Any], evaluation: Evaluation, name: str) -> dict[str, Any]:
    weights = record.get("weights", {})
    made = [_moment(record["started"])] if "started" in record else []
    made += [f"{record['seconds']:.0f} s of work"] if "seconds" in record else []
    made += [f"fracturelib {record['fracturelib']}"] if "fracturelib" in record else []
    return {
        "name": record.get("name", name),
        "subtitle": ", ".join(made) or "no record of when it was made",
        "set_name": evaluation.set_name,
        "weights_alarm": RANDOM_WEIGHTS if weights.get("name") == "none" else "",
        "warnings": [*record.get("warnings", []), *evaluation.warnings],
    }


def _moment(text: str) -> str:
    try:
        return f"{datetime.fromisoformat(text):%d %B %Y, %H:%M %Z}"
    except ValueError:
        return text


def _result(evaluation: Evaluation) -> dict[str, Any]:
    own = evaluation.scores.set_index("metric")
    cards = []
    for metric, title in HEADLINE.items():
        row = own.loc[metric]
        ends = interval(row["low"], row["high"], 2)
        detail = f"95 % interval {ends}" if ends else explained(row["reason"], row["unit"], row["units"])
        cards.append({"title": title[0].upper() + title[1:], "value": number(row["value"], 2), "detail": detail})
    healthy = evaluation.n_files - evaluation.n_fractured
    return {
        "cards": cards,
        "size_sentence": f"{evaluation.n_files:,} files ({evaluation.n_fractured:,} fractured, {healthy:,} not) from "
        f"{evaluation.n_sources:,} original images{_independent(evaluation)}, which is the effective sample size.",
        "unit": evaluation.unit,
        "verdicts": [_verdict(row) for row in evaluation.differences.to_dict("records") if row["metric"] == "auc"],
        "scores": _scores(evaluation.comparison),
        "score_notes": _score_notes(evaluation.comparison),
        "wilson": _wilson(evaluation.scores),
        "resamples": f"{evaluation.resamples:,}",
    }


def _independent(evaluation: Evaluation) -> str:
    return "" if evaluation.unit == "sources" else f" of {evaluation.n_units:,} {evaluation.unit}"


def _wilson(scores: pd.DataFrame) -> dict[str, Any]:
    """Bootstrap beside Wilson's formula, for the proportions in which every file is a unit of its own."""
    rows = [
        [METRICS[row.metric], number(row.value), interval(row.low, row.high), interval(row.wilson_low, row.wilson_high)]
        for row in scores.itertuples()
        if not np.isnan(row.wilson_low)
    ]
    return grid(["metric", "value", "bootstrap", "Wilson"], rows, numeric=(1, 2, 3))


def _drop(drop: pd.DataFrame | None) -> dict[str, Any]:
    """External beside internal scores."""
    rows = [
        [
            METRICS[row["metric"]],
            number(row["second"]),
            number(row["first"]),
            cell(row["difference"], row["low"], row["high"], signed=True),
            told(row["verdict"], row["reason"], row["unit"], higher="higher elsewhere", lower="lower elsewhere"),
        ]
        for row in (drop.to_dict("records") if drop is not None else ())
    ]
    return grid(["metric", "internal test", "external test", "difference", "in words"], rows, numeric=(1, 2, 3), wide=4)


def _verdict(row: Mapping[str, Any]) -> str:
    """Whether the model's AUC beats a baseline's, in one sentence."""
    if np.isnan(row["difference"]):
        return f"A difference in AUC from the baseline “{row['baseline']}” is not estimable."
    said = told(
        row["verdict"],
        row["reason"],
        row["unit"],
        higher="the model is better",
        lower="the model is worse",
        unknown="the interval is {}",
    )
    ends = interval(row["low"], row["high"], 2, signed=True)
    difference = number(row["difference"], 2, signed=True) + (f" (paired 95 % interval {ends})" if ends else "")
    return f"Against the baseline “{row['baseline']}” the AUC differs by {difference}: {said}."


def _scores(comparison: pd.DataFrame) -> dict[str, Any]:
    """Metrics down, model and baselines across; value, and the interval in small print."""
    models = list(dict.fromkeys(comparison["model"]))
    cells = {(row.model, row.metric): cell(row.value, row.low, row.high) for row in comparison.itertuples()}
    rows = [[text, *(cells[model, metric] for model in models)] for metric, text in METRICS.items()]
    return grid(["metric", *models], rows, numeric=range(1, len(models) + 1))


def _score_notes(comparison: pd.DataFrame) -> list[str]:
    """Each note once, with the models and metrics that it is about."""
    notes = [explained(row.reason, row.unit, row.units) for row in comparison.itertuples()]
    noted = comparison.assign(note=notes).query("note != ''")
    about: dict[tuple[str, str], list[str]] = {}
    for (model, note), metrics in noted.groupby(["model", "note"], sort=False)["metric"]:
        about.setdefault((", ".join(map(_short, metrics)), note), []).append(model)
    return [f"{', '.join(models)} ({metrics}): {note}" for (metrics, note), models in about.items()]


def _short(metric: str) -> str:
    return metric.upper() if len(metric) == 3 else metric.replace("_", " ").replace("brier", "Brier score")


def _data(record: Mapping[str, Any], table: pd.DataFrame, evaluation: Evaluation) -> dict[str, Any]:
    facts = record.get("data", {})
    own = evaluation.set_name == "test"
    patients = table["patient_id"].nunique() if "patient_id" in table else 0
    rows = []
    for row in describe(table).to_dict("records"):
        line = [SPLIT_NAMES.get(row["split"], row["split"]), row["class"], f"{row['files']:,}", f"{row['sources']:,}"]
        rows.append(line + ([f"{_patients(table, row):,}"] if patients else []))
    head = ["split", "class", "files", "original images"] + (["patients"] if patients else [])
    return {
        "data_root": facts.get("root", MISSING) if own else shareable(table.attrs.get("root", MISSING)),
        "fingerprint": facts.get("fingerprint", "") if own else "",
        "read_as": read_as(table),
        "data": grid(head, rows, numeric=range(2, len(head)), caption=_leak(table, evaluation)),
    }


def read_as(table: pd.DataFrame) -> list[str]:
    """How the data were read, what was decided, and what the label means; empty for a table that does not know."""
    known = about(table)
    left_out = [f"{known.unlabelled} files of unknown label were left out"] if known.unlabelled else []
    meaning = [LABEL_MEANINGS[known.meaning]] if known.meaning in LABEL_MEANINGS else []
    return [*meaning, *known.said, *left_out]


def _patients(table: pd.DataFrame, row: Mapping[str, Any]) -> int:
    label = CLASS_NAMES.index(row["class"])
    part = table[(table["split"] == row["split"]) & (table["label"] == label)]
    return part["patient_id"].nunique()


def _leak(table: pd.DataFrame, evaluation: Evaluation) -> str:
    """Whether splits share original images or patients; for data from elsewhere, whether the run knows the pictures."""
    if evaluation.set_name != "test" and evaluation.n_learnt is not None:
        known, files = evaluation.n_learnt, f"of the {evaluation.n_files} files"
        shows = f"LEAK: {known} {files} show pictures" if known else f"None {files} shows a picture"
        return f"{shows} of the run's training or validation set."
    shared = shared_sources(table)
    if shared.empty:
        known = "patient_id" in table and table["patient_id"].notna().any()
        return f"No original image{' and no known patient' if known else ''} is in more than one split."
    parts = [
        f"{row['splits']}: {row['sources']} ({row['files']} files, by {row['by']})" for row in shared.to_dict("records")
    ]
    return "LEAK: the splits share original images. " + "; ".join(parts)


def _training(record: Mapping[str, Any], history: pd.DataFrame) -> dict[str, Any]:
    weights = record.get("weights", {})
    best = record.get("best_epoch", history.attrs.get("best_epoch"))
    stopped = record.get("stopped_early", history.attrs.get("stopped_early", False))
    sentence = f"{len(history)} epochs" + (", then stopped early" if stopped else "")
    sentence += f"; the weights of epoch {best} were kept." if best is not None else "."
    sentence += _engine_told(record.get("engine"))
    settings = [[name, str(value)] for name, value in record.get("config", {}).items()]
    if record.get("preset"):
        settings.insert(0, ["preset", record["preset"]])
    about = {**record.get("versions", {}), **_flat(record.get("machine", {}))}
    return {
        "training_sentence": sentence,
        "weights_detail": f"{weights.get('detail', MISSING)} ({weights.get('name', 'no name')})",
        "weights_sha": weights.get("sha256", ""),
        "settings": grid(["setting", "value"], settings, wide=1),
        "versions": grid(
            ["library or machine", "version"], [[name, str(value)] for name, value in about.items()], wide=1
        ),
    }


def _engine_told(engine: Mapping[str, Any] | None) -> str:
    """How onnxruntime computed the trunk, and what that changed; nothing for a run of torch."""
    if not engine:
        return ""
    said = f" The frozen trunk was computed in {engine['precision']} by {engine['runtime']} {engine['version']}"
    if engine.get("pictures"):
        said += f", calibrated on {len(engine['pictures'])} training pictures ({engine['method']})"
    if not (found := engine.get("difference")):
        return f"{said}."
    return (
        f"{said}. On {found['pictures']} validation pictures its features have a mean cosine of "
        f"{found['cosine_mean']:.4f} to those of float32 (the least: {found['cosine_least']:.4f}), and the AUC is "
        f"{number(found['auc'])} instead of {number(found['auc_float32'])}."
    )


def _flat(machine: Any) -> dict[str, Any]:
    return dict(machine) if isinstance(machine, Mapping) else {"machine": machine}
