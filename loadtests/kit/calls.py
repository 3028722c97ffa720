"""One measured operation, from the moment it was meant to begin to its outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from locust.env import Environment

from bundle import ErrorKind, Outcome, Rejection
from bundle.tables import NO_FAILURE_KINDS

DETAIL_CHARS = 200
_TAKER = "_reliability_taker"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainCode:
    """What a chain or a node calls a failure: a code, and whose code it is ("jsonrpc", "http", or ABCI's codespace)."""

    codespace: str
    code: int


class CallFailed(Exception):
    """An operation did not end in OK. Raise it inside `measured`; it does not leave it."""

    def __init__(
        self,
        kind: ErrorKind,
        detail: str,
        *,
        outcome: Outcome = Outcome.FAIL,
        rejection: Rejection | None = None,
        chain_code: ChainCode | None = None,
    ) -> None:
        """`rejection` only where a node refused a transaction."""
        self.kind = kind
        self.rejection = rejection
        self.chain_code = chain_code
        self.detail = " ".join(detail.split())[:DETAIL_CHARS]
        self.outcome = outcome
        super().__init__(kind, self.detail)

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"


@dataclass(slots=True, kw_only=True)
class Call:
    """What is known of an operation. Times are Unix seconds."""

    operation: str
    protocol: str
    intended_at_s: float
    sent_at_s: float
    ended_at_s: float | None = None
    """Set it when the end was seen by somebody else, earlier than now."""
    answer_bytes: int | None = None
    endpoint: str | None = None
    tx_hash: str | None = None
    valid_until_at_s: float | None = None
    """When the transaction itself expires."""
    attempts: int = 1
    failure: CallFailed | None = None

    @property
    def outcome(self) -> Outcome:
        return self.failure.outcome if self.failure else Outcome.OK

    @property
    def latency_ms(self) -> float | None:
        """From the intended time to the end; None when it never ended."""
        return None if self.ended_at_s is None else (self.ended_at_s - self.intended_at_s) * 1000


@contextmanager
def measured(environment: Environment, operation: str, protocol: str, *, intended_at_s: float) -> Iterator[Call]:
    """Time what happens inside and report it once, whatever happens. A CallFailed ends here."""
    call = Call(operation=operation, protocol=protocol, intended_at_s=intended_at_s, sent_at_s=time.time())
    try:
        yield call
    except CallFailed as failure:
        call.failure = failure
    except BaseException as error:
        # A fault of the scenario, or the user was stopped in the middle: counted, and not hidden.
        call.failure = CallFailed(ErrorKind.BROKEN, f"{type(error).__name__}: {error}", outcome=Outcome.UNKNOWN)
        report(environment, call)
        raise
    if call.ended_at_s is None:
        call.ended_at_s = time.time()
    report(environment, call)


def hand_calls_to(environment: Environment, taker: Callable[[Call], None]) -> None:
    """Have calls handed to one taker from now on, instead of firing an event for each."""
    environment.__dict__[_TAKER] = taker


def report(environment: Environment, call: Call, *, response: Any = None, url: str | None = None) -> None:
    """Fire Locust's request event for a call, or hand it to whoever takes them all.

    Back-pressure and what was not sent are no failures to Locust. `response` and `url` are for other listeners, as
    Locust's own clients tell them.
    """
    if (taker := environment.__dict__.get(_TAKER)) is not None:
        taker(call)
        return
    failure, ended_at_s = call.failure, call.ended_at_s
    environment.events.request.fire(
        request_type=call.protocol,
        name=call.operation,
        # What never ended has no latency; to Locust, which needs a number, it has lasted until now.
        response_time=((time.time() if ended_at_s is None else ended_at_s) - call.intended_at_s) * 1000,
        response_length=call.answer_bytes or 0,
        exception=None if failure is None or failure.kind in NO_FAILURE_KINDS else failure,
        context={"call": call},
        start_time=call.sent_at_s,
        response=response,
        url=url,
    )
