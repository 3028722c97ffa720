"""When users act: the schedule, and a user that keeps it however slow its target is."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.kit import users
from loadtests.kit.schedule import Schedule
from loadtests.kit.users import HarnessUser
from tests.unit.loadtests.kit_session import Clock, a_session

RATES = st.floats(0.01, 1000)
STARTS = st.floats(0, 2e9)


def times(schedule: Schedule, count: int) -> list[float]:
    found = []
    for _ in range(count):
        schedule.advance()
        found.append(schedule.next_at_s)
    return found


@given(rate=RATES, start=STARTS, seed=st.integers(), count=st.integers(2, 3000))
def test_intended_times_are_multiples_of_the_period(rate: float, start: float, seed: int, count: int) -> None:
    """Law: the n-th time is the first plus n periods; nothing adds up, and the first lies in the first period."""
    found = times(Schedule(rate_per_s=rate, start_at_s=start, draw=random.Random(seed)), count)
    assert start <= found[0] <= start + 1 / rate
    last = count - 1
    assert math.isclose(found[last], found[0] + last / rate, rel_tol=1e-12, abs_tol=1e-6)
    assert all(before < after for before, after in pairwise(found))


@given(rate=st.floats(0.5, 500), start=st.floats(0, 2e9), seed=st.integers(), length_s=st.floats(0, 20))
def test_a_time_span_holds_its_rate(rate: float, start: float, seed: int, length_s: float) -> None:
    """Law: over T seconds from the start, rate · T operations are meant to begin, give or take one."""
    schedule = Schedule(rate_per_s=rate, start_at_s=start, draw=random.Random(seed))
    count = 0
    schedule.advance()
    while schedule.next_at_s < start + length_s:
        count += 1
        schedule.advance()
    assert abs(count - rate * length_s) <= 1 + 1e-3


def test_the_same_seed_gives_the_same_times() -> None:
    one, other = (
        times(Schedule(rate_per_s=3, start_at_s=7.0, draw=random.Random("1/transfer/1")), 50) for _ in range(2)
    )
    assert one == other


class _User(HarnessUser):
    abstract = True
    scenario = "transfer"


@given(
    rate=st.floats(0.1, 50),
    durations_s=st.lists(st.floats(0, 30), min_size=1, max_size=40),
    seed=st.integers(0, 10**6),
)
def test_a_slow_target_moves_no_intended_time(rate: float, durations_s: list[float], seed: int) -> None:
    """Law: a user begins at its intended time, or at once when it is late; the intended times stay multiples."""
    clock = Clock(1_700_000_000.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(users, "time", clock)
        patch.setattr(users, "gevent", clock)
        session = a_session("--rate-per-user", repr(rate), "--seed", str(seed))
        user = _User(session.environment)
        user.on_start()
        first = user.intended_at_s
        for place, duration_s in enumerate(durations_s):
            intended, began = user.intended_at_s, clock.now_s
            assert intended == pytest.approx(first + place / rate, abs=1e-4)
            assert began >= intended - 1e-4
            clock.now_s += duration_s
            ended = clock.now_s
            clock.now_s += user.wait_time()
            # Late: at once. In time: exactly then.
            assert clock.now_s == pytest.approx(max(ended, user.intended_at_s), abs=1e-4)


def test_a_schedule_ends_with_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(1_700_000_000.0)
    monkeypatch.setattr(users, "time", clock)
    monkeypatch.setattr(users, "gevent", clock)
    session = a_session("--rate-per-user", "1")
    session.ends_at_s = clock.now_s + 5
    user = _User(session.environment)
    user.on_start()
    begun = []
    while (wait_s := user.wait_time()) < 100:
        begun.append(user.intended_at_s)
        clock.now_s += wait_s
    assert len(begun) == 4  # of five seconds, the first was at on_start
    assert max(begun) < session.ends_at_s
    assert wait_s >= 3600  # until Locust ends it


def test_users_have_draws_of_their_own_that_follow_from_the_seed() -> None:
    draws = [a_session("--seed", "5").next_draw("transfer").random() for _ in range(2)]
    assert draws[0] == draws[1]
    session = a_session("--seed", "5")
    several = [session.next_draw("transfer").random() for _ in range(20)]
    assert len(set(several)) == 20
    assert a_session("--seed", "6").next_draw("transfer").random() != several[0]
