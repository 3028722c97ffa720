"""Deadlines: whatever the order in which limits are set, moved and lifted, exactly what is overdue expires."""

from __future__ import annotations

from time import monotonic

import gevent
from gevent.hub import get_hub
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.kit.wire.deadlines import NEVER, Deadlines, deadlines_of
from tests.unit.loadtests.kit_servers import wait_for


class Waiting:
    """Something that waits, and notes when it expired."""

    def __init__(self) -> None:
        self.due_s = self.looked_at_s = NEVER
        self.expired_at_s: list[float] = []

    def expire(self) -> None:
        self.expired_at_s.append(monotonic())


def test_what_is_overdue_expires_once_and_never_early() -> None:
    deadlines, waiting = Deadlines(get_hub()), Waiting()
    due_s = monotonic() + 0.02
    deadlines.watch(waiting, due_s)
    wait_for(lambda: bool(waiting.expired_at_s), "the deadline")
    gevent.sleep(0.005)
    assert len(waiting.expired_at_s) == 1
    assert waiting.expired_at_s[0] >= due_s
    assert (waiting.due_s, waiting.looked_at_s) == (NEVER, NEVER)


def test_a_deadline_in_the_past_expires_soon() -> None:
    deadlines, waiting = Deadlines(get_hub()), Waiting()
    deadlines.watch(waiting, monotonic() - 1.0)
    wait_for(lambda: bool(waiting.expired_at_s), "the deadline")


MOVES = st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), st.integers(0, 12))), max_size=30)


@given(moves=MOVES)
@settings(max_examples=25)
def test_the_last_deadline_counts(moves: list[tuple[int, int | None]]) -> None:
    """Law: what waits expires if and only if the deadline it was given last was not lifted, and not before it."""
    deadlines, waiting = Deadlines(get_hub()), [Waiting() for _ in range(6)]
    last: dict[int, float] = {}
    for who, after_ms in moves:
        if after_ms is None:
            waiting[who].due_s = NEVER
            last.pop(who, None)
        else:
            last[who] = monotonic() + 0.05 + after_ms / 1000
            deadlines.watch(waiting[who], last[who])
    assert not any(each.expired_at_s for each in waiting)
    end = Waiting()
    deadlines.watch(end, monotonic() + 0.08)
    wait_for(lambda: bool(end.expired_at_s), "the end")
    assert {who for who, each in enumerate(waiting) if each.expired_at_s} == set(last)
    for who, due_s in last.items():
        assert len(waiting[who].expired_at_s) == 1
        assert waiting[who].expired_at_s[0] >= due_s


def test_one_that_raises_costs_no_other_its_expiry() -> None:
    class Raising(Waiting):
        def expire(self) -> None:
            super().expire()
            raise KeyError("expiring went wrong")

    hub, raising, after = get_hub(), Raising(), Waiting()
    deadlines, printed = Deadlines(hub), hub.NOT_ERROR
    hub.NOT_ERROR = (*printed, KeyError)  # the hub would print it
    try:
        due_s = monotonic() + 0.01
        deadlines.watch(raising, due_s)
        deadlines.watch(after, due_s)
        wait_for(lambda: bool(after.expired_at_s), "the other one")
    finally:
        hub.NOT_ERROR = printed
    assert len(raising.expired_at_s) == 1


def test_a_hub_has_one() -> None:
    assert deadlines_of(get_hub()) is deadlines_of(get_hub())
