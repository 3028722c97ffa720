"""measured() and report(): every way out of an operation is reported, and reported once."""

from __future__ import annotations

import math
from typing import Any

import gevent
import pytest
from gevent import GreenletExit
from hypothesis import given
from hypothesis import strategies as st
from locust.env import Environment
from locust.exception import InterruptTaskSet, RescheduleTask, StopUser

from bundle import ErrorKind, Outcome
from bundle.tables import NO_FAILURE_KINDS
from loadtests.kit.calls import DETAIL_CHARS, Call, CallFailed, measured, report
from tests.unit.loadtests.kit_session import an_environment

Fired = list[dict[str, Any]]


@pytest.fixture
def environment() -> Environment:
    return an_environment()


@pytest.fixture
def fired(environment: Environment) -> Fired:
    """What Locust's request event was fired with."""
    found: Fired = []
    environment.events.request.add_listener(lambda **event: found.append(event))
    return found


def test_an_operation_that_works_is_reported_with_its_times(environment: Environment, fired: Fired) -> None:
    with measured(environment, "rpc.status", "RPC", intended_at_s=1000.0) as call:
        call.answer_bytes, call.endpoint = 42, "node-1"
        assert not fired
    assert len(fired) == 1
    event = fired[0]
    assert (event["name"], event["request_type"], event["exception"]) == ("rpc.status", "RPC", None)
    assert event["context"]["call"] is call
    assert event["response_length"] == 42
    assert call.ended_at_s is not None
    assert event["response_time"] == call.latency_ms == (call.ended_at_s - 1000.0) * 1000
    assert event["start_time"] == call.sent_at_s
    assert (call.outcome, call.failure) == (Outcome.OK, None)


def test_an_end_seen_by_somebody_else_stays(environment: Environment, fired: Fired) -> None:
    with measured(environment, "tx.confirm", "TX", intended_at_s=1000.0) as call:
        call.ended_at_s = 1000.25
    assert call.latency_ms == fired[0]["response_time"] == 250


@given(kind=st.sampled_from(ErrorKind), outcome=st.sampled_from([Outcome.FAIL, Outcome.UNKNOWN]), text=st.text())
def test_a_failed_call_ends_in_the_measurement(kind: ErrorKind, outcome: Outcome, text: str) -> None:
    """Law: a CallFailed does not leave, is reported once, and is a failure to Locust unless its kind is none."""
    environment = an_environment()
    fired: Fired = []
    environment.events.request.add_listener(lambda **event: fired.append(event))
    failure = CallFailed(kind, text, outcome=outcome)
    with measured(environment, "x", "RPC", intended_at_s=0.0) as call:
        raise failure
    assert len(fired) == 1
    assert (call.failure, call.outcome) == (failure, outcome)
    assert fired[0]["exception"] is (None if kind in NO_FAILURE_KINDS else failure)
    assert call.ended_at_s is not None
    assert len(failure.detail) <= DETAIL_CHARS
    assert "\n" not in failure.detail


@pytest.mark.parametrize(
    "error",
    [
        ValueError("broken scenario"),
        GreenletExit(),
        KeyboardInterrupt(),
        SystemExit(2),
        StopUser(),
        RescheduleTask(),
        InterruptTaskSet(),
        gevent.Timeout(1),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_else_ends_an_operation_is_counted_and_goes_on(
    environment: Environment, fired: Fired, error: BaseException
) -> None:
    with pytest.raises(type(error)) as caught, measured(environment, "x", "RPC", intended_at_s=0.0) as call:
        raise error
    assert caught.value is error
    assert len(fired) == 1
    assert call.failure is not None
    assert (call.failure.kind, call.outcome) == (ErrorKind.BROKEN, Outcome.UNKNOWN)
    assert call.failure.detail.startswith(type(error).__name__)
    assert (call.ended_at_s, call.latency_ms) == (None, None)
    assert fired[0]["exception"] is call.failure
    assert fired[0]["response_time"] > 0  # to Locust it has lasted until now


def test_a_user_killed_in_mid_request_is_reported_once(environment: Environment, fired: Fired) -> None:
    begun = gevent.event.Event()

    def act() -> None:
        with measured(environment, "x", "RPC", intended_at_s=0.0):
            begun.set()
            gevent.event.Event().wait()

    user = gevent.spawn(act)
    begun.wait()
    user.kill()
    assert [event["context"]["call"].failure.kind for event in fired] == [ErrorKind.BROKEN]
    assert isinstance(user.value, GreenletExit)


def test_leaving_early_is_reported_as_well(environment: Environment, fired: Fired) -> None:
    def act() -> str:
        for _ in range(3):
            with measured(environment, "x", "RPC", intended_at_s=0.0):
                return "left"
        return "never"

    assert act() == "left"
    assert len(fired) == 1
    assert fired[0]["exception"] is None


def test_operations_within_operations_are_counted_apart(environment: Environment, fired: Fired) -> None:
    with measured(environment, "outer", "RPC", intended_at_s=0.0) as outer:
        with measured(environment, "inner", "RPC", intended_at_s=0.0) as inner:
            raise CallFailed(ErrorKind.TIMEOUT, "late", outcome=Outcome.UNKNOWN)
        assert inner.failure is not None
    assert [event["name"] for event in fired] == ["inner", "outer"]
    assert outer.outcome is Outcome.OK


def test_a_listener_that_raises_costs_no_other_its_event(environment: Environment) -> None:
    found: Fired = []

    def raising(**event: Any) -> None:
        raise RuntimeError("a listener of somebody else")

    environment.events.request.add_listener(raising)
    environment.events.request.add_listener(lambda **event: found.append(event))
    with measured(environment, "x", "RPC", intended_at_s=0.0):
        pass
    assert len(found) == 1


def test_what_never_ended_has_no_latency_and_locust_a_number(environment: Environment, fired: Fired) -> None:
    call = Call(operation="tx.confirm", protocol="TX", intended_at_s=5.0, sent_at_s=5.0)
    call.failure = CallFailed(ErrorKind.NOT_INCLUDED, "in no block", outcome=Outcome.UNKNOWN)
    report(environment, call)
    assert call.latency_ms is None
    assert math.isfinite(fired[0]["response_time"])
    assert fired[0]["response_length"] == 0
