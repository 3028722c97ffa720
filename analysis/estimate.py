"""Estimates with intervals: quantiles, ratios, and single measurements with their resolution.

Quantiles are exact (a value of the sample, as a full sort gives it), their intervals distribution-free.
Both intervals take observations as independent; where they follow each other closely, the true interval is
wider.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
_Z = 1.959963984540054  # two-sided 95 %
_STRETCHES, _LEAST_STRETCHES = 40, 10
_EXACT_UP_TO = 5000
"""Sample size up to which the binomial distribution is summed; beyond it the normal one is close enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with the interval in which the truth lies; `low` or `high` may be infinite, `value` too."""

    value: float
    low: float
    high: float
    count: int
    method: str


def quantile(values: npt.NDArray[np.float64], probability: float) -> Estimate:
    """Return the quantile of a sample: the smallest value that at least `probability` of the sample is not above.

    The interval is that of order statistics (David & Nagaraja, Order Statistics, 7.1); a bound that the sample is
    too small for is infinite. Raises ValueError for an empty sample.
    """
    count = len(values)
    if count == 0:
        raise ValueError("a quantile of nothing")
    wanted = wanted_ranks(count, probability)
    places = [rank - 1 for rank in wanted]
    return quantile_by_rank(count, probability, dict(zip(wanted, np.partition(values, places)[places], strict=True)))


def wanted_ranks(count: int, probability: float) -> list[int]:
    """Return the ranks (from 1, in order) of the values that a quantile and its interval are made of."""
    ranks = {_place(count, probability), *_rank_interval(count, probability)}
    return sorted(rank for rank in ranks if 1 <= rank <= count)


def quantile_by_rank(count: int, probability: float, value_at: Mapping[int, float]) -> Estimate:
    """Return the quantile of `count` values of which those at the wanted ranks are known."""
    below, above = _rank_interval(count, probability)
    return Estimate(
        value=float(value_at[_place(count, probability)]),
        low=float(value_at[below]) if below >= 1 else -math.inf,
        high=float(value_at[above]) if above <= count else math.inf,
        count=count,
        method=f"exact quantile {probability:g}, order-statistic interval",
    )


def ratio(good: int, total: int) -> Estimate:
    """Return a proportion with Wilson's score interval (Wilson 1927). Raises ValueError for a total of 0."""
    if total == 0:
        raise ValueError("a ratio of nothing")
    share, z2 = good / total, _Z * _Z
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total)) / (1 + z2 / total)
    # At the ends rounding must not push the bound past the value.
    low, high = min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))
    return Estimate(value=share, low=low, high=high, count=total, method="proportion, Wilson interval")


def mean(values: npt.NDArray[np.float64]) -> Estimate:
    """Return the mean with a normal interval; infinite, and surely so, when a value is. Raises ValueError for none."""
    count = len(values)
    if count == 0:
        raise ValueError("a mean of nothing")
    if np.isinf(values).any():
        return Estimate(value=math.inf, low=math.inf, high=math.inf, count=count, method="mean, one never ended")
    middle = float(np.mean(values))
    half = _Z * float(np.std(values, ddof=1)) / math.sqrt(count) if count > 1 else math.inf
    return Estimate(value=middle, low=middle - half, high=middle + half, count=count, method="mean, normal interval")


def growth(times: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> Estimate:
    """Return by which share a series grew from its start to its end along a straight line: 0.1 is a tenth.

    Times and values are cut into at most 40 stretches of equal length, each stands for its median: what follows within
    seconds is not independent. The line is Theil and Sen's, the median of all slopes between two stretches; its
    interval is Kendall's, by ranks (Sen 1968, J. Am. Stat. Assoc. 63, 1379). Neither asks how values are distributed.
    Raises ValueError with fewer than ten stretches, or when the series starts at 0 or below.
    """
    moments, levels = _stretches(times, values)
    count = len(moments)
    if count < _LEAST_STRETCHES:
        raise ValueError(f"a growth from {count} stretches; at least {_LEAST_STRETCHES} are needed")
    first, second = np.triu_indices(count, 1)
    slopes = np.sort((levels[second] - levels[first]) / (moments[second] - moments[first]))
    slope = float(np.median(slopes))
    start, length = float(np.median(levels - slope * (moments - times.min()))), float(times.max() - times.min())
    if start <= 0:
        raise ValueError("a growth from nothing")
    half = _Z * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low = max(0, math.floor((len(slopes) - half) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + half) / 2))
    share = length / start
    method = f"Theil-Sen line through {count} medians, Kendall interval"
    return Estimate(
        value=slope * share,
        low=float(slopes[low]) * share,
        high=float(slopes[high]) * share,
        count=len(values),
        method=method,
    )


def _stretches(
    times: npt.NDArray[np.float64], values: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the median time and the median value of each stretch of time that has values.

    Not the stretch's middle: where values are few it is off the line that they lie on.
    """
    if len(times) == 0 or times.max() == times.min():
        return np.empty(0), np.empty(0)
    edges = np.linspace(times.min(), times.max(), _STRETCHES + 1)
    places = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, _STRETCHES - 1)
    present = np.unique(places)
    medians = [(np.median(times[places == place]), np.median(values[places == place])) for place in present]
    return np.array([moment for moment, _ in medians]), np.array([level for _, level in medians])


def measured(value: float, low: float, high: float, count: int, resolution: str) -> Estimate:
    """Return a measurement whose interval is what the instrument could not tell apart."""
    return Estimate(value=value, low=low, high=high, count=count, method=resolution)


def _place(count: int, probability: float) -> int:
    """Return the rank of the quantile itself."""
    return max(math.ceil(probability * count), 1)


def _rank_interval(count: int, probability: float) -> tuple[int, int]:
    """Return ranks (l, u), from 1, so that x(l) ≤ quantile ≤ x(u) with 95 %; 0 or count + 1 where there is none."""
    tail = (1 - CONFIDENCE) / 2
    if count > _EXACT_UP_TO:
        middle, spread = count * probability, _Z * math.sqrt(count * probability * (1 - probability))
        return max(math.floor(middle - spread), 0), min(math.ceil(middle + spread) + 1, count + 1)
    cumulative = np.cumsum(_binomial(count, probability))
    # l: largest rank with P(B < l) <= tail; u: smallest rank with P(B < u) >= 1 - tail; B binomial.
    below = int(np.searchsorted(cumulative, tail, side="right"))
    above = int(np.searchsorted(cumulative, 1 - tail, side="left")) + 1
    return below, min(above, count + 1)


def _binomial(count: int, probability: float) -> npt.NDArray[np.float64]:
    """Return P(B = 0), …, P(B = count) for B binomial, by logarithms so that nothing underflows early."""
    if probability <= 0 or probability >= 1:
        raise ValueError(f"probability is {probability}; expected more than 0 and less than 1")
    factorials = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, count + 1)))))
    places = np.arange(count + 1)
    logs = factorials[count] - factorials[places] - factorials[count - places]
    logs = logs + places * math.log(probability) + (count - places) * math.log(1 - probability)
    return np.asarray(np.exp(logs), dtype=np.float64)
