"""The items of CLAIM 2024, each with what this run can say about it, or "not available".

Checklist for Artificial Intelligence in Medical Imaging, 2024 update: Tejani et al., Radiology: Artificial
Intelligence 6 (2024), e240300. The items are put in our own short words; the numbers are those of the checklist.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from fracturelib.catalog import about
from fracturelib.evaluation import Evaluation, describe_rule
from fracturelib.report.tested import Tested
from fracturelib.stress.probing import Probes
from fracturelib.writing.tables import MISSING
from fracturelib.writing.words import LABEL_MEANINGS

AUTHOR = f"{MISSING}: for the author of a paper to write"
NOT_OURS = f"{MISSING}: the folder of images does not say"


Items = list[tuple[int, str, str]]  # number, item, answer


def claim_items(tested: Tested, *, partitions: str) -> Items:
    """All 44 items; `partitions` says whether the splits share original images."""
    return [
        *_study(tested.record),
        *_data(tested, partitions),
        *_model(tested.record),
        *_evaluation(tested.evaluation, tested.probes),
        *_results(tested.evaluation, tested.table),
    ]


def _study(record: Mapping[str, Any]) -> Items:
    network = record.get("config", {}).get("architecture", MISSING)
    return [
        (1, "title names AI and its kind", f"image classification by transfer learning ({network})"),
        (2, "structured summary", "see Result"),
        (3, "background, intended use and role", "teaching and research; see Intended use"),
        (4, "aims and hypotheses", AUTHOR),
        (5, "prospective or retrospective", "retrospective: images that existed before"),
        (6, "goal of the study", "model development and testing, for teaching"),
    ]


def _data(tested: Tested, partitions: str) -> Items:
    record, evaluation = tested.record, tested.evaluation
    facts = record.get("data", {})
    root = facts.get("root", MISSING)
    skipped = facts.get("skipped")
    missing = MISSING if skipped is None else f"{skipped} unreadable files were left out"
    size = record.get("config", {}).get("image_size")
    prepared = MISSING if size is None else f"greyscale, resized to {size} × {size} pixels, ImageNet normalisation"
    meaning = LABEL_MEANINGS.get(about(tested.table).meaning, "the labels that came with the images are taken")
    labels = f"{MISSING}; {meaning}"
    units = f"{evaluation.n_units} {evaluation.unit}"
    return [
        (7, "sources of the data", f"the folder {root}; its origin: {MISSING}"),
        (8, "inclusion and exclusion", NOT_OURS),
        (9, "preprocessing", prepared),
        (10, "selection of data subsets", "whole radiographs; none selected by this program"),
        (11, "de-identification", NOT_OURS),
        (12, "missing data", missing),
        (13, "image acquisition protocol", NOT_OURS),
        (14, "reference standard, how obtained", labels),
        (15, "why this reference standard", AUTHOR),
        (16, "who annotated, with which qualification", NOT_OURS),
        (17, "annotation of the test set", NOT_OURS),
        (18, "agreement between and within readers", NOT_OURS),
        (19, "assignment to partitions", "as the set comes, or made by patient or source: see Data"),
        (20, "level at which partitions are disjoint", partitions),
        (21, "planned sample size", f"not planned; {evaluation.n_files} test files of {units}"),
    ]


def _model(record: Mapping[str, Any]) -> Items:
    config = record.get("config", {})
    detail = str(record.get("weights", {}).get("detail", MISSING))
    head = f"frozen {config['architecture']} and a head of {config['hidden_units']} hidden units" if config else MISSING
    trained = "all settings are in config.json and under Training" if config else MISSING
    software = ", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items())
    return [
        (22, "model", head),
        (23, "software", software or MISSING),
        (24, "initial parameters", detail),
        (25, "training", trained),
        (26, "choice of the final model", "the last epoch without a clear rise of the validation loss"),
        (27, "ensembling", "none"),
    ]


def _evaluation(evaluation: Evaluation, probes: Probes) -> Items:
    own, external = evaluation.set_name == "test", evaluation.set_name == "external test"
    robust, looks = len(probes.robustness) > 0, bool(probes.heat)
    looked = "Grad-CAM" + (", pointing game, occlusion" if looks and len(probes.localisation) else "")
    return [
        (28, "metrics", "AUC, average precision, sensitivity, specificity, predictive values, calibration"),
        (29, "statistical uncertainty", f"95 % intervals: bootstrap over {evaluation.unit}"),
        (30, "robustness", "noise, blur, contrast, rotation: see Robustness" if robust else MISSING),
        (31, "explainability", f"{looked}: see Where the model looks" if looks else MISSING),
        (32, "internal test", "this result" if own else "in the report of the run"),
        (33, "external test", "this result" if external else f"{MISSING}: use fracturelib evaluate RUN --data FOLDER"),
        (34, "clinical trial registration", "no clinical trial"),
    ]


def _results(evaluation: Evaluation, table: pd.DataFrame) -> Items:
    described = [name for name in ("age_group", "sex", "region", "view", "device") if name in table]
    about = ", ".join(name.replace("_", " ") for name in described)
    rule = describe_rule(evaluation.threshold_rule)
    return [
        (35, "numbers included and excluded", "included: see Data; excluded: see Warnings"),
        (36, "demographic and clinical characteristics", f"subgroups by {about}" if about else NOT_OURS),
        (37, "performance with uncertainty", "see Result"),
        (38, "diagnostic performance and its precision", f"at the threshold {evaluation.threshold:.3f}, {rule}"),
        (39, "failure analysis", "worst errors, least certain images and subgroups in report.html"),
        (40, "limits", "see Limits"),
        (41, "implications for practice", "none: teaching and research only, no medical device"),
        (42, "full protocol", "config.json, and the source of fracturelib"),
        (43, "availability of software, model and data", f"software and model: this folder; data: {MISSING}"),
        (44, "funding and role of funders", AUTHOR),
    ]
