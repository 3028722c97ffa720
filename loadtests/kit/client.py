"""An HTTP client as Locust's users know it (`self.client`), over the hub's own connections.

Every request that gets as far as being tried is one `Call`, reported once, redirects included. Where it differs from
Locust's clients: a status of 429 is back-pressure and no failure, as for the other clients of this kit; a request
whose `with` block ends in a foreign exception is counted, as broken, and not dropped. No proxies, files or streams.
"""

from __future__ import annotations

import json as json_module
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlencode, urljoin, urlsplit

from locust.env import Environment

from bundle import ErrorKind
from loadtests.kit.calls import Call, CallFailed
from loadtests.kit.cookies import Cookies
from loadtests.kit.http import failure_of
from loadtests.kit.origins import Origins, Place
from loadtests.kit.responses import Response, broken_off, decoded
from loadtests.kit.wire import REQUEST_LIMIT_S, Answer, WireError

REDIRECTS_MAX = 30
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_COMPRESSION = "gzip, deflate"
Auth = tuple[str, str]
Data = bytes | str | Mapping[str, Any] | Sequence[tuple[str, Any]]


class LoadClient:
    """The client of one user: its cookies, its default headers. Connections may be shared through `origins`."""

    def __init__(
        self,
        environment: Environment,
        base_url: str,
        *,
        origins: Origins | None = None,
        limit_s: float = REQUEST_LIMIT_S,
        headers: Mapping[str, str] | None = None,
        auth: Auth | None = None,
        compressed: bool = False,
        redirects_max: int = REDIRECTS_MAX,
        intended: Callable[[], float | None] | None = None,
    ) -> None:
        """A user and password in the base URL serve as `auth`. `compressed` asks for compressed bodies.

        Without `origins` the client has connections of its own. `intended` is asked at each request for the Unix time
        at which it was meant to begin; None for now.
        """
        parts = urlsplit(base_url)
        if parts.username and not auth:
            auth = (unquote(parts.username), unquote(parts.password or ""))
        self.base_url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        self.cookies = Cookies()
        self.headers = dict(headers or {})
        if compressed:
            self.headers.setdefault("Accept-Encoding", _COMPRESSION)
        if auth:
            self.headers["Authorization"] = _basic(auth)
        self._environment = environment
        self._origins = origins or Origins()
        self._own_origins = origins is None
        self._limit_s = limit_s
        self._redirects_max = redirects_max
        self._intended = intended

    def get(self, path: str, **options: Any) -> Response:
        return self.request("GET", path, **options)

    def head(self, path: str, **options: Any) -> Response:
        """As `request`; redirects are not followed unless asked for, as with `requests`."""
        options.setdefault("allow_redirects", False)
        return self.request("HEAD", path, **options)

    def options(self, path: str, **options: Any) -> Response:
        return self.request("OPTIONS", path, **options)

    def post(self, path: str, data: Data | None = None, json: Any = None, **options: Any) -> Response:
        return self.request("POST", path, data=data, json=json, **options)

    def put(self, path: str, data: Data | None = None, **options: Any) -> Response:
        return self.request("PUT", path, data=data, **options)

    def patch(self, path: str, data: Data | None = None, **options: Any) -> Response:
        return self.request("PATCH", path, data=data, **options)

    def delete(self, path: str, **options: Any) -> Response:
        return self.request("DELETE", path, **options)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | Sequence[tuple[str, Any]] | None = None,
        data: Data | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        auth: Auth | None = None,
        name: str | None = None,
        catch_response: bool = False,
        allow_redirects: bool = True,
        limit_s: float | None = None,
        intended_at_s: float | None = None,
    ) -> Response:
        """Send a request and return the response; with status_code 0 and `error` set when none came.

        `path` goes behind the base URL, or is a whole URL. `name` is the operation (default: the path as given).
        `limit_s` counts for everything, redirects included. Latency counts from `intended_at_s`, Unix, or from now.
        With `catch_response` it is reported at the end of its `with` block, else at once.
        Raises ValueError, before anything is sent or counted, for what HTTP does not allow.
        """
        place = self._origins.place(path if path.startswith(("http://", "https://")) else self.base_url + path)
        if params:
            separator = "&" if "?" in place.target else "?"
            place = self._origins.place(f"{place.url}{separator}{urlencode(params, doseq=True)}")
        if self.headers or headers or auth or data is not None or json is not None:
            body, headers = _with_body(data, json, self.headers | dict(headers or {}))
            if auth:
                headers = headers | {"Authorization": _basic(auth)}
        else:
            body = b""
        sent_at_s = time.time()
        if intended_at_s is None and self._intended is not None:
            intended_at_s = self._intended()
        call = Call(
            operation=name or path,
            protocol=method,
            intended_at_s=sent_at_s if intended_at_s is None else intended_at_s,
            sent_at_s=sent_at_s,
            endpoint=place.endpoint,
        )
        response = Response(self._environment, call, place.url, catch_response)
        self._exchange(
            response, method, place, headers, body, self._limit_s if limit_s is None else limit_s, allow_redirects
        )
        if not catch_response:
            response.report()
        return response

    def close(self) -> None:
        """Close the connections, unless they are shared."""
        if self._own_origins:
            self._origins.close()

    def _exchange(
        self,
        response: Response,
        method: str,
        place: Place,
        headers: Mapping[str, str] | None,
        body: bytes,
        limit_s: float,
        follow: bool,
    ) -> None:
        """Fill in the response. Whatever throws the greenlet out of here is counted, and goes on."""
        call, begun = response.call, False
        try:
            answer = self._ask(method, place, headers, body, limit_s)
            begun = True
            if follow and answer.status in _REDIRECTS:
                left_s = limit_s - (time.time() - call.sent_at_s)
                place, answer = self._follow(method, place, headers, body, left_s, answer)
                response.url, call.endpoint = place.url, place.endpoint
            if headers and "Accept-Encoding" in headers and method != "HEAD":
                answer.body = decoded(answer)
            call.ended_at_s = time.time()
            response.take(answer)
        except WireError as error:
            call.ended_at_s = time.time()
            response.take_failure(failure_of(error, place.endpoint))
        except CallFailed as failure:
            call.ended_at_s = time.time()
            response.take_failure(failure)
        except BaseException as error:
            if isinstance(error, ValueError) and not begun:
                raise  # the scenario's mistake, before anything was sent
            response.take_failure(broken_off(error))
            response.report()
            raise

    def _ask(self, method: str, place: Place, headers: Mapping[str, str] | None, body: bytes, limit_s: float) -> Answer:
        """Return one answer, cookies sent and kept. Raises WireError, ValueError."""
        if self.cookies.any and (cookie := self.cookies.header_for(place.url)):
            headers = {**(headers or {}), "Cookie": cookie}
        answer = place.pool.request(method, place.target, headers, body, limit_s)
        if answer.may_have(b"set-cookie:"):
            self.cookies.take(place.url, answer.headers)
        return answer

    def _follow(
        self,
        method: str,
        place: Place,
        headers: Mapping[str, str] | None,
        body: bytes,
        limit_s: float,
        answer: Answer,
    ) -> tuple[Place, Answer]:
        """Follow redirects and return where they end. Raises CallFailed, WireError."""
        due_s = time.monotonic() + limit_s
        for _ in range(self._redirects_max):
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or not location:
                return place, answer
            try:
                target = self._origins.place(urljoin(place.url, location))
            except ValueError as error:
                raise CallFailed(
                    ErrorKind.BAD_ANSWER, f"{place.endpoint}: redirect to what is no URL: {error}"
                ) from None
            if (answer.status in (302, 303) and method != "HEAD") or (answer.status == 301 and method == "POST"):
                method, body = "GET", b""
                headers = {k: v for k, v in (headers or {}).items() if k.lower() != "content-type"}
            if target.endpoint != place.endpoint:
                headers = {k: v for k, v in (headers or {}).items() if k.lower() != "authorization"}
            place = target
            answer = self._ask(method, place, headers, body, max(0.0, due_s - time.monotonic()))
        raise CallFailed(ErrorKind.BAD_ANSWER, f"{place.endpoint}: more than {self._redirects_max} redirects")


def _with_body(data: Data | None, json: Any, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    """Return the body's bytes and the headers with what the body is; JSON only where there is no data."""
    body, kind = b"", ""
    if isinstance(data, bytes):
        body = data
    elif isinstance(data, str):
        body = data.encode()
    elif data:
        body, kind = urlencode(data, doseq=True).encode(), "application/x-www-form-urlencoded"
    elif json is not None:
        body, kind = json_module.dumps(json).encode(), "application/json"
    if kind and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = kind
    return body, headers


@lru_cache(maxsize=1024)
def _basic(auth: Auth) -> str:
    return "Basic " + b64encode(":".join(auth).encode()).decode("ascii")
