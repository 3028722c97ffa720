"""Peer-to-peer links: one TCP proxy a link, so that any link can be cut, black-holed, slowed or throttled.

No privilege is needed, because every node finds its peers only by these addresses. A proxy carries a byte
stream: it can hold or end it, not lose or reorder packets within it. Rules are per direction of travel, not
per connection: a pair of validators keeps one connection, dialled by either.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from target.control import Link, LinkMode, LinkRule

_READ_BYTES = 64 * 1024
_QUEUE_CHUNKS = 64  # with 64 KiB each: what a slowed direction holds before it stops reading
_CLEAR = LinkRule()


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkAddress:
    """Where a link listens and where it leads."""

    source: str
    destination: str
    listen_host: str
    forward_host: str
    port: int


class LinkTable:
    """The rules of every direction, and how to wait for a change of one."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._rules: dict[tuple[str, str], LinkRule] = dict.fromkeys(pairs, _CLEAR)
        self._changed = asyncio.Event()
        self._on_change: list[Callable[[], None]] = []

    def rule(self, source: str, destination: str) -> LinkRule:
        return self._rules[source, destination]

    def set(self, links: Iterable[Link]) -> None:
        """Apply all rules at once. Raises KeyError for a direction that does not exist; then none is applied."""
        changes = {(link.source, link.destination): link.rule for link in links}
        for source, destination in changes:
            if (source, destination) not in self._rules:
                raise KeyError(f"no link from {source!r} to {destination!r}")
        self._rules.update(changes)
        self._changed.set()
        self._changed = asyncio.Event()
        for notify in list(self._on_change):
            notify()

    def on_change(self, notify: Callable[[], None]) -> None:
        self._on_change.append(notify)

    async def wait_change(self) -> None:
        await self._changed.wait()

    def all(self) -> list[Link]:
        return [Link(source=s, destination=d, rule=rule) for (s, d), rule in sorted(self._rules.items())]


class LinkProxy:
    """Forwards one link under the rules of the table."""

    def __init__(self, address: LinkAddress, table: LinkTable) -> None:
        self._address = address
        self._table = table
        self._server: asyncio.Server | None = None
        self._connections: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter | None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        table.on_change(self._drop_if_cut)

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken."""
        self._server = await asyncio.start_server(self._accept, self._address.listen_host, self._address.port)

    async def stop(self) -> None:
        if self._server:
            self._server.close()
        self._abort_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _is_cut(self) -> bool:
        """Return whether either direction is cut: a TCP connection cannot live on one."""
        a, b = self._address.source, self._address.destination
        return LinkMode.CUT in (self._table.rule(a, b).mode, self._table.rule(b, a).mode)

    def _drop_if_cut(self) -> None:
        if self._is_cut():
            self._abort_all()

    def _abort_all(self) -> None:
        for near, far in list(self._connections):
            _abort(near)
            if far:
                _abort(far)

    async def _accept(self, near_reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far: asyncio.StreamWriter | None = None
        try:
            if self._is_cut():
                return
            # Known before the far side is: a cut during the dial must find this connection too.
            half = (near, far)
            self._connections.add(half)
            try:
                far_reader, far = await asyncio.open_connection(self._address.forward_host, self._address.port)
            finally:
                self._connections.discard(half)
            if self._is_cut():
                return
            self._connections.add((near, far))
            await self._carry(near_reader, near, far_reader, far)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard((near, far))
            _abort(near)
            if far:
                _abort(far)
            self._tasks.discard(task)

    async def _carry(
        self,
        near_reader: asyncio.StreamReader,
        near: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far: asyncio.StreamWriter,
    ) -> None:
        """Carry both directions until one ends."""
        a, b = self._address.source, self._address.destination
        ways = [
            asyncio.create_task(_Direction(self._table, a, b).carry(near_reader, far)),
            asyncio.create_task(_Direction(self._table, b, a).carry(far_reader, near)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


class _Direction:
    """Carries bytes one way: reads into a bounded queue, writes when the rule lets it."""

    def __init__(self, table: LinkTable, source: str, destination: str) -> None:
        self._table = table
        self._source = source
        self._destination = destination
        self._queue: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue(_QUEUE_CHUNKS)

    def _rule(self) -> LinkRule:
        return self._table.rule(self._source, self._destination)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender = asyncio.create_task(self._send(writer))
        try:
            await self._receive(reader)
            await sender
        finally:
            sender.cancel()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await sender

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wait_passable()  # a black hole takes no more than the kernel's buffers hold
            data = await reader.read(_READ_BYTES)
            if not data:
                await self._queue.put(None)
                return
            await self._queue.put((loop.time() + self._rule().latency_ms / 1000, data))

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while (item := await self._queue.get()) is not None:
            due, data = item
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            await self._wait_passable()
            writer.write(data)
            await writer.drain()
            rate = self._rule().rate_bytes_per_s
            if rate:
                await asyncio.sleep(len(data) / rate)

    async def _wait_passable(self) -> None:
        while self._rule().mode is LinkMode.BLACK_HOLE:
            await self._table.wait_change()


def _abort(writer: asyncio.StreamWriter) -> None:
    """End a connection with a reset, as a vanished network path looks to its user."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
