"""A reader study in small: choose cases, keep a reader's answers, score them beside a model, pool a class."""

from fracturelib.course.reader_study.files import pool_readings, save_reading
from fracturelib.course.reader_study.scoring import call_scores, class_scores, cohens_kappa, disagreements, with_model
from fracturelib.course.reader_study.session import SURENESS, Reading, choose_cases, simulated_reader, stand_in_reader

__all__ = [
    "SURENESS",
    "Reading",
    "call_scores",
    "choose_cases",
    "class_scores",
    "cohens_kappa",
    "disagreements",
    "pool_readings",
    "save_reading",
    "simulated_reader",
    "stand_in_reader",
    "with_model",
]
