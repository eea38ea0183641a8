"""`MODEL_CARD.md`: the report in two pages of plain text, with what is not known marked as "not available"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from fracturelib.evaluation import Evaluation
from fracturelib.report.context import LIMITS, report_context

MISSING = "not available"


def write_model_card(
    folder: str | Path,
    *,
    record: Mapping[str, Any],
    table: pd.DataFrame,
    history: pd.DataFrame,
    evaluation: Evaluation,
) -> Path:
    """Write `MODEL_CARD.md` into the run's folder (made if it is missing); arguments as in `write_report`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    context = report_context(record=record, table=table, history=history, evaluation=evaluation, name=folder.name)
    scores, subgroups = context["scores"], context["subgroups"]
    weights = {key: record.get("weights", {}).get(key) or MISSING for key in ("name", "detail", "sha256")}
    config = {key: record.get("config", {}).get(key, MISSING) for key in ("architecture", "unfreeze")}
    content = context | {
        "weights": weights,
        "config": config,
        "training": context["training_sentence"],
        "made": context["subtitle"],
        "fingerprint": context["fingerprint"] or MISSING,
        "leak": context["data"]["caption"],
        "counts": context["data"]["rows"],
        "models": scores["head"][1:],
        "scores": [[_cell(cell) for cell in row] for row in scores["rows"]],
        "groups": [[_cell(cell) for cell in row] for row in subgroups["rows"]],
        "limits": LIMITS,
        "claim": claim_items(record, evaluation, partitions=context["data"]["caption"]),
    }
    template = resources.files("fracturelib.report").joinpath("model_card_template.md").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=False, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["md"] = escape_markdown
    path = folder / "MODEL_CARD.md"
    path.write_text(environment.from_string(template).render(content), encoding="utf-8")
    return path


def escape_markdown(value: Any) -> str:
    """Text on one line, in which no character opens a tag, a table cell, a link or emphasis."""
    line = " ".join(str(value).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", line)


def _cell(cell: Any) -> str:
    return " ".join(part for part in (cell["main"], cell["small"]) if part) if isinstance(cell, Mapping) else str(cell)


def claim_items(record: Mapping[str, Any], evaluation: Evaluation, *, partitions: str) -> list[tuple[str, str]]:
    """What the checklist asks for, each with this run's answer or "not available"; `partitions` says if any leak."""
    config = record.get("config", {})
    rule = "Youden's index on validation" if evaluation.threshold_rule == "youden" else "fixed beforehand"
    external = evaluation.set_name == "external test"
    return [
        ("study design, protocol, registration", MISSING),
        ("source of the images, dates, centres, devices", MISSING),
        ("inclusion and exclusion of patients", MISSING),
        ("demographics of the patients", MISSING),
        ("reference standard: who labelled, how, agreement", f"{MISSING}; the folder names are taken as labels"),
        ("de-identification", MISSING),
        ("partitions and their level", partitions),
        (
            "sample size",
            f"{evaluation.n_files} files, {evaluation.n_sources} original images; not planned",
        ),
        ("initial weights", str(record.get("weights", {}).get("detail", MISSING))),
        ("training details", "all settings are in config.json" if config else MISSING),
        ("choice of the final model", "lowest validation loss"),
        ("operating point", f"{evaluation.threshold:.3f}, {rule}"),
        ("metrics and their uncertainty", "see Result; bootstrap over original images"),
        ("robustness, explainability", MISSING),
        ("external test", "this result" if external else MISSING),
        ("failures", "gallery of the worst errors in report.html"),
        ("software", ", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items()) or MISSING),
        ("funding, conflicts of interest", MISSING),
    ]
