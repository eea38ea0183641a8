"""Numbers, shares and intervals are written in one way everywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fracturelib.writing.numbers import estimate, interval, number, percent


@pytest.mark.parametrize(
    ("count", "total", "digits", "text"),
    [
        (0, 7, 0, "0 %"),
        (7, 7, 0, "100 %"),
        (1, 1000, 0, "< 1 %"),
        (999, 1000, 0, "> 99 %"),
        (0.125, 1, 1, "12.5 %"),
        (0.9999, 1, 1, "> 99.9 %"),
        (0, 0, 0, "–"),
        (None, 1, 0, "–"),
    ],
)
def test_a_share_is_never_rounded_to_none_or_all(count, total, digits, text):
    assert percent(count, total, digits) == text


@given(st.floats(0, 1), st.integers(0, 3))
def test_a_share_says_all_or_none_only_when_it_is_so(value, digits):
    text = percent(value, digits=digits)
    assert (float(text.strip("<> %")) == 0) == (value == 0)
    assert (float(text.strip("<> %")) == 100) == (value == 1)


def test_a_missing_value_is_said_and_a_missing_interval_is_left_out():
    nan = float("nan")
    assert estimate(0.4123, 0.3, 0.5) == "0.412 (0.300 to 0.500)"
    assert estimate(0.4123, None, None, 2) == estimate(0.4123, nan, nan, 2) == "0.41"
    assert estimate(nan, nan, nan) == "not estimable" and number(None) == "–" and interval(nan, nan) == ""
    assert estimate(0.1, -0.02, 0.3, 2, signed=True) == "+0.10 (-0.02 to +0.30)"
    assert number(-0.0001) == "0.000"
