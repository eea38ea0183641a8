"""`MODEL_CARD.md`: the report in two pages of plain text, with what is not known marked as "not available"."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from fracturelib.evaluation import METRICS, Evaluation
from fracturelib.files import write_text
from fracturelib.report.context import report_context
from fracturelib.report.tested import Tested
from fracturelib.writing.tables import MISSING, grid

MODEL_CARD = "MODEL_CARD.md"
TABLES = (
    "data",
    "scores",
    "drop",
    "prevalence",
    "calibration",
    "subgroups",
    "robustness",
    "localisation",
    "occlusion",
)


def write_model_card(folder: str | Path, tested: Tested) -> Path:
    """Write `MODEL_CARD.md` into the folder, which is made if it is missing; returns its path."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    context = report_context(tested, name=folder.name)
    weights = {key: tested.record.get("weights", {}).get(key) or MISSING for key in ("name", "detail", "sha256")}
    config = {key: tested.record.get("config", {}).get(key, MISSING) for key in ("architecture", "unfreeze")}
    content = context | {
        "weights": weights,
        "config": config,
        "training": context["training_sentence"],
        "made": context["subtitle"],
        "fingerprint": context["fingerprint"] or MISSING,
        "hub_metrics": _hub_metrics(tested.evaluation),
        "tables": {name: markdown_table(context[name]) for name in TABLES},
        "claim": markdown_table(grid(["no.", "item", "here"], context["claim"])),
    }
    template = resources.files("fracturelib.report").joinpath("model_card_template.md").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=False, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["md"] = escape_markdown
    path = folder / MODEL_CARD
    write_text(path, environment.from_string(template).render(content))
    return path


def _hub_metrics(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The scores in the words that model hubs read; those that are not estimable are left out."""
    types = {"auc": "roc_auc", "sensitivity": "recall", "specificity": "specificity", "accuracy": "accuracy"}
    found = {name: evaluation.value(name) for name in types}
    return [
        {"type": types[name], "name": f"{METRICS[name]}, {evaluation.set_name} set", "value": round(value, 4)}
        for name, value in found.items()
        if not math.isnan(value)
    ]


def escape_markdown(value: Any) -> str:
    """Text on one line, in which no character opens a tag, a table cell, a link or emphasis."""
    line = " ".join(str(value).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", line)


def markdown_table(table: Mapping[str, Any]) -> str:
    """A table of the report as Markdown; empty without rows."""
    if not table["rows"]:
        return ""
    head, *rows = ([escape_markdown(_text(cell)) for cell in row] for row in (table["head"], *table["rows"]))
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(cell: Any) -> str:
    return " ".join(part for part in (cell["main"], cell["small"]) if part) if isinstance(cell, Mapping) else str(cell)
