"""The exercises of notebook 07."""

from typing import Any

import numpy as np
import pandas as pd

from fracturelib.course.exercises.exercise import Exercise, because

_VALUES = np.array([0.0, 500, 900, 1000, 1250, 1500, 1750, 2000, 2100, 4095])
_CENTRE, _WIDTH = 1500.0, 1000.0
NAMING = {"PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "StudyInstanceUID"}


def _window(function: Any) -> str | None:
    made = np.asarray(function(_VALUES, _CENTRE, _WIDTH), dtype=float)
    if made.shape != _VALUES.shape:
        return "it must give one grey for each value: work on the whole array"
    right = np.clip((_VALUES - _CENTRE) / _WIDTH + 0.5, 0, 1) * 255
    low_end = np.clip((_VALUES - _CENTRE) / _WIDTH, 0, 1) * 255
    other = np.asarray(function(_VALUES, 3000.0, 500.0), dtype=float)
    other_right = np.clip((_VALUES - 3000) / 500 + 0.5, 0, 1) * 255
    return because(
        (not np.isfinite(made).all(), "some greys are no numbers"),
        (np.allclose(made, right / 255, atol=0.01), "these are shares from 0 to 1; the screen wants 0 to 255"),
        (np.allclose(made, 255 - right, atol=2), "the picture is turned: small values must become dark"),
        (made.min() < -2 or made.max() > 257, "greys below 0 or above 255: what lies outside of the window is clipped"),
        (np.allclose(made, low_end, atol=2), "the window lies on both sides of its centre, half of the width on each"),
        (not np.allclose(made, right, atol=2), "at centre − width/2 the grey must be 0, at centre + width/2 255"),
        (not np.allclose(other, other_right, atol=2), "it is right for one window only: use `centre` and `width`"),
    )


def _naming(value: Any) -> str | None:
    chosen = {value} if isinstance(value, str) else {str(one) for one in value}
    missing = NAMING - chosen
    return because(
        (
            bool(chosen & {"Rows", "ViewPosition", "BodyPartExamined", "BitsStored"}),
            "view, body part and the picture's format are shared by thousands of files: they lead to nobody",
        ),
        (
            bool(missing & {"PatientName", "PatientID", "PatientBirthDate"}),
            "a name, a number or a date of birth misses",
        ),
        ("AccessionNumber" in missing, "one more number leads to one order in the hospital's own system"),
        ("StudyInstanceUID" in missing, "one long number is given to one study in the whole world"),
        (chosen != NAMING, "choose from the list only"),
    )


def _both_sides(value: Any, *, dealt: pd.DataFrame) -> str | None:
    splits = dealt.groupby("patient_id")["split"].agg(set)
    right = int(splits.map(lambda one: {"train", "test"} <= one).sum())
    files = int(dealt["patient_id"].isin(splits.index[splits.map(lambda one: {"train", "test"} <= one)]).sum())
    several = int((splits.map(len) > 1).sum())
    return because(
        (0 < float(value) < 1, "asked is a number of patients, not a share"),
        (float(value) == files != right, "that counts files; count patients"),
        (float(value) == several != right, "that counts validation as well: asked are training and test"),
        (float(value) == len(splits) != right, "that is all patients"),
        (float(value) != right, "for each patient: is there a row in training, and one in the test set?"),
    )


EXERCISES = (
    Exercise(
        key="07.1",
        title="a window by hand",
        task="Write the window as a function: 0 at *centre* − *width*/2 and below, 255 at *centre* + *width*/2 and above, "
        "and a straight line between.",
        frame=(
            "def by_hand(values, centre, width):\n"
            "«here»\n\n\n"
            'answer("07.1", by_hand if by_hand(np.zeros(1), 1, 1) is not None else None)'
        ),
        blank="    return None  # TODO: greys from 0 to 255, one for each of the `values`",
        solved="    share = (values - (centre - width / 2)) / width\n    return 255 * np.clip(share, 0, 1)",
        hint="How far does a value lie from the lower end, measured in widths? `np.clip` keeps numbers between two ends.",
        why="A window is a straight line with two flat ends. All that lies on the flat ends is lost to the eye, and to "
        "whatever learns from the picture: a window that is too narrow throws away fractures.",
        judge=_window,
        claim="assert by_hand(np.array([0.0, 50, 100]), 50, 100).tolist() == [0, 127.5, 255]",
    ),
    Exercise(
        key="07.2",
        title="what names a patient?",
        task="Which of these lead to one person, by themselves or through a list that a hospital keeps? `PatientName`, "
        "`ViewPosition`, `PatientID`, `Rows`, `AccessionNumber`, `BodyPartExamined`, `PatientBirthDate`, "
        "`StudyInstanceUID`, `BitsStored`.",
        frame='«here»\n\nanswer("07.2", naming)',
        blank="naming = None  # TODO: a set of the keywords that lead to a person",
        solved=(
            'direct = {"PatientName", "PatientID", "PatientBirthDate"}\n'
            'naming = direct | {"AccessionNumber", "StudyInstanceUID"}'
        ),
        hint="A number can lead to somebody although it is no name: ask who keeps the list that belongs to it.",
        why="Names and birth dates are plain. Numbers are the trap: the hospital's own system turns an accession number "
        "or a study's UID into a name in a second. So they are used to find labels and then left behind.",
        judge=_naming,
        claim="assert len(naming) == 5",
    ),
    Exercise(
        key="07.3",
        title="who is on both sides?",
        task="`dealt` is the table with its pictures dealt file by file. How many **patients** have a picture in training "
        "*and* one in the test set?",
        frame='dealt = resplit(table, by="source_id", seed=1)\n«here»\n\nanswer("07.3", both, dealt=dealt)',
        blank="both = None  # TODO: a number of patients",
        solved=(
            'sides = {split: set(part) for split, part in dealt.groupby("split")["patient_id"]}\n'
            'both = len(sides["train"] & sides["test"])'
        ),
        hint="Two sets of patients, one of each split; what do they have in common?",
        why='Whoever has two pictures is easily on both sides. `resplit(table, by="patient_id")` deals patients, and '
        "`fracturelib train` does so by itself wherever patients are known.",
        judge=_both_sides,
        claim='assert both > 0 and not len(shared_sources(resplit(table, by="patient_id", seed=1)))',
    ),
)
