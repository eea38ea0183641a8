"""One number per patient or study from the calibrated probabilities of the pictures: the highest, or their mean."""

from __future__ import annotations

from enum import StrEnum

import pandas as pd

from fracturelib.evaluation.thresholds import check_validation


class Combination(StrEnum):
    """How the probabilities of several pictures become one."""

    HIGHEST = "highest"
    MEAN = "mean"


def combined(predictions: pd.DataFrame, *, by: str, rule: Combination) -> pd.DataFrame:
    """One row per value of the column `by`: label (fractured if any picture is), probability, pictures.

    Pictures whose value is missing are left out.
    """
    how = {Combination.HIGHEST: "max", Combination.MEAN: "mean"}[rule]
    groups = predictions.groupby(by, sort=False)
    return groups.agg(label=("label", "max"), probability=("probability", how), pictures=("label", "size"))


def choose_combination(validation: pd.DataFrame) -> Combination:
    """The rule with the higher AUC over the *validation* patients; the highest where it makes no difference.

    Raises:
        EvaluationError: rows of another split than validation.
    """
    from sklearn.metrics import roc_auc_score  # a second to load, which `predict` can do without

    check_validation(validation, "how pictures are combined")
    if "patient_id" not in validation or validation["patient_id"].isna().all():
        return Combination.HIGHEST
    found = {rule: combined(validation, by="patient_id", rule=rule) for rule in Combination}
    if found[Combination.HIGHEST]["label"].nunique() < 2:
        return Combination.HIGHEST
    return max(Combination, key=lambda rule: roc_auc_score(found[rule]["label"], found[rule]["probability"]))
