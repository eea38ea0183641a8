"""How a score falls when the pictures get worse: noise, blur, contrast and rotation, on a subset of the test images.

The idea of graded corruptions follows Hendrycks and Dietterich, ICLR 2019; the levels here are mild enough that a
reader still sees the bone. Threshold and model stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torchvision.transforms.v2 import functional

from fracturelib.config import IMAGENET_MEAN, IMAGENET_STD, TrainConfig
from fracturelib.errors import EvaluationError
from fracturelib.evaluation.calibration import calibrated
from fracturelib.evaluation.comparison import compare, scores_of
from fracturelib.evaluation.metrics import HEADLINE_OF_GROUPS, Scored
from fracturelib.evaluation.selecting import subset
from fracturelib.loaders import RadiographDataset
from fracturelib.model import FractureClassifier
from fracturelib.transforms import denormalize, eval_transform

# What a level means: see `perturb`. Each kind runs from mild to strong.
PERTURBATIONS: dict[str, tuple[float, ...]] = {
    "noise": (0.03, 0.06, 0.12),
    "blur": (0.5, 1.0, 2.0),
    "contrast": (0.75, 0.5, 0.25),
    "rotation": (5.0, 15.0, 30.0),
}
_LEVEL_WORDS = {
    "none": "as they are",
    "noise": "standard deviation {:g} (black to white is 1)",
    "blur": "{:g} % of the picture's side",
    "contrast": "{:g} times the contrast",
    "rotation": "{:g} degrees",
}


def describe_level(kind: str, level: float) -> str:
    """What a level of a kind of damage means, in words."""
    return _LEVEL_WORDS[kind].format(level)


def perturb(image: NDArray[Any], kind: str, level: float, rng: np.random.Generator) -> NDArray[Any]:
    """A worse copy of a picture (S, S) of 0…1.

    "noise": Gaussian, of this standard deviation. "blur": Gaussian, its standard deviation in per cent of the side.
    "contrast": distances from the mean grey times the level. "rotation": so many degrees to a random side, with
    black corners.

    Raises:
        EvaluationError: unknown kind.
    """
    if kind == "noise":
        changed = image + rng.normal(0, level, image.shape)
    elif kind == "blur":
        changed = ndimage.gaussian_filter(image, level / 100 * image.shape[0])
    elif kind == "contrast":
        changed = image.mean() + level * (image - image.mean())
    elif kind == "rotation":
        changed = ndimage.rotate(image, rng.choice((-1, 1)) * level, reshape=False, order=1)
    else:
        raise EvaluationError(f"unknown perturbation '{kind}'", cure=f"choose {', '.join(PERTURBATIONS)}")
    return np.clip(changed, 0, 1).astype(np.float32)


def robustness_table(
    model: FractureClassifier,
    table: pd.DataFrame,
    config: TrainConfig,
    *,
    threshold: float,
    temperature: float | None = None,
    perturbations: Mapping[str, Sequence[float]] = PERTURBATIONS,
    count: int = 96,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Scores of about `count` rows of `table`, as they are (perturbation "none") and at every level of every kind.

    The `threshold` is one for probabilities with that `temperature`.

    Columns: perturbation, level, n, units, unit, then each metric of `HEADLINE_OF_GROUPS` with its `_low` and `_high`;
    auc_change with `_low` and `_high`, paired with the unchanged pictures, and its verdict and reason.

    Raises:
        EvaluationError: unknown kind; the table is empty.
        ImageError: a file cannot be read.
    """
    rows = subset(table, count=count, seed=seed)
    pictures, known = _pictures(rows, config)
    options = {"resamples": resamples, "seed": seed}
    clean = calibrated(known.assign(probability=_chances(model, pictures, config)), temperature)
    found = [_row("none", 0.0, clean, clean, threshold, options)]
    for kind, levels in perturbations.items():
        for level in levels:
            rng = np.random.default_rng([seed, sorted(perturbations).index(kind)])
            worse = np.stack([perturb(picture, kind, level, rng) for picture in pictures])
            changed = calibrated(known.assign(probability=_chances(model, worse, config)), temperature)
            found.append(_row(kind, level, clean, changed, threshold, options))
    return pd.DataFrame(found)


def _pictures(rows: pd.DataFrame, config: TrainConfig) -> tuple[NDArray[Any], pd.DataFrame]:
    """Pictures (n, S, S) of 0…1 as the model sees them, and the columns that scores need."""
    dataset = RadiographDataset(rows, eval_transform(config), side=config.picture_side, seed=config.seed)
    stack = torch.stack([denormalize(dataset[number][0])[0] for number in range(len(dataset))])
    return stack.numpy(), dataset.table.filter(["path", "label", "source_id", "patient_id"])


def _chances(model: FractureClassifier, pictures: NDArray[Any], config: TrainConfig) -> NDArray[Any]:
    """P(fractured) (n,) of pictures (n, S, S) of 0…1."""
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    batches = torch.from_numpy(pictures)[:, None].expand(-1, 3, -1, -1).split(config.batch_size)
    normalised = (functional.normalize(batch, list(IMAGENET_MEAN), list(IMAGENET_STD)) for batch in batches)
    found = [model.predict_proba(batch.to(device)).float().cpu().numpy() for batch in normalised]
    return np.concatenate(found).astype(float)


def _row(
    kind: str, level: float, clean: pd.DataFrame, changed: pd.DataFrame, threshold: float, options: Mapping[str, int]
) -> dict[str, Any]:
    result = scores_of(changed, threshold=threshold, **options).set_index("metric")
    row: dict[str, Any] = {"perturbation": kind, "level": float(level), "n": len(changed)}
    row |= {"units": int(result.loc["accuracy", "units"]), "unit": result.loc["accuracy", "unit"]}
    for metric in HEADLINE_OF_GROUPS:
        row[metric] = result.loc[metric, "value"]
        row[f"{metric}_low"], row[f"{metric}_high"] = result.loc[metric, ["low", "high"]]
    change = compare(Scored(changed, threshold), Scored(clean, threshold), **options).set_index("metric").loc["auc"]
    row |= {"auc_change": change["difference"], "auc_change_low": change["low"], "auc_change_high": change["high"]}
    return row | {"verdict": change["verdict"], "reason": change["reason"]}
