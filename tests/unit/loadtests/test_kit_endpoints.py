"""EndpointPool: round robin, ejection, one trial at a time."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.kit import endpoints
from loadtests.kit.endpoints import EndpointPool

OUT_S = 5.0


@dataclass(frozen=True)
class Endpoint:
    name: str


class Clock:
    """A monotonic clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(endpoints, "time", clock)
    return clock


def a_pool(names: str = "abc") -> EndpointPool[Endpoint]:
    return EndpointPool([Endpoint(name) for name in names], ejection_s=OUT_S)


def chosen(pool: EndpointPool[Endpoint], count: int) -> str:
    return "".join(pool.choose().name for _ in range(count))


def test_a_pool_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no endpoint"):
        EndpointPool([])


@given(size=st.integers(1, 9), rounds=st.integers(1, 5))
def test_those_that_work_take_turns(size: int, rounds: int) -> None:
    """Law: over whole rounds every endpoint is chosen equally often, each once a round."""
    pool = EndpointPool([Endpoint(str(place)) for place in range(size)])
    assert len(pool) == size
    for _ in range(rounds):
        assert {pool.choose().name for _ in range(size)} == {str(place) for place in range(size)}


def test_one_that_failed_is_left_out_until_its_time_is_over(clock: Clock) -> None:
    pool = a_pool()
    pool.failed(Endpoint("b"))
    assert chosen(pool, 6) == "acacac"
    clock.now_s += OUT_S - 0.001
    assert "b" not in chosen(pool, 6)
    clock.now_s += 0.001
    assert "b" in chosen(pool, 3)


def test_one_that_is_back_is_tried_with_one_request_at_a_time(clock: Clock) -> None:
    pool = a_pool("ab")
    pool.failed(Endpoint("b"))
    clock.now_s += OUT_S
    assert chosen(pool, 8).count("b") == 1  # the trial; it has not ended
    clock.now_s += OUT_S - 0.001
    assert chosen(pool, 8).count("b") == 0
    clock.now_s += 0.001
    assert chosen(pool, 8).count("b") == 1  # the trial gave no word: another one
    pool.worked(Endpoint("b"))
    assert chosen(pool, 8).count("b") == 4


def test_a_trial_that_fails_costs_the_whole_time_again(clock: Clock) -> None:
    pool = a_pool("ab")
    pool.failed(Endpoint("b"))
    clock.now_s += OUT_S + 3
    assert "b" in chosen(pool, 2)
    clock.now_s += 1
    pool.failed(Endpoint("b"))
    clock.now_s += OUT_S - 0.001
    assert "b" not in chosen(pool, 8)


def test_when_all_are_out_the_one_that_comes_back_first_is_chosen(clock: Clock) -> None:
    pool = a_pool()
    for name in "bca":
        pool.failed(Endpoint(name))
        clock.now_s += 1
    assert chosen(pool, 3) == "bbb"
    pool.failed(Endpoint("b"))
    assert chosen(pool, 2) == "cc"


@given(
    events=st.lists(
        st.one_of(
            st.tuples(st.just("wait"), st.floats(0, 2 * OUT_S)),
            st.tuples(st.just("failed"), st.sampled_from("abcd")),
            st.tuples(st.just("worked"), st.sampled_from("abcd")),
            st.tuples(st.just("choose"), st.none()),
        ),
        max_size=60,
    )
)
def test_none_that_is_out_is_chosen_while_another_works(events: list[tuple[str, float | str | None]]) -> None:
    """Law: as long as one endpoint never failed since it last worked, none is chosen within its time out."""
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(endpoints, "time", clock)
        pool = a_pool("abcd")
        out_until: dict[str, float] = {}
        for kind, value in events:
            if kind == "wait":
                clock.now_s += float(value or 0)
            elif kind == "failed":
                pool.failed(Endpoint(str(value)))
                out_until[str(value)] = clock.now_s + OUT_S
            elif kind == "worked":
                pool.worked(Endpoint(str(value)))
                out_until.pop(str(value), None)
            else:
                name = pool.choose().name
                if len(out_until) < 4:
                    assert out_until.get(name, 0.0) <= clock.now_s
                if name in out_until and out_until[name] <= clock.now_s:
                    out_until[name] = clock.now_s + OUT_S  # on trial
