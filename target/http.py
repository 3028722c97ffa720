"""One HTTP client for everything that asks a target and does not generate load: probes, observers, set-up.

Connections are kept alive; no request is retried, because a retry hides what we came to measure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import urllib3

from target.errors import BadAnswer, NoAnswer, Unreachable

DEFAULT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """Status, headers (lower-case names) and body of one answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self, address: str) -> Any:
        """Return the body as JSON. Raises BadAnswer."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise BadAnswer(address, f"answered {self.status} with {self.body[:60]!r}, which is no JSON") from None


class HttpClient:
    """Requests to one base URL, from any thread."""

    def __init__(self, base_url: str, *, timeout_s: float = DEFAULT_TIMEOUT_S, connections: int = 2) -> None:
        self.base_url = base_url.rstrip("/")
        self._pool = urllib3.PoolManager(
            num_pools=1, maxsize=connections, retries=False, timeout=urllib3.Timeout(connect=timeout_s, read=timeout_s)
        )

    def get(self, path: str, *, headers: dict[str, str] | None = None) -> HttpAnswer:
        """Return the answer to GET. Raises Unreachable, NoAnswer."""
        return self.request("GET", path, headers=headers)

    def request(
        self, method: str, path: str, *, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> HttpAnswer:
        """Return the answer, whatever its status. Raises Unreachable, NoAnswer."""
        url = self.base_url + path
        try:
            response = self._pool.request(method, url, body=body, headers=headers, redirect=False)
        except urllib3.exceptions.ReadTimeoutError:
            raise NoAnswer(url, "gave no answer in time") from None
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(url, _plain(error)) from None
        return HttpAnswer(
            status=response.status,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=response.data,
        )

    def close(self) -> None:
        """Close the kept connections."""
        self._pool.clear()


def _plain(error: Exception) -> str:
    """Return what happened to the connection, without the library's own object names."""
    text = str(error)
    for sign, plain in (
        ("Connection refused", "refuses the connection"),
        ("timed out", "cannot be connected to in time"),
        ("reset by peer", "reset the connection"),
        ("closed connection without response", "closed the connection without an answer"),
        ("Name or service not known", "has a host name that does not resolve"),
        ("No route to host", "has no route"),
    ):
        if sign in text:
            return plain
    return f"cannot be reached ({text[:100]})"
