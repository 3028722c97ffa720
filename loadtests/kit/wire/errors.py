"""What can become of a request other than an answer.

    WireError
    ├── NotConnected   no connection was made: nothing has left, another endpoint may have the request
    ├── TimedOut       no whole answer within the limit
    ├── Broken         the connection ended before the answer did
    ├── BadAnswer      what came is no HTTP, or not asked for
    └── TooLarge       the answer is larger than the limits allow

A request that is refused as malformed before anything happens is a ValueError, and none of these.
"""

from __future__ import annotations


class WireError(Exception):
    """A request has no answer. `sent` tells whether a part of it may have reached the other side."""

    def __init__(self, sentence: str, *, sent: bool = True) -> None:
        self.sent = sent
        super().__init__(sentence)


class NotConnected(WireError):
    """No address resolved, no connection was accepted in time, or TLS was not agreed on: nothing was sent."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, sent=False)


class TimedOut(WireError):
    """The limit passed. Not `sent` when it passed in waiting for one of the allowed connections."""


class Broken(WireError):
    """The other side closed or reset the connection before its answer was whole."""


class BadAnswer(WireError):
    """The bytes are no HTTP/1.x answer, or an answer to what was not asked."""


class TooLarge(WireError):
    """The head or the body of the answer is larger than allowed."""
