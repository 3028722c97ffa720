"""The fixed window of 120 requests a minute: alone, and in front of the API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devnet.provider.embedded import Address, ManualClock, embedded, options_for
from devnet.provider.ratelimit import RateLimiter

LIMIT = 120
REFUSED = {"error": "rate limit exceeded"}


@pytest.fixture
def time() -> ManualClock:
    return ManualClock()


@pytest.fixture
def portal(time: ManualClock) -> Iterator[Address]:
    with embedded(clock=time.clock) as address:
        yield address


def test_headers_count_down_and_name_the_end_of_the_window(portal: Address, time: ManualClock) -> None:
    first = portal.call("GET", "/api/v1/health")
    time.advance(10)
    second = portal.call("GET", "/api/v1/provider/info")
    ends_at = str(int(time.wall_at_s - 10 + 60))
    for answer, remaining in ((first, "119"), (second, "118")):
        assert answer.status == 200
        assert answer.headers["X-RateLimit-Limit"] == "120"
        assert answer.headers["X-RateLimit-Remaining"] == remaining
        assert answer.headers["X-RateLimit-Reset"] == ends_at


def test_the_request_after_the_limit_is_refused_until_the_window_ends(portal: Address, time: ManualClock) -> None:
    statuses = [portal.call("GET", "/api/v1/health").status for _ in range(LIMIT)]
    assert statuses == [200] * LIMIT

    time.advance(59.9)
    refused = portal.call("GET", "/api/v1/health")
    assert (refused.status, refused.json) == (429, REFUSED)
    assert refused.headers["Content-Type"] == "application/json"
    assert refused.headers["X-RateLimit-Remaining"] == "0"

    time.advance(0.1)
    again = portal.call("GET", "/api/v1/health")
    assert (again.status, again.headers["X-RateLimit-Remaining"]) == (200, "119")


def test_only_the_versioned_api_is_counted(portal: Address) -> None:
    for path in ("/health", "/deployments/1/logs", "/ready"):
        assert "X-RateLimit-Limit" not in portal.call("GET", path).headers
    for _ in range(LIMIT):
        portal.call("GET", "/api/v1/health")
    assert portal.call("GET", "/api/v1/deployments/1/logs").status == 429
    assert portal.call("GET", "/health").status == 200
    assert portal.call("GET", "/deployments/1/logs").status == 200


def test_paths_that_do_not_exist_are_not_counted(portal: Address) -> None:
    assert "X-RateLimit-Limit" not in portal.call("GET", "/api/v1/nothing").headers
    assert "X-RateLimit-Limit" not in portal.call("POST", "/api/v1/health").headers
    assert portal.call("GET", "/api/v1/health").headers["X-RateLimit-Remaining"] == "119"


def test_the_limit_comes_before_authentication(time: ManualClock) -> None:
    with embedded(options_for(portal_allow_insecure="false"), time.clock) as portal:
        unauthenticated = portal.call("GET", "/api/v1/tickets")
        assert (unauthenticated.status, unauthenticated.headers["X-RateLimit-Remaining"]) == (401, "119")
        for _ in range(LIMIT - 1):
            portal.call("GET", "/api/v1/tickets")
        assert portal.call("GET", "/api/v1/tickets").status == 429


def test_clients_are_counted_apart(time: ManualClock) -> None:
    limiter = RateLimiter(clock=time.clock, limit=1)
    assert limiter.admit("127.0.0.1").allowed
    assert not limiter.admit("127.0.0.1").allowed
    assert limiter.admit("127.0.0.2").allowed


def test_a_step_of_the_date_does_not_open_the_window(time: ManualClock) -> None:
    limiter = RateLimiter(clock=time.clock, limit=1)
    limiter.admit("a")
    time.wall_at_s += 3600
    assert not limiter.admit("a").allowed


@given(st.lists(st.floats(0, 90), min_size=1, max_size=60), st.integers(1, 5))
def test_law_no_fixed_window_admits_more_than_the_limit(pauses_s: list[float], limit: int) -> None:
    time = ManualClock()
    limiter = RateLimiter(clock=time.clock, limit=limit, window_s=60)
    admitted_by_end: dict[int, int] = {}
    for pause_s in pauses_s:
        time.advance(pause_s)
        decision = limiter.admit("a")
        admitted_by_end.setdefault(decision.reset_at_s, 0)
        admitted_by_end[decision.reset_at_s] += decision.allowed
        assert decision.remaining == limit - admitted_by_end[decision.reset_at_s] >= 0
    assert max(admitted_by_end.values()) <= limit


def test_the_memory_for_clients_has_a_bound(time: ManualClock) -> None:
    limiter = RateLimiter(clock=time.clock, clients_max=10)
    for number in range(50):
        limiter.admit(f"client {number}")
    assert len(limiter) == 10
    time.advance(60)
    limiter.admit("late")
    assert len(limiter) == 1


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"window_s": 0}, {"clients_max": 0}])
def test_bounds_must_be_positive(time: ManualClock, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        RateLimiter(clock=time.clock, **wrong)
