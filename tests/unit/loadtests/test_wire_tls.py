"""TLS: verified by default, agreed on within the time for connecting, and told apart when it breaks."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest

from loadtests.kit.client import LoadClient
from loadtests.kit.origins import Origins
from loadtests.kit.wire import Broken, ConnectionPool, NotConnected
from tests.unit.loadtests.kit_hostile import SLOW, TRICKS, hostile_server
from tests.unit.loadtests.kit_servers import http_bytes, listening, wait_for
from tests.unit.loadtests.kit_session import an_environment

CERTIFICATE = Path(__file__).with_name("localhost.pem")
LIMIT_S = 0.3
LONG_S = 20.0


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(CERTIFICATE))


def serving(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


@contextmanager
def tls_server(serve: Callable[[Any], None], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Give the port of a server that hands every connection that agreed on TLS to `serve`."""
    context = context or serving()

    def tunnel(connection: socket.socket, address: Any) -> None:
        try:
            inner = context.wrap_socket(connection, server_side=True)
            serve(inner)
            inner.close()
        except OSError:
            return

    with listening(tunnel) as port:
        yield port


def echoing(connection: Any) -> None:
    """Answer each request with the bytes of its body, whose length is its path."""
    while head := connection.recv(65536):
        head, _, body = head.partition(b"\r\n\r\n")
        while len(body) < int(head.split()[1][1:]):
            body += connection.recv(65536)
        connection.sendall(http_bytes(200, body))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_requests_of_any_size_go_through_one_connection(version: ssl.TLSVersion) -> None:
    with tls_server(echoing, serving(version)) as port:
        pool = ConnectionPool(f"https://localhost:{port}", tls=trusting(), limit_s=LONG_S)
        for size in (0, 1, 20_000, 3_000_000, 5):
            body = b"x" * size
            assert pool.request("POST", f"/{size}", body=body).body == body
        assert pool.open_count == pool.idle_count == 1
        pool.close()


@pytest.mark.parametrize(("host", "trusted"), [("localhost", False), ("node.invalid", True)])
def test_a_certificate_that_does_not_fit_is_no_connection(
    host: str, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tls_server(echoing) as port:
        pool = ConnectionPool(f"https://{host}:{port}", tls=trusting() if trusted else None)
        monkeypatch.setattr(pool._addresses, "find", lambda due_s: [(socket.AF_INET, ("127.0.0.1", port))])
        with pytest.raises(NotConnected, match=r"(?i)certificate"):
            pool.request("GET", "/0")
        assert pool.open_count == 0


def test_a_server_that_speaks_no_tls_is_no_connection() -> None:
    with hostile_server() as port:
        pool = ConnectionPool(f"https://localhost:{port}", tls=trusting(), connect_limit_s=LIMIT_S)
        with pytest.raises(NotConnected, match="TLS"):
            pool.request("GET", "/good")
    with listening(lambda connection, address: connection.close()) as port:
        pool = ConnectionPool(f"https://localhost:{port}", tls=trusting())
        with pytest.raises(NotConnected):
            pool.request("GET", "/good")


def test_a_handshake_that_stalls_ends_at_the_limit_for_connecting() -> None:
    with listening(lambda connection, address: gevent.sleep(LONG_S)) as port:
        pool = ConnectionPool(f"https://localhost:{port}", tls=trusting(), connect_limit_s=0.05)
        with pytest.raises(NotConnected, match="in time"):
            pool.request("GET", "/", limit_s=LONG_S)
        assert pool.open_count == 0


def test_versions_that_do_not_meet_are_no_connection() -> None:
    old = trusting()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with tls_server(echoing, serving(ssl.TLSVersion.TLSv1_3)) as port:
        with pytest.raises(NotConnected, match="TLS"):
            ConnectionPool(f"https://localhost:{port}", tls=old).request("GET", "/0")


@pytest.mark.parametrize("said_goodbye", [True, False])
def test_a_body_without_a_length_needs_the_end_of_tls(said_goodbye: bool) -> None:
    """Anybody on the way can end a TCP connection; only the server can end TLS."""

    def serve(connection: Any) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        if said_goodbye:
            connection.unwrap()
        else:
            connection.shutdown(socket.SHUT_RDWR)

    with tls_server(serve) as port:
        pool = ConnectionPool(f"https://localhost:{port}", tls=trusting(), limit_s=LONG_S)
        if said_goodbye:
            assert pool.request("GET", "/").body == b"all of it"
        else:
            with pytest.raises(Broken, match="without the end of TLS"):
                pool.request("GET", "/")


def test_a_reset_and_garbage_within_tls_are_broken() -> None:
    def reset(connection: Any) -> None:
        connection.recv(65536)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def garbage(connection: Any) -> None:
        connection.recv(65536)
        plain = socket.socket(fileno=connection.detach())
        plain.sendall(b"no record of TLS" * 10)
        plain.close()

    for serve in (reset, garbage):
        with tls_server(serve) as port:
            pool = ConnectionPool(f"https://localhost:{port}", tls=trusting(), limit_s=LONG_S)
            with pytest.raises(Broken):
                pool.request("GET", "/")
            assert pool.open_count == 0


def test_what_the_server_says_while_nobody_asks_ends_the_connection_only_if_it_is_no_tls_of_its_own() -> None:
    """Session tickets come after the handshake, as records of TLS, and are no answer."""
    told = gevent.event.Event()

    def serve(connection: Any) -> None:
        connection.recv(65536)
        connection.sendall(http_bytes(200, b""))
        told.wait(LONG_S)
        connection.sendall(http_bytes(200, b"unasked"))
        connection.recv(1)

    with tls_server(serve, serving(ssl.TLSVersion.TLSv1_3)) as port:
        pool = ConnectionPool(f"https://localhost:{port}", tls=trusting(), limit_s=LONG_S)
        pool.request("GET", "/")
        gevent.sleep(0.01)
        assert pool.idle_count == 1
        told.set()
        wait_for(lambda: pool.open_count == 0, "the end of the connection")


@pytest.mark.parametrize("name", sorted(TRICKS))
def test_each_trick_ends_under_tls_as_it_does_without(name: str) -> None:
    context = serving()
    with hostile_server(lambda connection: context.wrap_socket(connection, server_side=True)) as port:
        client = LoadClient(an_environment(), f"https://localhost:{port}", origins=Origins(tls=trusting()))
        failure = client.get(f"/{name}", limit_s=LIMIT_S if name in SLOW else LONG_S).call.failure
        # A server that just closes the connection has not ended TLS: its body without a length is cut off.
        cut = name == "read-until-close" and failure is not None and failure.kind.value == "broken"
        assert cut or (failure.kind if failure else None) in TRICKS[name].ends_as, str(failure)
        assert client.get("/good", limit_s=LONG_S).content == b"{}"
