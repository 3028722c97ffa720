"""Signals and the deadline, as exceptions.

While nothing is broken yet (the devnet is starting), a signal raises at once. From `careful` on it raises at
the conductor's waiting points only: never in the middle of a step that breaks or heals something.

    StopRun
    ├── Interrupted      SIGINT or SIGTERM
    ├── DeadlinePassed   the plan's time limit
    └── PartFailed       a part of the run did: the load did not start, an observer died, …
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType

_LOOK_S = 0.05


class StopRun(Exception):
    """The run cannot go on. What is broken is healed, what was measured is kept."""


class Interrupted(StopRun):
    """A signal asked for the end."""


class DeadlinePassed(StopRun):
    """The plan's time limit has passed."""


class PartFailed(StopRun):
    """A part of the run failed."""


class Interruption:
    """Takes note of signals; raises at the next waiting point."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._signal: int | None = None
        self._raises_at_once = True
        self._finishing = False
        self._has_asked_for_patience = False
        self._deadline: float | None = None

    def listen(self) -> None:
        """Catch SIGINT and SIGTERM from here to the end of the process: its exit code tells the verdict."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def careful(self) -> None:
        """From here on a signal raises at waiting points only."""
        self._raises_at_once = False
        self.check()

    def set_deadline(self, limit_s: float) -> None:
        self._deadline = time.monotonic() + limit_s

    def finish(self) -> None:
        """From here on nothing interrupts: what is left heals, seals and reports, and is bounded by itself."""
        self._raises_at_once, self._finishing = False, True

    def go_on(self) -> None:
        """From here on another run may begin. Raises Interrupted when a signal came while the last one finished."""
        self._finishing, self._deadline = False, None
        self.check()

    def check(self) -> None:
        """Raise Interrupted or DeadlinePassed when it is time to."""
        if self._finishing:
            return
        if self._signal is not None:
            raise Interrupted(f"stopped by {signal.Signals(self._signal).name}")
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise DeadlinePassed("the plan's time limit has passed")

    def wait_until(self, done: Callable[[], bool], *, limit_s: float = float("inf")) -> bool:
        """Return whether `done` became true within the limit. Raises as `check` does."""
        end = time.monotonic() + limit_s
        while not done():
            self.check()
            if time.monotonic() >= end:
                return False
            time.sleep(_LOOK_S)
        return True

    @staticmethod
    def ignore() -> None:
        """From here on signals are ignored: the verdict is told, and the process is about to end with it."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if (self._signal is not None or self._finishing) and not self._has_asked_for_patience:
            self._has_asked_for_patience = True
            self._say("healing and sealing, please wait: nothing is left behind")
        first, self._signal = self._signal is None, number
        if first and self._raises_at_once:
            self.check()
