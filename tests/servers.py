"""Small servers on 127.0.0.1, each in a thread for the length of a `with` block, that answer what a test tells them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

JOIN_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One HTTP answer to give."""

    body: bytes = b""
    status: int = 200


class RpcError(Exception):
    """What a fake node answers with a JSON-RPC error."""

    def __init__(self, message: str, *, code: int = -32603) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def http_server(answer: Callable[[Request], Reply]) -> Iterator[str]:
    """Give the base URL of a server that answers every request with what `answer` returns."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: object) -> None:
            return

        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            reply = answer(Request(method=self.command, path=self.path, headers=dict(self.headers), body=body))
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            with suppress(BrokenPipeError):  # who asked need not wait for all of it
                self.wfile.write(reply.body)

        do_GET = do_POST = do_PUT = _reply  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(JOIN_LIMIT_S)


@contextmanager
def rpc_node(answers: Mapping[str, Any]) -> Iterator[str]:
    """Give the URL of a fake node: `answers` has a result by method, or a function of the parameters.

    A function may raise RpcError. A method that is not there is refused, as CometBFT refuses it.
    """

    def envelope(call: dict[str, Any]) -> dict[str, Any]:
        head = {"jsonrpc": "2.0", "id": call["id"]}
        if call["method"] not in answers:
            return head | {"error": {"code": -32601, "message": "Method not found", "data": ""}}
        result = answers[call["method"]]
        try:
            return head | {"result": result(call["params"]) if callable(result) else result}
        except RpcError as error:
            return head | {"error": {"code": error.code, "message": str(error), "data": "told by the test"}}

    def answer(request: Request) -> Reply:
        if request.method == "GET":
            return Reply(body=b"{}")
        calls = json.loads(request.body)
        found = [envelope(call) for call in calls] if isinstance(calls, list) else envelope(calls)
        return Reply(body=json.dumps(found).encode())

    with http_server(answer) as url:
        yield url


@contextmanager
def socket_server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Give the port of a server that hands every connection to `serve` and closes it afterwards.

    Connections that `serve` left open by returning late are closed at the end of the block.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    open_connections: list[socket.socket] = []

    def one(connection: socket.socket) -> None:
        with connection:
            try:
                serve(connection)
            except OSError:
                return  # the client, or the end of the block, closed it

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            open_connections.append(connection)
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in open_connections:
            connection.close()
        thread.join(JOIN_LIMIT_S)


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
