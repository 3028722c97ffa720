"""Quantiles, ratios and means against definitions, published figures and simulation."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.estimate import growth, mean, measured, quantile, ratio

Distribution = Callable[[np.random.Generator, int], npt.NDArray[np.float64]]

INF = math.inf
Z = 1.959963984540054  # two-sided 95 %, from any table of the normal distribution
SWITCH = 5000  # largest sample of which the binomial distribution is summed


def ranks(count: int, probability: float) -> tuple[float, float]:
    """Return the ranks of the interval's bounds, by asking for the quantile of 1, 2, …, count."""
    found = quantile(np.arange(1.0, count + 1), probability)
    return found.low, found.high


def coverage(count: int, probability: float) -> float:
    """Return the exact probability that the interval holds the quantile of any continuous distribution.

    It does when at least `low` and at most `high - 1` of the sample are below the quantile.
    """
    low, high = ranks(count, probability)
    first, last = (0 if math.isinf(low) else int(low)), (count if math.isinf(high) else int(high) - 1)
    share = Fraction(str(probability))
    # With logarithms, because a whole sum of fractions takes seconds for thousands.
    return math.fsum(
        math.exp(
            math.lgamma(count + 1)
            - math.lgamma(k + 1)
            - math.lgamma(count - k + 1)
            + k * math.log(share)
            + (count - k) * math.log(1 - share)
        )
        for k in range(first, last + 1)
    )


@pytest.mark.parametrize(
    ("values", "probability", "expected"),
    [
        ([7.0], 0.5, 7.0),
        ([7.0], 0.99, 7.0),
        ([1.0, 2.0], 0.5, 1.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([5.0] * 9 + [1.0], 0.5, 5.0),
        ([1.0] * 19 + [9.0], 0.95, 1.0),
        ([1.0] * 18 + [8.0, 9.0], 0.95, 8.0),
        ([1.0] * 19 + [INF], 0.95, 1.0),
        ([1.0] * 18 + [INF, INF], 0.95, INF),
        ([INF, INF, INF], 0.5, INF),
    ],
)
def test_quantile_of_a_few_values(values: list[float], probability: float, expected: float) -> None:
    found = quantile(np.array(values), probability)
    assert found.value == expected
    assert found.count == len(values)


@pytest.mark.slow
@pytest.mark.parametrize("percent", [50, 95, 99])
def test_the_rank_of_the_quantile_is_exact_for_every_sample_size(percent: int) -> None:
    """No rounding of 0.95 · n may move the rank: it is the smallest whole number that is not below it."""
    for count in range(1, 3001):
        rank = -(-percent * count // 100)
        assert quantile(np.arange(1.0, count + 1), percent / 100).value == rank, count


def test_a_sample_that_is_too_small_has_no_upper_bound() -> None:
    """0.95 ^ 72 is the first power below 2.5 %: from 72 values on the highest one bounds the P95."""
    assert quantile(np.arange(71.0), 0.95).high == INF
    assert quantile(np.arange(72.0), 0.95).high == 71.0
    assert quantile(np.array([4.0]), 0.5).low == -INF


def test_a_quantile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError):
        quantile(np.array([]), 0.5)


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, 1.1])
def test_the_quantile_at_the_ends_is_refused(probability: float) -> None:
    with pytest.raises(ValueError):
        quantile(np.arange(10.0), probability)


def exponential(draw: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    return draw.exponential(1.0, count)


def bimodal(draw: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    """Nine of ten values lie evenly in [0, 1), one of ten in [9, 10)."""
    return draw.random(count) + np.where(draw.random(count) < 0.1, 9.0, 0.0)


TRUE_P95: dict[Distribution, float] = {exponential: -math.log(0.05), bimodal: 9.5}
TRUE_P50: dict[Distribution, float] = {exponential: math.log(2), bimodal: 0.5 / 0.9}


@pytest.mark.slow
@pytest.mark.parametrize("count", [60, 200, 2000])
@pytest.mark.parametrize("distribution", [exponential, bimodal])
@pytest.mark.parametrize(("probability", "truths"), [(0.5, TRUE_P50), (0.95, TRUE_P95)])
def test_the_interval_holds_the_true_quantile_as_often_as_it_says(
    count: int, distribution: Distribution, probability: float, truths: dict[Distribution, float]
) -> None:
    truth, draw, rounds, held = truths[distribution], np.random.default_rng(20270115), 2000, 0
    for _ in range(rounds):
        found = quantile(distribution(draw, count), probability)
        held += found.low <= truth <= found.high
    # Sixty values bound a P95 from below only: the other side's share is not used up, the interval wider than asked.
    assert 0.93 <= held / rounds <= (0.995 if math.isinf(ranks(count, probability)[1]) else 0.99)
    expected = coverage(count, probability)
    assert abs(held / rounds - expected) < 4 * math.sqrt(expected * (1 - expected) / rounds)


@pytest.mark.parametrize("probability", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("count", [1, 2, 10, 59, 72, 100, 365, 1000, 4999, SWITCH])
def test_the_exact_interval_never_promises_too_much(count: int, probability: float) -> None:
    assert coverage(count, probability) >= 0.95 - 1e-9


@pytest.mark.parametrize("probability", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("count", [SWITCH + 1, 10_000, 50_000])
def test_the_normal_interval_is_as_good_as_the_exact_one(count: int, probability: float) -> None:
    assert 0.945 <= coverage(count, probability) <= 0.97


@pytest.mark.parametrize("probability", [0.5, 0.95, 0.99])
def test_both_branches_agree_where_one_takes_over(probability: float) -> None:
    below, above = ranks(SWITCH, probability), ranks(SWITCH + 1, probability)
    assert all(abs(one - other) <= 2 for one, other in zip(below, above, strict=True))


@pytest.mark.parametrize(
    ("good", "total", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998) 857–872, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_against_published_intervals(good: int, total: int, low: float, high: float) -> None:
    found = ratio(good, total)
    assert found.value == good / total
    assert found.low == pytest.approx(low, abs=5.1e-5)
    assert found.high == pytest.approx(high, abs=5.1e-5)


@pytest.mark.parametrize("total", [1, 7, 4096, 10_000_000])
def test_a_ratio_at_its_ends(total: int) -> None:
    """The bound on the other side is z² / (n + z²) away; the one on this side is the value itself."""
    away = Z * Z / (total + Z * Z)
    none, every = ratio(0, total), ratio(total, total)
    assert (none.low, none.value) == (0.0, 0.0)
    assert (every.high, every.value) == (1.0, 1.0)
    assert none.high == pytest.approx(away, rel=1e-9)
    assert 1 - every.low == pytest.approx(away, rel=1e-6)


def test_a_ratio_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError):
        ratio(0, 0)


def test_mean_against_the_textbook() -> None:
    values = [3.0, 5.0, 8.0, 13.0]
    half = Z * statistics.stdev(values) / math.sqrt(len(values))
    found = mean(np.array(values))
    assert found.value == statistics.mean(values)
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half))


def test_the_mean_of_one_value_is_bounded_by_nothing() -> None:
    found = mean(np.array([4.0]))
    assert (found.low, found.value, found.high) == (-INF, 4.0, INF)


def test_a_mean_with_something_that_never_ended_is_infinite() -> None:
    """One wait without end was seen, so the mean has no bound: that is known, not in doubt."""
    found = mean(np.array([1.0, 2.0, INF]))
    assert (found.low, found.value, found.high) == (INF, INF, INF)


def test_a_mean_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError):
        mean(np.array([]))


def test_a_measurement_is_what_it_was_told() -> None:
    found = measured(3.0, 2.0, 4.0, 7, "one look")
    assert (found.value, found.low, found.high, found.count, found.method) == (3.0, 2.0, 4.0, 7, "one look")


# --- growth ---


@given(
    start=st.floats(1, 1e6),
    share=st.floats(-0.5, 5),
    length_s=st.floats(60, 1e5),
    count=st.integers(40, 400),
    begin_s=st.floats(0, 2e9),
)
def test_a_straight_line_grows_by_its_own_share(
    start: float, share: float, length_s: float, count: int, begin_s: float
) -> None:
    """Law: values on a line from `start` to `start · (1 + share)` have grown by `share`, and nothing is left open."""
    places = np.linspace(0, 1, count)
    found = growth(begin_s + places * length_s, start * (1 + share * places))
    assert math.isclose(found.value, share, rel_tol=1e-3, abs_tol=1e-3)
    assert found.low <= found.value <= found.high


def test_few_values_lie_on_their_own_line() -> None:
    """Forty values in forty stretches: none lies in its stretch's middle."""
    places = np.linspace(0, 1, 40)
    assert growth(60 * places, 1 + 3 * places).value == pytest.approx(3.0)


def test_the_interval_of_a_growth_holds_the_truth_as_often_as_it_says() -> None:
    """200 series with noise of a tenth around a growth of 30 %: 95 % ± 4 (three standard errors of 1.5)."""
    draw = np.random.default_rng(5)
    places = np.linspace(0, 1, 600)
    held = 0
    for _ in range(200):
        values = 100 * (1 + 0.3 * places) + draw.standard_normal(600) * 10
        found = growth(places * 3600, values)
        held += found.low <= 0.3 <= found.high
    assert held >= 182


def test_one_wild_stretch_moves_no_growth() -> None:
    """A peak in the middle is no growth: half of all slopes would have to be wild."""
    values = np.full(400, 100.0)
    values[180:220] = 10_000.0
    found = growth(np.arange(400.0), values)
    assert abs(found.value) < 1e-9


@pytest.mark.parametrize(
    ("times", "values", "words"),
    [
        ([], [], "0 stretches"),
        ([1.0] * 50, [1.0] * 50, "0 stretches"),
        (list(range(9)), [1.0] * 9, "9 stretches"),
        (list(range(50)), [0.0] * 50, "from nothing"),
    ],
)
def test_a_growth_that_cannot_be_said(times: list[float], values: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        growth(np.array(times, dtype=float), np.array(values, dtype=float))
