"""Where an origin is: its host name resolved through gevent's resolver, and kept for some seconds."""

from __future__ import annotations

import socket
from time import monotonic
from typing import Any

import gevent
from gevent.hub import get_hub

from loadtests.kit.wire.errors import NotConnected

KEPT_S = 10.0
Address = tuple[int, Any]
"""Family, and what `connect` of such a socket takes."""


class Addresses:
    """The addresses of one host and port."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._literal = _literal(host, port)
        self._found: list[Address] = []
        self._fresh_until_s = 0.0
        self._job: gevent.Greenlet[..., list[Address]] | None = None

    def find(self, due_s: float) -> list[Address]:
        """Return the addresses in the resolver's order, at least one. Raises NotConnected, at `due_s` at the latest."""
        if self._literal is not None:
            return [self._literal]
        if monotonic() >= self._fresh_until_s:
            self._look_up(due_s)
        return self._found

    def _look_up(self, due_s: float) -> None:
        """Ask the resolver, once for all who wait; in a greenlet of its own, which outlives whoever began it."""
        job = self._job
        if job is None or job.ready():
            job = self._job = gevent.Greenlet.spawn(self._ask)
        job.join(max(0.0, due_s - monotonic()))
        if not job.ready():
            raise NotConnected(f"{self._host} was not resolved in time")
        found = job.value
        if isinstance(found, list) and found:
            return
        raise NotConnected(f"{self._host} does not resolve: {found or 'no address'}")

    def _ask(self) -> Any:
        try:
            answers = get_hub().resolver.getaddrinfo(self._host, self._port, 0, socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            return error
        self._found = list(dict.fromkeys((int(family), address) for family, _, _, _, address in answers))
        self._fresh_until_s = monotonic() + KEPT_S
        return self._found


def _literal(host: str, port: int) -> Address | None:
    """Return the address when the host is written as one."""
    for family, rest in ((socket.AF_INET, ()), (socket.AF_INET6, (0, 0))):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return int(family), (host, port, *rest)
    return None
