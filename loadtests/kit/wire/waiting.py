"""A greenlet waits for one thing from the hub, up to a deadline."""

from __future__ import annotations

from typing import Any

from gevent.hub import Hub, Waiter

from loadtests.kit.wire.deadlines import NEVER, deadlines_of
from loadtests.kit.wire.errors import WireError


class Wait:
    """One greenlet's wait. `wake` comes from the hub; when it does not come in time, `error` is raised."""

    __slots__ = ("_waiter", "due_s", "error", "looked_at_s")

    def __init__(self, hub: Hub, error: WireError) -> None:
        self._waiter: Waiter[None] = Waiter(hub)
        self.error = error
        self.due_s = self.looked_at_s = NEVER

    def until(self, due_s: float) -> None:
        """Return when woken. Raises `error` at `due_s`, monotonic."""
        deadlines_of(self._waiter.hub).watch(self, due_s)
        try:
            self._waiter.get()
        finally:
            self.due_s = NEVER

    def wake(self) -> None:
        if self._waiter.greenlet is not None:
            self._waiter.switch(None)

    def expire(self) -> None:
        if self._waiter.greenlet is not None:
            self._waiter.throw(self.error)


def wait_ready(hub: Hub, descriptor: int, events: int, due_s: float, error: WireError) -> None:
    """Return when a file descriptor is ready for `events` (1 to read, 2 to write). Raises `error` at `due_s`."""
    watcher: Any = hub.loop.io(descriptor, events)
    wait = Wait(hub, error)
    watcher.start(wait.wake)
    try:
        wait.until(due_s)
    finally:
        watcher.stop()
        watcher.close()
