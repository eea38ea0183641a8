"""The sentences and tables of a run that its report and its model card share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from fracturelib.catalog import describe, shared_sources
from fracturelib.evaluation import Evaluation, predictive_values
from fracturelib.evaluation.metrics import METRICS
from fracturelib.plots.style import SPLIT_NAMES, percent

PREVALENCES = (0.02, 0.1, 0.3, 0.5)
RANDOM_WEIGHTS = (
    "The trunk has random weights: nothing was learnt from ImageNet, and this is no transfer learning. "
    "Expect much worse numbers than with pretrained weights."
)
LIMITS = (
    "The labels are taken as they are. Who set them, from which images and with which agreement, is not checked here.",
    "An interval shows the chance of drawing other images of the same kind. It does not cover other hospitals, "
    "devices, ages or fracture types.",
    "One training run is shown. Another seed gives somewhat other numbers.",
    "A high score does not show that the model looks at the fracture: compare with the metadata baseline, and look "
    "at the errors.",
    "Probabilities hold at best for the share of fractures in these data.",
)


def report_context(
    *, record: Mapping[str, Any], table: pd.DataFrame, history: pd.DataFrame, evaluation: Evaluation, name: str
) -> dict[str, Any]:
    """The sentences and tables that the report and the model card share; `name` stands in for a missing one."""
    return {
        **_head(record, evaluation, name),
        **_result(evaluation),
        **_data(record, table),
        **_calls(evaluation),
        "subgroups": _subgroups(evaluation.subgroups),
        **_training(record, history),
    }


def _grid(
    head: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    numeric: Sequence[int] = (),
    wide: int = -1,
    caption: str = "",
) -> dict[str, Any]:
    """A table for the template: `numeric` columns are right-aligned, the column `wide` holds running text."""
    return {"head": head, "rows": rows, "numeric": numeric, "wide": wide, "caption": caption}


def _number(value: float, digits: int = 3) -> str:
    return "–" if pd.isna(value) else f"{value:.{digits}f}"


def _interval(row: Any, digits: int = 3) -> str:
    return "" if pd.isna(row.low) else f"{row.low:.{digits}f} to {row.high:.{digits}f}"


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
    for metric, title in (
        ("auc", "AUC"),
        ("sensitivity", "Sensitivity"),
        ("specificity", "Specificity"),
        ("accuracy", "Accuracy"),
    ):
        row = own.loc[metric]
        interval = _interval(row, 2)
        detail = f"95 % interval {interval}" if interval else row["note"]
        cards.append({"title": title, "value": _number(row["value"], 2), "detail": detail})
    healthy = evaluation.n_files - evaluation.n_fractured
    return {
        "cards": cards,
        "size_sentence": f"{evaluation.n_files:,} files ({evaluation.n_fractured:,} fractured, {healthy:,} not) from "
        f"{evaluation.n_sources:,} original images, which is the effective sample size.",
        "verdicts": [_verdict(row) for row in evaluation.differences.itertuples() if row.metric == "auc"],
        "scores": _scores(evaluation.comparison),
        "score_notes": _score_notes(evaluation.comparison),
        "resamples": f"{evaluation.resamples:,}",
    }


def _verdict(row: Any) -> str:
    """Whether the model's AUC beats a baseline's, in one sentence."""
    start = f"Against the baseline “{row.baseline}” the AUC differs by {row.difference:+.2f}"
    if np.isnan(row.difference):
        return f"A difference in AUC from the baseline “{row.baseline}” is not estimable."
    if np.isnan(row.low):
        return f"{start}; the interval is {row.verdict}."
    words = {"first is higher": "the model is better", "second is higher": "the model is worse"}
    return f"{start} (paired 95 % interval {row.low:+.2f} to {row.high:+.2f}): {words.get(row.verdict, row.verdict)}."


def _scores(comparison: pd.DataFrame) -> dict[str, Any]:
    """Metrics down, model and baselines across; value, and the interval in small print."""
    models = list(dict.fromkeys(comparison["model"]))
    cells = {
        (row.model, row.metric): {"main": _number(row.value), "small": f"({_interval(row)})" if _interval(row) else ""}
        for row in comparison.itertuples()
    }
    rows = [[text, *(cells[model, metric] for model in models)] for metric, text in METRICS.items()]
    return _grid(["metric", *models], rows, numeric=range(1, len(models) + 1))


def _score_notes(comparison: pd.DataFrame) -> list[str]:
    """Each note once, with the models and metrics that it is about."""
    noted = comparison[comparison["note"] != ""]
    about: dict[tuple[str, str], list[str]] = {}
    for (model, note), metrics in noted.groupby(["model", "note"], sort=False)["metric"]:
        about.setdefault((", ".join(map(_short, metrics)), note), []).append(model)
    return [f"{', '.join(models)} ({metrics}): {note}" for (metrics, note), models in about.items()]


def _short(metric: str) -> str:
    return metric.upper() if len(metric) == 3 else metric.replace("_", " ").replace("brier", "Brier score")


def _data(record: Mapping[str, Any], table: pd.DataFrame) -> dict[str, Any]:
    facts = record.get("data", {})
    counts = describe(table)
    rows = [
        [SPLIT_NAMES.get(row["split"], row["split"]), row["class"], f"{row['files']:,}", f"{row['sources']:,}"]
        for row in counts.to_dict("records")
    ]
    shared = shared_sources(table)
    if shared.empty:
        caption = "No original image is in more than one split."
    else:
        parts = [
            f"{row['splits']}: {row['sources']} ({row['files']} files, by {row['by']})"
            for row in shared.to_dict("records")
        ]
        caption = "LEAK: the splits share original images. " + "; ".join(parts)
    return {
        "data_root": facts.get("root", "not available"),
        "fingerprint": facts.get("fingerprint", ""),
        "data": _grid(["split", "class", "files", "original images"], rows, numeric=(2, 3), caption=caption),
    }


def _calls(evaluation: Evaluation) -> dict[str, Any]:
    own = evaluation.scores.set_index("metric")["value"]
    if evaluation.threshold_rule == "youden":
        source = "It was chosen on the validation split, where it has the highest sensitivity + specificity (Youden)"
    else:
        source = "It was fixed beforehand"
    rows = [
        [name, *(_number(row[column]) for column in ("precision", "recall", "f1-score")), f"{row['support']:,.0f}"]
        for name, row in evaluation.report.iterrows()
    ]
    return {
        "threshold_sentence": f"A file is called fractured when its probability is {evaluation.threshold:.3f} or more. "
        f"{source}; the {evaluation.set_name} set had no part in it.",
        "report": _grid(["class", "precision", "recall", "F1", "files"], rows, numeric=(1, 2, 3, 4)),
        "prevalence": _prevalence(own["sensitivity"], own["specificity"]),
        "share_fractured": percent(evaluation.n_fractured, evaluation.n_files),
        "calibration_sentence": f"Brier score {_number(own['brier'])} (0 is perfect; always saying 0.5 gives 0.25), "
        f"expected calibration error {_number(own['ece'])} in ten bins.",
    }


def _prevalence(sensitivity: float, specificity: float) -> dict[str, Any]:
    head = ["share of fractures", "a call “fractured” is right", "a call “not fractured” is right"]
    if np.isnan([sensitivity, specificity]).any():
        return _grid(head, [["any", "not estimable", "not estimable"]])
    values = [(share, *predictive_values(sensitivity, specificity, share)) for share in PREVALENCES]
    return _grid(head, [["–" if np.isnan(x) else percent(x, 1) for x in row] for row in values], numeric=(1, 2))


def _subgroups(subgroups: pd.DataFrame) -> dict[str, Any]:
    rows = [
        [f"{row.column}: {row.group}", f"{row.n:,}", f"{row.sources:,}", *_group_cells(row), row.note]
        for row in subgroups.itertuples()
    ]
    head = ["group", "files", "original images", "sensitivity", "specificity", "AUC", "note"]
    return _grid(head, rows, numeric=(1, 2, 3, 4, 5), wide=6)


def _group_cells(row: Any) -> list[dict[str, str]]:
    cells = []
    for metric in ("sensitivity", "specificity", "auc"):
        value, low, high = (getattr(row, metric + end) for end in ("", "_low", "_high"))
        small = "" if np.isnan(low) else f"({low:.2f} to {high:.2f})"
        cells.append({"main": _number(value, 2), "small": small})
    return cells


def _training(record: Mapping[str, Any], history: pd.DataFrame) -> dict[str, Any]:
    weights = record.get("weights", {})
    best = record.get("best_epoch", history.attrs.get("best_epoch"))
    stopped = record.get("stopped_early", history.attrs.get("stopped_early", False))
    sentence = f"{len(history)} epochs" + (", then stopped early" if stopped else "")
    sentence += f"; the weights of epoch {best} were kept." if best is not None else "."
    settings = [[name, str(value)] for name, value in record.get("config", {}).items()]
    about = {**record.get("versions", {}), **_flat(record.get("machine", {}))}
    return {
        "training_sentence": sentence,
        "weights_detail": f"{weights.get('detail', 'not available')} ({weights.get('name', 'no name')})",
        "weights_sha": weights.get("sha256", ""),
        "settings": _grid(["setting", "value"], settings, wide=1),
        "versions": _grid(
            ["library or machine", "version"], [[name, str(value)] for name, value in about.items()], wide=1
        ),
    }


def _flat(machine: Any) -> dict[str, Any]:
    return dict(machine) if isinstance(machine, Mapping) else {"machine": machine}
