"""A small HTTP proxy: forwards plain requests, opens tunnels. `requests` holds what it was asked for."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import gevent

from tests.unit.loadtests.kit_servers import Request, listening, read_request


@dataclass(slots=True, kw_only=True)
class Proxy:
    """A running proxy."""

    url: str
    requests: list[Request] = field(default_factory=list)


@contextmanager
def http_proxy(*, refusing: bool = False) -> Iterator[Proxy]:
    """Give a proxy; one that refuses answers every request with 403."""

    def serve(connection: socket.socket, address: Any) -> None:
        with suppress(OSError), connection:
            request = read_request(connection.makefile("rb", buffering=0))  # type: ignore[arg-type]
            assert request is not None
            proxy.requests.append(request)
            if refusing:
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            elif request.method == "CONNECT":
                host, _, port = request.path.partition(":")
                with socket.create_connection((host, int(port))) as server:
                    connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    _join(connection, server)
            else:
                parts = urlsplit(request.path)
                with socket.create_connection((parts.hostname or "", parts.port or 80)) as server:
                    head = f"{request.method} {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
                    server.sendall(f"{head}Content-Length: {len(request.body)}\r\n\r\n".encode() + request.body)
                    _join(connection, server)

    with listening(serve) as port:
        proxy = Proxy(url=f"http://127.0.0.1:{port}")
        yield proxy


def _join(one: socket.socket, other: socket.socket) -> None:
    """Pass bytes both ways until one side ends."""
    back = gevent.spawn(_pass, other, one)
    _pass(one, other)
    back.join()


def _pass(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
