"""Writes every request that Locust counts to the bundle, one row each.

It listens to the same event as Locust's statistics, so its counts are Locust's counts. Rows are handed over
in memory and written twice a second by a greenlet of its own.
"""

from __future__ import annotations

import time
from typing import Any

import gevent

from bundle import SAMPLES, BundleLayout, ErrorKind, Outcome, TableWriter
from loadtests.kit.calls import Call, CallFailed

FLUSH_PERIOD_S = 0.5
_CUT_OFF_TEXTS = ("connection broken", "connection closed", "incomplete")
"""What requests and geventhttpclient call an answer that ended in its middle."""


class Recorder:
    """Records the samples of one Locust process."""

    def __init__(self, layout: BundleLayout, worker: str) -> None:
        self._writer = TableWriter(layout, SAMPLES, part=worker)
        self._flusher = gevent.spawn(self._flush_forever)

    def on_request(
        self,
        request_type: str,
        name: str,
        response_time: float,
        response_length: int,
        exception: Exception | None = None,
        context: dict[str, Any] | None = None,
        start_time: float | None = None,
        response: Any = None,
        **_: Any,
    ) -> None:
        """Take one request event, from this kit or from a plain Locust user."""
        call = (context or {}).get("call")
        if not isinstance(call, Call):
            failure = _classify(exception, int(getattr(response, "status_code", 0) or 0)) if exception else None
            call = _foreign(request_type, name, response_time, response_length, failure, start_time)
        failure = call.failure
        chain_code = failure.chain_code if failure else None
        self._writer.append(
            intended_at_s=call.intended_at_s,
            sent_at_s=call.sent_at_s,
            latency_ms=call.latency_ms,
            operation=call.operation,
            protocol=call.protocol,
            outcome=call.outcome.value,
            error_kind=failure.kind.value if failure else None,
            detail=failure.detail if failure else None,
            rejection=failure.rejection.value if failure and failure.rejection else None,
            codespace=chain_code.codespace if chain_code else None,
            code=chain_code.code if chain_code else None,
            bytes=call.answer_bytes,
            endpoint=call.endpoint,
            tx_hash=call.tx_hash,
            valid_until_at_s=call.valid_until_at_s,
            attempts=call.attempts,
        )

    def flush(self) -> None:
        """Write what has come so far."""
        self._writer.flush()

    def close(self) -> None:
        """Write what is left. Later requests would be lost: call it last."""
        self._flusher.kill()
        self._writer.close()

    def _flush_forever(self) -> None:
        while True:
            gevent.sleep(FLUSH_PERIOD_S)
            self._writer.flush()


def _foreign(
    request_type: str,
    name: str,
    response_time: float,
    response_length: int,
    failure: CallFailed | None,
    start_time: float | None,
) -> Call:
    """Return the call behind an event that this kit did not fire; it was sent when it was meant to be."""
    ended_at_s = time.time()
    sent_at_s = start_time if start_time is not None else ended_at_s - response_time / 1000
    return Call(
        operation=name,
        protocol=request_type,
        intended_at_s=sent_at_s,
        sent_at_s=sent_at_s,
        ended_at_s=sent_at_s + response_time / 1000,
        answer_bytes=response_length,
        failure=failure,
    )


def _classify(exception: Exception, status: int) -> CallFailed:
    """Return a foreign exception as a failure of ours.

    Without a whole answer it is open whether the request took effect. A 429 is an error of the client here: Locust
    counts it as a failure, so it must not be one of the kinds that are none.
    """
    detail = f"{type(exception).__name__}: {exception}"
    text = detail.lower()
    if status >= 400:
        return CallFailed(ErrorKind.SERVER_ERROR if status >= 500 else ErrorKind.CLIENT_ERROR, detail)
    if isinstance(exception, TimeoutError) or "timed out" in text or "timeout" in text:
        return CallFailed(ErrorKind.TIMEOUT, detail, outcome=Outcome.UNKNOWN)
    if isinstance(exception, ConnectionRefusedError):
        return CallFailed(ErrorKind.REFUSED, detail)
    if isinstance(exception, ConnectionError) or any(sign in text for sign in _CUT_OFF_TEXTS):
        return CallFailed(ErrorKind.BROKEN, detail, outcome=Outcome.UNKNOWN)
    return CallFailed(ErrorKind.BAD_ANSWER, detail)
