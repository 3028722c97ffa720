"""Whose clock was off, and by how much: what the load's workers measured against Locust's master.

Times of a worker are moved to the master's clock when its offset is larger than the error it was measured with: a
smaller one cannot be told from none, and on one machine there is none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from bundle import ClockRecord


def shifts_s(clocks: Iterable[ClockRecord]) -> dict[str, float]:
    """Return by part of the tables the seconds to add to its times; parts whose clock was right are absent.

    Of several measurements of a worker the one with the smallest error counts.
    """
    found = {}
    for part, measured in _measured(clocks).items():
        offset_s, error_s = min(measured, key=lambda pair: pair[1])
        if abs(offset_s) > error_s:
            found[part] = offset_s
    return found


def drifts_s(clocks: Iterable[ClockRecord]) -> dict[str, float]:
    """Return by part how far its clock moved against the master's during the run, beyond what was measured surely."""
    found = {}
    for part, measured in _measured(clocks).items():
        (first_s, first_error_s), (last_s, last_error_s) = measured[0], measured[-1]
        found[part] = max(0.0, abs(last_s - first_s) - first_error_s - last_error_s)
    return found


def moved_s(clocks: Iterable[ClockRecord]) -> float:
    """Return how far wall and monotonic clock moved apart: the most on any one machine."""
    by_host: dict[str, list[float]] = defaultdict(list)
    for clock in clocks:
        by_host[clock.host].append(clock.wall_minus_monotonic_s)
    return max((max(offsets) - min(offsets) for offsets in by_host.values()), default=0.0)


def _measured(clocks: Iterable[ClockRecord]) -> dict[str, list[tuple[float, float]]]:
    """Return (offset, error) by part, in the order in which they were measured."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for clock in clocks:
        if clock.part and clock.master_minus_own_s is not None:
            found[clock.part].append((clock.master_minus_own_s, clock.clock_error_s or 0.0))
    return found
