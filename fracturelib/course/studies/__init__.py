"""What-if questions of the notebooks, as plain functions: trainings side by side, and what they show."""

from fracturelib.course.studies.heads import (
    HeadRun,
    Workbench,
    choose_images,
    choose_rows,
    ending,
    open_small_workbench,
    open_workbench,
    run_table,
    sure_and_wrong,
    train_head,
    with_epoch_zero,
)
from fracturelib.course.studies.sweeps import (
    curve_summary,
    learning_curve,
    learning_rate_range,
    suggested_rate,
    training_sizes,
)
from fracturelib.course.studies.unfreezing import (
    DeepBench,
    Step,
    StepwiseRun,
    open_deep_bench,
    step_table,
    steps_down,
    train_in_steps,
)

__all__ = [
    "DeepBench",
    "HeadRun",
    "Step",
    "StepwiseRun",
    "Workbench",
    "choose_images",
    "choose_rows",
    "curve_summary",
    "ending",
    "learning_curve",
    "learning_rate_range",
    "open_deep_bench",
    "open_small_workbench",
    "open_workbench",
    "run_table",
    "step_table",
    "steps_down",
    "suggested_rate",
    "sure_and_wrong",
    "train_head",
    "train_in_steps",
    "training_sizes",
    "with_epoch_zero",
]
