"""The open loads of one Locust process: one queue of arrivals a scenario, shared by all its users."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from locust.env import Environment

from bundle import ErrorKind
from loadtests.arrivals import ArrivalKind, arrival_times, schedule_seed
from loadtests.kit.arrival_queue import ArrivalQueue
from loadtests.kit.calls import Call, CallFailed, report
from loadtests.kit.generator_tally import GeneratorTally
from loadtests.kit.place import Place

_WITHOUT_END_S = 31_622_400.0
"""A schedule for a test without end: a year, made as it goes on."""
NOT_SENT_PROTOCOL = "LOAD"


class OpenLoads:
    """The queues of arrivals. They start together, once every user is there."""

    def __init__(
        self, environment: Environment, *, place: Place, seed: int, load_time_s: float, wait_limit_s: float
    ) -> None:
        self._environment = environment
        self._place = place
        self._seed = seed
        self._load_time_s = load_time_s if math.isfinite(load_time_s) else _WITHOUT_END_S
        self._wait_limit_s = wait_limit_s
        self._queues: dict[type[Any], ArrivalQueue] = {}
        self.tally = GeneratorTally()

    def queue_of(self, user_class: type[Any], arrivals: ArrivalKind) -> ArrivalQueue:
        """Return the queue that all users of the class in this process take from. Raises DocumentError for a trace."""
        if user_class not in self._queues:
            name = user_class.scenario or user_class.__name__
            place, seed = self._place, schedule_seed(self._seed, name)
            times = arrival_times(arrivals, self._load_time_s, seed, share=(place.index, place.count))
            self._queues[user_class] = ArrivalQueue(
                iter([np.empty(0)]) if place.is_in_addition else times,
                wait_limit_s=self._wait_limit_s,
                tally=self.tally,
                given_up=lambda intended_at_s, at_s: self._report_not_sent(name, intended_at_s, at_s),
            )
        return self._queues[user_class]

    def begin(self, at_s: float) -> None:
        """Start the schedules at this Unix time, which may be a little ahead."""
        for queue in self._queues.values():
            queue.begin(at_s)

    def close(self) -> None:
        """End the schedules; what still waits is not sent."""
        for queue in self._queues.values():
            queue.close()

    @property
    def waiting_count(self) -> int:
        """Arrivals that are due and wait for a free user."""
        return sum(queue.waiting_count for queue in self._queues.values())

    def _report_not_sent(self, name: str, intended_at_s: float, at_s: float) -> None:
        text = f"waited {at_s - intended_at_s:.1f} s for a free user: all of them were on their way"
        call = Call(operation=name, protocol=NOT_SENT_PROTOCOL, intended_at_s=intended_at_s, sent_at_s=at_s)
        call.failure = CallFailed(ErrorKind.NOT_SENT, text)
        report(self._environment, call)
