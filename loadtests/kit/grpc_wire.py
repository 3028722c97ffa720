"""gRPC over HTTP/2, the part that unary calls need: frames, statuses, deadlines. Nothing here sends anything.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, and beside it http-grpc-status-mapping.md.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from loadtests.kit.curl.transfer import parse_head

_PREFIX = struct.Struct(">BI")  # compressed or not, then the message's length


class GrpcStatus(IntEnum):
    """The statuses of gRPC by their numbers on the wire."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


_BY_NUMBER = {str(int(status)): status for status in GrpcStatus}
_BY_HTTP_STATUS = {
    400: GrpcStatus.INTERNAL,
    401: GrpcStatus.UNAUTHENTICATED,
    403: GrpcStatus.PERMISSION_DENIED,
    404: GrpcStatus.UNIMPLEMENTED,
    429: GrpcStatus.UNAVAILABLE,
    502: GrpcStatus.UNAVAILABLE,
    503: GrpcStatus.UNAVAILABLE,
    504: GrpcStatus.UNAVAILABLE,
}
"""What a gateway's answer means that is none of gRPC; any other is UNKNOWN."""


class NotGrpc(Exception):
    """The answer is not what the protocol defines. Says how."""


class NotOk(Exception):
    """The call ended with another status than OK. `message` is the server's text for people."""

    def __init__(self, status: GrpcStatus, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(status, message)

    def __str__(self) -> str:
        return f"{self.status.name} {self.message}"


def to_frame(message: bytes) -> bytes:
    """Return a message as it is sent: uncompressed, with its length before it."""
    return _PREFIX.pack(0, len(message)) + message


def request_headers(limit_s: float) -> list[str]:
    """Return the header lines of a call that must end within `limit_s`, sent to the millisecond."""
    return [
        "content-type: application/grpc+proto",
        "te: trailers",
        f"grpc-timeout: {_timeout(limit_s)}",
        "user-agent: virtengine-reliability",
        "accept:",
        "expect:",
    ]


def _timeout(limit_s: float) -> str:
    """Return a limit as the protocol writes it: at most eight digits and a unit."""
    milliseconds = max(1, round(limit_s * 1000))
    return f"{milliseconds}m" if milliseconds < 10**8 else f"{min(milliseconds // 1000, 10**8 - 1)}S"


def parse_answer(head_lines: list[bytes], body: bytes) -> bytes:
    """Return the message of a call that ended well, from its head, trailers and body. Raises NotOk, NotGrpc."""
    status, message = _parse_end(b"".join(head_lines), bool(body))
    if status is not GrpcStatus.OK:
        raise NotOk(status, message)
    return from_frame(body)


@lru_cache(maxsize=1024)  # a server's answers mostly have the same head and trailers, byte for byte
def _parse_end(raw: bytes, has_body: bool) -> tuple[GrpcStatus, str]:
    """Return the status and its text. Raises NotGrpc."""
    head = parse_head(raw.splitlines(keepends=True))
    headers = dict(head.headers)
    is_grpc = _is_grpc(headers.get("content-type", ""))
    # An answer without a body has its status in the head itself ("trailers-only").
    fields = dict(head.trailers) if head.trailers or has_body else headers
    number = fields.get("grpc-status") if is_grpc else None
    if number is not None:
        message = unquote_to_bytes(fields.get("grpc-message", "")).decode(errors="replace")
        return _BY_NUMBER.get(number, GrpcStatus.UNKNOWN), message
    if head.status != 200:
        return _BY_HTTP_STATUS.get(head.status, GrpcStatus.UNKNOWN), f"HTTP {head.status}"
    if not is_grpc:
        raise NotGrpc(f"content-type is {headers.get('content-type', '')!r}; expected application/grpc")
    raise NotGrpc("the answer ended without a grpc-status")


def from_frame(body: bytes) -> bytes:
    """Return the one message that a unary answer's body holds. Raises NotGrpc."""
    if len(body) < _PREFIX.size:
        raise NotGrpc(f"the answer has {len(body)} bytes and no message")
    compressed, length = _PREFIX.unpack_from(body)
    if compressed:
        raise NotGrpc("the answer is compressed, which was not offered")
    if len(body) != _PREFIX.size + length:
        raise NotGrpc(f"the answer has {len(body) - _PREFIX.size} bytes; its prefix says {length}")
    return body[_PREFIX.size :]


def _is_grpc(content_type: str) -> bool:
    """Whether it is application/grpc, alone or with a format or parameters after it."""
    kind, rest = content_type[:16].lower(), content_type[16:17]
    return kind == "application/grpc" and rest in {"", "+", ";"}
