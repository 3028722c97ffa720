"""The cookies of one client. Costs nothing until a server sets one."""

from __future__ import annotations

from email.message import Message
from http.client import HTTPResponse
from http.cookiejar import Cookie, CookieJar
from typing import cast
from urllib.request import Request

from loadtests.kit.wire import Headers


class _Answer:
    """What the jar wants to see of an answer."""

    def __init__(self, set_cookies: list[str]) -> None:
        self._message = Message()
        for value in set_cookies:
            self._message["Set-Cookie"] = value

    def info(self) -> Message:
        return self._message


class Cookies(CookieJar):
    """The standard library's jar, which knows whether it ever had a cookie."""

    any = False
    """Whether a cookie was ever set."""

    def set_cookie(self, cookie: Cookie) -> None:
        self.any = True
        super().set_cookie(cookie)

    def header_for(self, url: str) -> str:
        """Return the Cookie header for a request to a URL, "" for none."""
        request = Request(url)
        self.add_cookie_header(request)
        return request.get_header("Cookie", "") or ""

    def take(self, url: str, headers: Headers) -> None:
        """Keep what an answer from a URL sets."""
        answer = cast(HTTPResponse, _Answer(headers.get_all("set-cookie")))
        self.extract_cookies(answer, Request(url))
