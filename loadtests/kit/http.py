"""HTTP requests for load, over kept-alive connections, through a pool of endpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from bundle import ErrorKind, Outcome
from loadtests.kit.calls import Call, CallFailed
from loadtests.kit.endpoints import EndpointPool
from loadtests.kit.wire import (
    CONNECT_LIMIT_S,
    REQUEST_LIMIT_S,
    BadAnswer,
    Broken,
    ConnectionPool,
    Headers,
    NotConnected,
    TimedOut,
    TooLarge,
    WireError,
)
from loadtests.kit.wire import Answer as WireAnswer

_GATEWAY_STATUSES = (502, 503, 504)
"""A gateway's word for a service behind it that it cannot reach; balancers ask somebody else then."""
_KINDS: dict[type[WireError], ErrorKind] = {
    NotConnected: ErrorKind.REFUSED,
    TimedOut: ErrorKind.TIMEOUT,
    Broken: ErrorKind.BROKEN,
    BadAnswer: ErrorKind.BAD_ANSWER,
    TooLarge: ErrorKind.BAD_ANSWER,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes
    _wire: WireAnswer | None = field(default=None, repr=False, compare=False)

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in any case. Parsed when asked for."""
        return self._wire.headers if self._wire else Headers([])

    def json(self) -> Any:
        """Return the body as JSON. Raises CallFailed."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise CallFailed(ErrorKind.BAD_ANSWER, f"answer is no JSON: {self.body[:80]!r}") from None


class HttpEndpoint:
    """One base URL."""

    def __init__(self, name: str, url: str, *, limit_s: float = REQUEST_LIMIT_S) -> None:
        self.name = name
        self.url = url
        self._connections = ConnectionPool(url, connect_limit_s=min(CONNECT_LIMIT_S, limit_s / 2), limit_s=limit_s)
        self._prefix = urlsplit(url).path.rstrip("/")

    def request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Return the answer, read whole within the limit. Raises CallFailed, NotConnected."""
        try:
            answer = self._connections.request(method, self._prefix + path, headers, body)
        except NotConnected as error:
            raise NotConnected(f"{self.name}: {error}") from None
        except WireError as error:
            raise failure_of(error, self.name) from None
        return Answer(answer.status, answer.body, answer)


def failure_of(error: WireError, endpoint: str) -> CallFailed:
    """Return what a request without an answer is to those who count."""
    # Whatever came instead of an answer, the other side was not doing what was asked: that is no open question.
    known = not error.sent or isinstance(error, BadAnswer | TooLarge)
    kind = next(kind for cause, kind in _KINDS.items() if isinstance(error, cause))
    return CallFailed(kind, f"{endpoint}: {error}", outcome=Outcome.FAIL if known else Outcome.UNKNOWN)


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
            except NotConnected as error:
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
