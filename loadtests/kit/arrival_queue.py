"""Hands the arrivals of one scenario to its users, at the times at which they are meant to begin.

A timer goes through the schedule. Each arrival goes to the user that has been idle longest; while all are busy it
waits, first come, first served, and keeps its intended time. One that has waited too long is given up and reported as
not sent. The schedule never waits for anybody: that is what makes the load open.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator

import gevent
import numpy as np
from gevent.hub import Waiter

from loadtests.arrivals import Times
from loadtests.kit.generator_tally import GeneratorTally
from loadtests.kit.timer import HubTimer

AT_ONCE = 64
"""Arrivals handed out before the hub looks at answers again."""
SWEEP_PERIOD_S = 0.1


class _Seat:
    """The place of a user that waits for an arrival."""

    __slots__ = ("taken", "waiter")

    def __init__(self) -> None:
        self.waiter: Waiter[float] = Waiter()
        self.taken = False


class ArrivalQueue:
    """The arrivals of one scenario in this process."""

    def __init__(
        self,
        chunks: Iterator[Times],
        *,
        wait_limit_s: float,
        tally: GeneratorTally,
        given_up: Callable[[float, float], None],
    ) -> None:
        """`chunks`: seconds after the start. `given_up` gets (intended, given up), Unix seconds, in a greenlet."""
        self._chunks = chunks
        self._wait_limit_s = wait_limit_s
        self._tally = tally
        self._given_up = given_up
        self._chunk: list[float] = []
        self._place = 0
        self._begin_monotonic_s = 0.0
        self._begin_at_s = 0.0
        self._idle: deque[_Seat] = deque()
        self._waiting: deque[float] = deque()
        self._timer = HubTimer(self._fire)
        self._sweeper: gevent.Greenlet[[], None] | None = None

    def begin(self, at_s: float) -> None:
        """Start the schedule at this Unix time; what of it has passed by now is due at once."""
        self._begin_at_s = at_s
        self._begin_monotonic_s = time.monotonic() + (at_s - time.time())
        self._sweeper = gevent.spawn(self._sweep_forever)
        self._go_on()

    def take(self) -> float:
        """Wait for the next arrival; return the Unix time at which it is meant to begin."""
        if self._waiting:
            gevent.sleep(0)  # a task that waits for nothing must not keep the hub from its turn
        if self._waiting:
            return self._begun(self._waiting.popleft())
        seat = _Seat()
        self._idle.append(seat)
        try:
            return self._begun(seat.waiter.get())
        except BaseException:
            # The user was stopped: nobody may hand an arrival to it any more.
            seat.taken = True
            raise

    def close(self) -> None:
        """End the schedule. Arrivals that still wait are given up."""
        self._timer.close()
        if self._sweeper is not None:
            self._sweeper.kill()
        self._give_up(len(self._waiting))

    @property
    def waiting_count(self) -> int:
        """Arrivals that are due and wait for a user."""
        return len(self._waiting)

    def _begun(self, intended_at_s: float) -> float:
        self._tally.begun += 1
        return intended_at_s

    def _fire(self) -> None:
        """Hand out what is due. Runs on the hub: a user that is handed an arrival runs until it waits for something."""
        passed_s = time.monotonic() - self._begin_monotonic_s
        for _ in range(AT_ONCE):
            due_s = self._chunk[self._place]
            if due_s > passed_s:
                break
            self._tally.due_late(passed_s - due_s)
            self._hand_out(self._begin_at_s + due_s)
            self._place += 1
            if self._place == len(self._chunk) and not self._next_chunk():
                return
        self._timer.at(self._begin_monotonic_s + self._chunk[self._place])

    def _hand_out(self, intended_at_s: float) -> None:
        while self._idle:
            seat = self._idle.popleft()
            if not seat.taken:
                seat.taken = True
                seat.waiter.switch(intended_at_s)
                return
        self._waiting.append(intended_at_s)

    def _go_on(self) -> None:
        if self._next_chunk():
            self._timer.at(self._begin_monotonic_s + self._chunk[0])

    def _next_chunk(self) -> bool:
        self._chunk, self._place = next(self._chunks, _NOTHING).tolist(), 0
        return bool(self._chunk)

    def _sweep_forever(self) -> None:
        while True:
            gevent.sleep(SWEEP_PERIOD_S)
            oldest = time.time() - self._wait_limit_s
            count = 0
            for intended_at_s in self._waiting:
                if intended_at_s > oldest:
                    break
                count += 1
            self._give_up(count)

    def _give_up(self, count: int) -> None:
        """Give up the first `count` that wait. Each is taken out before it is told: that may let others run."""
        for _ in range(min(count, len(self._waiting))):
            if not self._waiting:
                return
            self._tally.given_up += 1
            self._given_up(self._waiting.popleft(), time.time())


_NOTHING: Times = np.empty(0)
