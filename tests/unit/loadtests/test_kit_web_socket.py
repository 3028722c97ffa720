"""EventSocket against real WebSocket servers: well-behaved ones, and ones that break off anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest
from gevent.event import Event
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode
from websockets.sync.server import Server, ServerConnection, serve

from loadtests.kit import web_socket
from loadtests.kit.web_socket import EventSocket, SocketClosed
from tests.unit.loadtests.kit_servers import (
    WebSocketPeer,
    answering,
    frame,
    http_server,
    refused_port,
    sending,
    stalling,
    text_frame,
    wait_for,
    web_socket_server,
)

LONG_S = 20.0


@contextmanager
def real_server(handler: Any, **settings: Any) -> Iterator[str]:
    """Give the RPC address of a server of the `websockets` package."""
    with serve(handler, "127.0.0.1", 0, **settings) as server:
        assert isinstance(server, Server)
        thread = gevent.spawn(server.serve_forever)
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


def received(stream: EventSocket, count: int) -> list[Any]:
    found = []
    for _ in range(count):
        message = stream.receive(LONG_S)
        assert message is not None
        found.append(message[0])
    return found


def test_a_subscription_is_json_rpc_and_events_come_back() -> None:
    asked = []

    def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        asked.append((connection.request.path, json.loads(connection.recv())))
        connection.send(json.dumps({"id": 7, "result": {}}))
        connection.send(json.dumps({"id": 7, "result": {"data": 1}}))
        connection.recv()

    with real_server(handle) as url:
        stream = EventSocket(url)
        stream.subscribe("tm.event='NewBlock'", identity=7)
        assert received(stream, 2) == [{"id": 7, "result": {}}, {"id": 7, "result": {"data": 1}}]
        stream.close()
    params = {"query": "tm.event='NewBlock'"}
    assert asked == [("/websocket", {"jsonrpc": "2.0", "method": "subscribe", "id": 7, "params": params})]


def test_a_message_in_fragments_with_a_ping_between_them_is_one() -> None:
    ponged = Event()

    def handle(connection: ServerConnection) -> None:
        def pieces() -> Iterator[str]:
            yield '{"a": "'
            pong = connection.ping()
            yield "ä" * 200_000
            yield '"}'
            pong.wait(LONG_S)
            ponged.set()

        connection.send(pieces())
        with pytest.raises(ConnectionClosed):
            connection.recv()

    with real_server(handle) as url:
        stream = EventSocket(url)
        assert received(stream, 1) == [{"a": "ä" * 200_000}]
        assert ponged.wait(LONG_S)
        stream.close()


def test_a_ping_is_answered_while_waiting() -> None:
    answered = Event()

    def handle(connection: ServerConnection) -> None:
        connection.ping(b"alive?").wait(LONG_S)
        answered.set()
        connection.send("{}")
        connection.recv()

    with real_server(handle) as url:
        stream = EventSocket(url)
        assert received(stream, 1) == [{}]
        assert answered.is_set()
        stream.close()


def test_nothing_in_time_is_none_and_no_end() -> None:
    go_on = Event()

    def handle(connection: ServerConnection) -> None:
        go_on.wait()
        connection.send("{}")
        connection.recv()

    with real_server(handle) as url:
        stream = EventSocket(url)
        assert stream.receive(0.02) is None
        go_on.set()
        assert received(stream, 1) == [{}]
        stream.close()


def test_a_refused_upgrade_says_so() -> None:
    def refuse(connection: ServerConnection, request: object) -> object:
        return connection.respond(403, "no\n")

    with real_server(lambda connection: None, process_request=refuse) as url, pytest.raises(SocketClosed) as caught:
        EventSocket(url)
    assert str(caught.value).startswith("refuses the upgrade: ")
    assert "403" in str(caught.value)


def test_an_address_where_nobody_listens() -> None:
    with pytest.raises(SocketClosed, match="cannot connect"):
        EventSocket(f"http://127.0.0.1:{refused_port()}")


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(answering(200, b"hello"), id="no upgrade"),
        pytest.param(sending(b"SSH-2.0-OpenSSH\r\n\r\n"), id="no HTTP"),
        pytest.param(sending(b""), id="closed at once"),
        pytest.param(sending(b"HTTP/1.1 101 Switching Pro"), id="closed in the head"),
        pytest.param(
            sending(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: A\r\n\r\n"),
            id="wrong key",
        ),
        pytest.param(stalling(), id="silent"),
        pytest.param(stalling(b"HTTP/1.1 101 Switching Pro"), id="silent in the head"),
    ],
)
def test_what_does_not_upgrade_is_closed(handler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_socket, "CONNECT_LIMIT_S", 0.2)
    with http_server(handler) as server, pytest.raises(SocketClosed):
        EventSocket(server.url)


@pytest.mark.parametrize("text", ["no json", "", "{", "[1]", "5", "null", '"text"'])
def test_what_is_no_json_object_ends_the_connection(text: str) -> None:
    def handle(peer: WebSocketPeer) -> None:
        peer.connection.sendall(text_frame(text))
        peer.wait_for_end()

    with web_socket_server(handle) as server:
        stream = EventSocket(server.url)
        with pytest.raises(SocketClosed, match="no JSON"):
            stream.receive(LONG_S)
        stream.close()


ENDS = {
    "the end of the stream": b"",
    "a close frame": frame(Opcode.CLOSE, b"\x03\xe8bye"),
    "a close frame without a code": frame(Opcode.CLOSE),
    "half a frame": text_frame('{"never": "whole"}')[:7],
    "half a message": frame(Opcode.TEXT, b'{"never": ', fin=False),
    "a frame of an unknown kind": b"\x83\x00",
    "a continuation of nothing": frame(Opcode.CONT, b"x"),
    "a masked frame": b"\x81\x81\x00\x00\x00\x00x",
}


# With the TCP connection left open, only what the protocol itself calls an end is one.
NO_ENDS_BY_THEMSELVES = ("the end of the stream", "half a frame", "half a message")
CASES = [(how, False) for how in ENDS] + [(how, True) for how in ENDS if how not in NO_ENDS_BY_THEMSELVES]


@pytest.mark.parametrize(("how", "stays_open"), CASES)
@pytest.mark.parametrize("before", [0, 3])
def test_messages_before_an_end_are_received_and_then_it_is_closed(how: str, before: int, stays_open: bool) -> None:
    messages = [{"number": place} for place in range(before)]

    def handle(peer: WebSocketPeer) -> None:
        # In one piece, so that they arrive together.
        peer.connection.sendall(b"".join(text_frame(json.dumps(m)) for m in messages) + ENDS[how])
        if stays_open:
            peer.wait_for_end()

    with web_socket_server(handle) as server:
        stream = EventSocket(server.url)
        assert received(stream, before) == messages
        for _ in range(2):
            with pytest.raises(SocketClosed):
                stream.receive(LONG_S)
        stream.close()


@settings(max_examples=25)
@given(
    texts=st.lists(st.text(max_size=200), min_size=1, max_size=5),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    as_binary=st.booleans(),
)
def test_however_messages_are_cut_they_arrive_whole_and_in_order(
    texts: list[str], cuts: list[int], as_binary: bool
) -> None:
    """Law: frames and TCP segments are cut anywhere, control frames lie between them; the messages are the same."""
    wire = b""
    for text in texts:
        data = json.dumps({"text": text}).encode()
        size = cuts[len(data) % len(cuts)]
        parts = [data[place : place + size] for place in range(0, len(data), size)]
        for place, part in enumerate(parts):
            opcode = (Opcode.BINARY if as_binary else Opcode.TEXT) if place == 0 else Opcode.CONT
            wire += frame(opcode, part, fin=place == len(parts) - 1) + frame(Opcode.PING, b"p")

    def handle(peer: WebSocketPeer) -> None:
        position = place = 0
        while position < len(wire):
            size = cuts[place % len(cuts)]
            peer.connection.sendall(wire[position : position + size])
            position, place = position + size, place + 1
        peer.wait_for_end()

    with web_socket_server(handle) as server:
        stream = EventSocket(server.url)
        assert received(stream, len(texts)) == [{"text": text} for text in texts]
        stream.close()


def test_a_closed_connection_cannot_be_subscribed_on() -> None:
    def handle(peer: WebSocketPeer) -> None:
        peer.connection.sendall(text_frame("{}") + frame(Opcode.CLOSE, b"\x03\xe8"))

    with web_socket_server(handle) as server:
        stream = EventSocket(server.url)
        received(stream, 1)
        with pytest.raises(SocketClosed):
            stream.receive(LONG_S)
        with pytest.raises(SocketClosed):
            stream.subscribe("tm.event='Tx'", identity=2)
        stream.close()


def test_close_lets_the_other_side_go() -> None:
    gone = Event()

    def handle(peer: WebSocketPeer) -> None:
        peer.wait_for_end()
        gone.set()

    with web_socket_server(handle) as server:
        stream = EventSocket(server.url)
        stream.close()
        wait_for(gone.is_set, "the end at the server")
