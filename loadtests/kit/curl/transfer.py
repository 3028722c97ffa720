"""One handle of libcurl, used for one request after another, and what came back over it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pycurl

from loadtests.kit.curl.libcurl import new_easy

Address = tuple[str, int]
ANSWER_BYTES_MAX = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Head:
    """The status and the header fields of an answer, names in lower case, and the fields that came after its body."""

    status: int
    headers: list[tuple[str, str]]
    trailers: list[tuple[str, str]]


class Transfer:
    """A handle with where its answer goes. Made by a CurlMulti only, which keeps it for the next request."""

    __slots__ = (
        "_has_ended",
        "_sent_after",
        "chunks",
        "easy",
        "head_lines",
        "sent_at_s",
        "url",
        "waiter",
    )

    def __init__(self, has_ended: Callable[[Address], bool]) -> None:
        """`has_ended` says it of a connection, named by the client's address, that no other request is on."""
        self.easy = new_easy()
        self.head_lines: list[bytes] = []
        """Lines of the head and of the trailers as they came; libcurl bounds them to 300 kB."""
        self.chunks: list[bytes] = []
        """The body's parts as they came."""
        self.sent_at_s = 0.0
        """Monotonic, when the request last began to leave."""
        self.url = ""
        self.waiter: Any = None
        """The waiter of the greenlet whose transfer is on its way; None at rest."""
        self._sent_after: int | None = None
        self._has_ended = has_ended
        self.reset()

    @property
    def sent(self) -> bool:
        """Whether the request began to leave; before that there was no connection."""
        return self._sent_after is not None

    @property
    def body(self) -> bytes:
        return self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)

    def reset(self) -> None:
        """Forget the last request's options, and set those that every request needs."""
        easy = self.easy
        easy.reset()
        # Plain lists take the parts: calling their `append` costs libcurl's callbacks next to nothing.
        easy.setopt(pycurl.HEADERFUNCTION, self.head_lines.append)
        easy.setopt(pycurl.WRITEFUNCTION, self.chunks.append)
        easy.setopt(pycurl.PREREQFUNCTION, self._before_sending)
        easy.setopt(pycurl.NOSIGNAL, 1)
        easy.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        easy.setopt(pycurl.REDIR_PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        # Neither from the environment: load goes where the target file says.
        easy.setopt(pycurl.PROXY, "")
        easy.setopt(pycurl.NOPROXY, "")
        easy.setopt(pycurl.MAXFILESIZE_LARGE, ANSWER_BYTES_MAX)
        self.url = ""

    def begin(self) -> None:
        """Forget the last answer."""
        self.head_lines.clear()
        self.chunks.clear()
        self._sent_after = None

    def set_url(self, url: str) -> None:
        if url != self.url:
            self.easy.setopt(pycurl.URL, url)
            self.url = url

    def set_limits(self, *, whole_s: float, connect_s: float) -> None:
        """Bound the transfer from its beginning to its end, and its connecting alone. Seconds, to the millisecond."""
        self.easy.setopt(pycurl.TIMEOUT_MS, max(1, round(whole_s * 1000)))
        self.easy.setopt(pycurl.CONNECTTIMEOUT_MS, max(1, round(connect_s * 1000)))

    def _before_sending(self, _: str, local_ip: str, __: int, local_port: int) -> int:
        """Called by libcurl when a connection stands and the request is about to leave.

        libcurl by itself sends a request again when a connection that was used before breaks without an answer. Here
        no request is sent twice: a second time is right only after an answer, which was a redirect, or when the
        connection had ended before the first, so that nothing could be sent (libcurl looks only after a second).
        """
        if self._has_ended((local_ip, local_port)):
            return int(pycurl.PREREQFUNC_OK)
        if self._sent_after == len(self.head_lines):
            return int(pycurl.PREREQFUNC_ABORT)
        self._sent_after = len(self.head_lines)
        self.sent_at_s = time.monotonic()
        return int(pycurl.PREREQFUNC_OK)


def parse_head(lines: list[bytes]) -> Head:
    """Return the last head among the lines, which come after those of redirects and of 1xx, and its trailers.

    The status is 0 where there is none.
    """
    status = 0
    headers: list[tuple[str, str]] = []
    trailers: list[tuple[str, str]] = []
    fields = headers
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if name.startswith("HTTP/"):
            parts = name.split(None, 2)
            status = int(parts[1]) if len(parts) > 1 and parts[1].isdecimal() else 0
            headers, trailers = [], []
            fields = headers
        elif colon:
            fields.append((name.lower(), value.strip()))
        elif not name.strip():
            fields = trailers
    return Head(status, headers, trailers)
