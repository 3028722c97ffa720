"""Counts of how well this process generates, for the current second."""

from __future__ import annotations


class GeneratorTally:
    """Counts of the current second. Written from the hub, read once a second."""

    __slots__ = (
        "begun",
        "collected_s",
        "due",
        "given_up",
        "late_by_2_ms",
        "late_by_20_ms",
        "late_by_100_ms",
        "late_max_s",
        "stalled_max_s",
    )

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.due = self.begun = self.given_up = 0
        self.late_by_2_ms = self.late_by_20_ms = self.late_by_100_ms = 0
        self.late_max_s = self.stalled_max_s = self.collected_s = 0.0

    def due_late(self, late_s: float) -> None:
        """Count one arrival that the hub noticed so late."""
        self.due += 1
        if late_s > 0.002:
            self.late_by_2_ms += 1
            self.late_by_20_ms += late_s > 0.02
            self.late_by_100_ms += late_s > 0.1
        if late_s > self.late_max_s:
            self.late_max_s = late_s
