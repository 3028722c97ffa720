"""What every observer is, and the clock that they keep: a fixed grid, on which a late look is not made up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Protocol


class Observer(Protocol):
    """Watches one thing in a thread of its own until `stop` is set."""

    name: str

    def run(self, stop: threading.Event) -> None:
        """Watch. Trouble with the target is data, and never ends the watch."""


def ticks(stop: threading.Event, period_s: float) -> Iterator[float]:
    """Yield the Unix time of each look until `stop` is set.

    Looks lie on a grid of `period_s`. A look that takes longer than the period costs the ones it covers: the
    time to the next look is then the time that it stands for.
    """
    start, count = time.monotonic(), 0
    while not stop.is_set():
        yield time.time()
        count = max(count + 1, int((time.monotonic() - start) / period_s) + 1)
        stop.wait(max(0.0, start + count * period_s - time.monotonic()))
