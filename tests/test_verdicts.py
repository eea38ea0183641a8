"""Verdicts and reasons: values in tables, and words that one module chooses."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from fracturelib.evaluation import Scored, compare, evaluate
from fracturelib.evaluation.intervals import verdict_on
from fracturelib.writing.verdicts import Reason, Verdict, erasing_told, explained, subgroup_caution, told
from tests.helpers.predictions import simulated


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [
        ((0.1, 0.2), Verdict.HIGHER),
        ((-0.2, -0.1), Verdict.LOWER),
        ((-0.1, 0.1), Verdict.NEITHER),
        ((0.0, 0.0), Verdict.NEITHER),
        ((np.nan, np.nan), Verdict.UNKNOWN),
    ],
)
def test_a_verdict_is_where_the_interval_lies(ends, verdict):
    assert verdict_on(*ends) is verdict


def test_every_reason_and_every_verdict_has_words():
    for reason in set(Reason) - {Reason.NONE, Reason.WILSON}:
        assert "not estimable" in explained(reason, "patients", 3)
        assert told(Verdict.UNKNOWN, reason, higher="a", lower="b", unknown="It is {}.").startswith("It is not")
    assert explained(Reason.NONE) == ""
    assert explained(Reason.WILSON, "sources", 12) == "Wilson interval over 12 sources"
    assert explained(Reason.FEW_UNITS, "sources", 3).endswith("with fewer than 10 sources (here 3)")
    assert [told(verdict, higher="a", lower="b", neither="c") for verdict in ("higher", "lower", Verdict.NEITHER)] == [
        *"abc"
    ]


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((40, 40), ""),
        ((5, 40), "small group: 5 with and 40 without"),
        ((0, 40), "no files with a"),
        ((4, 0), "group (p: 4)"),
    ],
)
def test_a_small_group_is_said_to_be_one(counts, words):
    said = subgroup_caution(*counts, "p")
    assert words in said and bool(said) == bool(words)


def test_values_read_well_in_files_and_come_back_as_what_they_were():
    table = compare(Scored(simulated(skill=3), 0.5), Scored(simulated(skill=0), 0.5), resamples=200)
    again = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    assert again["verdict"].tolist() == [str(verdict) for verdict in table["verdict"]]
    assert [Verdict(text) for text in again["verdict"]] == table["verdict"].tolist()
    few = json.loads(json.dumps(evaluate(simulated(sources=6), threshold=0.5, resamples=20).to_dict()))
    assert {row["reason"] for row in few["scores"]} <= {*map(str, Reason)} - {""}


def test_erasing_the_fracture_is_told_by_itself_and_against_the_control():
    raised = erasing_told(Verdict.NEITHER, Verdict.LOWER)
    assert "did not change" in raised and "lower than after erasing an equal box elsewhere" in raised
    assert erasing_told(Verdict.HIGHER, Verdict.LOWER).startswith("Erasing the fracture raised")
    assert "No difference is shown" in erasing_told(Verdict.LOWER, Verdict.NEITHER)
    assert "too few" in erasing_told(Verdict.UNKNOWN, Verdict.UNKNOWN)
