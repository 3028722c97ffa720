"""The observers' clock: a grid on which a late look is not made up."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observers import observer
from observers.observer import ticks


class Clock:
    """Both clocks and the stop event: time passes by looking and by waiting, and stops after a number of looks."""

    def __init__(self, start_s: float, looks: int) -> None:
        self.now_s = start_s
        self._looks = looks
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return 1_700_000_000.0 + self.now_s

    def is_set(self) -> bool:
        self._looks -= 1
        return self._looks < 0

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now_s += seconds
        return False


def looks_at(period_s: float, durations_s: list[float], start_s: float = 50.0) -> tuple[list[float], Clock]:
    """Return when each look began, on the monotonic clock, and the clock."""
    clock: Any = Clock(start_s, len(durations_s))
    begun = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(observer, "time", clock)
        for at_s, duration_s in zip(ticks(clock, period_s), durations_s, strict=False):
            begun.append(at_s - 1_700_000_000.0)
            clock.now_s += duration_s
    return begun, clock


def test_quick_looks_lie_on_the_grid() -> None:
    begun, _ = looks_at(0.5, [0.1, 0.0, 0.4999, 0.2])
    assert begun == pytest.approx([50.0, 50.5, 51.0, 51.5], abs=1e-6)


def test_a_late_look_is_not_made_up() -> None:
    begun, clock = looks_at(0.5, [0.1, 1.7, 0.1, 0.1])
    assert begun == pytest.approx([50.0, 50.5, 52.5, 53.0], abs=1e-6)
    assert all(wait >= 0 for wait in clock.waits)


def test_none_after_the_end() -> None:
    begun, _ = looks_at(0.5, [])
    assert begun == []


@given(
    period_s=st.floats(0.01, 5),
    durations_s=st.lists(st.floats(0, 20), min_size=2, max_size=50),
    start_s=st.floats(0, 1e6),
)
def test_looks_lie_on_a_grid_and_wait_no_longer_than_a_period(
    period_s: float, durations_s: list[float], start_s: float
) -> None:
    """Law: each look is a whole number of periods after the first, at least one after the one before it, and the
    first such moment that is not past."""
    begun, _ = looks_at(period_s, durations_s, start_s)
    assert len(begun) == len(durations_s)
    tolerance = 1e-5
    for place, (before, after) in enumerate(pairwise(begun)):
        steps = (after - begun[0]) / period_s
        assert steps == pytest.approx(round(steps), abs=tolerance / period_s)
        ended = before + durations_s[place]
        assert after >= ended - tolerance
        assert after - before >= period_s - tolerance
        assert after - ended <= period_s + tolerance
