"""A small HTTP/2 server that says what a test wants it to say, frame by frame (RFC 9113); it reads no header field."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Any

from tests.unit.loadtests.kit_servers import listening

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_ACK = _END_STREAM = 0x1
_END_HEADERS = 0x4
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

Fields = dict[str, str]
Http2Handler = Callable[["Http2Peer", int, bytes], None]
"""Answers one request, given its stream and its body."""


@dataclass(slots=True, kw_only=True)
class Http2Server:
    """A running server. `bodies` holds all that arrived, `connections` counts what was accepted."""

    address: str
    connections: int = 0
    bodies: list[bytes] = field(default_factory=list)


class Http2Peer:
    """The server's end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def head(self, stream: int, fields: Fields, *, end: bool = False) -> None:
        """Send a head or trailers: each field a literal that is not indexed (RFC 7541, 6.2.2)."""
        block = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())
        self._send(_HEADERS, _END_HEADERS | (_END_STREAM if end else 0), stream, block)

    def data(self, stream: int, data: bytes, *, end: bool = False) -> None:
        self._send(_DATA, _END_STREAM if end else 0, stream, data)

    def reset(self, stream: int, code: int) -> None:
        self._send(_RST_STREAM, 0, stream, struct.pack(">I", code))

    def go_away(self, last_stream: int) -> None:
        """Say that no stream after this one was looked at."""
        self._send(_GOAWAY, 0, 0, struct.pack(">II", last_stream, 0))

    def ping(self) -> None:
        self._send(_PING, 0, 0, b"12345678")

    def cut(self) -> None:
        """End the connection."""
        self._connection.shutdown(socket.SHUT_RDWR)

    def serve(self, stream: BufferedReader, handler: Http2Handler, server: Http2Server) -> None:
        """Hand every request that comes to the handler, until the other side goes."""
        if stream.read(len(_PREFACE)) != _PREFACE:
            return
        self._send(_SETTINGS, 0, 0, b"")
        bodies: dict[int, bytes] = {}
        while len(head := stream.read(9)) == 9:
            length, kind, flags, number = (
                int.from_bytes(head[:3], "big"),
                head[3],
                head[4],
                struct.unpack(">I", head[5:]),
            )
            data = stream.read(length)
            if kind in (_SETTINGS, _PING) and not flags & _ACK:
                self._send(kind, _ACK, 0, data if kind == _PING else b"")
            if kind in (_HEADERS, _DATA):
                body = bodies.pop(number[0], b"") + (data if kind == _DATA else b"")
                if not flags & _END_STREAM:
                    bodies[number[0]] = body
                    continue
                server.bodies.append(body)
                handler(self, number[0], body)

    def _send(self, kind: int, flags: int, stream: int, data: bytes) -> None:
        self._connection.sendall(len(data).to_bytes(3, "big") + bytes((kind, flags)) + struct.pack(">I", stream) + data)


def _text(value: str) -> bytes:
    """Return a text of fewer than 127 bytes as HPACK has it, without Huffman's code."""
    raw = value.encode()
    assert len(raw) < 127
    return bytes((len(raw),)) + raw


@contextmanager
def http2_server(handler: Http2Handler, *, tls: ssl.SSLContext | None = None) -> Iterator[Http2Server]:
    """Give a server whose every request goes to `handler`; it speaks HTTP/2 at once, as its clients must."""

    def serve(connection: socket.socket, address: Any) -> None:
        server.connections += 1
        with suppress(OSError):  # the other side may go at any time
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as stream:
                Http2Peer(connection).serve(stream, handler, server)

    with listening(serve) as port:
        server = Http2Server(address=f"127.0.0.1:{port}")
        yield server


def answering_grpc(
    body: bytes, trailers: Fields | None, *, status: str = "200", content_type: str = "application/grpc"
) -> Http2Handler:
    """Return a handler that gives one answer; without trailers it ends with its body."""

    def answer(peer: Http2Peer, stream: int, _: bytes) -> None:
        peer.head(stream, {":status": status, "content-type": content_type})
        peer.data(stream, body, end=trailers is None)
        if trailers is not None:
            peer.head(stream, trailers, end=True)

    return answer
