"""Laws of estimates, for any sample."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.estimate import quantile, ratio

pytestmark = pytest.mark.slow

LAW = settings(derandomize=True, deadline=None, max_examples=100)

# Few distinct values, so that ties are common; infinite ones, because a timeout is one.
values = st.sampled_from([0.0, 1.0, 1.5, 2.0, 700.25, math.inf]) | st.floats(min_value=-1e9, max_value=1e9)
samples = st.lists(values, min_size=1, max_size=300)
probabilities = st.sampled_from([0.5, 0.95, 0.99]) | st.floats(min_value=0.01, max_value=0.99)


@LAW
@given(samples, probabilities)
def test_quantile_is_the_smallest_value_that_enough_of_the_sample_is_not_above(
    sample: list[float], probability: float
) -> None:
    enough = probability * len(sample)
    expected = next(x for x in sorted(sample) if sum(other <= x for other in sample) >= enough)
    assert quantile(np.array(sample), probability).value == expected


@LAW
@given(samples, probabilities)
def test_bounds_are_values_of_the_sample_or_none_and_hold_the_estimate(sample: list[float], probability: float) -> None:
    found = quantile(np.array(sample), probability)
    assert found.low <= found.value <= found.high
    assert found.low in (*sample, -math.inf)
    assert found.high in (*sample, math.inf)


@LAW
@given(samples, probabilities, st.randoms(use_true_random=False))
def test_quantile_does_not_depend_on_order_and_leaves_the_sample_alone(
    sample: list[float], probability: float, shuffler: random.Random
) -> None:
    given_order = np.array(sample)
    first = quantile(given_order, probability)
    assert given_order.tolist() == sample
    other = list(sample)
    shuffler.shuffle(other)
    assert quantile(np.array(other), probability) == first


@LAW
@given(st.integers(1, 10**7).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_wilson_bounds_solve_the_score_equation(case: tuple[int, int]) -> None:
    """(p̂ - p)² = z² p (1 - p) / n at both bounds, which is how Wilson defines them; and failures mirror successes."""
    good, total = case
    found, mirrored = ratio(good, total), ratio(total - good, total)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-9)
    for bound in (found.low, found.high):
        if 1e-6 < bound < 1 - 1e-6:  # at 0 and 1 both sides vanish
            score = abs(good / total - bound) / math.sqrt(bound * (1 - bound) / total)
            assert score == pytest.approx(1.959963984540054, rel=1e-4)
