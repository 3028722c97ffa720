"""How far the master's wall clock is from ours, measured by asking it for the time.

    ours      asked ──────────────────────► back
    master's        received ─► answered

The offset is ((received - asked) + (answered - back)) / 2, and wrong by at most half the round trip, however unequal
the two ways are (RFC 5905, section 8). Of several exchanges the one with the shortest round trip tells most.

This module asks nobody and knows no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One question for the time and its answer; Unix seconds, each by the clock of whoever noted it."""

    asked_at_s: float
    received_at_s: float
    answered_at_s: float
    back_at_s: float

    @property
    def round_trip_s(self) -> float:
        """Time on the way, both ways together."""
        return max(0.0, (self.back_at_s - self.asked_at_s) - (self.answered_at_s - self.received_at_s))

    @property
    def offset_s(self) -> float:
        """The master's clock minus ours."""
        return ((self.received_at_s - self.asked_at_s) + (self.answered_at_s - self.back_at_s)) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockOffset:
    """The master's clock minus ours, and how far that may be off."""

    offset_s: float = 0.0
    error_s: float = 0.0

    def to_own(self, master_at_s: float) -> float:
        """Return a moment of the master's clock by ours. One that cannot be told from no offset changes nothing."""
        return master_at_s - self.offset_s if abs(self.offset_s) > self.error_s else master_at_s


def best_offset(exchanges: Iterable[Exchange]) -> ClockOffset | None:
    """Return what the exchange with the shortest round trip says; None when there is none."""
    best = min(exchanges, key=lambda exchange: exchange.round_trip_s, default=None)
    return None if best is None else ClockOffset(offset_s=best.offset_s, error_s=best.round_trip_s / 2)
