"""Which moments count: phases and fault windows as sets of half-open intervals of Unix time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd


@dataclass(frozen=True, slots=True)
class Window:
    """Disjoint half-open intervals [start, end) in order, Unix seconds."""

    intervals: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, *intervals: tuple[float, float]) -> Window:
        """Return the union of intervals; empty ones vanish, touching ones join."""
        joined: list[tuple[float, float]] = []
        for start, end in sorted(pair for pair in intervals if pair[1] > pair[0]):
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], end))
            else:
                joined.append((start, end))
        return cls(tuple(joined))

    @property
    def length_s(self) -> float:
        return sum(end - start for start, end in self.intervals)

    @property
    def is_empty(self) -> bool:
        return not self.intervals

    def without(self, others: Iterable[tuple[float, float]]) -> Window:
        """Return the moments of this window that lie in none of `others`."""
        left = list(self.intervals)
        for start, end in others:
            pieces = []
            for a, b in left:
                pieces += [(a, min(b, start)), (max(a, end), b)]
            left = [(a, b) for a, b in pieces if b > a]
        return Window.of(*left)

    def within(self, start: float, end: float) -> Window:
        """Return the moments of this window in [start, end)."""
        return Window.of(*((max(a, start), min(b, end)) for a, b in self.intervals))

    def contains(self, moments: pd.Series[float] | npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Return for each moment whether it lies in the window."""
        values = np.asarray(moments, dtype=np.float64)
        inside = np.zeros(len(values), dtype=bool)
        for start, end in self.intervals:
            inside |= (values >= start) & (values < end)
        return inside
