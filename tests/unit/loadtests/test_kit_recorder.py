"""The recorder: its rows are the events, which are Locust's counts, to the unit."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from locust import FastHttpUser, HttpUser
from locust.env import Environment

from bundle import SAMPLES, BundleLayout, ErrorKind, Outcome, read_table
from bundle.tables import NO_FAILURE_KINDS, Rejection
from loadtests.kit.calls import Call, CallFailed, ChainCode, measured, report
from loadtests.kit.recorder import Recorder
from tests.unit.loadtests.kit_servers import Handler, answering, http_server, refused_port, resetting, sending, stalling
from tests.unit.loadtests.kit_session import an_environment

NAMES = st.sampled_from(["tx.submit", "rpc.status", "rest.balance"])

KIT_EVENTS = st.tuples(
    st.just("kit"),
    NAMES,
    st.one_of(st.none(), st.tuples(st.sampled_from(ErrorKind), st.sampled_from([Outcome.FAIL, Outcome.UNKNOWN]))),
)
FOREIGN_EVENTS = st.tuples(
    st.just("foreign"), NAMES, st.one_of(st.none(), st.sampled_from([ValueError("no"), TimeoutError(), OSError(5)]))
)
KILLED_EVENTS = st.tuples(st.just("killed"), NAMES, st.none())


def rows_of(layout: BundleLayout) -> list[dict[str, Any]]:
    return list(read_table(layout, SAMPLES).to_pylist())


def fire(environment: Environment, event: tuple[str, str, Any]) -> None:
    source, name, how = event
    if source == "foreign":
        environment.events.request.fire(
            request_type="GET",
            name=name,
            response_time=12.5,
            response_length=7,
            exception=how,
            context={},
            start_time=1000.0,
        )
    elif source == "killed":
        with pytest.raises(KeyboardInterrupt), measured(environment, name, "RPC", intended_at_s=1.0):
            raise KeyboardInterrupt
    else:
        with measured(environment, name, "RPC", intended_at_s=1.0):
            if how is not None:
                raise CallFailed(how[0], "why", outcome=how[1])


@given(events=st.lists(st.one_of(KIT_EVENTS, FOREIGN_EVENTS, KILLED_EVENTS), max_size=60))
def test_rows_are_the_events_and_equal_locusts_counts(events: list[tuple[str, str, Any]]) -> None:
    """Law: one row an event, in order; requests and failures an operation are what Locust's own statistics say."""
    with tempfile.TemporaryDirectory() as folder:
        layout = BundleLayout(root=Path(folder))
        environment = an_environment()
        environment.create_local_runner()  # keeps Locust's statistics
        recorder = Recorder(layout, "local")
        environment.events.request.add_listener(recorder.on_request)
        for event in events:
            fire(environment, event)
        recorder.close()
        rows = rows_of(layout)
    assert [row["operation"] for row in rows] == [name for _, name, _ in events]
    harmless = {kind.value for kind in NO_FAILURE_KINDS}
    requests = Counter(row["operation"] for row in rows)
    failures = Counter(row["operation"] for row in rows if row["outcome"] != "ok" and row["error_kind"] not in harmless)
    counted: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for entry in environment.stats.entries.values():
        counted[entry.name] += entry.num_requests
        failed[entry.name] += entry.num_failures
    assert requests == counted
    assert failures == failed
    for row in rows:
        assert (row["outcome"] == "ok") == (row["error_kind"] is None)


def test_a_row_has_all_that_the_call_knew(tmp_path: Path) -> None:
    layout, environment = BundleLayout(root=tmp_path), an_environment()
    recorder = Recorder(layout, "worker-3")
    environment.events.request.add_listener(recorder.on_request)
    call = Call(
        operation="tx.submit",
        protocol="TX",
        intended_at_s=100.0,
        sent_at_s=100.5,
        ended_at_s=101.0,
        answer_bytes=9,
        endpoint="validator-1",
        tx_hash="AB",
        attempts=2,
        valid_until_at_s=400.0,
        failure=CallFailed(
            ErrorKind.CLIENT_ERROR,
            "sdk/32 wrong\nsequence",
            rejection=Rejection.SEQUENCE,
            chain_code=ChainCode(codespace="sdk", code=32),
        ),
    )
    report(environment, call)
    recorder.close()
    assert rows_of(layout) == [
        {
            "intended_at_s": 100.0,
            "sent_at_s": 100.5,
            "latency_ms": 1000.0,
            "operation": "tx.submit",
            "protocol": "TX",
            "outcome": "fail",
            "error_kind": "client_error",
            "detail": "sdk/32 wrong sequence",
            "rejection": "sequence",
            "codespace": "sdk",
            "code": 32,
            "bytes": 9,
            "endpoint": "validator-1",
            "tx_hash": "AB",
            "valid_until_at_s": 400.0,
            "attempts": 2,
            "part": "worker-3",
        }
    ]


def foreign_rows(user_class: Any, url: str, folder: Path) -> tuple[list[dict[str, Any]], Environment]:
    """Return what is recorded of three requests of a plain Locust user, and the environment with its statistics."""
    layout = BundleLayout(root=folder)
    environment = an_environment()
    environment.create_local_runner()
    recorder = Recorder(layout, "local")
    environment.events.request.add_listener(recorder.on_request)
    user = type("User", (user_class,), {"abstract": True, "host": url})(environment)
    for _ in range(3):
        user.client.get("/page", name="page", **user_class.arguments)
    recorder.close()
    return rows_of(layout), environment


class PlainUser(HttpUser):
    abstract = True
    arguments: ClassVar[dict[str, Any]] = {"timeout": 0.2}


class FastUser(FastHttpUser):
    abstract = True
    arguments: ClassVar[dict[str, Any]] = {}
    network_timeout = 0.2
    connection_timeout = 0.2
    max_retries = 0


@pytest.mark.parametrize("user_class", [PlainUser, FastUser])
@pytest.mark.parametrize(
    ("handler", "outcome", "kind"),
    [
        pytest.param(answering(200, b"hello"), "ok", None, id="200"),
        pytest.param(answering(404), "fail", "client_error", id="404"),
        pytest.param(answering(429), "fail", "client_error", id="429"),
        pytest.param(answering(500), "fail", "server_error", id="500"),
        pytest.param(answering(504), "fail", "server_error", id="504"),
        pytest.param(sending(b"SSH-2.0\r\n"), "fail", "bad_answer", id="no HTTP"),
        pytest.param(sending(b""), "unknown", "broken", id="closed"),
        pytest.param(
            sending(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"), "unknown", "broken", id="closed in the body"
        ),
        pytest.param(resetting(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"), "unknown", "broken", id="reset"),
        pytest.param(stalling(), "unknown", "timeout", id="timeout"),
    ],
)
def test_plain_users_of_locust_are_recorded(
    user_class: Any, handler: Handler, outcome: str, kind: str | None, tmp_path: Path
) -> None:
    with http_server(handler) as server:
        rows, environment = foreign_rows(user_class, server.url, tmp_path)
    assert [(row["operation"], row["protocol"]) for row in rows] == [("page", "GET")] * 3
    assert [(row["outcome"], row["error_kind"]) for row in rows] == [(outcome, kind)] * 3
    entry = environment.stats.get("page", "GET")
    assert (entry.num_requests, entry.num_failures) == (3, 0 if kind is None else 3)
    for row in rows:
        assert row["intended_at_s"] == row["sent_at_s"]
        assert row["latency_ms"] is not None


@pytest.mark.parametrize("user_class", [PlainUser, FastUser])
def test_a_plain_users_refused_connection_is_called_so(user_class: Any, tmp_path: Path) -> None:
    rows, _ = foreign_rows(user_class, f"http://127.0.0.1:{refused_port()}", tmp_path)
    assert [(row["outcome"], row["error_kind"]) for row in rows] == [("fail", "refused")] * 3


def test_a_foreign_event_without_a_start_began_its_latency_ago(tmp_path: Path) -> None:
    layout, environment = BundleLayout(root=tmp_path), an_environment()
    recorder = Recorder(layout, "local")
    environment.events.request.add_listener(recorder.on_request)
    environment.events.request.fire(
        request_type="X", name="x", response_time=2000.0, response_length=0, exception=None, context=None
    )
    recorder.close()
    row = rows_of(layout)[0]
    assert row["latency_ms"] == pytest.approx(2000.0)
    assert row["intended_at_s"] == row["sent_at_s"]
