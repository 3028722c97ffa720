"""Writes every request that Locust counts to the bundle, one row each.

It listens to the same event as Locust's statistics, so its counts are Locust's counts. Calls are kept and written ten
times a second by a greenlet of its own; they must not change any more once they are reported.
"""

from __future__ import annotations

import time
from typing import Any

import gevent

from bundle import SAMPLES, BundleLayout, ErrorKind, Outcome, TableWriter
from loadtests.kit.calls import Call, CallFailed

FLUSH_PERIOD_S = 0.5
"""Often: a flush holds the hub up, by about two millionths of a second a row."""
_CUT_OFF_TEXTS = ("connection broken", "connection closed", "incomplete")
"""What Locust's own clients call an answer that ended in its middle."""
_COLUMNS = (
    "intended_at_s sent_at_s latency_ms operation protocol outcome error_kind detail rejection codespace code"
    " bytes endpoint tx_hash valid_until_at_s attempts"
)
assert SAMPLES.schema.names == _COLUMNS.split()


class Recorder:
    """Records the samples of one Locust process."""

    def __init__(self, layout: BundleLayout, worker: str) -> None:
        self._writer = TableWriter(layout, SAMPLES, part=worker)
        self._calls: list[Call] = []
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
        call = context.get("call") if context else None
        if not isinstance(call, Call):
            failure = _classify(exception, int(getattr(response, "status_code", 0) or 0)) if exception else None
            call = _foreign(request_type, name, response_time, response_length, failure, start_time)
        self.take(call)

    def take(self, call: Call) -> None:
        """Take one call that has been reported."""
        self._calls.append(call)

    def flush(self) -> None:
        """Write what has come so far."""
        calls, self._calls = self._calls, []
        self.write(calls)

    def write(self, calls: list[Call]) -> None:
        """Write calls that have been reported."""
        if calls:
            self._writer.write_columns(_columns(calls))

    def close(self) -> None:
        """Write what is left. Later requests would be lost: call it last."""
        self._flusher.kill()
        self.flush()
        self._writer.close()

    def _flush_forever(self) -> None:
        while True:
            gevent.sleep(FLUSH_PERIOD_S)
            self.flush()


def _columns(calls: list[Call]) -> list[list[Any]]:
    """Return the calls as the table's columns, in its order, which is checked when this module is imported.

    Column by column and not row by row: the hub stands still meanwhile.
    """
    failures = [call.failure for call in calls]
    nothing = [None] * len(calls)
    return [
        [call.intended_at_s for call in calls],
        [call.sent_at_s for call in calls],
        [None if call.ended_at_s is None else (call.ended_at_s - call.intended_at_s) * 1000 for call in calls],
        [call.operation for call in calls],
        [call.protocol for call in calls],
        *(_failure_columns(failures) if any(failures) else [["ok"] * len(calls), *[nothing] * 5]),
        [call.answer_bytes for call in calls],
        [call.endpoint for call in calls],
        [call.tx_hash for call in calls],
        [call.valid_until_at_s for call in calls],
        [call.attempts for call in calls],
    ]


def _failure_columns(failures: list[CallFailed | None]) -> list[list[Any]]:
    codes = [None if failure is None else failure.chain_code for failure in failures]
    return [
        ["ok" if failure is None else failure.outcome.value for failure in failures],
        [None if failure is None else failure.kind.value for failure in failures],
        [None if failure is None else failure.detail for failure in failures],
        [None if failure is None or failure.rejection is None else failure.rejection.value for failure in failures],
        [None if code is None else code.codespace for code in codes],
        [None if code is None else code.code for code in codes],
    ]


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
