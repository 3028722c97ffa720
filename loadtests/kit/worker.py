"""A Locust worker's side of the conversation with its master: its place, the clock, the beginning, the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import AsyncResult
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtests.kit.clock_offset import ClockOffset, Exchange, best_offset
from loadtests.kit.messages import BEGIN, CLOCK, END, ENDED, READY
from loadtests.kit.place import Place

_EXCHANGES = 8
_ANSWER_LIMIT_S = 1.0
_MEET_LIMIT_S = 15.0
"""A master answers as soon as it has read its Locust file; one without this kit never does."""

_Told = tuple[dict[str, Any], float]
"""What the master answered, and when that arrived."""

log = logging.getLogger(__name__)


class Worker:
    """The worker of this process."""

    def __init__(self, runner: WorkerRunner, wanted_index: int | None) -> None:
        """`wanted_index` is what the starter of all workers says; without it, Locust's master counts them."""
        self._runner = runner
        self.index: int = runner.worker_index if wanted_index is None else wanted_index
        self.name = f"worker-{self.index}"
        self._answers: dict[int, AsyncResult[_Told]] = {}
        self._asked = 0
        self.offset: ClockOffset | None = None
        """As measured last; None when the master did not answer."""
        runner.register_message(CLOCK, self._on_clock)

    def meet(self, expected_workers: int) -> Place:
        """Return this worker's place, as the master says; measure the clock on the way.

        A master that does not answer is one without this kit: then `expected_workers` are taken to share the load.
        """
        end = time.monotonic() + _MEET_LIMIT_S
        answer = self._ask()
        while answer is None and time.monotonic() < end:
            answer = self._ask()
        if answer is None:
            log.error("the master says nothing of the load's shares and the clock: does it have the same Locust file?")
            return Place(index=self.index, count=expected_workers)
        self.measure()
        place = Place(index=self.index, count=max(1, int(answer[1]["count"])))
        if place.is_in_addition:
            text = "%s is one more than the %d of --expect-workers: it has no accounts and no open arrivals"
            log.error(text, self.name, place.count)
        return place

    def measure(self) -> None:
        """Measure the offset of the master's clock anew."""
        asked = [self._ask() for _ in range(_EXCHANGES)]
        self.offset = best_offset(answer[0] for answer in asked if answer is not None) or self.offset

    def listen(
        self, *, begin: Callable[[float, float], None], hurry: Callable[[], None], ended: Callable[[], None]
    ) -> None:
        """Be told when users begin and when the test ends, from here on.

        `begin` gets the moment by our clock and by the master's. `hurry` comes before an end that waits for nothing.
        `ended` comes when users have stopped and what was on its way has come.
        """

        def on_begin(environment: Environment, msg: Any, **_: Any) -> None:
            at_s = float(msg.data["at_s"])
            begin(self.offset.to_own(at_s) if self.offset else at_s, at_s)

        def on_end(environment: Environment, msg: Any, **_: Any) -> None:
            if msg.data["hurry"]:
                hurry()
            self._runner.stop()  # which waits for what is on its way: see Session.drain
            ended()
            self.report()  # before the word that it has: the master takes them in this order
            self._runner.send_message(ENDED)

        self._runner.register_message(BEGIN, on_begin)
        self._runner.register_message(END, on_end, concurrent=True)

    def report(self) -> None:
        """Send Locust's statistics to the master now: a worker that a signal ends would keep the last of them."""
        self._runner._send_stats()

    def tell_ready(self) -> None:
        """Tell the master that users can begin."""
        self._runner.send_message(READY)

    def _ask(self) -> tuple[Exchange, dict[str, Any]] | None:
        self._asked += 1
        number = self._asked
        answer = self._answers[number] = AsyncResult()
        asked_at_s = time.time()
        self._runner.send_message(CLOCK, {"number": number, "name": self.name})
        try:
            heard = answer.get(timeout=_ANSWER_LIMIT_S)
        except gevent.Timeout:
            heard = None
        finally:
            del self._answers[number]
        if heard is None:
            return None
        told, back_at_s = heard
        exchange = Exchange(
            asked_at_s=asked_at_s,
            received_at_s=told["received_at_s"],
            answered_at_s=told["answered_at_s"],
            back_at_s=back_at_s,
        )
        return exchange, told

    def _on_clock(self, environment: Environment, msg: Any, **_: Any) -> None:
        back_at_s = time.time()
        if answer := self._answers.get(msg.data["number"]):
            answer.set((msg.data, back_at_s))
