"""Features that no trunk has computed, for tests of heads and of their panels."""

from __future__ import annotations

import pandas as pd
import torch

from fracturelib.course.studies import Workbench
from fracturelib.features import FeatureDataset
from fracturelib.trunks.weights import WeightsOrigin


def made_up_features(count: int, *, views: int = 1, seed: int = 0) -> FeatureDataset:
    """Eight features per image; the first tells the label, as a good trunk would. Two in five are fractured."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 5 < 2
    features = torch.randn(views, count, 8, generator=generator)
    features[..., 0] += 2.0 * labels
    table = pd.DataFrame({"path": [f"{row}.png" for row in range(count)], "label": labels.int().numpy()})
    return FeatureDataset(table.assign(source_id=table["path"]), features)


def made_up_bench(training: int, validation: int, *, views: int = 1) -> Workbench:
    """A bench with so many images, and no trunk in front of their features."""
    origin = WeightsOrigin("none", "made up", None, "0" * 64)
    val = made_up_features(validation, seed=1)
    return Workbench(torch.nn.Identity(), origin, made_up_features(training, views=views), val)
