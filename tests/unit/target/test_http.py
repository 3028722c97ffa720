"""The HTTP client: every way in which a server can fail to answer has its own error."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from target.errors import BadAnswer, NoAnswer, TargetError, Unreachable
from target.http import HttpClient
from tests.servers import Reply, Request, free_port, http_server, socket_server

HEAD = b"HTTP/1.1 200 OK\r\n"


def read_request(connection: socket.socket) -> None:
    """Read up to the end of the head of a request."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        seen += connection.recv(4096)


def saying(answer: bytes) -> Callable[[socket.socket], None]:
    """Return how to serve one connection: read the request, say `answer`, close."""

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer)

    return serve


def falling_silent_after(answer: bytes) -> Callable[[socket.socket], None]:
    """Return how to serve one connection: say `answer`, then keep the connection until the client leaves."""

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer)
        while connection.recv(4096):
            pass

    return serve


def error_of(serve: Callable[[socket.socket], None]) -> TargetError:
    """Return how a request to such a server ends."""
    with socket_server(serve) as port:
        client = HttpClient(f"http://127.0.0.1:{port}", timeout_s=0.3)
        with pytest.raises(TargetError) as caught:
            client.get("/x")
        client.close()
        assert caught.value.address == f"http://127.0.0.1:{port}/x"
        return caught.value


def test_answer_is_returned_whatever_its_status() -> None:
    """Status, headers in lower case, body; a redirect is an answer too and is not followed."""
    seen: list[Request] = []

    def answer(request: Request) -> Reply:
        seen.append(request)
        return Reply(status=int(request.path.removeprefix("/")), body=b"body")

    with http_server(answer) as url:
        client = HttpClient(url + "/")
        for status in (200, 302, 404, 429, 503):
            found = client.request("POST", f"/{status}", body=b"sent", headers={"X-One": "1"})
            assert (found.status, found.body) == (status, b"body")
            assert found.headers["content-length"] == "4"
        client.close()
    assert [request.path for request in seen] == ["/200", "/302", "/404", "/429", "/503"]
    assert all(request.body == b"sent" and request.headers["X-One"] == "1" for request in seen)


def test_nothing_is_asked_twice() -> None:
    """A retry would hide what we came to measure."""
    connections = []

    def serve(connection: socket.socket) -> None:
        connections.append(1)
        read_request(connection)

    assert isinstance(error_of(serve), Unreachable)
    assert len(connections) == 1


def test_refused_connection_is_unreachable() -> None:
    """Nobody listens: nothing can have happened."""
    port = free_port()
    with pytest.raises(Unreachable) as caught:
        HttpClient(f"http://127.0.0.1:{port}").get("/")
    assert str(caught.value) == f"http://127.0.0.1:{port}/: refuses the connection"


def test_host_that_does_not_exist_is_unreachable() -> None:
    """A name that is reserved for not existing."""
    with pytest.raises(Unreachable):
        HttpClient("http://nobody.invalid:1", timeout_s=2).get("/")


@pytest.mark.parametrize(
    "before",
    [b"", HEAD, HEAD + b"Content-Length: 10\r\n\r\n", HEAD + b"Content-Length: 10\r\n\r\nhalf"],
    ids=["at once", "in the head", "before the body", "in the body"],
)
def test_silence_is_no_answer(before: bytes) -> None:
    """The request was taken: it may or may not have happened."""
    error = error_of(falling_silent_after(before))
    assert isinstance(error, NoAnswer)
    assert error.why == "gave no answer in time"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "closed the connection without an answer"),
        (HEAD + b"Content-Length: 10\r\n\r\nhalf", None),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhal", None),
        (b"SSH-2.0-OpenSSH_9.6\r\n", None),
        (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nhalf", None),
    ],
    ids=["no word", "half a body", "half a chunk", "another protocol", "no gzip"],
)
def test_answer_that_is_cut_off_is_unreachable(said: bytes, why: str | None) -> None:
    """A broken answer is no answer, and no empty one."""
    error = error_of(saying(said))
    assert isinstance(error, Unreachable)
    assert why is None or error.why == why


def test_reset_connection_is_unreachable() -> None:
    """As a process that is killed with unread bytes leaves it."""

    def serve(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    assert isinstance(error_of(serve), Unreachable)


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe\xfd", b"{", b"[" * 100_000, b"9" * 5000])
def test_body_that_is_no_json_is_a_bad_answer(body: bytes) -> None:
    """The error quotes its beginning."""
    with http_server(lambda _: Reply(body=body, status=502)) as url:
        client = HttpClient(url)
        answer = client.get("/")
        with pytest.raises(BadAnswer, match="answered 502 with b"):
            answer.json("here")
        client.close()


def test_json_is_returned() -> None:
    """As plain data."""
    with http_server(lambda _: Reply(body=b'{"a": [1, null]}')) as url:
        client = HttpClient(url)
        assert client.get("/").json(url) == {"a": [1, None]}
        client.close()
