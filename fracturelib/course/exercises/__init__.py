"""The exercises of the course: one source for the notebooks' cells, the solutions and the judge of `answer`."""

from fracturelib.course.exercises import augmentation, data, evaluation, hospital, look, reading, training, unfreezing
from fracturelib.course.exercises.exercise import Exercise
from fracturelib.errors import EvaluationError

EXERCISES: dict[str, Exercise] = {
    exercise.key: exercise
    for part in (look, data, augmentation, training, evaluation, unfreezing, reading, hospital)
    for exercise in part.EXERCISES
}


def find(key: str) -> Exercise:
    """The exercise of this key.

    Raises:
        EvaluationError: there is none.
    """
    if key not in EXERCISES:
        raise EvaluationError(f"there is no exercise '{key}'", cure=f"take one of {', '.join(EXERCISES)}")
    return EXERCISES[key]


__all__ = ["EXERCISES", "Exercise", "find"]
