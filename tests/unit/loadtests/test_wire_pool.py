"""The pool: who gets which connection, what is never sent twice, and how long anything may take."""

from __future__ import annotations

import gc
import socket
import weakref
from typing import Any

import gevent
import pytest

from loadtests.kit.wire import ConnectionPool, NotConnected, TimedOut, WireError
from loadtests.kit.wire import pool as pool_module
from loadtests.kit.wire.waiting import Wait
from tests.unit.loadtests.kit_servers import (
    Request,
    answering,
    http_bytes,
    http_server,
    listening,
    refused_port,
    stalling,
    wait_for,
)

LONG_S = 20.0


class Gate:
    """A handler that answers each request only when let through, in any order."""

    def __init__(self) -> None:
        self.waiting: list[gevent.event.Event] = []

    def __call__(self, request: Request, connection: socket.socket) -> bool:
        event = gevent.event.Event()
        self.waiting.append(event)
        event.wait(LONG_S)
        connection.sendall(http_bytes(200, request.path.encode()))
        return True


def test_the_connection_used_last_is_used_next() -> None:
    gate = Gate()
    with http_server(gate) as server:
        pool = ConnectionPool(server.url)
        three = [gevent.spawn(pool.request, "GET", f"/{place}") for place in range(3)]
        wait_for(lambda: len(gate.waiting) == 3, "three requests")
        for event in gate.waiting:
            event.set()
        gevent.joinall(three, raise_error=True)
        assert (pool.open_count, pool.idle_count) == (3, 3)
        newest = next(reversed(pool._idle))
        one = gevent.spawn(pool.request, "GET", "/again")
        wait_for(lambda: len(gate.waiting) == 4, "the fourth request")
        assert newest not in pool._idle
        gate.waiting[3].set()
        assert one.get().body == b"/again"
        assert (pool.open_count, server.connections) == (3, 3)


def test_those_who_wait_for_a_connection_get_it_in_turn() -> None:
    gate = Gate()
    with http_server(gate) as server:
        pool = ConnectionPool(server.url, connections_max=2)
        users = [gevent.spawn(pool.request, "GET", f"/{place}") for place in range(6)]
        for place in range(6):
            arrived = min(6, place + 2)
            wait_for(lambda arrived=arrived: len(gate.waiting) == arrived, f"{arrived} requests")  # type: ignore[misc]
            gate.waiting[place].set()
        gevent.joinall(users, raise_error=True)
        assert [request.path for request in server.requests] == [f"/{place}" for place in range(6)]
        assert (server.connections, pool.open_count) == (2, 2)


def test_waiting_in_line_is_part_of_the_limit_and_nothing_was_sent() -> None:
    with http_server(stalling()) as server:
        pool = ConnectionPool(server.url, connections_max=1)
        first = gevent.spawn(pool.request, "GET", "/first", limit_s=LONG_S)
        wait_for(lambda: len(server.requests) == 1, "the first request")
        with pytest.raises(TimedOut) as caught:
            pool.request("GET", "/second", limit_s=0.05)
        assert not caught.value.sent
        first.kill()
        # Its connection is closed and its place free again.
        with pytest.raises(TimedOut) as caught:
            pool.request("GET", "/third", limit_s=0.05)
        assert caught.value.sent
        assert [request.path for request in server.requests] == ["/first", "/third"]
        assert pool.open_count == 0


def test_who_is_killed_in_line_or_just_after_being_called_loses_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, called = Gate(), list[Wait]()
    monkeypatch.setattr(pool_module._Ticket, "wake", lambda ticket: called.append(ticket))
    with http_server(gate) as server:
        pool = ConnectionPool(server.url, connections_max=1)
        first = gevent.spawn(pool.request, "GET", "/first")
        wait_for(lambda: len(gate.waiting) == 1, "the first request")
        line = [gevent.spawn(pool.request, "GET", f"/{place}") for place in range(3)]
        wait_for(lambda: len(pool._line) == 3, "three in line")
        line[0].kill()
        assert len(pool._line) == 2
        gate.waiting[0].set()
        wait_for(lambda: len(called) == 1, "the call to the next in line")
        line[1].kill()  # it has been called, and has not woken yet
        wait_for(lambda: len(called) == 2, "the call to the one behind it")
        gevent.get_hub().loop.run_callback(Wait.wake, called[1])
        wait_for(lambda: len(gate.waiting) == 2, "the request of the last in line")
        gate.waiting[1].set()
        assert line[2].get().body == b"/2"
        assert first.get().body == b"/first"
        assert (pool.open_count, pool.idle_count, server.connections) == (1, 1, 1)


def test_an_idle_connection_that_the_other_side_closes_is_let_go() -> None:
    accepted: list[socket.socket] = []

    def keep(request: Request, connection: socket.socket) -> bool:
        accepted.append(connection)
        return answering()(request, connection)

    with http_server(keep) as server:
        pool = ConnectionPool(server.url)
        pool.request("GET", "/")
        assert pool.open_count == pool.idle_count == 1
        accepted[0].shutdown(socket.SHUT_RDWR)
        wait_for(lambda: pool.open_count == 0, "the end of the connection")
        assert pool.request("GET", "/").status == 200
        assert server.connections == 2


def test_an_idle_connection_on_which_something_comes_unasked_is_closed() -> None:
    accepted: list[socket.socket] = []

    def keep(request: Request, connection: socket.socket) -> bool:
        accepted.append(connection)
        return answering()(request, connection)

    with http_server(keep) as server:
        pool = ConnectionPool(server.url)
        pool.request("GET", "/")
        accepted[0].sendall(http_bytes(200, b"not yours"))
        wait_for(lambda: pool.open_count == 0, "the end of the connection")
        assert pool.request("GET", "/").body == b"{}"


def test_a_request_is_not_sent_again_when_its_reused_connection_breaks() -> None:
    """The first answer keeps the connection; the second request is read, and the connection closed."""
    seen: list[str] = []

    def once(request: Request, connection: socket.socket) -> bool:
        seen.append(request.path)
        return answering()(request, connection) if len(seen) != 2 else False

    with http_server(once) as server:
        pool = ConnectionPool(server.url)
        pool.request("POST", "/1", body=b"x")
        with pytest.raises(WireError) as caught:
            pool.request("POST", "/2", body=b"x")
        assert caught.value.sent
        pool.request("POST", "/3", body=b"x")
        assert seen == ["/1", "/2", "/3"]


def test_a_large_body_goes_out_in_pieces_and_comes_back_whole() -> None:
    def echo(request: Request, connection: socket.socket) -> bool:
        connection.sendall(http_bytes(200, request.body))
        return True

    body = bytes(range(256)) * 40_000
    with http_server(echo) as server:
        pool = ConnectionPool(server.url, limit_s=LONG_S)
        for _ in range(2):
            assert pool.request("POST", "/", body=body).body == body
        assert server.connections == 1


def test_an_answer_before_the_whole_request_was_taken_counts_and_ends_the_connection() -> None:
    """As a 413: the server reads the head, answers, and reads no more."""

    def refuse(connection: Any, address: Any) -> None:
        connection.recv(1024)
        connection.sendall(http_bytes(413, b"too much"))
        released.wait(LONG_S)
        connection.close()

    released = gevent.event.Event()
    with listening(refuse) as port:
        pool = ConnectionPool(f"http://127.0.0.1:{port}", limit_s=LONG_S)
        assert pool.request("POST", "/", body=b"x" * 50_000_000).status == 413
        assert pool.open_count == 0
        released.set()


def test_head_keeps_its_connection() -> None:
    with http_server(answering(200, b"", headers="X: y\r\n")) as server:
        pool = ConnectionPool(server.url)
        for method in ("HEAD", "GET", "HEAD", "GET"):
            assert pool.request(method, "/").headers["x"] == "y"
        assert server.connections == 1


@pytest.mark.parametrize("how", [gevent.GreenletExit, gevent.Timeout])
def test_a_greenlet_thrown_out_closes_its_connection(how: type[BaseException]) -> None:
    with http_server(stalling()) as server:
        pool = ConnectionPool(server.url)
        user = gevent.spawn(pool.request, "GET", "/", limit_s=LONG_S)
        wait_for(lambda: len(server.requests) == 1, "the request")
        gevent.kill(user, how())
        user.join()
        assert (pool.open_count, pool.idle_count) == (0, 0)


def test_every_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_server(answering()) as server:
        port = int(server.url.rpartition(":")[2])
        pool = ConnectionPool(f"http://several.invalid:{port}", limit_s=LONG_S)
        found = [(socket.AF_INET, ("127.0.0.9", port)), (socket.AF_INET, ("127.0.0.1", port))]
        monkeypatch.setattr(pool._addresses, "find", lambda due_s: found)
        assert pool.request("GET", "/").status == 200
        monkeypatch.setattr(pool._addresses, "find", lambda due_s: found[:1])
        pool.close()
    with pytest.raises(NotConnected, match=r"refused by 127\.0\.0\.9"):
        ConnectionPool.request(pool, "GET", "/")


def test_a_host_is_resolved_once_for_all_who_wait_and_kept_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def resolve(host: str, port: int, *_: Any) -> list[Any]:
        asked.append(host)
        gevent.sleep(0.01)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(gevent.get_hub().resolver, "getaddrinfo", resolve)
    with http_server(answering()) as server:
        pool = ConnectionPool(server.url.replace("127.0.0.1", "node.invalid"), limit_s=LONG_S)
        users = [gevent.spawn(pool.request, "GET", "/") for _ in range(10)]
        gevent.joinall(users, raise_error=True)
        pool.close()
        pool.request("GET", "/")
        assert server.requests[0].headers["host"].startswith("node.invalid:")
    assert asked == ["node.invalid"]


def test_resolving_has_a_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gevent.get_hub().resolver, "getaddrinfo", lambda *_: gevent.sleep(LONG_S))
    pool = ConnectionPool("http://slow.invalid:1", connect_limit_s=0.05)
    with pytest.raises(NotConnected, match="not resolved in time"):
        pool.request("GET", "/", limit_s=LONG_S)
    assert pool.open_count == 0


def test_a_refused_connection_was_not_sent_to() -> None:
    pool = ConnectionPool(f"http://127.0.0.1:{refused_port()}")
    with pytest.raises(NotConnected, match="refused") as caught:
        pool.request("GET", "/")
    assert not caught.value.sent
    assert pool.open_count == 0


@pytest.mark.parametrize("url", ["ftp://a", "a:80", "http://", "//a", "http://a:99999"])
def test_what_is_no_http_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        ConnectionPool(url)


@pytest.mark.parametrize("setting", ["connections_max", "connect_limit_s", "limit_s"])
def test_limits_have_to_be_above_0(setting: str) -> None:
    with pytest.raises(ValueError, match=setting):
        ConnectionPool("http://a", **{setting: 0})  # type: ignore[arg-type]


def test_a_pool_nobody_holds_closes_its_connections() -> None:
    with http_server(answering()) as server:
        pool = ConnectionPool(server.url)
        pool.request("GET", "/")
        connection, gone = next(iter(pool._idle)), weakref.ref(pool)
        del pool
        gc.collect()
        assert gone() is None
        assert connection.closed


def test_the_number_of_connections_is_given_back_whatever_happens() -> None:
    assert pool_module.CONNECTIONS_MAX > 0
    with http_server(answering()) as server:
        pool = ConnectionPool(server.url, connections_max=3)
        for _ in range(5):
            with pytest.raises(ValueError):
                pool.request("GET", "no spaces here")
        users = [gevent.spawn(pool.request, "GET", "/") for _ in range(30)]
        gevent.joinall(users, raise_error=True)
        assert pool.open_count == pool.idle_count <= 3
        pool.close()
        assert pool.open_count == 0
