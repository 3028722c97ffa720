"""Shares, clocks and cores of load processes: what all have together is the whole, each thing once."""

from __future__ import annotations

import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.kit.clock_offset import ClockOffset, Exchange, best_offset
from loadtests.kit.pinning import PinWish, pin
from loadtests.kit.place import Place
from tests.unit.loadtests.kit_session import a_session, a_target

COUNTS = st.integers(1, 70)


@given(items=st.lists(st.integers(), max_size=300), count=COUNTS)
def test_shares_are_all_items_each_once(items: list[int], count: int) -> None:
    """Law: the shares of all processes together are the items, and no two differ in size by more than one."""
    shares = [Place(index=index, count=count).share(items) for index in range(count)]
    assert sorted(item for share in shares for item in share) == sorted(items)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(index=st.integers(0, 100), count=COUNTS)
def test_a_process_in_addition_has_no_share(index: int, count: int) -> None:
    assert bool(Place(index=index, count=count).share(range(1000))) == (index < count)


@given(users=st.integers(1, 200), count=COUNTS)
def test_users_of_all_processes_have_the_numbers_that_one_process_would_give(users: int, count: int) -> None:
    """Law: evenly shared out, the users of any number of processes are the users of one: the same random numbers."""
    numbers = [Place(index=i, count=count).user_number(n) for i in range(count) for n in range(1, users + 1)]
    alone = [Place().user_number(n) for n in range(1, users * count + 1)]
    assert sorted(numbers) == alone == list(range(1, users * count + 1))


def test_a_session_uses_its_own_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sessions of one load: other accounts, other random numbers, the same recipients."""
    target = a_target(accounts=7)
    one, other = (a_session(target=target, place=Place(index=index, count=2)) for index in range(2))
    monkeypatch.setattr("loadtests.kit.session.AccountPool", lambda keys, chain, ask, depth: keys)
    addresses = [{key.address for key in session.accounts} for session in (one, other)]
    assert [len(found) for found in addresses] == [4, 3]
    assert not addresses[0] & addresses[1]
    assert addresses[0] | addresses[1] == set(one.recipients) == set(other.recipients)
    draws = [[session.next_draw("transfer").random() for _ in range(20)] for session in (one, other)]
    assert not set(draws[0]) & set(draws[1])


SECONDS = st.floats(-1e4, 1e4)
WAYS = st.floats(0, 30)


@given(offset=SECONDS, out=WAYS, back=WAYS, held=WAYS)
def test_an_offset_is_wrong_by_at_most_its_error(offset: float, out: float, back: float, held: float) -> None:
    """Law: whatever the ways take, the true offset lies within the error; equal ways give it exactly."""
    asked = 1_800_000_000.0
    received = asked + offset + out
    answered = received + held
    exchange = Exchange(
        asked_at_s=asked, received_at_s=received, answered_at_s=answered, back_at_s=answered - offset + back
    )
    found = best_offset([exchange])
    assert found is not None
    assert abs(found.offset_s - offset) <= found.error_s + 1e-5
    assert math.isclose(exchange.round_trip_s, out + back, abs_tol=1e-5)
    if out == back:
        assert math.isclose(found.offset_s, offset, abs_tol=1e-5)


def test_the_shortest_round_trip_counts() -> None:
    slow = Exchange(asked_at_s=0, received_at_s=9, answered_at_s=9, back_at_s=10)
    quick = Exchange(asked_at_s=20, received_at_s=25.1, answered_at_s=25.1, back_at_s=20.2)
    assert best_offset([slow, quick, slow]) == best_offset([quick])
    assert best_offset([]) is None


def test_a_moment_is_moved_only_when_the_offset_is_surely_one() -> None:
    assert ClockOffset(offset_s=5.0, error_s=0.1).to_own(100.0) == 95.0
    assert ClockOffset(offset_s=0.1, error_s=0.1).to_own(100.0) == 100.0


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> list[set[int]]:
    """Cores 2, 5 and 7 may be used; what is bound is only taken note of."""
    taken: list[set[int]] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {7, 2, 5})
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cores: taken.append(cores))
    return taken


@pytest.mark.parametrize(
    ("wish", "count", "cores"),
    [
        ("auto", 1, [None]),
        ("auto", 3, [2, 5, 7]),
        ("auto", 4, [None] * 4),
        ("yes", 1, [2]),
        ("yes", 4, [2, 5, 7, 2]),
        ("no", 2, [None, None]),
    ],
)
def test_cores_are_given_where_each_can_have_its_own(
    wish: str, count: int, cores: list[int | None], bound: list[set[int]]
) -> None:
    assert [pin(Place(index=index, count=count), PinWish(wish)) for index in range(count)] == cores
    assert bound == [{core} for core in cores if core is not None]


def test_a_core_is_really_bound() -> None:
    before = os.sched_getaffinity(0)
    try:
        core = pin(Place(index=0, count=1), PinWish.YES)
        assert os.sched_getaffinity(0) == {core}
    finally:
        os.sched_setaffinity(0, before)
