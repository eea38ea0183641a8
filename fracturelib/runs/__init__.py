"""The folder of a run: enough to reload the model and repeat its numbers, and nothing in it is ever executed."""

from fracturelib.runs.folder import check_name, claimed, remove_leftovers
from fracturelib.runs.reading import (
    KeptRun,
    Run,
    learnt_pictures,
    load_run,
    load_run_lightly,
    own_options,
    read_record,
    repeat_self_test,
    saved_table,
)
from fracturelib.runs.writing import (
    CHECKPOINT,
    MODEL,
    PREDICTIONS,
    RECORD_FILE,
    new_record,
    reading_record,
    write_record,
    write_run,
)

__all__ = [
    "CHECKPOINT",
    "MODEL",
    "PREDICTIONS",
    "RECORD_FILE",
    "KeptRun",
    "Run",
    "check_name",
    "claimed",
    "learnt_pictures",
    "load_run",
    "load_run_lightly",
    "new_record",
    "own_options",
    "read_record",
    "reading_record",
    "remove_leftovers",
    "repeat_self_test",
    "saved_table",
    "write_record",
    "write_run",
]
