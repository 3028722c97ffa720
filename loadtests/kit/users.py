"""The abstract users of all scenarios: what they do is measured from the time at which it was meant to begin.

The same scenario runs in either model. Closed: so many users, each acting at its own fixed rate, each waiting for its
answers. Open: arrivals on a schedule that waits for nobody, taken up by whichever user is idle; the number of users is
how many may be on their way at once. A plan, `--loads` or `--arrivals` says which.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from functools import cached_property

import gevent
from locust import User
from locust.exception import LocustError
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_WAITING

from loadtests.arrivals import ArrivalKind, Constant
from loadtests.kit.arrival_queue import ArrivalQueue
from loadtests.kit.calls import Call, measured
from loadtests.kit.client import LoadClient
from loadtests.kit.schedule import Schedule
from loadtests.kit.session import Session, session_of

_UNTIL_LOCUST_ENDS_S = 86_400.0


class HarnessUser(User):
    """A user with a schedule. Scenarios subclass it, set `scenario`, and write `@task` methods."""

    abstract = True
    scenario = ""
    """Name of the scenario, as plans and --loads call it."""
    takes_arrivals = True
    """False where users do not act on a schedule: subscribers, who are there and wait."""
    arrivals: ArrivalKind | None = None
    """Open arrivals where neither a plan nor an option says otherwise; without them the model is closed."""

    def __init__(self, environment: object) -> None:
        super().__init__(environment)
        self.session: Session = session_of(self.environment)
        self.draw = self.session.next_draw(self.scenario)
        self._queue: ArrivalQueue | None = self.session.arrival_queue(type(self)) if self.takes_arrivals else None
        self._schedule = Schedule(
            rate_per_s=self.session.rate_per_user_per_s(self.scenario), start_at_s=time.time(), draw=self.draw
        )
        self._intended_at_s = 0.0
        self._not_asked_for_s: float | None = None

    @classmethod
    def prepare(cls, session: Session) -> None:
        """Do what must be done once before the test: called when Locust is ready, before users exist."""

    def on_start(self) -> None:
        """Wait for the first time: users that start together do not act together."""
        if self._queue is not None and self._taskset_instance is not None:
            # Locust sleeps after wait_time even for 0 s, a turn of the hub between an arrival and what it starts. In
            # the open model wait_time has waited already.
            self._taskset_instance._sleep = _go_on_at_once  # type: ignore[method-assign]
        self._state = LOCUST_STATE_WAITING  # it may be ended now
        if self._queue is None and (start_at_s := self.session.await_common_start()) is not None:
            self._schedule.move_to(start_at_s)
        gevent.sleep(self.wait_time())
        self._state = LOCUST_STATE_RUNNING

    def wait_time(self) -> float:
        """Return the seconds until the next operation is meant to begin; 0 when that has passed.

        In the open model this waits for the next arrival itself.
        """
        if self._queue is not None:
            self._intended_at_s = self._not_asked_for_s = self._queue.take()
            return 0.0
        self._schedule.advance()
        self._intended_at_s = self._not_asked_for_s = self._schedule.next_at_s
        if self._intended_at_s >= self.session.ends_at_s:
            return _UNTIL_LOCUST_ENDS_S
        return max(0.0, self._intended_at_s - time.time())

    @property
    def intended_at_s(self) -> float:
        """When the operation of the current task was meant to begin."""
        return self._intended_at_s

    @cached_property
    def client(self) -> LoadClient:
        """An HTTP client for `host`, as Locust's users have one. Users of a process share its connections.

        The first request of a task counts from when the task was meant to begin, a later one from when it is sent.
        """
        if not self.host:
            raise LocustError(f"{type(self).__name__} has no host: set it, or give --host")
        return LoadClient(self.environment, self.host, origins=self.session.origins, intended=self._take_intended)

    def _take_intended(self) -> float | None:
        """Return when the task was meant to begin, to the first who asks."""
        intended_at_s, self._not_asked_for_s = self._not_asked_for_s, None
        return intended_at_s

    def measured(self, operation: str, protocol: str) -> AbstractContextManager[Call]:
        """Time what happens inside, from the time at which the current task was meant to begin."""
        return measured(self.environment, operation, protocol, intended_at_s=self.intended_at_s)


def _go_on_at_once(_: float) -> None:
    """Take the place of Locust's sleep."""


class OpenLoadUser(HarnessUser):
    """A user whose tasks begin on a schedule that does not wait for answers, also in plain Locust.

        class Reader(OpenLoadUser):
            arrivals = Constant(rate_per_s=50)

            @task
            def read(self):
                self.client.get("/status", name="status")

    `-u` says how many may be on their way at once.
    """

    abstract = True
    arrivals = Constant(rate_per_s=1.0)
