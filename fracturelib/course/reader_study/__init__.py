"""A reader study in small: choose cases, keep a reader's answers, score them beside a model, pool a class."""

from fracturelib.catalog.cases import choose_cases
from fracturelib.course.reader_study.multireader import Random, multireader_analysis
from fracturelib.course.reader_study.scoring import call_scores, class_scores, cohens_kappa, disagreements, with_model
from fracturelib.course.reader_study.session import Reading, simulated_reader, stand_in_reader
from fracturelib.files.readings import SURENESS, pool_readings, save_reading

__all__ = [
    "SURENESS",
    "Random",
    "Reading",
    "call_scores",
    "choose_cases",
    "class_scores",
    "cohens_kappa",
    "disagreements",
    "multireader_analysis",
    "pool_readings",
    "save_reading",
    "simulated_reader",
    "stand_in_reader",
    "with_model",
]
