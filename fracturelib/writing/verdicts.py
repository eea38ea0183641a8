"""What numbers lead to, as values, and the words for each: the one place where a verdict becomes a sentence.

Tables hold the values, which read well in a CSV file; whoever prints a line or writes a page asks here for the words.
"""

from __future__ import annotations

from enum import StrEnum

from fracturelib.config import CLASS_NAMES

FEWEST_UNITS = 10  # a bootstrap interval over fewer units is too narrow to be believed


class Verdict(StrEnum):
    """Where the 95 % interval of a difference or of a change lies: above 0, below 0, around 0, or there is none."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "no difference shown"
    UNKNOWN = "not estimable"


class Reason(StrEnum):
    """Why a number or its interval is missing, or where its interval comes from; NONE if there is nothing to say."""

    NONE = ""
    WILSON = "Wilson interval"
    FEW_UNITS = "too few units"
    FEW_PER_CLASS = "too few units per class"
    OFTEN_UNDEFINED = "undefined in more than 5 % of the resamples"
    NO_SPREAD = "every resample gives the same value"
    SAME_PROBABILITY = "the same probability for every file"
    ONE_CLASS = "the files are of one class only"
    NO_FRACTURE = "there is no fractured file"
    ALL_FRACTURED = "every file is fractured"
    NONE_CALLED = "no file was called fractured"
    ALL_CALLED = "every file was called fractured"
    NOT_CALLED_SO = "no file is called so"
    NO_FILES = "no images"


class Answer(StrEnum):
    """What is said about a picture, a study or a patient."""

    FRACTURE = "fracture"
    NO_FRACTURE = "no fracture"
    HUMAN = "a human must look"


class Doubt(StrEnum):
    """Why a human must look; NONE where one need not."""

    NONE = ""
    UNSURE = "between the limits"
    TINY = "too few pixels"
    BLANK = "nothing in it"
    COLOURED = "in colour"
    INVERTED = "inverted"
    NOVEL = "unlike the training pictures"
    A_VIEW = "one of the pictures"
    NO_VIEW = "no picture can be used"


class Caution(StrEnum):
    """What a reader must know before believing a result."""

    NO_INTERVALS = "too few units for intervals"
    MANY_FILES = "many files of few units"
    ONE_CLASS = "files of one class only"
    NO_SKILL = "no skill shown"
    LEARNT_FROM = "pictures that the model has learnt from"


# All but those for which the number itself stands, and only its interval is missing.
_NO_NUMBER = set(Reason) - {
    Reason.FEW_UNITS,
    Reason.FEW_PER_CLASS,
    Reason.OFTEN_UNDEFINED,
    Reason.NO_SPREAD,
    Reason.SAME_PROBABILITY,
}


def explained(reason: Reason, unit: str = "units", units: int | None = None) -> str:
    """Why a number or its interval is missing, or where its interval comes from; empty for `Reason.NONE`.

    `unit` names what was counted, in the plural, and `units` says how many of them there were.
    """
    if reason == Reason.NONE:
        return ""
    if reason == Reason.WILSON:
        return f"Wilson interval over {units} {unit}"
    return ("" if reason in _NO_NUMBER else "interval ") + _not_estimable(reason, unit, units)


def told(
    verdict: Verdict,
    reason: Reason = Reason.NONE,
    unit: str = "units",
    *,
    higher: str,
    lower: str,
    neither: str = Verdict.NEITHER,
    unknown: str = "{}",
) -> str:
    """A verdict in the words of the place where it stands; in `unknown`, {} stands for "not estimable" and why."""
    if verdict == Verdict.UNKNOWN:
        return unknown.format(_not_estimable(reason, unit))
    return {Verdict.HIGHER: higher, Verdict.LOWER: lower, Verdict.NEITHER: neither}[verdict]


def doubt_told(doubt: Doubt) -> str:
    """Why a human must look, as a sentence; empty for `Doubt.NONE`."""
    return {
        Doubt.NONE: "",
        Doubt.UNSURE: "The probability is below the threshold for a fracture, but not below the limit under which the "
        "run may say “no fracture”.",
        Doubt.TINY: "The picture has too few pixels to show a fracture.",
        Doubt.BLANK: "The picture shows next to nothing: nearly all its pixels have the same grey value.",
        Doubt.COLOURED: "The picture is in colour, and no radiograph is.",
        Doubt.INVERTED: "Its negative looks like the training pictures: bright and dark seem to be exchanged.",
        Doubt.NOVEL: "The picture is unlike those that the run was trained on, and its number means nothing here.",
        Doubt.A_VIEW: "The run has no answer for at least one of the pictures.",
        Doubt.NO_VIEW: "Not one of the pictures can be read and used.",
    }[doubt]


def erasing_told(fracture: Verdict, difference: Verdict) -> str:
    """What erasing the fracture shows: by itself, and against the control, an equal box elsewhere that was erased."""
    if fracture == Verdict.UNKNOWN or difference == Verdict.UNKNOWN:
        return "There are too few images to say what erasing the fracture does."
    alone = {
        Verdict.LOWER: "Erasing the fracture lowered the probability",
        Verdict.HIGHER: "Erasing the fracture raised the probability",
    }.get(fracture, "Erasing the fracture did not change the probability by more than chance would")
    against = {
        Verdict.LOWER: "It ends lower than after erasing an equal box elsewhere.",
        Verdict.HIGHER: "It ends higher than after erasing an equal box elsewhere.",
    }.get(difference, "No difference is shown between erasing the fracture and erasing an equal box elsewhere.")
    return f"{alone}. {against}"


def subgroup_caution(with_fracture: int, without: int, unit: str, reason: Reason = Reason.NONE) -> str:
    """What a reader must know about the scores of a group with so many units of each class; `reason` of its scores."""
    small = 0 < max(with_fracture, without) < FEWEST_UNITS
    if 0 in (with_fracture, without):
        missing = "with" if with_fracture == 0 else "without"
        more = f"; small group ({unit}: {max(with_fracture, without)})" if small else ""
        return f"not estimable in part: no files {missing} a fracture{more}"
    if min(with_fracture, without) < FEWEST_UNITS:
        return f"small group: {with_fracture} with and {without} without a fracture ({unit})"
    return explained(reason, unit)


def cautioned(caution: Caution, *, files: int, fractured: int, units: int, unit: str, learnt: int = 0) -> str:
    """A caution as a sentence about a set of so many files, fractured files, units, and files that were learnt from."""
    return {
        Caution.NO_INTERVALS: f"only {units} {unit}: no interval can be given",
        Caution.MANY_FILES: f"{files} files come from only {units} {unit}; the intervals count these",
        Caution.ONE_CLASS: f"every file is {CLASS_NAMES[fractured > 0]}: most metrics are not estimable",
        Caution.NO_SKILL: "the interval of the AUC includes 0.5: no skill is shown beyond guessing",
        Caution.LEARNT_FROM: f"{learnt} of {files} files show pictures that the run has learnt from (its training and "
        "validation set): this is no external test, and the scores measure memory",
    }[caution]


def _not_estimable(reason: Reason, unit: str, units: int | None = None) -> str:
    if reason in (Reason.FEW_UNITS, Reason.FEW_PER_CLASS):
        where = " per class" if reason == Reason.FEW_PER_CLASS else ""
        here = "" if where or units is None else f" (here {units})"
        return f"not estimable with fewer than {FEWEST_UNITS} {unit}{where}{here}"
    return f"not estimable: {reason}" if reason else "not estimable"
