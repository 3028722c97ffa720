"""The abstract user of all scenarios: acts on a schedule, measures what it does."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager

import gevent
from locust import User

from loadtests.kit.calls import Call, measured
from loadtests.kit.schedule import Schedule
from loadtests.kit.session import Session, session_of

_UNTIL_LOCUST_ENDS_S = 86_400.0


class HarnessUser(User):
    """A user with a schedule. Scenarios subclass it, set `scenario`, and write `@task` methods."""

    abstract = True
    scenario = ""
    """Name of the scenario, as plans and --loads call it."""

    def __init__(self, environment: object) -> None:
        super().__init__(environment)
        self.session: Session = session_of(self.environment)
        self.draw = self.session.next_draw(self.scenario)
        load = self.session.loads.get(self.scenario)
        rate_per_s = load.rate_per_user_per_s if load else self.session.default_rate_per_s
        self._schedule = Schedule(rate_per_s=rate_per_s, start_at_s=time.time(), draw=self.draw)

    @classmethod
    def prepare(cls, session: Session) -> None:
        """Do what must be done once before the test: called when Locust is ready, before users exist."""

    def on_start(self) -> None:
        """Wait for the schedule's first time: users that start together do not act together."""
        gevent.sleep(self._wait_s())

    def wait_time(self) -> float:
        """Return the seconds until the next operation is meant to begin; 0 when that has passed."""
        self._schedule.advance()
        return self._wait_s()

    def _wait_s(self) -> float:
        if self._schedule.next_at_s >= self.session.ends_at_s:
            return _UNTIL_LOCUST_ENDS_S
        return max(0.0, self._schedule.next_at_s - time.time())

    @property
    def intended_at_s(self) -> float:
        """When the operation of the current task was meant to begin."""
        return self._schedule.next_at_s

    def measured(self, operation: str, protocol: str) -> AbstractContextManager[Call]:
        """Time what happens inside, from the time at which the current task was meant to begin."""
        return measured(self.environment, operation, protocol, intended_at_s=self.intended_at_s)
