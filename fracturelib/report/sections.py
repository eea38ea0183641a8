"""The sections of the report on calls, calibration, subgroups, robustness and where the model looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from fracturelib.config import parse_guarantee
from fracturelib.evaluation import Evaluation, describe_rule
from fracturelib.evaluation.metrics import HEADLINE_OF_GROUPS
from fracturelib.stress import describe_level
from fracturelib.stress.probing import Probes
from fracturelib.writing.numbers import number, percent
from fracturelib.writing.tables import MISSING, cell, grid
from fracturelib.writing.verdicts import erasing_told, subgroup_caution, told

QUANTITIES = {
    "brier": "Brier score (0 is perfect; always saying 0.5 gives 0.25)",
    "reliability": "reliability (0 is perfect)",
    "resolution": "resolution (more is better)",
    "uncertainty": "uncertainty (of the data, not of the model)",
    "within_bins": "rest within the bins",
    "ece": "expected calibration error, ten bins",
    "log_loss": "log loss",
}
LEVELS = ("chance", "centre")
HIGHER_AUC, LOWER_AUC = "higher than on the unchanged pictures", "lower than on the unchanged pictures"
PARTS = ("reliability", "resolution", "uncertainty", "within_bins")


def calls(evaluation: Evaluation) -> dict[str, Any]:
    """The threshold, what was called at it, and what a call is worth at other shares of fractures."""
    chosen = f"It is {describe_rule(evaluation.threshold_rule)}"
    rows = [
        [name, *(number(row[column]) for column in ("precision", "recall", "f1-score")), f"{row['support']:,.0f}"]
        for name, row in evaluation.report.iterrows()
    ]
    return {
        "threshold_sentence": f"A file is called fractured when its probability is {evaluation.threshold:.3f} or more. "
        f"{chosen}; the {evaluation.set_name} set had no part in it.",
        "report": grid(["class", "precision", "recall", "F1", "files"], rows, numeric=(1, 2, 3, 4)),
        "prevalence": _prevalence(evaluation.prevalence),
        "share_fractured": percent(evaluation.n_fractured, evaluation.n_files),
    }


def _prevalence(prevalence: pd.DataFrame) -> dict[str, Any]:
    head = ["share of fractures", "a call “fractured” is right", "a call “not fractured” is right"]
    rows = []
    for row in prevalence.to_dict("records"):
        cells = []
        for name in ("ppv", "npv"):
            value, low, high = (row[name + end] for end in ("", "_low", "_high"))
            if np.isnan(value):
                cells.append({"main": "not estimable", "small": str(row[f"{name}_reason"])})
            else:
                small = "no interval" if np.isnan(low) else f"({percent(low, digits=1)} to {percent(high, digits=1)})"
                cells.append({"main": percent(value, digits=1), "small": small})
        rows.append([percent(row["prevalence"], digits=1), *cells])
    return grid(head, rows, numeric=(1, 2))


def guarantee(record: Mapping[str, Any], predictions: pd.DataFrame, *, threshold: float) -> str:
    """Where “no fracture” may be said, what that promises, and what it means for these files; "" without a promise."""
    limit, asked = record.get("limit"), parse_guarantee(record.get("config", {}).get("guarantee", "none"))
    if limit is None or asked is None:
        return ""
    limit, chances = min(limit, threshold), predictions["probability"]
    cleared, unsure = predictions[chances < limit], int(((chances >= limit) & (chances < threshold)).sum())
    return (
        f"“No fracture” is said below {limit:.3f} only: with 95 % confidence over validation patients, at most "
        f"{percent(1 - asked)} of those with a fracture have a fractured picture below it (exact binomial test). On "
        f"these files it is said of {len(cleared):,}, of which {int(cleared['label'].sum()):,} are fractured; between "
        f"limit and threshold a human must look: at {unsure:,}."
    )


def calibration(evaluation: Evaluation, record: Mapping[str, Any]) -> dict[str, Any]:
    """Brier score with its parts, calibration error and log loss, as trained and with the run's temperature."""
    summary = evaluation.calibration_summary.set_index("quantity")
    head = ["quantity", "as trained"]
    columns = ["as_trained"]
    chosen = record.get("calibration") or {}
    sentence = f"Temperature: {MISSING}."
    if chosen.get("reason"):
        fitted = f" ({chosen['fitted']:.2f})" if chosen.get("fitted") else ""
        sentence = f"A temperature{fitted} was refused: {chosen['reason']}. Probabilities are what the network gave."
    if evaluation.temperature is not None:
        head.append(f"with temperature {evaluation.temperature:.2f}")
        columns.append("with_temperature")
        effect = "towards 0.5 (less sure)" if evaluation.temperature > 1 else "away from 0.5 (surer)"
        sentence = (
            f"The temperature {evaluation.temperature:.2f} was fitted on the validation split and moves probabilities "
            f"{effect}. It changes no call and no ranking, and all probabilities "
            "here have it unless they are marked “as trained”."
        )
    rows = [
        [("– " if name in PARTS else "") + text, *(number(summary.loc[name, column]) for column in columns)]
        for name, text in QUANTITIES.items()
    ]
    return {
        "calibration": grid(head, rows, numeric=range(1, len(head))),
        "temperature_sentence": sentence,
        "calibration_sentence": f"Brier score {number(summary.loc['brier', columns[-1]])} = reliability "
        f"{number(summary.loc['reliability', columns[-1]])} − resolution "
        f"{number(summary.loc['resolution', columns[-1]])} + uncertainty "
        f"{number(summary.loc['uncertainty', columns[-1]])}, and a rest; expected calibration error "
        f"{number(summary.loc['ece', columns[-1]])} in ten bins.",
    }


def subgroups(table: pd.DataFrame) -> dict[str, Any]:
    """Scores by group, small groups marked."""
    rows = []
    for row in table.to_dict("records"):
        cells = [cell(row[name], row[f"{name}_low"], row[f"{name}_high"], 2) for name in HEADLINE_OF_GROUPS]
        note = subgroup_caution(row["units_with"], row["units_without"], row["unit"], row["reason"])
        group = f"{str(row['column']).replace('_', ' ')}: {row['group']}"
        rows.append([group, f"{row['n']:,}", f"{row['units']:,}", *cells, note])
    unit = table["unit"].iloc[0] if len(table) else "units"
    head = ["group", "files", unit, *HEADLINE_OF_GROUPS.values(), "note"]
    return grid(head, rows, numeric=range(1, len(head) - 1), wide=len(head) - 1)


def probes(found: Probes) -> dict[str, Any]:
    """Robustness, Grad-CAM against the boxes, occlusion; every part that was not made says so."""
    return {
        "robustness": _robustness(found.robustness),
        "robustness_sentence": _robustness_sentence(found.robustness),
        "localisation": _localisation(found.localisation),
        "localisation_sentences": _localisation_sentences(found.localisation),
        "occlusion": _occlusion(found.occlusion),
        "occlusion_sentence": _occlusion_sentence(found.occlusion),
        "check_notes": list(found.notes),
        "check_heat": bool(found.heat),
    }


def _robustness(table: pd.DataFrame) -> dict[str, Any]:
    head = ["pictures", *HEADLINE_OF_GROUPS.values(), "change of AUC, paired", "in words"]
    rows = []
    for row in table.to_dict("records"):
        kind, damage = row["perturbation"], describe_level(row["perturbation"], row["level"])
        change = cell(row["auc_change"], row["auc_change_low"], row["auc_change_high"], signed=True)
        said = told(row["verdict"], row["reason"], row["unit"], higher=HIGHER_AUC, lower=LOWER_AUC)
        scores = [cell(row[name], row[f"{name}_low"], row[f"{name}_high"], 2) for name in HEADLINE_OF_GROUPS]
        rows.append([damage, *scores, "", ""] if kind == "none" else [f"{kind}: {damage}", *scores, change, said])
    return grid(head, rows, numeric=range(1, len(head) - 1), wide=len(head) - 1)


def _robustness_sentence(table: pd.DataFrame) -> str:
    if table.empty:
        return f"How the score falls under noise, blur, contrast and rotation: {MISSING}."
    row = table.iloc[0]
    sentence = f"The same {row['n']} test images of {row['units']} {row['unit']}, made worse on purpose. "
    return sentence + "Model and threshold stay as they are."


def _localisation(table: pd.DataFrame) -> dict[str, Any]:
    names = {"hit rate": "the hottest place lies in the fracture box", "share of heat": "share of heat inside the box"}
    rows = [
        [names[row["measure"]], cell(row["value"], row["low"], row["high"], 2), *(number(row[k], 2) for k in LEVELS)]
        for row in table.to_dict("records")
    ]
    return grid(["Grad-CAM", "model", "chance", "hill in the middle"], rows, numeric=(1, 2, 3))


def _localisation_sentences(table: pd.DataFrame) -> list[str]:
    if table.empty:
        return [f"Whether the model looks at the fracture: {MISSING} (no fracture boxes are known for these data)."]
    hit = table.set_index("measure").loc["hit rate"]
    words = {"chance": "chance", "centre": "always pointing at the middle of the picture"}
    sentences = [
        f"On {hit['n']} test images with a known fracture box, Grad-CAM's hottest place lies in the box (with a "
        f"tolerance of half a cell of the map) in {percent(hit['value'])} of cases."
    ]
    for level in LEVELS:
        at = f"{words[level]} ({percent(hit[level])})"
        said = told(
            hit[f"against_{level}"],
            hit[f"against_{level}_reason"],
            higher=f"That is more often than by {at}.",
            lower=f"That is less often than by {at}.",
            neither=f"Against {at}: no difference shown.",
            unknown=f"Against {at}: {{}}.",
        )
        sentences.append(said)
    return sentences


def _occlusion(table: pd.DataFrame) -> dict[str, Any]:
    rows = []
    for row in table.to_dict("records"):
        said = told(row["verdict"], row["reason"], higher="above 0", lower="below 0", neither="no change shown")
        rows.append([row["erased"], cell(row["value"], row["low"], row["high"], signed=True), said])
    return grid(["erased from the picture", "mean change of P(fractured)", "in words"], rows, numeric=(1,), wide=2)


def _occlusion_sentence(table: pd.DataFrame) -> str:
    if table.empty:
        return ""
    verdicts = table.set_index("erased")["verdict"]
    return erasing_told(verdicts["the fracture"], verdicts["difference"])
