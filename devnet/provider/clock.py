"""The two clocks the daemon reads, in one value that a test can replace."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Where time comes from: `wall_at_s` in Unix seconds UTC, `monotonic_s` in seconds from any fixed point.

    Signatures and timestamps read the wall clock; the rate-limit window reads the monotonic one, so a step of
    the system's date neither opens nor prolongs a window.
    """

    wall_at_s: Callable[[], float]
    monotonic_s: Callable[[], float]


SYSTEM_CLOCK = Clock(wall_at_s=time.time, monotonic_s=time.monotonic)
