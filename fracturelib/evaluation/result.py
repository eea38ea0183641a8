"""From a model and a test split to an honest result: intervals, baselines, calibration, subgroups."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from tqdm import tqdm

from fracturelib.config import CLASS_NAMES
from fracturelib.errors import EvaluationError
from fracturelib.evaluation.calibration import calibration_summary, calibration_table
from fracturelib.evaluation.comparison import compare, comparison_table
from fracturelib.evaluation.consequences import confusion_at
from fracturelib.evaluation.intervals import Units, units_of
from fracturelib.evaluation.metrics import Scored, check_predictions
from fracturelib.evaluation.prevalence import predictive_value_table
from fracturelib.evaluation.subgroups import subgroup_table
from fracturelib.runtime.processes import gathered
from fracturelib.writing.verdicts import FEWEST_UNITS, Caution, cautioned

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.data import DataLoader


MODEL = "model"


@dataclass(frozen=True)
class Evaluation:
    """The result on one set of files, everything that the report and `metrics.json` need.

    Attributes:
        scores: one row per metric, see `scores`.
        comparison: the same with the column `model` in front; the model and every baseline.
        differences: the model minus each baseline: column `baseline`, then those of `compare`.
        confusion: 2 × 2 counts, rows the truth, columns what the model called.
        report: precision, recall, f1-score and support per class, then the averages.
        prevalence: see `predictive_value_table`.
        calibration, calibration_summary: see `calibration_table` and the function of that name.
        subgroups: see `subgroup_table`; empty where the table has no such columns.
        threshold: a file is called fractured when its probability is at least this.
        threshold_rule: the rule by which it was chosen on validation, or the fixed number, as text.
        temperature: fitted on validation; None where it is not known.
        set_name: "test", "external test" for data from elsewhere, or "overlapping test" for data of which the model
            has learnt from a part.
        n_files, n_sources, n_fractured: files, original images, fractured files.
        n_learnt: files with pictures that the model has learnt from; None where that is not known.
        n_units, unit: effective sample size: how many of what every interval counts ("patients", "sources").
        resamples: bootstrap resamples behind every interval (half as many for subgroups and predictive values).
        cautions: what a reader must know before believing the numbers; `warnings` says it in words.
    """

    scores: pd.DataFrame
    comparison: pd.DataFrame
    differences: pd.DataFrame
    confusion: pd.DataFrame
    report: pd.DataFrame
    prevalence: pd.DataFrame
    calibration: pd.DataFrame
    calibration_summary: pd.DataFrame
    subgroups: pd.DataFrame
    threshold: float
    threshold_rule: str
    temperature: float | None
    set_name: str
    n_files: int
    n_sources: int
    n_units: int
    unit: str
    n_fractured: int
    resamples: int
    cautions: list[Caution] = field(default_factory=list)
    n_learnt: int | None = None

    @property
    def warnings(self) -> list[str]:
        """The cautions as sentences."""
        said = partial(cautioned, files=self.n_files, fractured=self.n_fractured, units=self.n_units, unit=self.unit)
        return [said(caution, learnt=self.n_learnt or 0) for caution in self.cautions]

    def value(self, metric: str) -> float:
        """The value of one metric, NaN where it is not estimable."""
        return float(self.scores.set_index("metric").loc[metric, "value"])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: a table is a list of rows, NaN is null (its row's `reason` says why)."""
        return {name: _plain(getattr(self, name)) for name in (*(entry.name for entry in fields(self)), "warnings")}


def _plain(value: Any) -> Any:
    """Tables and NumPy values as JSON values; an index that holds names becomes a column."""
    if isinstance(value, pd.DataFrame):
        named = value if isinstance(value.index, pd.RangeIndex) else value.reset_index()
        return [{str(key): _plain(entry) for key, entry in row.items()} for row in named.to_dict("records")]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and np.isnan(value):
        return None
    return value


def predict(model: nn.Module, loader: DataLoader, *, progress: bool = True) -> pd.DataFrame:
    """P(fractured) for every row of `loader.dataset.table`, in the table's row order.

    Returns: path, label, probability, source_id, split, then the table's optional columns and sha256. The model is
    left in the mode (train or eval) in which it came.

    Raises:
        ConfigError: a data set came in the place of a loader.
        EvaluationError: the loader leaves files out or repeats them; the model gives something else than a
            probability per image.
    """
    from fracturelib.loaders import check_loader  # here, so that evaluating saved predictions needs no torch

    check_loader(loader)
    table: pd.DataFrame = cast(Any, loader.dataset).table
    was_training = model.training
    model.eval()
    try:
        found = _probabilities(model, loader, rows=len(table), progress=progress)
    finally:
        model.train(was_training)
    check_predictions(table["label"], found)
    front, end = ["source_id", "split"], ["sha256"]
    hidden = ["path", "label", *front, *end, "width", "height", "truncated", "grey_mean", "grey_std", "content"]
    kept = table[["path", "label"]].assign(probability=found)
    parts = [table[[name for name in names if name in table]] for names in (front, end)]
    optional = table.drop(columns=hidden, errors="ignore")
    return pd.concat([kept, parts[0], optional, parts[1]], axis=1).reset_index(drop=True)


def _probabilities(model: nn.Module, loader: DataLoader, *, rows: int, progress: bool) -> np.ndarray:
    """The model's output (rows,) put where the loader's indices say."""
    import torch  # here, so that evaluating saved predictions needs no torch

    from fracturelib.loaders import is_shared

    found, seen, pieces = np.full(rows, np.nan), np.zeros(rows, dtype=int), []
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    with torch.inference_mode():
        for images, _, indices in tqdm(loader, desc="predicting", delay=2, disable=not progress):
            output = model(images.to(device))
            if output.shape != indices.shape:
                raise EvaluationError(
                    f"the model gives values of shape {tuple(output.shape)} for {len(indices)} images",
                    cure="pass a model whose output is one probability per image, shape (B,)",
                )
            pieces.append((indices.numpy(), output.float().cpu().numpy()))
    for indices, values in itertools.chain.from_iterable(gathered(pieces)) if is_shared(loader) else pieces:
        found[indices] = values
        np.add.at(seen, indices, 1)
    if (seen != 1).any():
        raise EvaluationError(
            f"the loader left out {(seen == 0).sum()} files and repeated {(seen > 1).sum()}",
            cause="the loader drops the last batch or samples with replacement",
            cure="predict with a plain evaluation loader",
        )
    return found


def evaluate(
    predictions: pd.DataFrame,
    *,
    threshold: float,
    threshold_rule: str = "youden",
    temperature: float | None = None,
    baselines: Mapping[str, Scored] | None = None,
    set_name: str = "test",
    resamples: int = 2000,
    seed: int = 0,
) -> Evaluation:
    """Judge predictions (path, label, probability, source_id, …) at a threshold and temperature fixed beforehand.

    Where they have a column `raw`, as `calibrated` gives it, `probability` has that temperature already. There is no
    way to choose either here: take them from `choose_threshold` and `choose_temperature`, which accept validation
    predictions only. The temperature changes no call, only what the probabilities say about themselves.

    Raises:
        EvaluationError: a column is missing; see `check_predictions` and `comparison_table`.
    """
    missing = [name for name in ("path", "label", "probability", "source_id") if name not in predictions]
    if missing:
        raise EvaluationError(
            f"the predictions have no column {', '.join(missing)}", cure="pass the table that `predict` gives"
        )
    labels, chances = check_predictions(predictions["label"], predictions["probability"])
    models = {MODEL: Scored(predictions, threshold), **(baselines or {})}
    comparison = comparison_table(models, resamples=resamples, seed=seed)
    called = (chances >= threshold).astype(int)
    trained = predictions.get("raw", chances)
    own = comparison[comparison["model"] == MODEL].drop(columns="model").reset_index(drop=True)
    units = units_of(predictions)
    half = max(1, resamples // 2)
    return Evaluation(
        scores=own,
        comparison=comparison,
        differences=_differences(models, resamples=resamples, seed=seed),
        confusion=confusion_at(predictions, threshold),
        report=_report(labels, called),
        prevalence=predictive_value_table(predictions, threshold=threshold, resamples=half, seed=seed),
        calibration=calibration_table(labels, chances),
        calibration_summary=calibration_summary(labels, trained, temperature=temperature),
        subgroups=subgroup_table(predictions, threshold=threshold, resamples=half, seed=seed),
        threshold=float(threshold),
        threshold_rule=str(threshold_rule),
        temperature=temperature,
        set_name=set_name,
        n_files=len(labels),
        n_sources=int(predictions["source_id"].nunique()),
        n_units=units.count,
        unit=units.name,
        n_fractured=int(labels.sum()),
        resamples=resamples,
        cautions=_cautions(predictions, units, own),
    )


def _differences(models: Mapping[str, Scored], *, resamples: int, seed: int) -> pd.DataFrame:
    """`compare` of the model with each of the others; empty when it stands alone."""
    parts = [
        compare(models[MODEL], other, resamples=resamples, seed=seed).assign(baseline=name)
        for name, other in models.items()
        if name != MODEL
    ]
    columns = ["baseline", "metric", "first", "second", "difference", "low", "high", "verdict", "reason", "unit"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _report(labels: np.ndarray, called: np.ndarray) -> pd.DataFrame:
    """scikit-learn's classification report; a precision with no call of its class is NaN, not 0."""
    from sklearn.metrics import classification_report  # a second to load, which `predict` can do without

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of the very NaN that is asked for
        found = classification_report(
            labels, called, labels=[0, 1], target_names=CLASS_NAMES, output_dict=True, zero_division=np.nan
        )
    found.pop("accuracy", None)  # one number in a table of four columns; it is among the scores
    table = pd.DataFrame(found).T.rename_axis("class")
    return table.astype({"support": int})


def _cautions(predictions: pd.DataFrame, units: Units, own: pd.DataFrame) -> list[Caution]:
    found = []
    if units.count < FEWEST_UNITS:
        found.append(Caution.NO_INTERVALS)
    elif len(predictions) >= 2 * units.count:
        found.append(Caution.MANY_FILES)
    if predictions["label"].min() == predictions["label"].max():
        found.append(Caution.ONE_CLASS)
    if own.set_index("metric").loc["auc", "low"] < 0.5:
        found.append(Caution.NO_SKILL)
    return found
