"""Laws of windows: interval algebra is what it is point by point on a grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.windows import Window

pytestmark = pytest.mark.slow

LAW = settings(derandomize=True, deadline=None, max_examples=100)

Pair = tuple[float, float]
HIGHEST = 20
# Whole numbers from 0 to 20 as ends, empty and reversed pairs among them; looked at in between and at every end.
GRID = [step / 2 for step in range(-2, 2 * HIGHEST + 3)]
ends = st.integers(0, HIGHEST).map(float)
pairs = st.lists(st.tuples(ends, ends), max_size=8)


def covered(intervals: list[Pair] | tuple[Pair, ...], moment: float) -> bool:
    return any(start <= moment < end for start, end in intervals)


@LAW
@given(pairs)
def test_union_covers_what_any_interval_covers(intervals: list[Pair]) -> None:
    window = Window.of(*intervals)
    assert [covered(window.intervals, at) for at in GRID] == [covered(intervals, at) for at in GRID]


@LAW
@given(pairs)
def test_a_window_is_in_order_and_apart(intervals: list[Pair]) -> None:
    flat = [end for pair in Window.of(*intervals).intervals for end in pair]
    assert flat == sorted(set(flat)), "no interval is empty, and none touches the next"


@LAW
@given(pairs, pairs)
def test_without_leaves_what_is_in_none_of_the_others(intervals: list[Pair], others: list[Pair]) -> None:
    left = Window.of(*intervals).without(others)
    expected = [covered(intervals, at) and not covered(others, at) for at in GRID]
    assert [covered(left.intervals, at) for at in GRID] == expected
    assert left == Window.of(*left.intervals), "in the same form as any other window"


@LAW
@given(pairs, ends, ends)
def test_within_keeps_what_is_in_both(intervals: list[Pair], start: float, end: float) -> None:
    inside = Window.of(*intervals).within(start, end)
    expected = [covered(intervals, at) and start <= at < end for at in GRID]
    assert [covered(inside.intervals, at) for at in GRID] == expected


@LAW
@given(pairs)
def test_contains_is_membership_half_open(intervals: list[Pair]) -> None:
    found = Window.of(*intervals).contains(np.array(GRID))
    assert found.tolist() == [covered(intervals, at) for at in GRID]


@LAW
@given(pairs)
def test_length_is_the_number_of_covered_cells(intervals: list[Pair]) -> None:
    window = Window.of(*intervals)
    cells = sum(covered(intervals, cell + 0.5) for cell in range(HIGHEST))
    assert window.length_s == cells
    assert window.is_empty == (cells == 0)
