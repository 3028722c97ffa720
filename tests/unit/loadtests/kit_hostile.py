"""A server of hostile answers: each path is one way of going wrong, and says which outcomes are right for it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import gevent

from bundle import ErrorKind
from tests.unit.loadtests.kit_servers import http_bytes, listening

OK = None
"""The outcome of an answer that counts."""
_GOOD = http_bytes(200, b"{}")
_HEAD = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trick:
    """What is sent for a request, what becomes of the connection, and what the request may end as."""

    raw: bytes
    after: str = "stay"
    """"stay", "close", "reset", "stall" until the client goes, or "drip" the last byte until then."""
    ends_as: frozenset[ErrorKind | None]


def _trick(raw: bytes, after: str, *ends_as: ErrorKind | None) -> Trick:
    return Trick(raw=raw, after=after, ends_as=frozenset(ends_as))


TRICKS: dict[str, Trick] = {
    "good": _trick(_GOOD, "stay", OK),
    "good-then-close": _trick(_GOOD, "close", OK),
    "connection-close": _trick(_HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}", "close", OK),
    "http-1.0": _trick(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", "close", OK),
    "read-until-close": _trick(_HEAD + b"\r\nall of it", "close", OK),
    "no-content": _trick(b"HTTP/1.1 204 No Content\r\n\r\n", "stay", OK),
    "interim": _trick(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + _GOOD, "stay", OK),
    "chunked": _trick(_CHUNKED + b"1;a=b\r\n{\r\n1\r\n}\r\n0\r\nT: x\r\n\r\n", "stay", OK),
    "server-error": _trick(http_bytes(503, b"behind"), "stay", ErrorKind.SERVER_ERROR),
    "length-too-long": _trick(_HEAD + b"Content-Length: 9\r\n\r\nabc", "close", ErrorKind.BROKEN),
    "length-too-long-stalled": _trick(_HEAD + b"Content-Length: 9\r\n\r\nabc", "stall", ErrorKind.TIMEOUT),
    "length-too-short": _trick(_HEAD + b"Content-Length: 2\r\n\r\n{}and more of it", "stay", OK),
    "pipelined": _trick(_GOOD + http_bytes(200, b"not asked for"), "stay", OK),
    "length-no-number": _trick(_HEAD + b"Content-Length: x\r\n\r\n{}", "stay", ErrorKind.BAD_ANSWER),
    "length-twice": _trick(_HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "stay", ErrorKind.BAD_ANSWER),
    "length-and-chunks": _trick(
        _HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "stay", ErrorKind.BAD_ANSWER
    ),
    "chunk-size-bad": _trick(_CHUNKED + b"xyz\r\nabc\r\n", "stay", ErrorKind.BAD_ANSWER),
    "chunk-size-huge": _trick(_CHUNKED + b"f" * 40 + b"\r\nabc", "stay", ErrorKind.BAD_ANSWER),
    "chunk-cut": _trick(_CHUNKED + b"5\r\nab", "close", ErrorKind.BROKEN),
    "close-at-once": _trick(b"", "close", ErrorKind.BROKEN),
    "close-in-status": _trick(b"HTTP/1.1 20", "close", ErrorKind.BROKEN),
    "close-in-head": _trick(_HEAD + b"Content-Le", "close", ErrorKind.BROKEN),
    "reset-at-once": _trick(b"", "reset", ErrorKind.BROKEN),
    # A reset throws away what the client has not read yet.
    "reset-after": _trick(_GOOD, "reset", OK, ErrorKind.BROKEN),
    "reset-in-body": _trick(_HEAD + b"Content-Length: 9\r\n\r\nabc", "reset", ErrorKind.BROKEN),
    "silence": _trick(b"", "stall", ErrorKind.TIMEOUT),
    "half-a-head": _trick(_HEAD + b"Content-Le", "stall", ErrorKind.TIMEOUT),
    "drip": _trick(_HEAD + b"Content-Length: 999999\r\n\r\nx", "drip", ErrorKind.TIMEOUT),
    "drip-of-interims": _trick(b"HTTP/1.1 100 Continue\r\n\r\n", "drip-all", ErrorKind.TIMEOUT),
    "huge-head": _trick(_HEAD + b"X: " + b"x" * 400_000 + b"\r\n\r\n", "stay", ErrorKind.BAD_ANSWER),
    "many-headers": _trick(_HEAD + b"A: b\r\n" * 60_000 + b"\r\n", "stay", ErrorKind.BAD_ANSWER),
    "garbage": _trick(b"\x00\xff garbage \r\n\r\n", "stay", ErrorKind.BAD_ANSWER),
    "ssh": _trick(b"SSH-2.0-OpenSSH_9.6\r\n", "stay", ErrorKind.BAD_ANSWER),
    "switching": _trick(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "stay", ErrorKind.BAD_ANSWER
    ),
}
SLOW = frozenset(name for name, trick in TRICKS.items() if ErrorKind.TIMEOUT in trick.ends_as)
"""Those that last until the client's limit."""


@contextmanager
def hostile_server(wrap: Callable[[Any], Any] = lambda connection: connection) -> Iterator[int]:
    """Give the port of a server that plays the trick that the path names. `wrap` may put TLS around a connection."""

    def serve(connection: Any, address: Any) -> None:
        with suppress(OSError):
            tunnel = wrap(connection)
            try:
                while (name := _asked(tunnel)) is not None and _play(TRICKS[name], tunnel):
                    pass
            finally:
                tunnel.close()

    with listening(serve) as port:
        yield port


def _asked(connection: Any) -> str | None:
    """Return the name in the path of the next request, None when the client has gone. Requests have no body."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = connection.recv(65536)
        if not data:
            return None
        head += data
    return str(head.split()[1].decode().lstrip("/"))


def _play(trick: Trick, connection: Any) -> bool:
    """Send what the trick sends; return whether the connection stays."""
    connection.sendall(trick.raw)
    if trick.after == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if trick.after == "stall":
        connection.recv(1)
    while trick.after.startswith("drip"):
        connection.sendall(trick.raw if trick.after == "drip-all" else trick.raw[-1:])
        gevent.sleep(0.01)
    return trick.after == "stay"
