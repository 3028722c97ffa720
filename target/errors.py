"""What can go wrong with a target.

TargetError
├── Unreachable      no connection, or it broke: the operation may not have happened
├── NoAnswer         connected, and no answer within the limit: it may or may not have happened
├── BadAnswer        an answer that is not what the interface promises
├── Refused          the target answered, in its own words, that it will not
└── ControlError     the control port could not do what was asked
"""

from __future__ import annotations


class TargetError(Exception):
    """Root of this room's errors. `address` says where."""

    def __init__(self, address: str, why: str) -> None:
        self.address = address
        self.why = why
        super().__init__(address, why)

    def __str__(self) -> str:
        return f"{self.address}: {self.why}"


class Unreachable(TargetError):
    """No connection could be made, or it broke before the answer was complete."""


class NoAnswer(TargetError):
    """The connection stood and no answer came within the limit."""


class BadAnswer(TargetError):
    """The answer is not what the interface promises."""


class Refused(TargetError):
    """The target refused: a JSON-RPC error, a gRPC status, an HTTP status, an ABCI code."""

    def __init__(self, address: str, why: str, *, code: int, codespace: str = "") -> None:
        super().__init__(address, why)
        self.code = code
        self.codespace = codespace


class ControlError(TargetError):
    """The control port of the target could not do what was asked."""
