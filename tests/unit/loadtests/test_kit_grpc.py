"""GrpcPool against a real gRPC server, which is a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from bundle import ErrorKind, Outcome
from loadtests.kit import grpc_pool
from loadtests.kit.calls import Call, CallFailed
from loadtests.kit.grpc_pool import GrpcEndpoint, GrpcPool
from tests.unit.loadtests.kit_servers import http_bytes, http_server, refused_port, sending

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
def grpc_server() -> Iterator[RunningServer]:
    process = subprocess.Popen([sys.executable, str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
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


def failure_of(pool: GrpcPool, call: Call, verb: str) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        pool.unary(call, f"/test/{verb}", b"x")
    return caught.value


def test_an_answer_comes_with_its_size_and_who_gave_it(server: RunningServer) -> None:
    call = a_call()
    answer = GrpcPool([GrpcEndpoint("a", server.address)]).unary(call, "/test/Echo", b"\x00\xff" * 9)
    assert answer == b"\x00\xff" * 9
    assert (call.answer_bytes, call.endpoint, call.attempts) == (18, "a", 1)


def test_an_unreachable_endpoint_is_passed_over_and_left_out(server: RunningServer) -> None:
    pool = GrpcPool([refusing("dead"), GrpcEndpoint("alive", server.address)])
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
    failure = failure_of(GrpcPool([GrpcEndpoint("a", server.address), refusing("b")]), call, "UNAVAILABLE")
    assert (failure.kind, call.attempts) == (ErrorKind.REFUSED, 2)


def test_no_answer_in_time_is_unknown_and_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_pool, "REQUEST_LIMIT_S", 0.3)
    with grpc_server() as slow, grpc_server() as other:
        pool = GrpcPool([GrpcEndpoint("slow", slow.address), GrpcEndpoint("other", other.address)])
        call = a_call()
        failure = failure_of(pool, call, "Wait")
        assert (failure.kind, failure.outcome) == (ErrorKind.TIMEOUT, Outcome.UNKNOWN)
        assert (call.endpoint, call.attempts, call.answer_bytes) == ("slow", 1, None)
        monkeypatch.setattr(grpc_pool, "REQUEST_LIMIT_S", 20.0)
        after = a_call()
        pool.unary(after, "/test/Echo", b"")
        pool.unary(after, "/test/Echo", b"")
        assert after.endpoint == "other"  # the slow one is left out for a while
        assert (slow.stop(), other.stop()) == (["Wait"], ["Echo", "Echo"])


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorKind.BACK_PRESSURE),
        (grpc.StatusCode.INVALID_ARGUMENT, ErrorKind.CLIENT_ERROR),
        (grpc.StatusCode.NOT_FOUND, ErrorKind.CLIENT_ERROR),
        (grpc.StatusCode.PERMISSION_DENIED, ErrorKind.CLIENT_ERROR),
        (grpc.StatusCode.UNAUTHENTICATED, ErrorKind.CLIENT_ERROR),
        (grpc.StatusCode.INTERNAL, ErrorKind.SERVER_ERROR),
        (grpc.StatusCode.UNKNOWN, ErrorKind.SERVER_ERROR),
        (grpc.StatusCode.UNIMPLEMENTED, ErrorKind.SERVER_ERROR),
        (grpc.StatusCode.DATA_LOSS, ErrorKind.SERVER_ERROR),
    ],
)
def test_statuses_become_kinds(server: RunningServer, status: grpc.StatusCode, kind: ErrorKind) -> None:
    pool, call = GrpcPool([GrpcEndpoint("a", server.address), refusing("b")]), a_call()
    failure = failure_of(pool, call, status.name)
    assert (failure.kind, failure.outcome, call.attempts) == (kind, Outcome.FAIL, 1)
    assert failure.detail == f"a: {status.name} as asked"


def test_a_server_that_dies_in_mid_call_is_no_answer_of_it() -> None:
    with grpc_server() as dying:
        pool, call = GrpcPool([GrpcEndpoint("a", dying.address)]), a_call()
        GrpcPool([GrpcEndpoint("a", dying.address)]).unary(a_call(), "/test/Echo", b"")
        import gevent

        def end() -> None:
            assert dying.process.stdout is not None
            while dying.process.stdout.readline().strip() != "Wait":
                pass
            dying.process.kill()

        killer = gevent.spawn(end)
        failure = failure_of(pool, call, "Wait")
        killer.join()
    assert failure.kind is ErrorKind.REFUSED
    assert call.answer_bytes is None


@pytest.mark.parametrize("raw", [http_bytes(200, b"hello"), b"SSH-2.0\r\n", b""], ids=["http", "ssh", "closed"])
def test_what_speaks_no_grpc_is_passed_over(raw: bytes) -> None:
    with http_server(sending(raw)) as other:
        call = a_call()
        pool = GrpcPool([GrpcEndpoint("a", other.url.removeprefix("http://"))])
        failure = failure_of(pool, call, "Echo")
    assert failure.outcome is Outcome.FAIL
    assert failure.kind is ErrorKind.REFUSED


def test_calls_at_once_do_not_hold_each_other_up(server: RunningServer) -> None:
    import gevent

    pool = GrpcPool([GrpcEndpoint("a", server.address)])
    greenlets = [gevent.spawn(pool.unary, a_call(), "/test/Echo", bytes([n])) for n in range(50)]
    gevent.joinall(greenlets, timeout=20)
    assert [greenlet.value for greenlet in greenlets] == [bytes([n]) for n in range(50)]
