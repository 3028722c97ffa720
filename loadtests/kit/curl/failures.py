"""How a transfer can fail, in four kinds that say what became of the request.

CurlFailed
├── NotConnected     nothing of the request has left: another endpoint may have it
├── TimedOut         sent, and no whole answer within the limit: it may or may not have happened
├── Broken           sent, and the connection ended before the answer was whole: it may or may not have happened
└── BadAnswer        what came is no HTTP of the version that was asked for
    └── TooLarge     the answer is longer than it may be

`words` are libcurl's own, `code` is its number (https://curl.se/libcurl/c/libcurl-errors.html).
"""

from __future__ import annotations

import re

import pycurl

_BAD_ANSWERS = frozenset(
    {
        pycurl.E_UNSUPPORTED_PROTOCOL,  # an answer of HTTP/0.9, a redirect to no HTTP
        pycurl.E_FTP_WEIRD_SERVER_REPLY,  # its number, 8, is that of any weird reply
        pycurl.E_TOO_MANY_REDIRECTS,
        pycurl.E_BAD_CONTENT_ENCODING,
    }
)
_NAMES = {
    getattr(pycurl, name): name.removeprefix("E_")
    for name in dir(pycurl)
    if name[:2] == "E_" and name[:8] != "E_MULTI_"
}
"""For what libcurl has no words for."""
_AFTER = re.compile(r" after \d+ (ms|milliseconds)\b")
_NO_HTTP2_WORDS = "does not support HTTP/2"
"""In what libcurl says of a peer whose first bytes are no HTTP/2; the number is that of any broken connection."""


class CurlFailed(Exception):
    """Root of these errors."""

    def __init__(self, words: str, code: int = 0) -> None:
        self.words = words
        self.code = code
        super().__init__(words, code)

    def __str__(self) -> str:
        return self.words


class NotConnected(CurlFailed):
    """No connection could be made, or not in time; the proxy or the certificate was refused."""


class TimedOut(CurlFailed):
    """The connection stood and no whole answer came within the limit."""


class Broken(CurlFailed):
    """The connection, or the request's stream in it, ended before the answer was whole."""


class BadAnswer(CurlFailed):
    """The peer does not speak as it was asked to."""


class TooLarge(BadAnswer):
    """The answer is longer than it may be; the rest was not read."""


def failure_of(code: int, words: str, *, sent: bool) -> CurlFailed:
    """Return what libcurl's error means, given whether the request had begun to leave."""
    # Without how long it took, one way of failing has one text.
    words = _AFTER.sub("", words) or f"libcurl error {code}, {_NAMES.get(code, 'unknown')}"
    if not sent:
        return NotConnected(words, code)
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return TimedOut(words, code)
    if code == pycurl.E_FILESIZE_EXCEEDED:
        return TooLarge(words, code)
    if code in _BAD_ANSWERS or _NO_HTTP2_WORDS in words:
        return BadAnswer(words, code)
    if code == pycurl.E_ABORTED_BY_CALLBACK:
        return Broken("the connection ended before an answer began", code)
    return Broken(words, code)
