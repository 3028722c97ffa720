"""Small real servers on the loopback interface, each connection in a greenlet: they answer, lie, stall, break off."""

from __future__ import annotations

import json
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Any

import gevent
from gevent.server import StreamServer
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.utils import accept_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


Handler = Callable[[Request, socket.socket], bool]
"""Answers one request on its socket; returns whether the connection stays."""


@dataclass(slots=True, kw_only=True)
class HttpServer:
    """A running server. `requests` holds all that arrived, `connections` counts what was accepted."""

    url: str
    requests: list[Request] = field(default_factory=list)
    connections: int = 0


def read_request(stream: BufferedReader) -> Request | None:
    """Return the next request of a connection, None at its end."""
    line = stream.readline()
    if not line:
        return None
    method, path, _ = line.decode().split()
    headers = {}
    while (text := stream.readline().decode().strip()) != "":
        name, _, value = text.partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", "0")))
    return Request(method=method, path=path, headers=headers, body=body)


@contextmanager
def http_server(handler: Handler) -> Iterator[HttpServer]:
    """Give a server whose every request goes to `handler`."""

    def serve(connection: socket.socket, address: Any) -> None:
        server.connections += 1
        with suppress(OSError), connection, connection.makefile("rb") as stream:  # the other side may go at any time
            while (request := read_request(stream)) is not None:
                server.requests.append(request)
                if not handler(request, connection):
                    return

    with listening(serve) as port:
        server = HttpServer(url=f"http://127.0.0.1:{port}")
        yield server


@contextmanager
def listening(serve: Callable[[socket.socket, Any], None]) -> Iterator[int]:
    """Give the port of a TCP server that hands every connection to `serve`."""
    server = StreamServer(("127.0.0.1", 0), serve)
    server.start()
    try:
        yield int(server.server_port or 0)
    finally:
        server.stop(timeout=0.1)


def answering(status: int = 200, body: bytes = b"{}", *, headers: str = "") -> Handler:
    """Return a handler that gives one answer and keeps the connection."""

    def answer(request: Request, connection: socket.socket) -> bool:
        connection.sendall(http_bytes(status, body, headers=headers))
        return True

    return answer


def sending(raw: bytes) -> Handler:
    """Return a handler that sends these bytes and closes the connection."""

    def send(request: Request, connection: socket.socket) -> bool:
        connection.sendall(raw)
        return False

    return send


def resetting(raw: bytes) -> Handler:
    """Return a handler that sends these bytes and resets the connection."""

    def send(request: Request, connection: socket.socket) -> bool:
        connection.sendall(raw)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return send


def stalling(raw: bytes = b"") -> Handler:
    """Return a handler that sends these bytes, and then nothing, until the other side goes."""

    def stall(request: Request, connection: socket.socket) -> bool:
        connection.sendall(raw)
        connection.recv(1)
        return False

    return stall


def dripping(raw: bytes, *, pause_s: float, endless: bool = False) -> Handler:
    """Return a handler that sends the bytes one by one; endless, it repeats the last one until the other side goes."""

    def drip(request: Request, connection: socket.socket) -> bool:
        for place in range(len(raw)):
            connection.sendall(raw[place : place + 1])
            gevent.sleep(pause_s)
        while endless:
            connection.sendall(raw[-1:])
            gevent.sleep(pause_s)
        return False

    return drip


def http_bytes(status: int, body: bytes, *, headers: str = "") -> bytes:
    """Return an answer with its length told."""
    return f"HTTP/1.1 {status} Word\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def refused_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool], what: str, *, limit_s: float = 10.0) -> None:
    """Return when the condition holds. Raises AssertionError naming it when it does not come in time."""
    with gevent.Timeout(limit_s, AssertionError(f"{what} did not come within {limit_s:g} s")):
        while not condition():
            gevent.sleep(0.005)


WebSocketHandler = Callable[["WebSocketPeer"], None]


class WebSocketPeer:
    """The server's end of a WebSocket, over which a handler may send any bytes at any time."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._protocol = ServerProtocol(state=State.OPEN)
        self._received: deque[str] = deque()
        self.pongs: list[bytes] = []

    def receive(self) -> Any:
        """Return the next message, parsed. Raises EOFError when the other side has gone."""
        while not self._received:
            data = self.connection.recv(65536)
            if not data:
                raise EOFError
            self._protocol.receive_data(data)
            for event in self._protocol.events_received():
                if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                    self._received.append(bytes(event.data).decode())
                if isinstance(event, Frame) and event.opcode is Opcode.PONG:
                    self.pongs.append(bytes(event.data))
        return json.loads(self._received.popleft())

    def send(self, value: Any) -> None:
        self.connection.sendall(text_frame(json.dumps(value)))

    def wait_for_end(self) -> None:
        """Return when the other side has gone."""
        with suppress(EOFError):
            while True:
                self.receive()


def text_frame(text: str) -> bytes:
    """Return a whole message as one frame."""
    return frame(Opcode.TEXT, text.encode())


def frame(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    """Return the bytes of one frame from a server."""
    return Frame(opcode, data, fin=fin).serialize(mask=False)


def upgrade(request: Request, connection: socket.socket) -> WebSocketPeer:
    """Answer a request's upgrade and return the peer."""
    key = request.headers["sec-websocket-key"]
    head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    connection.sendall(f"{head}Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n".encode())
    return WebSocketPeer(connection)


@contextmanager
def web_socket_server(handler: WebSocketHandler) -> Iterator[HttpServer]:
    """Give a server that upgrades every connection and hands it to `handler`, and closes it afterwards."""

    def answer(request: Request, connection: socket.socket) -> bool:
        with suppress(EOFError):
            handler(upgrade(request, connection))
        return False

    with http_server(answer) as server:
        yield server
