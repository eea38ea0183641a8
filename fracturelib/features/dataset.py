"""Features in the place of images: the same rows, the same order, the same training loop."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import torch
from torch.utils.data import Dataset

from fracturelib.config import TrainConfig
from fracturelib.errors import ConfigError
from fracturelib.features.bank import FeatureBank
from fracturelib.features.computing import compute_features
from fracturelib.loaders import Loaders, make_loader
from fracturelib.model import FractureClassifier


class FeatureDataset(Dataset):
    """Rows of a table as (features, label, row number), with the contract of `RadiographDataset`.

    A list of rows gives a whole batch at once: with features, putting single items together would take longer than
    training on them.

    Args:
        table: the rows.
        features: trunk outputs (V, N, F) of V views of N images; below an unfrozen stage they are maps
            (V, N, C, H, W).
    """

    many_rows_at_once = True  # asks `make_loader` for lists of rows

    def __init__(self, table: pd.DataFrame, features: torch.Tensor) -> None:
        self.table, self.features = table, features
        self.labels = torch.tensor(table["label"].to_numpy(), dtype=torch.float32)
        self._view = 0

    @property
    def small(self) -> bool:
        """Whether rows are vectors (F,), a small load for a processor; maps (C, H, W) are a large one."""
        return self.features.ndim == 3

    def set_view(self, view: int) -> None:
        """Choose the view of the coming epoch; with fewer views than epochs they come round again."""
        self._view = view % len(self.features)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: int | list[int]) -> tuple[torch.Tensor, torch.Tensor, int | torch.Tensor]:
        numbers = rows if isinstance(rows, int) else torch.tensor(rows)
        return self.features[self._view, numbers].float(), self.labels[numbers], numbers

    def __repr__(self) -> str:
        views, images, *shape = self.features.shape
        return f"FeatureDataset({images} images × {views} views, {'×'.join(map(str, shape))} features each)"


def feature_loaders(
    model: FractureClassifier,
    loaders: Loaders,
    config: TrainConfig,
    *,
    views: int | None = None,
    bank: FeatureBank | None = None,
) -> Loaders:
    """The same three loaders, giving features instead of images; `fit` takes either.

    Where the trunk is frozen up to a stage only, the features are the maps that go into that stage.

    Args:
        model: at least the first part of its trunk must be frozen.
        loaders: over images, from `make_loaders`.
        config: settings of the run.
        views: views per training image; default ``config.views``. Epoch e uses view e mod `views`.
        bank: keeps the features for later runs.

    Raises:
        ConfigError: the whole trunk is trained, so that nothing in it stays as it is.
    """
    if not model.has_frozen_part:
        raise ConfigError(
            "features cannot be computed once while the whole trunk is trained",
            cure="freeze its first stages (unfreeze='head', 'layer4' …), or train on images",
        )
    views = config.views if views is None else views
    counts = {"train": min(views, config.epochs), "val": 1, "test": 1}
    made = []
    for split, loader in zip(Loaders._fields, loaders, strict=True):
        features = compute_features(model, loader.dataset, config, views=counts[split], bank=bank)
        dataset = FeatureDataset(loader.dataset.table, features)
        # No workers: reading a feature takes less time than handing it over from another process.
        made.append(make_loader(dataset, replace(config, workers=0), shuffle=split == "train"))
    return Loaders(*made)
