"""Time limits for everything that waits, with one hub timer for all of it.

A timer for each request costs more than the request's own bookkeeping, and nearly all of them would be stopped
unused. So what waits carries its own deadline, which costs an assignment, and stands in one heap at most once for
each time it will be looked at. The look finds that it waits no longer, waits for something later, or is overdue.
"""

from __future__ import annotations

import heapq
import itertools
import math
from time import monotonic
from typing import Protocol
from weakref import WeakKeyDictionary

from gevent.hub import Hub

NEVER = math.inf
_SHORTEST_S = 0.001  # the hub's timers count milliseconds


class Limited(Protocol):
    """Something that waits. Both times are of the monotonic clock; NEVER when it does not wait."""

    due_s: float
    """When it has waited long enough. Whoever ends the waiting sets it to NEVER."""
    looked_at_s: float
    """When the deadlines will look at it; only they set it. NEVER at first."""

    def expire(self) -> None:
        """Called from the hub when the deadline has passed; `due_s` is NEVER by then."""


class Deadlines:
    """The deadlines of one hub. Overdue is noticed within about a millisecond, never early."""

    def __init__(self, hub: Hub) -> None:
        self._loop = hub.loop
        self._timer = self._loop.timer(_SHORTEST_S, ref=False)
        self._heap: list[tuple[float, int, Limited]] = []
        self._order = itertools.count()  # keeps the heap from comparing what waits
        self._rings_at_s = NEVER

    def watch(self, what: Limited, due_s: float) -> None:
        """Let `what` expire at `due_s`, unless its own `due_s` has been set to something else by then."""
        what.due_s = due_s
        if due_s < what.looked_at_s:
            self._enter(what, due_s)
            if due_s < self._rings_at_s:
                self._ring_at(due_s)

    def _enter(self, what: Limited, look_at_s: float) -> None:
        what.looked_at_s = look_at_s
        heapq.heappush(self._heap, (look_at_s, next(self._order), what))

    def _ring_at(self, at_s: float) -> None:
        self._rings_at_s = at_s
        self._timer.stop()
        self._timer.close()
        after_s = max(_SHORTEST_S, at_s - monotonic())
        self._timer = self._loop.timer(after_s, ref=False)
        self._timer.start(self._look, update=True)

    def _look(self) -> None:
        """Look at all whose time has come, then set the timer for the next. Runs in the hub."""
        self._rings_at_s = NEVER
        now_s = monotonic()
        try:
            while self._heap and self._heap[0][0] <= now_s:
                look_at_s, _, what = heapq.heappop(self._heap)
                if what.looked_at_s != look_at_s:
                    continue  # it was given an earlier deadline meanwhile, and looked at then
                what.looked_at_s = NEVER
                if what.due_s <= now_s:
                    what.due_s = NEVER
                    what.expire()
                elif what.due_s < NEVER:
                    self._enter(what, what.due_s)
        finally:
            if self._heap and self._heap[0][0] < self._rings_at_s:
                self._ring_at(self._heap[0][0])


_of_hubs: WeakKeyDictionary[Hub, Deadlines] = WeakKeyDictionary()


def deadlines_of(hub: Hub) -> Deadlines:
    """Return the deadlines of a hub, always the same."""
    found = _of_hubs.get(hub)
    if found is None:
        found = _of_hubs[hub] = Deadlines(hub)
    return found
