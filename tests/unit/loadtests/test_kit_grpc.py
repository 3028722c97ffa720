"""GrpcPool against a real gRPC server, which is a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gevent
import pytest

from bundle import ErrorKind, Outcome
from loadtests.kit.calls import Call, CallFailed
from loadtests.kit.curl import CurlMulti, shared_multi
from loadtests.kit.curl.transfer import ANSWER_BYTES_MAX
from loadtests.kit.grpc_pool import GrpcEndpoint, GrpcPool
from loadtests.kit.grpc_wire import GrpcStatus, to_frame
from tests.unit.loadtests.kit_http2 import Fields, Http2Peer, answering_grpc, http2_server
from tests.unit.loadtests.kit_servers import http_bytes, http_server, refused_port, sending, stalling, wait_for
from tests.unit.loadtests.kit_tls import certificate, http2_context

LONG_S = 20.0

SERVER = Path(__file__).parent / "kit_grpc_server.py"


@dataclass
class RunningServer:
    address: str
    process: subprocess.Popen[str]

    def stop(self) -> list[str]:
        """End it and return the methods that were called."""
        called, _ = self.process.communicate("", timeout=30)
        return called.splitlines()


@contextmanager
def grpc_server(address: str = "127.0.0.1:0") -> Iterator[RunningServer]:
    process = subprocess.Popen(
        [sys.executable, str(SERVER), address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield RunningServer(f"127.0.0.1:{int(process.stdout.readline())}", process)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """One server for the tests that do not count its calls."""
    with grpc_server() as running:
        yield running


def a_call() -> Call:
    return Call(operation="grpc.balance", protocol="GRPC", intended_at_s=0.0, sent_at_s=0.0)


def refusing(name: str) -> GrpcEndpoint:
    return GrpcEndpoint(name, f"127.0.0.1:{refused_port()}")


def endpoint(name: str, server: RunningServer) -> GrpcEndpoint:
    """Return an endpoint whose limit is not what a test is about."""
    return GrpcEndpoint(name, server.address, limit_s=LONG_S)


def failure_of(pool: GrpcPool, call: Call, verb: str) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        pool.unary(call, f"/test/{verb}", b"x")
    return caught.value


def test_an_answer_comes_with_its_size_and_who_gave_it(server: RunningServer) -> None:
    call = a_call()
    answer = GrpcPool([endpoint("a", server)]).unary(call, "/test/Echo", b"\x00\xff" * 9)
    assert answer == b"\x00\xff" * 9
    assert (call.answer_bytes, call.endpoint, call.attempts) == (18, "a", 1)


def test_an_unreachable_endpoint_is_passed_over_and_left_out(server: RunningServer) -> None:
    pool = GrpcPool([refusing("dead"), endpoint("alive", server)])
    first, second = a_call(), a_call()
    pool.unary(first, "/test/Echo", b"")
    pool.unary(second, "/test/Echo", b"")
    assert (first.endpoint, first.attempts) == ("alive", 2)
    assert (second.endpoint, second.attempts) == ("alive", 1)


def test_every_endpoint_unreachable_is_refused() -> None:
    call = a_call()
    failure = failure_of(GrpcPool([refusing("a"), refusing("b")]), call, "Echo")
    assert (failure.kind, failure.outcome, call.attempts) == (ErrorKind.REFUSED, Outcome.FAIL, 2)
    assert failure.detail.startswith("b: UNAVAILABLE")


def test_a_server_that_says_unavailable_is_passed_over_too(server: RunningServer) -> None:
    call = a_call()
    failure = failure_of(GrpcPool([endpoint("a", server), refusing("b")]), call, "UNAVAILABLE")
    assert (failure.kind, call.attempts) == (ErrorKind.REFUSED, 2)


def test_no_answer_in_time_is_unknown_and_asked_once() -> None:
    with grpc_server() as slow, grpc_server() as other:
        pool = GrpcPool([GrpcEndpoint("slow", slow.address, limit_s=0.3), endpoint("other", other)])
        call = a_call()
        failure = failure_of(pool, call, "Wait")
        assert (failure.kind, failure.outcome) == (ErrorKind.TIMEOUT, Outcome.UNKNOWN)
        assert failure.detail.startswith("slow: DEADLINE_EXCEEDED")
        assert (call.endpoint, call.attempts, call.answer_bytes) == ("slow", 1, None)
        after = a_call()
        pool.unary(after, "/test/Echo", b"")
        pool.unary(after, "/test/Echo", b"")
        assert after.endpoint == "other"  # the slow one is left out for a while
        assert (slow.stop(), other.stop()) == (["Wait"], ["Echo", "Echo"])


def test_the_server_is_told_the_limit() -> None:
    """It ends calls whose deadline has passed: its handler of /test/Wait returns, or it would not stop."""
    with grpc_server() as slow:
        failure_of(GrpcPool([GrpcEndpoint("slow", slow.address, limit_s=0.3)]), a_call(), "Wait")
        assert slow.stop() == ["Wait"]


KINDS = {
    GrpcStatus.RESOURCE_EXHAUSTED: ErrorKind.BACK_PRESSURE,
    GrpcStatus.INVALID_ARGUMENT: ErrorKind.CLIENT_ERROR,
    GrpcStatus.NOT_FOUND: ErrorKind.CLIENT_ERROR,
    GrpcStatus.PERMISSION_DENIED: ErrorKind.CLIENT_ERROR,
    GrpcStatus.UNAUTHENTICATED: ErrorKind.CLIENT_ERROR,
}
OTHERS = sorted(set(GrpcStatus) - set(KINDS) - {GrpcStatus.OK, GrpcStatus.UNAVAILABLE, GrpcStatus.DEADLINE_EXCEEDED})


@pytest.mark.parametrize("status", [*KINDS, *OTHERS], ids=lambda status: status.name)
def test_statuses_become_kinds(server: RunningServer, status: GrpcStatus) -> None:
    pool, call = GrpcPool([endpoint("a", server), refusing("b")]), a_call()
    failure = failure_of(pool, call, status.name)
    assert (failure.kind, failure.outcome) == (KINDS.get(status, ErrorKind.SERVER_ERROR), Outcome.FAIL)
    assert (call.endpoint, call.attempts, call.answer_bytes) == ("a", 1, None)
    assert failure.detail == f"a: {status.name} as asked"


def test_a_server_that_says_deadline_exceeded_is_as_good_as_late(server: RunningServer) -> None:
    pool, call = GrpcPool([endpoint("a", server), refusing("b")]), a_call()
    failure = failure_of(pool, call, "DEADLINE_EXCEEDED")
    assert (failure.kind, failure.outcome, call.attempts) == (ErrorKind.TIMEOUT, Outcome.UNKNOWN, 1)


@pytest.mark.parametrize("text", ["100 % of ünïcode: ✓ 日本", "a%20b", "two\nlines", "%"])
def test_a_message_comes_as_it_was_said(server: RunningServer, text: str) -> None:
    with pytest.raises(CallFailed) as caught:
        GrpcPool([endpoint("a", server)]).unary(a_call(), "/test/Say", text.encode())
    assert caught.value.detail == f"a: INTERNAL {' '.join(text.split())}"


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_messages_of_any_size(server: RunningServer, size: int) -> None:
    message = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert GrpcPool([endpoint("a", server)]).unary(a_call(), "/test/Echo", message) == message


def wait_until_called(server: RunningServer, verb: str) -> None:
    assert server.process.stdout is not None
    while server.process.stdout.readline().strip() != verb:
        pass


def test_a_server_that_dies_in_mid_call_leaves_it_open() -> None:
    with grpc_server() as dying:
        call = a_call()
        asking = gevent.spawn(failure_of, GrpcPool([endpoint("a", dying)]), call, "Wait")
        wait_until_called(dying, "Wait")
        dying.process.kill()
        failure = asking.get(timeout=LONG_S)
    assert (failure.kind, failure.outcome) == (ErrorKind.BROKEN, Outcome.UNKNOWN)
    assert (call.attempts, call.answer_bytes) == (1, None)


def test_when_a_server_dies_its_calls_go_on_to_the_next(server: RunningServer) -> None:
    """These are queries, which may be asked twice; and the dead one is left out."""
    with grpc_server() as dying:
        pool, calls = GrpcPool([endpoint("dying", dying), endpoint("a", server)]), [a_call() for _ in range(2)]
        asking = gevent.spawn(failure_of, pool, calls[0], "Wait")
        wait_until_called(dying, "Wait")
        dying.process.kill()
        dying.process.wait()
        wait_for(lambda: calls[0].endpoint == "a", "the second attempt")
        pool.unary(calls[1], "/test/Echo", b"x")
        asking.kill()
    assert [(call.endpoint, call.attempts) for call in calls] == [("a", 2), ("a", 1)]


@pytest.mark.parametrize(
    ("raw", "kind", "outcome"),
    [
        (http_bytes(200, b"hello"), ErrorKind.BAD_ANSWER, Outcome.FAIL),
        (b"SSH-2.0\r\n", ErrorKind.BAD_ANSWER, Outcome.FAIL),
        (b"", ErrorKind.BROKEN, Outcome.UNKNOWN),
    ],
    ids=["http", "ssh", "closed"],
)
def test_what_speaks_no_http2_is_passed_over(
    server: RunningServer, raw: bytes, kind: ErrorKind, outcome: Outcome
) -> None:
    with http_server(sending(raw)) as other:
        stranger = GrpcEndpoint("stranger", other.url.removeprefix("http://"), limit_s=LONG_S)
        failure = failure_of(GrpcPool([stranger]), a_call(), "Echo")
        assert (failure.kind, failure.outcome) == (kind, outcome)
        call = a_call()
        GrpcPool([stranger, endpoint("a", server)]).unary(call, "/test/Echo", b"x")
        assert (call.endpoint, call.attempts) == ("a", 2)


def test_a_stranger_that_says_nothing_is_late(server: RunningServer) -> None:
    with http_server(stalling()) as other:
        stranger = GrpcEndpoint("stranger", other.url.removeprefix("http://"), limit_s=0.15)
        failure = failure_of(GrpcPool([stranger, endpoint("a", server)]), a_call(), "Echo")
    assert (failure.kind, failure.outcome) == (ErrorKind.TIMEOUT, Outcome.UNKNOWN)


OK: Fields = {"grpc-status": "0"}


@pytest.mark.parametrize(
    ("body", "trailers", "content_type", "words"),
    [
        (to_frame(b"x"), None, "application/grpc", "without a grpc-status"),
        (to_frame(b"x"), {"other": "0"}, "application/grpc", "without a grpc-status"),
        (b"<html></html>", None, "text/html", "content-type is 'text/html'"),
        (b"x", OK, "application/grpcx", "content-type"),
        (b"", OK, "application/grpc", "no message"),
        (b"\0\0\0", OK, "application/grpc", "3 bytes and no message"),
        (b"\1" + to_frame(b"x")[1:], OK, "application/grpc", "compressed"),
        (to_frame(b"xy")[:-1], OK, "application/grpc", "1 bytes; its prefix says 2"),
        (to_frame(b"x") * 2, OK, "application/grpc+proto", "7 bytes; its prefix says 1"),
    ],
)
def test_what_is_no_answer_of_grpc(body: bytes, trailers: Fields | None, content_type: str, words: str) -> None:
    with http2_server(answering_grpc(body, trailers, content_type=content_type)) as other:
        pool, call = GrpcPool([GrpcEndpoint("a", other.address, limit_s=LONG_S), refusing("b")]), a_call()
        failure = failure_of(pool, call, "Echo")
    assert (failure.kind, failure.outcome, call.attempts) == (ErrorKind.BAD_ANSWER, Outcome.FAIL, 1)
    assert words in failure.detail


@pytest.mark.parametrize(
    ("status", "kind", "name"),
    [
        ("400", ErrorKind.SERVER_ERROR, "INTERNAL"),
        ("401", ErrorKind.CLIENT_ERROR, "UNAUTHENTICATED"),
        ("403", ErrorKind.CLIENT_ERROR, "PERMISSION_DENIED"),
        ("404", ErrorKind.SERVER_ERROR, "UNIMPLEMENTED"),
        ("429", ErrorKind.REFUSED, "UNAVAILABLE"),
        ("500", ErrorKind.SERVER_ERROR, "UNKNOWN"),
        ("502", ErrorKind.REFUSED, "UNAVAILABLE"),
        ("503", ErrorKind.REFUSED, "UNAVAILABLE"),
        ("504", ErrorKind.REFUSED, "UNAVAILABLE"),
    ],
)
def test_a_gateways_answer_is_told_by_its_status(status: str, kind: ErrorKind, name: str) -> None:
    handler = answering_grpc(b"<html></html>", None, status=status, content_type="text/html")
    with http2_server(handler) as gateway:
        failure = failure_of(GrpcPool([GrpcEndpoint("a", gateway.address, limit_s=LONG_S)]), a_call(), "Echo")
    assert (failure.kind, failure.detail) == (kind, f"a: {name} HTTP {status}")


def test_a_status_in_the_head_alone() -> None:
    def answer(peer: Http2Peer, stream: int, _: bytes) -> None:
        head = {":status": "200", "content-type": "application/grpc", "grpc-status": "5", "grpc-message": "no%20such"}
        peer.head(stream, head, end=True)

    with http2_server(answer) as other:
        failure = failure_of(GrpcPool([GrpcEndpoint("a", other.address, limit_s=LONG_S)]), a_call(), "Echo")
    assert failure.detail == "a: NOT_FOUND no such"


def test_an_unknown_status_is_unknown() -> None:
    with http2_server(answering_grpc(b"", {"grpc-status": "99", "grpc-message": "new"})) as other:
        failure = failure_of(GrpcPool([GrpcEndpoint("a", other.address, limit_s=LONG_S)]), a_call(), "Echo")
    assert (failure.kind, failure.detail) == (ErrorKind.SERVER_ERROR, "a: UNKNOWN new")


def test_a_request_is_one_frame() -> None:
    with http2_server(answering_grpc(to_frame(b"answer"), OK)) as other:
        assert GrpcEndpoint("a", other.address, limit_s=LONG_S).unary("/test/Echo", b"request") == b"answer"
    assert other.bodies == [b"\0\0\0\0\7request"]


def test_an_answer_that_is_too_long_is_a_bad_one(server: RunningServer) -> None:
    with pytest.raises(CallFailed) as caught:
        GrpcPool([endpoint("a", server), refusing("b")]).unary(a_call(), "/test/Echo", b"x" * ANSWER_BYTES_MAX)
    assert caught.value.kind is ErrorKind.BAD_ANSWER


def test_a_server_that_is_back_is_used_again() -> None:
    with grpc_server() as first:
        again = endpoint("a", first)
        assert again.unary("/test/Echo", b"x") == b"x"
        first.process.kill()
        first.process.wait()
        with pytest.raises(CallFailed):
            again.unary("/test/Echo", b"x")
    with grpc_server(first.address) as second:
        assert second.address == first.address
        assert again.unary("/test/Echo", b"x") == b"x"


def test_calls_over_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate()[0]))
    with http2_server(answering_grpc(to_frame(b"x"), OK), tls=http2_context()) as other:
        assert GrpcEndpoint("a", f"https://{other.address}", limit_s=LONG_S).unary("/test/Echo", b"") == b"x"
        monkeypatch.delenv("SSL_CERT_FILE")
        stranger = GrpcEndpoint("a", f"https://{other.address}", limit_s=LONG_S)
        assert failure_of(GrpcPool([stranger]), a_call(), "Echo").kind is ErrorKind.REFUSED


def test_200_calls_at_once_share_one_connection(server: RunningServer) -> None:
    """None is answered before all are there; each gets the address it came from."""
    multi = CurlMulti()
    pool = GrpcPool([GrpcEndpoint("a", server.address, limit_s=LONG_S, multi=multi)])
    greenlets = [gevent.spawn(pool.unary, a_call(), "/test/Together", b"200") for _ in range(200)]
    gevent.joinall(greenlets, timeout=LONG_S, raise_error=True)
    assert len({greenlet.value for greenlet in greenlets}) == 1
    multi.close()


def test_a_killed_greenlet_ends_its_call() -> None:
    with grpc_server() as slow:
        pool = GrpcPool([endpoint("a", slow)])
        asking = gevent.spawn(pool.unary, a_call(), "/test/Wait", b"x")
        wait_until_called(slow, "Wait")
        before = shared_multi().in_flight
        asking.kill()
        assert shared_multi().in_flight == before - 1
        assert pool.unary(a_call(), "/test/Echo", b"x") == b"x"
        assert slow.stop() == ["Echo"]  # which it would not, if the call went on


def test_a_closed_client_calls_nobody(server: RunningServer) -> None:
    multi = CurlMulti()
    pool = GrpcPool([GrpcEndpoint("a", server.address, limit_s=LONG_S, multi=multi)])
    multi.close()
    assert failure_of(pool, a_call(), "Echo").kind is ErrorKind.BROKEN
