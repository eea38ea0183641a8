"""The one training loop, what it starts from and goes on with, and the head that scikit-learn fits."""

from fracturelib.training.epoch import fit_standardise, train_on_batch, train_one_epoch, validate
from fracturelib.training.loop import fit
from fracturelib.training.state import CHECKPOINT_FORMAT, MAY_CHANGE, EarlyStopping, read_checkpoint

__all__ = [
    "CHECKPOINT_FORMAT",
    "MAY_CHANGE",
    "EarlyStopping",
    "fit",
    "fit_standardise",
    "read_checkpoint",
    "train_on_batch",
    "train_one_epoch",
    "validate",
]
