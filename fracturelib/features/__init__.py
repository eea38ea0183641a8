"""Trunk outputs computed once: a frozen trunk gives the same features for the same picture in every epoch."""

from fracturelib.features.bank import BANK_FOLDER, DEFAULT_LIMIT, FeatureBank
from fracturelib.features.calibrating import check_engine, make_engine
from fracturelib.features.computing import compute_features, feature_shape, final_features
from fracturelib.features.dataset import FeatureDataset, feature_loaders

__all__ = [
    "BANK_FOLDER",
    "DEFAULT_LIMIT",
    "FeatureBank",
    "FeatureDataset",
    "check_engine",
    "compute_features",
    "feature_loaders",
    "feature_shape",
    "final_features",
    "make_engine",
]
