"""HTTP requests for load, over kept-alive connections, through a pool of endpoints."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any

import gevent
from geventhttpclient import HTTPClient
from geventhttpclient.connectionpool import ConnectionPool
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError

from bundle import ErrorKind, Outcome
from loadtests.kit.calls import Call, CallFailed
from loadtests.kit.endpoints import EndpointPool

REQUEST_LIMIT_S = 5.0
CONNECT_LIMIT_S = 2.0
_CONNECTIONS = 1000  # to one endpoint; a bound, not a target
_GATEWAY_STATUSES = (502, 503, 504)
"""A gateway's word for a service behind it that it cannot reach; balancers ask somebody else then."""
_CUT_OFF_TEXTS = ("connection closed", "Incomplete response", "Invalid EOF state")
"""What the parser calls an answer that ended in its middle: it has one class for that and for garbage."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON. Raises CallFailed."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise CallFailed(ErrorKind.BAD_ANSWER, f"answer is no JSON: {self.body[:80]!r}") from None


class _NotConnected(OSError):
    """The request did not leave: another endpoint may have it."""


def _tell_connecting_apart(pool: ConnectionPool) -> None:
    """Make the pool say so when a connection was not made in time: by then no byte of a request has left."""
    connect = pool._connect_socket

    def connect_or_say(sock: gevent.socket.socket, address: Any) -> gevent.socket.socket:
        try:
            return connect(sock, address)
        except TimeoutError:
            raise _NotConnected("no connection in time") from None

    pool._connect_socket = connect_or_say  # type: ignore[method-assign]  # the client makes its pool itself


class HttpEndpoint:
    """One base URL."""

    def __init__(self, name: str, url: str, *, limit_s: float = REQUEST_LIMIT_S) -> None:
        self.name = name
        self.url = url
        self._limit_s = limit_s
        self._client = HTTPClient.from_url(
            url,
            concurrency=_CONNECTIONS,
            connection_timeout=min(CONNECT_LIMIT_S, limit_s / 2),
            network_timeout=limit_s,
        )
        # The library sends idempotent requests again when a connection breaks, up to `size` + 1 times: never here.
        self._client._connection_pool.size = -1
        _tell_connecting_apart(self._client._connection_pool)

    def request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Return the answer, read whole within the limit. Raises CallFailed, _NotConnected."""
        try:
            with gevent.Timeout(self._limit_s, TimeoutError("no whole answer in time")):
                response = self._client.request(method, path, body=body, headers=headers)
                content = bytes(response.read())
        except _NotConnected as error:
            raise _NotConnected(f"{self.name}: {error}") from None
        except TimeoutError as error:
            raise CallFailed(ErrorKind.TIMEOUT, f"{self.name}: {error}", outcome=Outcome.UNKNOWN) from None
        except (ConnectionRefusedError, socket.gaierror) as error:
            raise _NotConnected(f"{self.name}: {error}") from None
        except (HTTPConnectionClosed, OSError) as error:
            raise CallFailed(ErrorKind.BROKEN, f"{self.name}: {error}", outcome=Outcome.UNKNOWN) from None
        except HTTPParseError as error:
            if any(text in str(error) for text in _CUT_OFF_TEXTS):
                raise CallFailed(ErrorKind.BROKEN, f"{self.name}: {error}", outcome=Outcome.UNKNOWN) from None
            raise CallFailed(ErrorKind.BAD_ANSWER, f"{self.name}: {error}") from None
        return Answer(response.status_code, content)


class HttpPool:
    """Requests to whichever endpoint of a service works."""

    def __init__(self, endpoints: list[HttpEndpoint]) -> None:
        self._pool = EndpointPool(endpoints)

    def request(
        self,
        call: Call,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        repeatable: bool = False,
    ) -> Answer:
        """Return the answer, whatever its status, and note in `call` who gave it. Raises CallFailed.

        A request that is `repeatable` (a read) goes to the next endpoint also when the connection broke after it was
        sent, or a gateway answered for a service behind it that it cannot reach.
        """
        why = ""
        last_attempt = len(self._pool)
        for attempt in range(1, last_attempt + 1):
            endpoint = self._pool.choose()
            call.endpoint, call.attempts = endpoint.name, attempt
            try:
                answer = endpoint.request(method, path, body, headers or {})
            except _NotConnected as error:
                self._pool.failed(endpoint)
                why = str(error)
                continue
            except CallFailed as failure:
                self._pool.failed(endpoint)
                if repeatable and failure.kind is ErrorKind.BROKEN and attempt < last_attempt:
                    continue
                raise
            # A node that catches up answers at once, with 500 and 503: whoever balances by health leaves it out too.
            (self._pool.failed if answer.status >= 500 else self._pool.worked)(endpoint)
            if repeatable and answer.status in _GATEWAY_STATUSES and attempt < last_attempt:
                continue
            call.answer_bytes = len(answer.body)
            return answer
        raise CallFailed(ErrorKind.REFUSED, why)


def expect_status(answer: Answer, *expected: int) -> None:
    """Raise CallFailed unless the status is one of those expected (default 200); 429 is back-pressure."""
    if answer.status in (expected or (200,)):
        return
    text = f"HTTP {answer.status}: {answer.body[:120].decode(errors='replace')}"
    if answer.status == 429:
        raise CallFailed(ErrorKind.BACK_PRESSURE, text)
    kind = ErrorKind.SERVER_ERROR if answer.status >= 500 else ErrorKind.CLIENT_ERROR
    raise CallFailed(kind, text)
