"""One answer after another out of the bytes of a connection. No sockets here.

The parser is llhttp. It is strict, and so is this: what it does not take is a bad answer.
"""

from __future__ import annotations

from collections.abc import Callable

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from loadtests.kit.wire.errors import BadAnswer, Broken, TooLarge
from loadtests.kit.wire.headers import Headers, last_head, parse_headers

HEAD_BYTES_MAX = 256 * 1024
BODY_BYTES_MAX = 256 * 1024 * 1024
_SMALL_BYTES = 1024


class Answer:
    """One HTTP answer. Headers are parsed when first asked for."""

    __slots__ = ("_headers", "_raw", "body", "status")

    def __init__(self, status: int, raw: bytes, body: bytes) -> None:
        """`raw` begins with the head as it came and may go on behind it."""
        self.status = status
        self.body = body
        self._raw = raw
        self._headers: Headers | None = None

    @property
    def headers(self) -> Headers:
        if self._headers is None:
            self._headers = parse_headers(self._raw)
        return self._headers

    def may_have(self, name: bytes) -> bool:
        """Whether the head may have a text, given in small letters, somewhere: cheaper than parsing it."""
        raw = self._raw
        if len(raw) > _SMALL_BYTES:
            raw = raw[: raw.find(b"\r\n\r\n")]
        return name in raw.lower() or raw[9:10] == b"1"

    def __repr__(self) -> str:
        return f"<Answer {self.status}, {len(self.body)} bytes>"


class AnswerReader:
    """Reads the answers of one connection: `begin` before each request, then `feed` until it says True."""

    # `on_body` and the methods of that kind are llhttp's callbacks; `on_body` is a list's own append, no Python frame.
    __slots__ = (
        "_body_bytes_max",
        "_body_chunks",
        "_chunks",
        "_head_bytes_max",
        "_head_done",
        "_head_only",
        "_heads",
        "_parser",
        "_received_bytes",
        "complete",
        "extra",
        "keep_alive",
        "on_body",
        "status",
    )

    def __init__(self, *, head_bytes_max: int = HEAD_BYTES_MAX, body_bytes_max: int = BODY_BYTES_MAX) -> None:
        self._head_bytes_max = head_bytes_max
        self._body_bytes_max = body_bytes_max
        self._chunks: list[bytes] = []
        self._heads: list[bytes] = []
        self.on_body: Callable[[bytes], None] = self._chunks.append
        self._parser: HttpResponseParser | None = None
        self.extra = False
        """More came than the answer: the connection is of no further use."""
        self.begin(head_only=False)

    def begin(self, *, head_only: bool) -> None:
        """Make ready for the answer to the next request; that to HEAD has no body, whatever its head says."""
        if self._parser is None:
            self._parser = HttpResponseParser(self)
        self._head_only = head_only
        self._head_done = self.complete = self.keep_alive = False
        self._received_bytes = self.status = self._body_chunks = 0

    @property
    def begun(self) -> bool:
        """Whether anything of the answer has come."""
        return self._received_bytes > 0

    def feed(self, data: bytes) -> bool:
        """Take bytes; return whether the answer is whole. Raises BadAnswer, TooLarge."""
        self._received_bytes += len(data)
        if not self._head_done:
            self._heads.append(data)
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            if not self.complete:
                raise BadAnswer(f"what came is no HTTP answer: {error}") from None
            self._note_extra()
        except HttpParserUpgrade:
            raise BadAnswer("the answer switches to another protocol, which nobody asked for") from None
        if self._received_bytes > self._head_bytes_max:
            self._check_size()
        return self.complete

    def _check_size(self) -> None:
        """Raise TooLarge when more has come than may."""
        heads = b"".join(self._heads)
        if len(last_head(heads) if self._head_done else heads) > self._head_bytes_max:
            raise TooLarge(f"the answer's head is larger than {self._head_bytes_max} bytes")
        if self._received_bytes > self._head_bytes_max + self._body_bytes_max:
            raise TooLarge(f"the answer's body is larger than {self._body_bytes_max} bytes")

    def end(self, how: str) -> None:
        """Take note that the other side closed the connection. Raises Broken unless that is how the body ends."""
        if not self._received_bytes:
            raise Broken(f"{how} before anything of the answer came")
        if not self._head_done:
            raise Broken(f"{how} within the answer's head")
        headers = parse_headers(b"".join(self._heads))
        codings = headers.get("transfer-encoding", "").lower().replace(",", " ").split()
        if "content-length" in headers or codings[-1:] == ["chunked"]:
            raise Broken(f"{how} within the answer's body")
        self.complete = True

    def take(self) -> Answer:
        """Return the whole answer and forget it."""
        heads, chunks = self._heads, self._chunks
        raw = heads[0] if len(heads) == 1 else b"".join(heads)
        if self._head_only:
            self.extra = self.extra or bool(chunks)
            if self.keep_alive is False and not self.extra:
                self.keep_alive = _keeps_alive(raw)
            self._parser = None  # it still waits for the body that the head speaks of
            body = b""
        else:
            if self.extra:
                del chunks[self._body_chunks :]
            body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        heads.clear()
        chunks.clear()
        return Answer(self.status, raw, body)

    def drop(self) -> None:
        """Let go of the parser, which refers back to this."""
        self._parser = None

    def on_message_begin(self) -> None:
        if self.complete:
            self._note_extra()

    def _note_extra(self) -> None:
        if not self.extra:
            self.extra, self._body_chunks = True, len(self._chunks)

    def on_headers_complete(self) -> None:
        if self.complete:
            return
        assert self._parser is not None
        self.status = status = self._parser.get_status_code()
        if status < 100:
            raise ValueError(f"status {status}")
        self._head_done = True
        if self._head_only and status >= 200:
            self.keep_alive = self._parser.should_keep_alive()
            self.complete = True

    def on_message_complete(self) -> None:
        if self.status < 200:
            self._head_done = False  # an answer before the answer: 100 Continue, 103 Early Hints
        elif not self.complete:
            assert self._parser is not None
            self.keep_alive = self._parser.should_keep_alive()
            self.complete = True


def _keeps_alive(raw: bytes) -> bool:
    """Whether the connection stays after an answer to HEAD: llhttp takes one without a length to end with it."""
    return last_head(raw).startswith(b"HTTP/1.1") and "close" not in parse_headers(raw).get("connection", "").lower()
