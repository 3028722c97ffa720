"""The response that a scenario gets, with Locust's way of judging it inside a `with` block."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from locust.env import Environment
from locust.exception import LocustError, ResponseError

from bundle import ErrorKind, Outcome
from loadtests.kit.calls import Call, CallFailed, report
from loadtests.kit.wire import Answer, BadAnswer, Headers, TooLarge

DECODED_BYTES_MAX = 256 * 1024 * 1024
_GZIP, _DEFLATE, _RAW_DEFLATE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


class Response:
    """What became of one request. Without an answer `status_code` is 0, `content` empty and `error` says why."""

    __slots__ = ("_answer", "_catch", "_entered", "_environment", "_manual", "call", "content", "status_code", "url")

    def __init__(self, environment: Environment, call: Call, url: str, catch: bool) -> None:
        self._environment = environment
        self._catch = catch
        self._entered = False
        self._manual: bool | Exception | None = None
        self._answer: Answer | None = None
        self.call = call
        """What is recorded. Its `tx_hash` and the like may be filled in inside the `with` block."""
        self.url = url
        """The last URL, after redirects."""
        self.status_code = 0
        self.content = b""

    def take(self, answer: Answer) -> None:
        """Take the answer; a status from 400 on is a failure, but 429 only says "not now"."""
        self._answer = answer
        self.status_code = status = answer.status
        self.content = answer.body
        call = self.call
        call.answer_bytes = len(answer.body)
        if status >= 400:
            kind = ErrorKind.CLIENT_ERROR if status < 500 else ErrorKind.SERVER_ERROR
            call.failure = CallFailed(ErrorKind.BACK_PRESSURE if status == 429 else kind, f"HTTP {status}")

    def take_failure(self, failure: CallFailed) -> None:
        self.call.failure = failure

    @property
    def error(self) -> CallFailed | None:
        """Why there is no answer, or the answer counts as a failure."""
        return self.call.failure

    @property
    def ok(self) -> bool:
        """Whether an answer with a status below 400 came."""
        return 0 < self.status_code < 400

    @property
    def headers(self) -> Headers:
        """The answer's headers, names in any case; none without an answer."""
        return self._answer.headers if self._answer else Headers([])

    @property
    def elapsed(self) -> float:
        """Seconds from sending to the end of the answer; 0 for a request that never ended."""
        return 0.0 if self.call.ended_at_s is None else self.call.ended_at_s - self.call.sent_at_s

    @property
    def text(self) -> str:
        """The body as text in the charset that the answer names, else UTF-8; what does not fit is replaced."""
        charset = _charset(self.headers)
        try:
            return self.content.decode(charset, errors="replace")
        except LookupError:
            return self.content.decode(errors="replace")

    def json(self) -> Any:
        """Return the body as JSON. Raises ValueError."""
        return json.loads(self.content)

    def raise_for_status(self) -> None:
        """Raise CallFailed when no answer came or its status is 400 or above; what was marked by hand goes first."""
        if isinstance(self._manual, Exception):
            raise self._manual
        if self._manual is None and self.call.failure is not None:
            raise self.call.failure

    def success(self) -> None:
        """Count the request as a success, whatever came. Only inside a `with` block."""
        self._require_block()
        self._manual = True

    def failure(self, why: object) -> None:
        """Count the request as failed, as a bad answer unless `why` is a CallFailed. Only inside a `with` block."""
        self._require_block()
        self._manual = why if isinstance(why, CallFailed) else CallFailed(ErrorKind.BAD_ANSWER, str(why))

    def report(self) -> None:
        """Report the call. Whoever made the response does so once."""
        report(self._environment, self.call, response=self, url=self.url)

    def __enter__(self) -> Response:
        if not self._catch:
            raise LocustError("In order to use a with-block for requests, you must also pass catch_response=True")
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        handled = error is None
        if self._manual is not None:
            self.call.failure = self._manual if isinstance(self._manual, CallFailed) else None
        elif isinstance(error, CallFailed):
            self.call.failure, handled = error, True
        elif isinstance(error, ResponseError):
            self.call.failure, handled = CallFailed(ErrorKind.BAD_ANSWER, str(error)), True
        elif error is not None:
            self.call.failure = broken_off(error)
        self.report()
        return handled

    def _require_block(self) -> None:
        if not self._entered:
            raise LocustError(
                "A response is marked inside its with-block: with client.get(..., catch_response=True) as response"
            )

    def __repr__(self) -> str:
        return f"<Response {self.status_code} {self.url}>"


def broken_off(error: BaseException) -> CallFailed:
    """Return the failure of a request whose scenario failed, or was stopped, before it was judged."""
    return CallFailed(ErrorKind.BROKEN, f"{type(error).__name__}: {error}", outcome=Outcome.UNKNOWN)


def decoded(answer: Answer) -> bytes:
    """Return the body without its gzip or deflate coding. Raises BadAnswer, TooLarge."""
    coding = answer.headers.get("content-encoding", "").lower()
    if coding not in ("gzip", "x-gzip", "deflate") or not answer.body:
        return answer.body
    form = _GZIP if coding != "deflate" else _DEFLATE if answer.body[0] & 0x0F == 8 else _RAW_DEFLATE
    unpacking = zlib.decompressobj(form)
    try:
        body = unpacking.decompress(answer.body, DECODED_BYTES_MAX)
    except zlib.error as error:
        raise BadAnswer(f"the body is no {coding}: {error}") from None
    if unpacking.unconsumed_tail:
        raise TooLarge(f"the body is larger than {DECODED_BYTES_MAX} bytes when unpacked")
    if not unpacking.eof:
        raise BadAnswer(f"the body's {coding} ends too early")
    return body


def _charset(headers: Mapping[str, str]) -> str:
    _, _, rest = headers.get("content-type", "").lower().partition("charset=")
    return rest.split(";")[0].strip(" \"'") or "utf-8"
