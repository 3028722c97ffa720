"""The connections to one origin, and requests over them.

A request takes the connection that was used last, opens one when none is idle, or waits in line when as many as
allowed are in use. A request of which anything was written is never sent again: it may have been a transfer.
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Callable, Mapping
from time import monotonic
from urllib.parse import urlsplit
from weakref import WeakMethod

from gevent.hub import Hub, get_hub

from loadtests.kit.wire.addresses import Addresses
from loadtests.kit.wire.answers import BODY_BYTES_MAX, HEAD_BYTES_MAX, Answer, AnswerReader
from loadtests.kit.wire.connection import Connection, Unused
from loadtests.kit.wire.errors import TimedOut
from loadtests.kit.wire.headers import RequestEncoder
from loadtests.kit.wire.opening import open_socket
from loadtests.kit.wire.tls import TlsConnection, Tunnel, default_context
from loadtests.kit.wire.waiting import Wait

CONNECTIONS_MAX = 1000
CONNECT_LIMIT_S = 2.0
REQUEST_LIMIT_S = 5.0
DEFAULT_HEADERS = {"User-Agent": "virtengine-reliability", "Accept": "*/*"}
_PORTS = {"http": 80, "https": 443}


class _Ticket(Wait):
    """A place in the line. `granted` once it may go on: with a connection, or with None and leave to open one."""

    __slots__ = ("connection", "granted")

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub, TimedOut("no connection came free in time", sent=False))
        self.connection: Connection | None = None
        self.granted = False

    def expire(self) -> None:
        if not self.granted:
            super().expire()


class ConnectionPool:
    """Requests to one origin. Made and used in one thread; greenlets share it."""

    def __init__(
        self,
        url: str,
        *,
        connections_max: int = CONNECTIONS_MAX,
        connect_limit_s: float = CONNECT_LIMIT_S,
        limit_s: float = REQUEST_LIMIT_S,
        tls: ssl.SSLContext | None = None,
        headers: Mapping[str, str] = DEFAULT_HEADERS,
        head_bytes_max: int = HEAD_BYTES_MAX,
        body_bytes_max: int = BODY_BYTES_MAX,
    ) -> None:
        """`url` tells scheme, host and port; a path in it is ignored. `headers` go with every request.

        Connecting, TLS included, has its own limit within that of the request. Without `tls` a context that verifies
        is used for https. Raises ValueError for a URL that is none of http or https, and for limits not above 0.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError(f"{url!r} is no http or https URL")
        if min(connections_max, connect_limit_s, limit_s) <= 0:
            raise ValueError("connections_max, connect_limit_s and limit_s have to be above 0")
        port = parts.port or _PORTS[parts.scheme]
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self._encoder = RequestEncoder(host if port == _PORTS[parts.scheme] else f"{host}:{port}", headers)
        self._host = parts.hostname
        self._addresses = Addresses(parts.hostname, port)
        self._tls = (tls or default_context()) if parts.scheme == "https" else None
        self._limit_s, self._connect_limit_s = limit_s, connect_limit_s
        self._head_bytes_max, self._body_bytes_max = head_bytes_max, body_bytes_max
        self._connections_max = connections_max
        self._count = 0
        self._idle: dict[Connection, None] = {}  # ordered: the last one used is the last
        self._line: deque[_Ticket] = deque()
        self._hub = get_hub()
        self._closed = False

    @property
    def open_count(self) -> int:
        """Connections that are open or being opened."""
        return self._count

    @property
    def idle_count(self) -> int:
        return len(self._idle)

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        limit_s: float | None = None,
    ) -> Answer:
        """Return the answer, whatever its status. `limit_s` counts from now to the last byte of the answer.

        Raises ValueError for what cannot be sent, NotConnected, TimedOut, Broken, BadAnswer, TooLarge.
        """
        request = self._encoder.encode(method, target, headers, body)
        due_s = monotonic() + (self._limit_s if limit_s is None else limit_s)
        while True:
            fresh = False
            if self._idle:
                connection = self._idle.popitem()[0]
            else:
                taken = self._take(due_s)
                fresh = taken is None
                connection = taken or self._open(due_s)
            try:
                return connection.ask(request, head_only=method == "HEAD", due_s=due_s)
            except Unused as unused:
                if fresh:
                    raise unused.why from None
            finally:
                self._give_back(connection)

    def close(self) -> None:
        """Close the idle connections now, and the others after their answers."""
        self._closed = True
        while self._idle:
            connection = self._idle.popitem()[0]
            connection.close()
            self._count -= 1

    def __del__(self) -> None:
        # The hub holds the watchers of idle connections, and they hold the connections.
        for connection in getattr(self, "_idle", ()):
            connection.close()

    def _take(self, due_s: float) -> Connection | None:
        """Return a connection that came free, or None with leave to open one. Raises TimedOut."""
        if self._count < self._connections_max:
            self._count += 1
            return None
        ticket = _Ticket(self._hub)
        self._line.append(ticket)
        try:
            ticket.until(due_s)
        except BaseException:
            if not ticket.granted:
                self._line.remove(ticket)
            elif ticket.connection is not None:
                self._give_back(ticket.connection)
            else:
                self._free_place()
            raise
        return ticket.connection

    def _open(self, due_s: float) -> Connection:
        """Return a new connection, in the place that `_take` gave. Raises NotConnected."""
        try:
            due_s = min(due_s, monotonic() + self._connect_limit_s)
            sock = open_socket(self._addresses.find(due_s), self._hub, due_s)
            answers = AnswerReader(head_bytes_max=self._head_bytes_max, body_bytes_max=self._body_bytes_max)
            idle_end = _forget_through(self)
            if self._tls is None:
                return Connection(sock, self._hub, answers, idle_end)
            try:
                tunnel = Tunnel(sock, self._tls, self._host)
                tunnel.agree(self._hub, due_s)
            except BaseException:
                sock.close()
                raise
            return TlsConnection(tunnel, self._hub, answers, idle_end)
        except BaseException:
            self._free_place()
            raise

    def _give_back(self, connection: Connection) -> None:
        """Take a connection that nobody asks over any longer: for the first in the line, or to be idle."""
        if self._closed:
            connection.close()
        if connection.closed:
            self._free_place()
        elif self._line:
            self._grant(connection)
        else:
            self._idle[connection] = None

    def _free_place(self) -> None:
        """A connection has ended: the first in the line may open one."""
        if self._line:
            self._grant(None)
        else:
            self._count -= 1

    def _grant(self, connection: Connection | None) -> None:
        ticket = self._line.popleft()
        ticket.granted, ticket.connection = True, connection
        self._hub.loop.run_callback(ticket.wake)

    def forget(self, connection: Connection) -> None:
        """Take note that a connection has ended while it was idle."""
        if connection in self._idle:
            del self._idle[connection]
            self._free_place()


def _forget_through(pool: ConnectionPool) -> Callable[[Connection], None]:
    """Return what tells a pool, if it is still there: a connection must not keep its pool alive."""
    method = WeakMethod(pool.forget)

    def forget(connection: Connection) -> None:
        if (tell := method()) is not None:
            tell(connection)

    return forget
