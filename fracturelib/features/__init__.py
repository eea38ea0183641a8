"""Trunk outputs computed once: a frozen trunk gives the same features for the same picture in every epoch."""

from fracturelib.features.dataset import FeatureDataset, compute_features, feature_loaders

__all__ = ["FeatureDataset", "compute_features", "feature_loaders"]
