"""The queue of arrivals and its timer: each arrival goes to exactly one user, in order, whatever users do."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import gevent
import numpy as np
import pytest
from gevent.event import Event

from loadtests.kit.arrival_queue import AT_ONCE, ArrivalQueue
from loadtests.kit.generator_tally import GeneratorTally
from loadtests.kit.timer import HubTimer
from tests.unit.loadtests.kit_servers import wait_for

LONG_S = 60.0


class Scene:
    """A queue over given times, and what came of them."""

    def __init__(self, offsets_s: Sequence[float], wait_limit_s: float, chunk: int) -> None:
        self.offsets_s = list(offsets_s)
        self.tally = GeneratorTally()
        self.taken: list[tuple[int, float]] = []
        """(user, intended), in the order in which they were taken up."""
        self.given_up: list[tuple[float, float]] = []
        chunks = [np.array(self.offsets_s[place : place + chunk]) for place in range(0, len(self.offsets_s), chunk)]
        self.queue = ArrivalQueue(
            iter(chunks),
            wait_limit_s=wait_limit_s,
            tally=self.tally,
            given_up=lambda intended_at_s, at_s: self.given_up.append((intended_at_s, at_s)),
        )
        self.begin_at_s = 0.0
        self.users: list[gevent.Greenlet[[], None]] = []

    def begin(self) -> None:
        self.begin_at_s = time.time()
        self.queue.begin(self.begin_at_s)

    def add_user(self, busy: Event | None = None) -> None:
        """Add a user that takes arrivals; with `busy`, each holds it up until the event."""
        number = len(self.users)

        def act() -> None:
            while True:
                self.taken.append((number, self.queue.take()))
                if busy is not None:
                    busy.wait()

        self.users.append(gevent.spawn(act))
        gevent.sleep(0)

    @property
    def intended(self) -> list[float]:
        """Offsets of what was taken up, as far as floats give them back."""
        return [round(intended - self.begin_at_s, 6) for _, intended in self.taken]


@contextmanager
def scene(offsets_s: Sequence[float], *, wait_limit_s: float = LONG_S, chunk: int = 3) -> Iterator[Scene]:
    one = Scene(offsets_s, wait_limit_s, chunk)
    try:
        yield one
    finally:
        gevent.killall(one.users)
        one.queue.close()


@pytest.mark.parametrize("users", [1, 4])
def test_each_arrival_goes_to_one_user_in_order(users: int) -> None:
    offsets = [0.0, 0.001, 0.002, 0.002, 0.002, 0.01, 0.02]
    with scene(offsets) as one:
        for _ in range(users):
            one.add_user()
        one.begin()
        wait_for(lambda: len(one.taken) == len(offsets), "the arrivals")
        assert one.intended == offsets
        assert (one.tally.due, one.tally.begun, one.tally.given_up) == (7, 7, 0)
        if users == 4:  # whoever has been idle longest is next
            assert [user for user, _ in one.taken] == [0, 1, 2, 3, 0, 1, 2]


def test_more_than_the_hub_takes_at_once() -> None:
    offsets = [0.0] * (3 * AT_ONCE + 1)
    with scene(offsets, chunk=50) as one:
        one.add_user()
        one.begin()
        wait_for(lambda: len(one.taken) == len(offsets), "the arrivals")
        assert one.queue.waiting_count == 0


def test_no_arrival_begins_before_its_time() -> None:
    began: list[tuple[float, float]] = []
    with scene([0.0, 0.02, 0.05]) as one:

        def act() -> None:
            while True:
                intended = one.queue.take()
                began.append((time.time(), intended))

        one.users.append(gevent.spawn(act))
        one.begin()
        wait_for(lambda: len(began) == 3, "the arrivals")
    assert all(at_s >= intended - 1e-4 for at_s, intended in began)


def test_while_all_are_busy_arrivals_wait_in_order_and_keep_their_times() -> None:
    offsets = [0.0, 0.001, 0.002, 0.003]
    free = Event()
    with scene(offsets) as one:
        one.add_user(free)
        one.begin()
        wait_for(lambda: one.queue.waiting_count == 3, "the arrivals")
        assert one.intended == [0.0]
        free.set()
        wait_for(lambda: len(one.taken) == 4, "the arrivals")
        assert one.intended == offsets
        assert one.given_up == []


def test_what_waits_too_long_is_given_up_once_and_the_rest_goes_on() -> None:
    free = Event()
    with scene([0.0, 0.0, 0.0, 0.6], wait_limit_s=0.2) as one:
        one.add_user(free)
        one.begin()
        wait_for(lambda: len(one.given_up) == 2, "the arrivals")
        assert all(at_s - intended >= 0.2 for intended, at_s in one.given_up)
        free.set()
        wait_for(lambda: len(one.taken) == 2, "the arrivals")
        assert one.intended == [0.0, 0.6]
        assert (one.tally.due, one.tally.begun, one.tally.given_up) == (4, 2, 2)


def test_a_user_that_is_stopped_while_it_waits_takes_no_arrival_with_it() -> None:
    with scene([0.05, 0.05]) as one:
        one.add_user()
        one.add_user()
        one.users[0].kill()
        one.begin()
        wait_for(lambda: len(one.taken) == 2, "the arrivals")
        assert [user for user, _ in one.taken] == [1, 1]


def test_the_end_gives_up_what_still_waits() -> None:
    with scene([0.0, 0.0]) as one:
        one.begin()
        wait_for(lambda: one.queue.waiting_count == 2, "the arrivals")
        one.queue.close()
        assert len(one.given_up) == 2
        assert one.queue.waiting_count == 0


def test_an_empty_schedule_has_nothing_to_do() -> None:
    with scene([]) as one:
        one.begin()
        assert one.queue.waiting_count == 0


def test_lateness_is_counted_by_its_size() -> None:
    tally = GeneratorTally()
    for late_s in (0.0, 0.001, 0.003, 0.03, 0.3):
        tally.due_late(late_s)
    assert (tally.due, tally.late_by_2_ms, tally.late_by_20_ms, tally.late_by_100_ms) == (5, 3, 2, 1)
    assert tally.late_max_s == 0.3
    tally.clear()
    assert (tally.due, tally.late_by_2_ms, tally.late_max_s) == (0, 0, 0.0)


def test_a_timer_fires_once_and_not_too_early() -> None:
    fired: list[float] = []
    timer = HubTimer(lambda: fired.append(time.monotonic()))
    wanted = time.monotonic() + 0.02
    timer.at(wanted)
    wait_for(lambda: bool(fired), "the timer")
    assert fired[0] >= wanted
    timer.at(wanted)  # has passed: at once
    wait_for(lambda: len(fired) == 2, "the timer")
    timer.close()
    timer.close()


def test_a_timer_can_be_set_again_and_stopped() -> None:
    fired: list[str] = []
    first, second = HubTimer(lambda: fired.append("first")), HubTimer(lambda: fired.append("second"))
    first.at(time.monotonic())
    first.stop()
    second.at(time.monotonic() + LONG_S)
    second.at(time.monotonic() + 0.01)
    wait_for(lambda: bool(fired), "the timer")
    assert fired == ["second"]
    first.close()
    second.close()
