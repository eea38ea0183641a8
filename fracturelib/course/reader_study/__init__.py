"""A reader study in small: choose cases, keep a reader's answers, score them beside a model, pool a class."""

from fracturelib.catalog.cases import choose_cases
from fracturelib.course.reader_study.multireader import Random, multireader_analysis
from fracturelib.course.reader_study.scoring import (
    call_scores,
    class_scores,
    class_table,
    cohens_kappa,
    disagreements,
    first_readings,
    told_counts,
    with_model,
)
from fracturelib.course.reader_study.session import Reading, simulated_class, simulated_reader, stand_in_reader
from fracturelib.files.readings import SURENESS, case_keys, pool_readings, save_reading

__all__ = [
    "SURENESS",
    "Random",
    "Reading",
    "call_scores",
    "case_keys",
    "choose_cases",
    "class_scores",
    "class_table",
    "cohens_kappa",
    "disagreements",
    "first_readings",
    "multireader_analysis",
    "pool_readings",
    "save_reading",
    "simulated_class",
    "simulated_reader",
    "stand_in_reader",
    "told_counts",
    "with_model",
]
