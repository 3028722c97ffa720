"""HttpPool: which endpoint gets a request, how often, and what each way of going wrong is called."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundle import ErrorKind, Outcome
from loadtests.kit.calls import Call, CallFailed
from loadtests.kit.http import Answer, HttpEndpoint, HttpPool, expect_status
from tests.unit.loadtests.kit_servers import (
    Handler,
    answering,
    dripping,
    http_bytes,
    http_server,
    refused_port,
    resetting,
    sending,
    stalling,
    wait_for,
)

SHORT_S = 0.15
LONG_S = 20.0


def a_call() -> Call:
    return Call(operation="rest.balance", protocol="REST", intended_at_s=0.0, sent_at_s=0.0)


def refusing(name: str) -> HttpEndpoint:
    return HttpEndpoint(name, f"http://127.0.0.1:{refused_port()}")


def failure_of(pool: HttpPool, call: Call, method: str = "POST") -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        pool.request(call, method, "/", body=b"x" if method == "POST" else b"")
    return caught.value


def test_an_answer_comes_with_its_size_and_who_gave_it() -> None:
    with http_server(answering(200, b"hello")) as server:
        call = a_call()
        answer = HttpPool([HttpEndpoint("a", server.url)]).request(call, "GET", "/x?y=1", headers={"X-Key": "1"})
    assert (answer.status, answer.body) == (200, b"hello")
    assert (call.answer_bytes, call.endpoint, call.attempts) == (5, "a", 1)
    assert [(r.method, r.path, r.headers["x-key"]) for r in server.requests] == [("GET", "/x?y=1", "1")]


def test_a_body_arrives_as_it_was_given() -> None:
    with http_server(answering()) as server:
        HttpPool([HttpEndpoint("a", server.url)]).request(a_call(), "POST", "/", body=b"\x00\xff\r\n" * 5000)
    assert server.requests[0].body == b"\x00\xff\r\n" * 5000


def test_a_refused_request_goes_to_the_next_endpoint_and_counts_its_attempts() -> None:
    with http_server(answering()) as server:
        pool = HttpPool([refusing("dead"), HttpEndpoint("alive", server.url)])
        first, second = a_call(), a_call()
        pool.request(first, "POST", "/")
        pool.request(second, "POST", "/")
    assert (first.endpoint, first.attempts) == ("alive", 2)
    assert (second.endpoint, second.attempts) == ("alive", 1)  # the dead one is left out
    assert len(server.requests) == 2


def test_a_connection_that_is_not_made_in_time_carried_no_request() -> None:
    """A listener that accepts nobody: the kernel leaves a connection to it unanswered, as a dead host does."""
    with socket.socket() as full, http_server(answering()) as server:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(3)]
        for early in waiting:
            early.setblocking(False)
            early.connect_ex(address)
        deaf = HttpEndpoint("deaf", f"http://127.0.0.1:{address[1]}", limit_s=1.0)
        call = a_call()
        answer = HttpPool([deaf, HttpEndpoint("good", server.url)]).request(call, "POST", "/")
        for early in waiting:
            early.close()
    assert answer.status == 200
    assert (call.endpoint, call.attempts) == ("good", 2)


def test_an_endpoint_that_answers_with_a_server_error_is_left_out_for_a_while() -> None:
    """As a node does that catches up. The request itself has its answer, and is not sent again."""
    with http_server(answering(503)) as behind, http_server(answering()) as well:
        pool = HttpPool([HttpEndpoint("behind", behind.url), HttpEndpoint("well", well.url)])
        statuses = [pool.request(a_call(), "GET", "/").status for _ in range(6)]
    assert statuses.count(503) == 1
    assert len(behind.requests) == 1
    assert len(well.requests) == 5


def test_every_endpoint_refusing_is_a_failure_after_one_attempt_at_each() -> None:
    call = a_call()
    failure = failure_of(HttpPool([refusing(name) for name in "abc"]), call)
    assert (failure.kind, failure.outcome, call.attempts) == (ErrorKind.REFUSED, Outcome.FAIL, 3)
    assert failure.detail.startswith("c: ")
    assert call.answer_bytes is None


def test_a_host_name_that_does_not_resolve_was_never_sent_to() -> None:
    call = a_call()
    failure = failure_of(HttpPool([HttpEndpoint("a", "http://no-such-host.invalid:80")]), call)
    assert (failure.kind, failure.outcome) == (ErrorKind.REFUSED, Outcome.FAIL)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        pytest.param(stalling(), ErrorKind.TIMEOUT, id="no answer"),
        pytest.param(stalling(b"HTTP/1.1 200 OK\r\nContent-Le"), ErrorKind.TIMEOUT, id="half a head"),
        pytest.param(stalling(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), ErrorKind.TIMEOUT, id="half a body"),
        pytest.param(
            dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\nx", pause_s=0.01, endless=True),
            ErrorKind.TIMEOUT,
            id="a drip that never stops long",
        ),
        pytest.param(sending(b""), ErrorKind.BROKEN, id="closed at once"),
        pytest.param(sending(b"HTTP/1.1 20"), ErrorKind.BROKEN, id="closed in the status"),
        pytest.param(sending(b"HTTP/1.1 200 OK\r\nContent-Le"), ErrorKind.BROKEN, id="closed in the head"),
        pytest.param(
            sending(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), ErrorKind.BROKEN, id="closed in the body"
        ),
        pytest.param(
            sending(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"),
            ErrorKind.BROKEN,
            id="closed in a chunk",
        ),
        pytest.param(resetting(b""), ErrorKind.BROKEN, id="reset at once"),
        pytest.param(
            resetting(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), ErrorKind.BROKEN, id="reset in the body"
        ),
    ],
)
def test_a_sent_request_without_a_whole_answer_is_unknown_and_not_sent_again(
    handler: Handler, kind: ErrorKind, method: str
) -> None:
    with http_server(handler) as server, http_server(answering()) as other:
        limit_s = SHORT_S if kind is ErrorKind.TIMEOUT else LONG_S
        pool = HttpPool([HttpEndpoint("a", server.url, limit_s=limit_s), HttpEndpoint("b", other.url)])
        call = a_call()
        failure = failure_of(pool, call, method)
        assert (failure.kind, failure.outcome) == (kind, Outcome.UNKNOWN)
        assert (call.endpoint, call.attempts, call.answer_bytes) == ("a", 1, None)
        assert (len(server.requests), len(other.requests)) == (1, 0)
        # The next one goes where it works.
        after = a_call()
        pool.request(after, method, "/")
        assert (after.endpoint, after.attempts) == ("b", 1)


@pytest.mark.parametrize("handler", [sending(b""), resetting(b""), answering(502), answering(503), answering(504)])
def test_a_read_that_found_nobody_behind_its_endpoint_is_asked_of_the_next(handler: Handler) -> None:
    with http_server(handler) as server, http_server(answering(200, b"here")) as other:
        call = a_call()
        pool = HttpPool([HttpEndpoint("a", server.url), HttpEndpoint("b", other.url)])
        answer = pool.request(call, "GET", "/", repeatable=True)
    assert (answer.status, answer.body, call.endpoint, call.attempts) == (200, b"here", "b", 2)
    assert len(server.requests) == 1


def test_a_read_that_finds_nobody_anywhere_fails_as_the_last_one_did() -> None:
    with http_server(answering(503)) as server, http_server(resetting(b"")) as other:
        pool = HttpPool([HttpEndpoint("a", server.url), HttpEndpoint("b", other.url)])
        call = a_call()
        with pytest.raises(CallFailed) as caught:
            pool.request(call, "GET", "/", repeatable=True)
        assert (caught.value.kind, call.endpoint, call.attempts) == (ErrorKind.BROKEN, "b", 2)


def test_a_read_that_is_answered_too_late_is_not_repeated() -> None:
    """Its time is over: whoever asked has gone."""
    with http_server(stalling()) as server, http_server(answering()) as other:
        pool = HttpPool([HttpEndpoint("a", server.url, limit_s=SHORT_S), HttpEndpoint("b", other.url)])
        with pytest.raises(CallFailed) as caught:
            pool.request(a_call(), "GET", "/", repeatable=True)
        assert (caught.value.kind, len(other.requests)) == (ErrorKind.TIMEOUT, 0)


@pytest.mark.parametrize(
    "raw",
    [b"SSH-2.0-OpenSSH_9.6\r\n", b"\x16\x03\x01\x02\x00", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"\n" * 99],
    ids=["ssh", "tls", "no number", "blank lines"],
)
def test_what_is_no_http_is_a_bad_answer(raw: bytes) -> None:
    with http_server(sending(raw + b"garbage" * 9)) as server:
        call = a_call()
        failure = failure_of(HttpPool([HttpEndpoint("a", server.url, limit_s=LONG_S)]), call)
    assert failure.kind is ErrorKind.BAD_ANSWER
    assert len(server.requests) == 1


def test_a_slow_drip_within_the_limit_is_an_answer() -> None:
    raw = http_bytes(200, b"drip " * 4)
    with http_server(dripping(raw, pause_s=0.002)) as server:
        answer = HttpPool([HttpEndpoint("a", server.url, limit_s=LONG_S)]).request(a_call(), "GET", "/")
    assert answer.body == b"drip " * 4


def test_a_body_without_a_length_ends_with_its_connection() -> None:
    with http_server(sending(b"HTTP/1.1 200 OK\r\n\r\nall of it")) as server:
        answer = HttpPool([HttpEndpoint("a", server.url)]).request(a_call(), "GET", "/")
    assert answer.body == b"all of it"


def test_connections_are_kept_and_one_closed_meanwhile_is_not_used() -> None:
    stays = True

    def answer(request: object, connection: object) -> bool:
        answering()(request, connection)  # type: ignore[arg-type]
        return stays

    with http_server(answer) as server:
        pool = HttpPool([HttpEndpoint("a", server.url)])
        pool.request(a_call(), "POST", "/")
        stays = False
        pool.request(a_call(), "POST", "/")
        assert server.connections == 1
        stays = True
        pool.request(a_call(), "POST", "/")
        wait_for(lambda: server.connections == 2, "a fresh connection")
        assert len(server.requests) == 3


@given(status=st.integers(200, 599), body=st.binary(max_size=300))
def test_statuses_become_kinds(status: int, body: bytes) -> None:
    """Law: 200 passes, 429 is back-pressure, other 5xx are the server's, everything else is ours."""
    answer = Answer(status, body)
    if status == 200:
        expect_status(answer)
        return
    with pytest.raises(CallFailed) as caught:
        expect_status(answer)
    expected = (
        ErrorKind.BACK_PRESSURE
        if status == 429
        else ErrorKind.SERVER_ERROR
        if status >= 500
        else ErrorKind.CLIENT_ERROR
    )
    assert (caught.value.kind, caught.value.outcome) == (expected, Outcome.FAIL)
    assert caught.value.detail.startswith(f"HTTP {status}")


def test_other_statuses_can_be_expected() -> None:
    expect_status(Answer(201, b""), 201, 204)
    with pytest.raises(CallFailed):
        expect_status(Answer(200, b""), 201, 204)


def test_a_body_that_is_no_json_is_a_bad_answer() -> None:
    assert Answer(200, b'{"a": [1]}').json() == {"a": [1]}
    for body in (b"<html>", b"", b"{", b"\xff\xfe"):
        with pytest.raises(CallFailed) as caught:
            Answer(200, body).json()
        assert caught.value.kind is ErrorKind.BAD_ANSWER
