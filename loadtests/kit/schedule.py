"""When a user is meant to act: a fixed rate, begun at a random point of the first period.

The schedule does not move when the target is slow. A user that falls behind catches up at once, and each
late operation keeps the time at which it was meant to begin: so a stall shows up in the latencies.
"""

from __future__ import annotations

import random


class Schedule:
    """The intended times of one user, Unix seconds. Begins before the first: advance to it."""

    def __init__(self, *, rate_per_s: float, start_at_s: float, draw: random.Random) -> None:
        self._period_s = 1 / rate_per_s
        self._start_at_s = start_at_s
        self._first_at_s = start_at_s + draw.random() * self._period_s
        self._count = -1

    @property
    def next_at_s(self) -> float:
        """When the next operation is meant to begin. Computed from the start: no rounding adds up."""
        return self._first_at_s + self._count * self._period_s

    def move_to(self, start_at_s: float) -> None:
        """Begin at another moment: all intended times move with it."""
        self._first_at_s += start_at_s - self._start_at_s
        self._start_at_s = start_at_s

    def advance(self) -> None:
        """Go on to the following operation."""
        self._count += 1
