"""Heads of messages: the request's made into bytes, the answer's read when somebody asks for it.

A load client sends the same few heads over and over, so parts of them are kept, encoded and checked, in bounded
dictionaries. Most answers are never asked for their headers, so these are parsed on demand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

KEPT_MAX = 4096
"""How many encoded parts of a kind one origin keeps; then it begins anew."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, section 5.6.2
_TARGET = re.compile(r"[\x21-\x7e]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OURS = frozenset({"content-length", "transfer-encoding"})
_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})  # these say a length even when it is 0 (RFC 9110, section 8.6)
_END_OF_HEAD = b"\r\n\r\n"


class Headers(Mapping[str, str]):
    """The headers of an answer: names in any case; a name that came twice has its values joined by a comma."""

    __slots__ = ("_fields",)

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._fields: dict[str, list[str]] = {}
        for name, value in fields:
            self._fields.setdefault(name.lower(), []).append(value)

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._fields[name.lower()])

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Headers({dict(self)!r})"

    def get_all(self, name: str) -> list[str]:
        """Return every value that came under a name: Set-Cookie cannot be joined."""
        return list(self._fields.get(name.lower(), ()))


def parse_headers(raw: bytes) -> Headers:
    """Return the headers of an answer's bytes from its first on, which may go on after the head.

    Answers of the kind 1xx before it are passed over. The parser has found the head to be well formed.
    """
    head = last_head(raw)
    fields = []
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        fields.append((name.strip(), value.strip(" \t")))
    return Headers(fields)


def last_head(raw: bytes) -> bytes:
    """Return the status line and headers of the first answer that is none of the kind 1xx, without the blank line."""
    start = 0
    while True:
        while raw[start : start + 2] == b"\r\n":
            start += 2
        end = raw.find(_END_OF_HEAD, start)
        if end < 0:
            return raw[start:]
        if raw[start + 8 : start + 10] != b" 1":
            return raw[start:end]
        start = end + len(_END_OF_HEAD)


class RequestEncoder:
    """Makes requests to one origin into bytes."""

    def __init__(self, host: str, default_headers: Mapping[str, str]) -> None:
        """`host` is the value of the Host header; defaults apply where a request has no header of that name."""
        self._defaults = {"Host": host, **default_headers}
        self._lines: dict[tuple[str, str], bytes] = {}
        self._blocks: dict[tuple[tuple[str, str], ...], bytes] = {}
        self._plain = self._encoded_block(())

    def encode(self, method: str, target: str, headers: Mapping[str, str] | None, body: bytes) -> bytes:
        """Return the whole request. Raises ValueError for what HTTP does not allow in its place."""
        line = self._lines.get((method, target)) or self._line(method, target)
        block = self._block(headers) if headers else self._plain
        if body:
            return b"%b%bContent-Length: %d\r\n\r\n%b" % (line, block, len(body), body)
        if method in _WITH_LENGTH:
            return line + block + b"Content-Length: 0\r\n\r\n"
        return line + block + b"\r\n"

    def _line(self, method: str, target: str) -> bytes:
        if not _TOKEN.fullmatch(method):
            raise ValueError(f"method {method!r} is no token")
        if not _TARGET.fullmatch(target):
            raise ValueError(f"target {target!r} has characters other than visible ASCII, or none")
        if len(self._lines) >= KEPT_MAX:
            self._lines.clear()
        line = self._lines[method, target] = f"{method} {target} HTTP/1.1\r\n".encode("ascii")
        return line

    def _block(self, headers: Mapping[str, str]) -> bytes:
        key = tuple(headers.items())
        return self._blocks.get(key) or self._encoded_block(key)

    def _encoded_block(self, fields: tuple[tuple[str, str], ...]) -> bytes:
        given = {name.lower() for name, _ in fields}
        lines = []
        for name, value in (*((n, v) for n, v in self._defaults.items() if n.lower() not in given), *fields):
            if not _TOKEN.fullmatch(name):
                raise ValueError(f"header name {name!r} is no token")
            if not isinstance(value, str) or not _VALUE.fullmatch(value):
                raise ValueError(f"value of header {name} is {value!r}; expected text without control characters")
            if name.lower() in _OURS:
                raise ValueError(f"header {name} is not for the caller to set")
            lines.append(f"{name}: {value}\r\n")
        if len(self._blocks) >= KEPT_MAX:
            self._blocks.clear()
        block = self._blocks[fields] = "".join(lines).encode("latin-1")
        return block
