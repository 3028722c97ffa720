"""Numbers as people read them: rounding keeps four digits, changes no verdict, and never makes all of less than all."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.budget import Budget, Direction, hold_against, undecidable
from analysis.estimate import Estimate
from reports.wording import (
    NARROW_SPACE,
    amount,
    bar_percent,
    duration,
    interval,
    limit,
    measured,
    moment,
    number,
    percent,
    share,
)

INF = math.inf
LAW = settings(derandomize=True, deadline=None, max_examples=100)
THIN = NARROW_SPACE

BUDGET = Budget(
    id="B",
    title="T",
    indicator="i",
    statistic="p95",
    unit="ms",
    limit=2000.0,
    direction=Direction.BELOW,
    source="s",
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (7.0, "7"),
        (1234, f"1{THIN}234"),
        (1234567, f"1{THIN}234{THIN}567"),
        (0.123456, "0.1235"),
        (12.3456, "12.35"),
        (999.96, "1000"),
        (9999.4, "9999"),
        (9999.7, f"10{THIN}000"),
        (12345.6, f"12{THIN}346"),
        (12345678.0, f"12{THIN}345{THIN}678"),
        (-12.3456, "-12.35"),
        (INF, "∞"),
        (-INF, "−∞"),
    ],
)
def test_a_number_has_four_digits_and_no_exponent(value: float, text: str) -> None:
    assert number(value) == text


@LAW
@given(st.floats(min_value=0.001, max_value=1e12))
def test_a_number_is_as_near_as_four_digits_allow(value: float) -> None:
    text = number(value)
    assert "e" not in text
    assert float(text.replace(THIN, "")) == pytest.approx(value, rel=0.0005 + 1e-9)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (5.0, "ms", "5 ms"),
        (999.4, "ms", "999.4 ms"),
        (1000.0, "ms", "1 s"),
        (3240.0, "ms", "3.24 s"),
        (-1500.0, "ms", "-1.5 s"),
        (54.98, "tx/s", "54.98 tx/s"),
        (0.3638, "GB", "0.3638 GB"),
        (0.9995, "", "99.95 %"),
        (INF, "ms", "∞"),
        (-INF, "", "−∞"),
    ],
)
def test_an_amount_is_in_the_unit_that_fits(value: float, unit: str, text: str) -> None:
    assert amount(value, unit) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.5, "50 %"),
        (0.9995, "99.95 %"),
        (0.9999, "99.99 %"),
        (0.99999, "99.999 %"),
        (0.999996, "> 99.999 %"),
        (1 - 1e-12, "> 99.999 %"),
        (0.005, "0.5 %"),
        (0.00001, "0.001 %"),
        (0.000001, "< 0.001 %"),
        (INF, "∞"),
        (-INF, "−∞"),
    ],
)
def test_a_ratio_is_never_all_or_nothing_unless_it_is(value: float, text: str) -> None:
    assert percent(value) == text


@LAW
@given(st.floats(min_value=0, max_value=1, exclude_min=True, exclude_max=True))
def test_less_than_all_is_not_100_percent_and_more_than_nothing_is_not_0(value: float) -> None:
    assert percent(value) not in ("100 %", "0 %")


@pytest.mark.parametrize(
    ("used", "text"),
    [
        (None, "–"),
        (0.0, "0 %"),
        (0.114, "11 %"),
        (0.994, "99 %"),
        (0.996, "> 99 %"),
        (0.999996, "> 99 %"),
        (1.0, "100 %"),
        (1.0004, "> 100 %"),
        (1.6, "160 %"),
        (9.99, "999 %"),
        (10.0, "> 999 %"),
        (INF, "> 999 %"),
    ],
)
def test_a_used_share_is_100_percent_only_when_all_is_used(used: float | None, text: str) -> None:
    assert share(used) == text


@pytest.mark.parametrize(("used", "percent_"), [(None, 0), (0.0, 0), (-1.0, 0), (0.254, 25), (1.0, 100), (INF, 100)])
def test_a_bar_is_between_nothing_and_full(used: float | None, percent_: int) -> None:
    assert bar_percent(used) == percent_


def test_a_limit_says_on_which_side() -> None:
    assert limit(BUDGET) == "< 2 s"
    assert limit(replace(BUDGET, direction=Direction.AT_LEAST, unit="tx/s", limit=50.0)) == "≥ 50 tx/s"
    assert limit(replace(BUDGET, direction=Direction.AT_LEAST, unit="", limit=0.9995)) == "≥ 99.95 %"


def _estimate(low: float, value: float, high: float) -> Estimate:
    return Estimate(value=value, low=low, high=high, count=9, method="")


def test_what_was_not_measured_is_said_so() -> None:
    result = undecidable(BUDGET)
    assert (measured(result), interval(None, "ms")) == ("not measured", "–")


def test_intervals() -> None:
    assert measured(hold_against(BUDGET, _estimate(1500, 1800, INF))) == "1.8 s"
    assert interval(_estimate(1500, 1800, INF), "ms") == "1.5 s to ∞"
    assert interval(_estimate(-INF, 5, 6), "ms") == "−∞ to 6 ms"
    assert interval(_estimate(5, 5, 5), "ms") == "exact"
    assert interval(_estimate(0.9994, 0.9998, 1.0), "") == "99.94 % to 100 %"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0.0, "0.0 s"), (5.849, "5.8 s"), (119.9, "119.9 s"), (120.0, "2.0 min"), (INF, "never")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_a_moment_is_in_utc() -> None:
    """1,800,000,000 s are 20,833 days and 8 h after 1970: 15 January 2027."""
    assert moment(1_800_000_000.0) == "2027-01-15 08:00:00 UTC"
