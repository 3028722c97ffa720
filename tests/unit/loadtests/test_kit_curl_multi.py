"""CurlMulti: many transfers on one hub, killed, timed out, closed; connections kept and given up."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import gevent
import pycurl
import pytest
from gevent.event import Event

from loadtests.kit.curl import (
    Broken,
    CurlClient,
    CurlFailed,
    CurlMulti,
    HttpVersion,
    NotConnected,
    TimedOut,
    shared_multi,
)
from tests.unit.loadtests.kit_http2 import Http2Peer, http2_server
from tests.unit.loadtests.kit_servers import (
    Handler,
    Request,
    answering,
    http_bytes,
    http_server,
    listening,
    refused_port,
    resetting,
    sending,
    stalling,
    wait_for,
)

SHORT_S = 0.15
LONG_S = 20.0
H2C = HttpVersion.HTTP_2_PRIOR_KNOWLEDGE


@pytest.fixture
def multi() -> Iterator[CurlMulti]:
    multi = CurlMulti()
    yield multi
    multi.close()


@pytest.fixture
def client(multi: CurlMulti) -> CurlClient:
    return CurlClient(multi)


def closing_when_told(told: Event, closed: Event) -> Handler:
    """Return a handler that answers once on a connection, says nothing of closing it, and closes it when told."""

    def answer(request: Request, connection: socket.socket) -> bool:
        connection.sendall(http_bytes(200, b"hello"))
        told.wait(LONG_S)
        connection.shutdown(socket.SHUT_RDWR)
        closed.set()
        return False

    return answer


def get(client: CurlClient, url: str, *, limit_s: float = LONG_S, version: HttpVersion = HttpVersion.HTTP_1_1) -> bytes:
    return client.request("GET", url, limit_s=limit_s, http_version=version).body


def test_one_connection_serves_requests_one_after_another(client: CurlClient) -> None:
    with http_server(answering(200, b"hello")) as server:
        assert [get(client, server.url) for _ in range(20)] == [b"hello"] * 20
    assert server.connections == 1


def test_a_new_socket_with_the_number_of_an_old_one_is_watched(client: CurlClient) -> None:
    """The server ends each connection, so each request has a socket of its own, mostly with the same number."""
    with http_server(sending(http_bytes(200, b"hello", headers="Connection: close\r\n"))) as server:
        assert [get(client, server.url) for _ in range(50)] == [b"hello"] * 50
    assert server.connections == 50


def test_sockets_of_others_that_have_the_number_of_an_old_one_are_left_alone(client: CurlClient) -> None:
    with http_server(answering(200, b"hello")) as server:
        get(client, server.url)
        with http_server(sending(http_bytes(200, b"hello", headers="Connection: close\r\n"))) as other:
            get(client, other.url)
            pairs = [socket.socketpair() for _ in range(5)]
            for here, there in pairs:
                there.sendall(b"x")
                assert here.recv(1) == b"x"
            assert get(client, other.url) == b"hello"
            for here, there in pairs:
                here.close()
                there.close()
        assert get(client, server.url) == b"hello"


def test_a_name_is_looked_up_while_the_hub_goes_on(client: CurlClient) -> None:
    with http_server(answering(200, b"hello")) as server:
        for _ in range(3):
            assert get(client, server.url.replace("127.0.0.1", "localhost")) == b"hello"


def test_any_mixture_of_ends_leaves_nothing_behind(multi: CurlMulti, client: CurlClient) -> None:
    """Sockets are opened and closed under the watchers all the time; libev aborts the process at a closed one."""
    draw = random.Random(7)

    def run(url: str, limit_s: float) -> None:
        with suppress(CurlFailed):
            get(client, url, limit_s=limit_s)

    with (
        http_server(answering()) as keeping,
        http_server(sending(http_bytes(200, b"x"))) as closing,
        http_server(resetting(b"HTTP/1.1 200")) as breaking,
        http_server(stalling()) as silent,
    ):
        names = [server.url.replace("127.0.0.1", "localhost") for server in (keeping, closing)]
        urls = [keeping.url, closing.url, breaking.url, *names]
        for _ in range(4):
            greenlets = [gevent.spawn(run, draw.choice(urls), LONG_S) for _ in range(60)]
            greenlets += [gevent.spawn(run, silent.url, 0.05) for _ in range(5)]
            killed = [gevent.spawn(run, silent.url, LONG_S) for _ in range(5)]
            gevent.joinall(greenlets, timeout=LONG_S, raise_error=True)
            gevent.killall(killed)
            assert multi.in_flight == 0
            assert get(client, keeping.url) == b"{}"


def test_many_at_once_each_get_their_own_answer(client: CurlClient) -> None:
    def echo(request: Request, connection: socket.socket) -> bool:
        connection.sendall(http_bytes(200, request.path.encode()))
        return True

    with http_server(echo) as server:
        greenlets = [gevent.spawn(get, client, f"{server.url}/{n}") for n in range(100)]
        gevent.joinall(greenlets, timeout=LONG_S, raise_error=True)
    assert [greenlet.value for greenlet in greenlets] == [f"/{n}".encode() for n in range(100)]


def test_a_killed_greenlet_takes_its_transfer_with_it(multi: CurlMulti, client: CurlClient) -> None:
    with http_server(stalling()) as server, http_server(answering(200, b"hello")) as other:
        greenlets = [gevent.spawn(get, client, server.url) for _ in range(3)]
        wait_for(lambda: len(server.requests) == 3, "the requests")
        assert multi.in_flight == 3
        gevent.killall(greenlets[:2])
        assert multi.in_flight == 1
        assert get(client, other.url) == b"hello"
        greenlets[2].kill()
    assert multi.in_flight == 0


def test_one_that_is_woken_may_kill_another_that_is_done_too(client: CurlClient) -> None:
    """Both answers come in one read: the first greenlet kills the second before that is told."""
    held: list[int] = []

    def both(peer: Http2Peer, stream: int, _: bytes) -> None:
        held.append(stream)
        if len(held) == 2:
            for one in held:
                peer.head(one, {":status": "200"}, end=True)

    def first(url: str) -> None:
        get(client, url, version=H2C)
        second.kill(block=False)

    with http2_server(both) as server:
        killing = gevent.spawn(first, f"http://{server.address}/")
        wait_for(lambda: bool(held), "the first request")
        second = gevent.spawn(get, client, f"http://{server.address}/", version=H2C)
        both_of_them: list[gevent.Greenlet[..., Any]] = [killing, second]
        gevent.joinall(both_of_them, timeout=LONG_S)
        assert killing.successful()
        assert second.dead


def test_shorter_limits_end_before_longer_ones(client: CurlClient) -> None:
    ended: list[float] = []

    def run(limit_s: float) -> None:
        with pytest.raises(TimedOut):
            get(client, server.url, limit_s=limit_s)
        ended.append(limit_s)

    with http_server(stalling()) as server:
        greenlets = [gevent.spawn(run, limit_s) for limit_s in (0.9, 0.1, 0.5)]
        gevent.joinall(greenlets, timeout=LONG_S, raise_error=True)
    assert ended == [0.1, 0.5, 0.9]


def test_closing_ends_what_is_on_its_way_and_what_comes_later() -> None:
    multi = CurlMulti()
    client = CurlClient(multi)
    with http_server(stalling()) as server:
        greenlets = [gevent.spawn(get, client, server.url) for _ in range(2)]
        wait_for(lambda: len(server.requests) == 2, "the requests")
        multi.close()
        gevent.joinall(greenlets, timeout=LONG_S)
        assert [type(greenlet.exception) for greenlet in greenlets] == [Broken, Broken]
        with pytest.raises(Broken, match="closed"):
            get(client, server.url)
        with pytest.raises(Broken, match="closed"):
            multi.take()
    multi.close()  # again is no fault


def test_a_process_has_one() -> None:
    assert shared_multi() is shared_multi()


def test_no_request_is_sent_twice(client: CurlClient) -> None:
    """libcurl would send it again when a connection that was used before ends without an answer."""

    def once(request: Request, connection: socket.socket) -> bool:
        if len(server.requests) > 1:
            return False
        connection.sendall(http_bytes(200, b"hello"))
        return True

    with http_server(once) as server:
        get(client, server.url)
        with pytest.raises(Broken, match="before an answer began"):
            get(client, server.url)
    assert (len(server.requests), server.connections) == (2, 1)


def test_a_connection_that_its_server_ended_between_requests_costs_none(client: CurlClient) -> None:
    with http_server(closing_when_told(told := Event(), closed := Event())) as server:
        for _ in range(20):
            assert get(client, server.url) == b"hello"
            told.set()
            assert closed.wait(LONG_S)
            told.clear()
            closed.clear()
    assert (len(server.requests), server.connections) == (20, 20)


def test_a_server_that_went_away_between_requests_is_not_connected(client: CurlClient) -> None:
    with http_server(closing_when_told(told := Event(), closed := Event())) as server:
        get(client, server.url)
        told.set()
        assert closed.wait(LONG_S)
    with pytest.raises(NotConnected):
        get(client, server.url)


def test_what_a_server_did_not_look_at_is_not_sent_again_either(client: CurlClient) -> None:
    def refuse_second(peer: Http2Peer, stream: int, _: bytes) -> None:
        if stream == 1:
            peer.head(stream, {":status": "200"}, end=True)
        else:
            peer.go_away(1)

    with http2_server(refuse_second) as server:
        get(client, f"http://{server.address}/", version=H2C)
        with pytest.raises(Broken):
            get(client, f"http://{server.address}/", version=H2C)
    assert len(server.bodies) == 2


def silent_after_first(peer: Http2Peer, stream: int, _: bytes) -> None:
    if stream == 1:
        peer.head(stream, {":status": "200"}, end=True)


def test_a_connection_that_fell_silent_is_not_used_again(client: CurlClient) -> None:
    with http2_server(silent_after_first) as server:
        get(client, f"http://{server.address}/", version=H2C)
        with pytest.raises(TimedOut):
            get(client, f"http://{server.address}/", version=H2C, limit_s=SHORT_S)
        get(client, f"http://{server.address}/", version=H2C)
    assert server.connections == 2


def test_a_connection_on_which_only_one_answer_is_late_goes_on(client: CurlClient) -> None:
    def late_second(peer: Http2Peer, stream: int, _: bytes) -> None:
        if stream == 3:
            peer.ping()
        else:
            peer.head(stream, {":status": "200"}, end=True)

    with http2_server(late_second) as server:
        get(client, f"http://{server.address}/", version=H2C)
        with pytest.raises(TimedOut):
            get(client, f"http://{server.address}/", version=H2C, limit_s=SHORT_S)
        get(client, f"http://{server.address}/", version=H2C)
    assert server.connections == 1


def test_requests_wait_for_a_connection_that_is_being_made_and_share_it(client: CurlClient) -> None:
    def answer(peer: Http2Peer, stream: int, _: bytes) -> None:
        peer.head(stream, {":status": "200"}, end=True)

    with http2_server(answer) as server:
        greenlets = [gevent.spawn(get, client, f"http://{server.address}/", version=H2C) for _ in range(50)]
        gevent.joinall(greenlets, timeout=LONG_S, raise_error=True)
    assert server.connections == 1
    assert len(server.bodies) == 50


def test_no_connection_in_time_is_not_connected_for_all_who_wait_for_it(multi: CurlMulti) -> None:
    client = CurlClient(multi, connect_limit_s=SHORT_S)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]  # the queue holds no more
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/"
        greenlets = [gevent.spawn(get, client, url, version=H2C) for _ in range(5)]
        gevent.joinall(greenlets, timeout=LONG_S)
        for each in waiting:
            each.close()
    assert [type(greenlet.exception) for greenlet in greenlets] == [NotConnected] * 5


def test_refused_connections_do_not_hold_up_those_who_wait(client: CurlClient) -> None:
    url = f"http://127.0.0.1:{refused_port()}/"
    greenlets = [gevent.spawn(get, client, url, version=H2C) for _ in range(50)]
    gevent.joinall(greenlets, timeout=LONG_S)
    assert [type(greenlet.exception) for greenlet in greenlets] == [NotConnected] * 50


def test_a_transfer_is_used_again_without_what_was_set_for_another(multi: CurlMulti) -> None:
    with http_server(answering(200, b"hello")) as server:
        transfer = multi.take()
        transfer.set_url(server.url)
        transfer.easy.setopt(pycurl.CUSTOMREQUEST, "DELETE")
        multi.perform(transfer)
        multi.give_back(transfer)
        assert multi.take() is transfer
        transfer.set_url(server.url)
        multi.perform(transfer)
    assert [request.method for request in server.requests] == ["DELETE", "GET"]


def test_a_server_that_says_nothing_after_accepting(client: CurlClient) -> None:
    def accept(connection: socket.socket, address: Any) -> None:
        connection.recv(65536)
        connection.recv(65536)

    with listening(accept) as port, pytest.raises(TimedOut):
        get(client, f"http://127.0.0.1:{port}/", limit_s=SHORT_S, version=H2C)
