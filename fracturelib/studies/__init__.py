"""What-if questions of the notebooks, as plain functions: trainings side by side, and what they show."""

from fracturelib.studies.heads import (
    HeadRun,
    Workbench,
    choose_images,
    ending,
    open_workbench,
    run_table,
    train_head,
)
from fracturelib.studies.sweeps import (
    curve_summary,
    learning_curve,
    learning_rate_range,
    suggested_rate,
    training_sizes,
)

__all__ = [
    "HeadRun",
    "Workbench",
    "choose_images",
    "curve_summary",
    "ending",
    "learning_curve",
    "learning_rate_range",
    "open_workbench",
    "run_table",
    "suggested_rate",
    "train_head",
    "training_sizes",
]
