"""The stand-in inside the caller's process, for tests: a real server on a free port of 127.0.0.1, in a thread.

A test that only needs the HTTP contract starts in milliseconds this way, and can move the daemon's clock. A test
that kills the daemon needs the process: `python -m devnet.provider`.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from devnet.provider.clock import SYSTEM_CLOCK, Clock
from devnet.provider.flags import Options, resolve
from devnet.provider.server import start

START_TIMEOUT_S = 20.0
REQUEST_TIMEOUT_S = 20.0


@dataclass(slots=True, kw_only=True)
class ManualClock:
    """A clock that stands still until it is moved; `wall_at_s` is Unix seconds UTC."""

    wall_at_s: float = 1_750_000_000.0
    monotonic_s: float = 1_000.0

    @property
    def clock(self) -> Clock:
        """What the daemon reads."""
        return Clock(wall_at_s=lambda: self.wall_at_s, monotonic_s=lambda: self.monotonic_s)

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        self.wall_at_s += seconds
        self.monotonic_s += seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP answer; header names ignore case."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a stand-in listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The base URL, without a final slash."""
        return f"http://{self.host}:{self.port}"

    def call(self, method: str, path: str, *, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """The answer to a request on its own connection; `path` goes out as it is, a body other than bytes as JSON."""
        payload = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self.host, self.port, timeout=REQUEST_TIMEOUT_S)
        try:
            connection.request(method, path, body=payload, headers=dict(headers or {}))
            response = connection.getresponse()
            return Answer(status=response.status, headers=response.headers, body=response.read())
        finally:
            connection.close()


def options_for(**written: str) -> Options:
    """Options from flag texts, with underscores for dashes, listening on a free port of 127.0.0.1."""
    flags = {name.replace("_", "-"): text for name, text in written.items()}
    return resolve({"listen": "127.0.0.1:0", "chain-id": "virtengine-devnet-1", **flags})


@contextmanager
def embedded(options: Options | None = None, clock: Clock = SYSTEM_CLOCK) -> Iterator[Address]:
    """Run a stand-in for the length of the block, and give its address."""
    chosen = replace(options or options_for(), listen_host="127.0.0.1", listen_port=0)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="provider-stand-in", daemon=True)
    thread.start()
    try:
        runner = asyncio.run_coroutine_threadsafe(start(chosen, clock), loop).result(START_TIMEOUT_S)
        try:
            host, port = runner.addresses[0][:2]
            yield Address(host=host, port=port)
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(START_TIMEOUT_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(START_TIMEOUT_S)
        loop.close()
