"""Requests with what only libcurl does here: HTTP/2, proxies, redirects, cookies.

Plain HTTP/1.1 is cheaper by the kit's own client. Nothing here retries or fails over.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import pycurl

from loadtests.kit.curl.libcurl import Share, new_share
from loadtests.kit.curl.multi import CurlMulti, shared_multi
from loadtests.kit.curl.transfer import ANSWER_BYTES_MAX, Transfer, parse_head

_FOLLOW_AS_CODE_SAYS = 2  # CURLFOLLOW_OBEYCODE, which pycurl has no name for: 303 makes a GET of any method
_UNSAFE = ("\r", "\n", "\0")


class HttpVersion(Enum):
    """What is spoken to the server."""

    HTTP_1_1 = pycurl.CURL_HTTP_VERSION_1_1
    HTTP_2 = pycurl.CURL_HTTP_VERSION_2TLS
    """HTTP/2 where TLS agrees on it, else HTTP/1.1."""
    HTTP_2_PRIOR_KNOWLEDGE = pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE
    """HTTP/2 at once, without TLS too (h2c)."""


_NAMES = {
    pycurl.CURL_HTTP_VERSION_1_0: "1.0",
    pycurl.CURL_HTTP_VERSION_1_1: "1.1",
    pycurl.CURL_HTTP_VERSION_2_0: "2",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CurlAnswer:
    """One answer, read whole; the last one after redirects."""

    status: int
    headers: list[tuple[str, str]]
    """Names in lower case, in the order of arrival."""
    trailers: list[tuple[str, str]]
    """Fields that came after the body."""
    body: bytes
    url: str
    """Whose answer it is."""
    http_version: str
    """What was spoken: "1.0", "1.1", "2"."""

    def header(self, name: str) -> str | None:
        """Return the last header field of that name, given in lower case."""
        return next((value for found, value in reversed(self.headers) if found == name), None)


class CurlClient:
    """One client with its own settings and, if it keeps any, its own cookies. Connections are shared by the process."""

    def __init__(
        self,
        multi: CurlMulti | None = None,
        *,
        connect_limit_s: float = 2.0,
        ca_file: Path | None = None,
        verify: bool = True,
        cookies: bool = False,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
    ) -> None:
        """`ca_file` holds whose certificates are trusted, by default those that Python trusts."""
        self._multi = multi or shared_multi()
        self._connect_limit_s = connect_limit_s
        self._ca_file = str(ca_file) if ca_file else ssl.get_default_verify_paths().cafile
        self._verify = verify
        self._answer_bytes_max = answer_bytes_max
        self._jar: Share | None = None
        if cookies:
            self._jar = new_share()
            self._jar.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_COOKIE)

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        limit_s: float,
        http_version: HttpVersion = HttpVersion.HTTP_2,
        proxy: str | None = None,
        follow: int = 0,
    ) -> CurlAnswer:
        """Return the answer, whatever its status.

        `limit_s` bounds the whole, redirects included. `proxy` is an http:// URL: plain requests are forwarded by it,
        https ones tunnelled. `follow` is how many redirects may be followed. Raises CurlFailed; ValueError for a
        request that cannot be written.
        """
        transfer = self._multi.take()
        try:
            self._set_request(transfer, method, url, headers or {}, body)
            self._set_route(transfer, limit_s, http_version, proxy, follow)
            self._multi.perform(transfer)
            head = parse_head(transfer.head_lines)
            return CurlAnswer(
                status=head.status,
                headers=head.headers,
                trailers=head.trailers,
                body=transfer.body,
                url=str(transfer.easy.getinfo(pycurl.EFFECTIVE_URL)),
                http_version=_NAMES.get(transfer.easy.getinfo(pycurl.INFO_HTTP_VERSION), "unknown"),
            )
        finally:
            if self._jar is not None:
                transfer.easy.unsetopt(pycurl.SHARE)
            self._multi.give_back(transfer)

    def _set_request(
        self, transfer: Transfer, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> None:
        if any(sign in text for text in (method, url, *headers, *headers.values()) for sign in _UNSAFE):
            raise ValueError(f"{method} {url}: a header, the method or the URL holds a line's end")
        easy = transfer.easy
        transfer.set_url(url)
        # "name;" sends a field without a value, "name:" would keep libcurl from sending its own.
        lines = [f"{name}: {value}" if value else f"{name};" for name, value in headers.items()]
        easy.setopt(pycurl.HTTPHEADER, [*lines, "Expect:"])
        if body is not None or method == "POST":
            easy.setopt(pycurl.POSTFIELDS, body or b"")
        elif method == "HEAD":
            easy.setopt(pycurl.NOBODY, 1)
        if method not in {"GET", "HEAD", "POST"} or (body is not None and method != "POST"):
            easy.setopt(pycurl.CUSTOMREQUEST, method)

    def _set_route(
        self, transfer: Transfer, limit_s: float, http_version: HttpVersion, proxy: str | None, follow: int
    ) -> None:
        easy = transfer.easy
        transfer.set_limits(whole_s=limit_s, connect_s=min(self._connect_limit_s, limit_s))
        easy.setopt(pycurl.HTTP_VERSION, http_version.value)
        if http_version is not HttpVersion.HTTP_1_1:
            easy.setopt(pycurl.PIPEWAIT, 1)  # rather share a connection that is being made than make another
        easy.setopt(pycurl.MAXFILESIZE_LARGE, self._answer_bytes_max)
        if proxy is not None:
            easy.setopt(pycurl.PROXY, proxy)
        if follow:
            easy.setopt(pycurl.FOLLOWLOCATION, _FOLLOW_AS_CODE_SAYS)
            easy.setopt(pycurl.MAXREDIRS, follow)
        if self._ca_file:
            easy.setopt(pycurl.CAINFO, self._ca_file)
        if not self._verify:
            easy.setopt(pycurl.SSL_VERIFYPEER, 0)
            easy.setopt(pycurl.SSL_VERIFYHOST, 0)
        if self._jar is not None:
            easy.setopt(pycurl.SHARE, self._jar)
            easy.setopt(pycurl.COOKIEFILE, "")
