"""libcurl's multi interface driven by gevent's hub: many transfers at once, each awaited by its own greenlet.

libcurl says which sockets it wants watched and when it wants to be called (the SOCKETFUNCTION and TIMERFUNCTION of
https://curl.se/libcurl/c/libcurl-multi.html); the hub's event loop does both. libcurl is entered from the hub alone,
when a socket is ready or a time has come, and never from its own callbacks, which only take notes.
"""

from __future__ import annotations

import atexit
import math
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import gevent
import pycurl
from gevent.hub import Waiter
from gevent.monkey import get_original

from loadtests.kit.curl.failures import Broken, failure_of
from loadtests.kit.curl.libcurl import Easy, new_multi
from loadtests.kit.curl.transfer import Address, Transfer

CONNECTIONS_MAX = 10_000
"""Kept for later requests. libcurl's own bound follows the transfers of the moment and closes the rest at each lull."""
STREAMS_MAX = 1000
"""At once in one HTTP/2 connection, if the server allows as many; then one more connection is made."""
_READ, _WRITE = 1, 2  # libev's
_CLOSED = "the client was closed"
_Socket: type[socket.socket] = get_original("socket", "socket")
"""The one that is not gevent's: here it only lends its methods to descriptors of libcurl's."""


class _Watched:
    """A socket of libcurl's with its watchers.

    They are kept as long as the socket may be open: libev asks the kernel nothing when a watcher that it knows starts
    again. But a new socket may have the number of an old one, and a watcher that was kept would wait for ever on it.
    So they go when libcurl tells of a new socket, and at once where it does not tell (those that its resolver uses).
    It does not tell of every socket that it closes: pycurl loses CLOSESOCKETFUNCTION for a handle at rest.
    """

    __slots__ = ("ended_as", "heard_at_s", "is_reading", "is_told", "is_writing", "reader", "wanted", "writer")

    def __init__(self, hub: gevent.hub.Hub, fd: int, *, is_told: bool) -> None:
        self.reader = hub.loop.io(fd, _READ)
        self.writer = hub.loop.io(fd, _WRITE)
        self.is_reading = self.is_writing = False
        self.wanted = 0
        self.heard_at_s = time.monotonic()
        """When something last came, the connection itself included."""
        self.is_told = is_told
        """Whether libcurl tells when another socket has this number."""
        self.ended_as: Address | None = None
        """The address that a connection had which ended while no request was on it."""

    def close(self) -> None:
        for watcher in (self.reader, self.writer):
            watcher.stop()
            watcher.close()


class CurlMulti:
    """Runs transfers. Belongs to the hub of the thread that makes it."""

    def __init__(self) -> None:
        self._hub = gevent.get_hub()
        self._transfers: dict[Easy, Transfer] = {}
        self._spare: list[Transfer] = []
        self._watched: dict[int, _Watched] = {}
        self._ended: set[Address] = set()
        self._timer: Any = None
        self._armed_for_s = self._due_s = math.inf
        self._kicked = False
        self._closed = False
        self._in_flight = 0
        self._multi = new_multi()
        self._multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
        self._multi.setopt(pycurl.M_MAXCONNECTS, CONNECTIONS_MAX)
        self._multi.setopt(pycurl.M_MAX_CONCURRENT_STREAMS, STREAMS_MAX)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timeout)

    @property
    def in_flight(self) -> int:
        """How many transfers are on their way."""
        return self._in_flight

    def take(self) -> Transfer:
        """Return a transfer with nothing set but what all need. Raises Broken when closed."""
        if self._closed:
            raise Broken(_CLOSED)
        if self._spare:
            return self._spare.pop()
        transfer = Transfer(self._on_new_socket, self._ended)
        self._transfers[transfer.easy] = transfer
        return transfer

    def give_back(self, transfer: Transfer) -> None:
        """Take a transfer back that is at rest, for whoever needs one next."""
        if not self._closed:
            transfer.reset()
            self._spare.append(transfer)

    def perform(self, transfer: Transfer) -> None:
        """Run a transfer to its end; its answer is in `head_lines` and `chunks`. Raises CurlFailed.

        A greenlet that is killed meanwhile takes its transfer with it.
        """
        if self._closed:
            raise Broken(_CLOSED)
        transfer.begin()
        self._multi.add_handle(transfer.easy)
        self._in_flight += 1
        waiter = transfer.waiter = Waiter(self._hub)
        try:
            ended = waiter.get()
        finally:
            if transfer.waiter is waiter:
                self._remove(transfer)
        if ended is not None:
            raise failure_of(*ended, sent=transfer.sent)

    def close(self) -> None:
        """End every transfer, as broken, and every connection."""
        if self._closed:
            return
        self._closed = True
        for transfer in self._transfers.values():
            if (waiter := transfer.waiter) is not None:
                self._remove(transfer)
                self._hub.loop.run_callback(waiter.throw, Broken(_CLOSED))
        self._multi.close()
        for easy in self._transfers:
            easy.close()
        for watched in self._watched.values():
            watched.close()
        self._watched.clear()
        self._disarm()

    def _remove(self, transfer: Transfer) -> None:
        transfer.waiter = None
        self._in_flight -= 1
        self._multi.remove_handle(transfer.easy)

    # --- called by libcurl: take notes only ---

    def _on_socket(self, wanted: int, fd: int, *_: object) -> int:
        """Watch a socket as libcurl wants it."""
        watched = self._watched.get(fd)
        if watched is None:
            if wanted == pycurl.POLL_REMOVE:
                return 0
            watched = self._watched[fd] = _Watched(self._hub, fd, is_told=False)
        elif wanted == pycurl.POLL_REMOVE and not watched.is_told:
            self._watched.pop(fd).close()
            return 0
        watched.wanted = wanted
        if wanted & pycurl.POLL_IN and not watched.is_reading:
            watched.is_reading = True
            watched.reader.start(self._on_readable, fd, watched)
        # Reading goes on when it is no longer wanted, until something comes: mostly the next request wants it again.
        is_writing = bool(wanted & pycurl.POLL_OUT)
        if is_writing is not watched.is_writing:
            watched.is_writing = is_writing
            if is_writing:
                watched.writer.start(self._act, fd, pycurl.CSELECT_OUT)
            else:
                watched.writer.stop()
        return 0

    def _on_timeout(self, after_ms: int) -> int:
        """Arrange to be called after so long; at once is at the loop's next turn, once for all who ask meanwhile."""
        if after_ms == 0:
            if not self._kicked:
                self._kicked = True
                self._hub.loop.run_callback(self._kick)
            return 0
        self._due_s = math.inf if after_ms < 0 else time.monotonic() + after_ms / 1000
        # A timer that goes off too early is set anew then: that is rarer than a limit that moves further away.
        if self._due_s < self._armed_for_s:
            self._arm()
        return 0

    def _on_new_socket(self, fd: int, purpose: int) -> int:
        """Forget the watchers of a socket that had the same number."""
        if (watched := self._watched.pop(fd, None)) is not None:
            watched.close()
            self._ended.discard(watched.ended_as)
        self._watched[fd] = _Watched(self._hub, fd, is_told=True)
        return 0

    # --- called by the hub ---

    def _arm(self) -> None:
        self._disarm()
        if self._due_s < math.inf:
            self._armed_for_s = self._due_s
            self._timer = self._hub.loop.timer(max(0.0, self._due_s - time.monotonic()))
            self._timer.start(self._on_timer)

    def _disarm(self) -> None:
        self._armed_for_s = math.inf
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _on_timer(self) -> None:
        self._armed_for_s = math.inf
        if time.monotonic() < self._due_s:
            self._arm()
            return
        self._due_s = math.inf
        self._act(pycurl.SOCKET_TIMEOUT, 0)

    def _kick(self) -> None:
        self._kicked = False
        self._act(pycurl.SOCKET_TIMEOUT, 0)

    def _on_readable(self, fd: int, watched: _Watched) -> None:
        if not watched.wanted & pycurl.POLL_IN:
            watched.reader.stop()
            watched.is_reading = False
            if watched.is_told:
                self._look_at_idle(fd, watched)
            return
        watched.heard_at_s = time.monotonic()
        self._act(fd, pycurl.CSELECT_IN)

    def _act(self, fd: int, events: int) -> None:
        """Let libcurl go on, and wake those whose transfer has ended."""
        if self._closed:
            return
        _, running_count = self._multi.socket_action(fd, events)
        if running_count == self._in_flight:
            return
        _, done, failed = self._multi.info_read()
        for easy in done:
            self._end(easy, None)
        for easy, code, words in failed:
            self._end(easy, (code, words))

    def _end(self, easy: Easy, ended: tuple[int, str] | None) -> None:
        transfer = self._transfers[easy]
        if (waiter := transfer.waiter) is None:
            return  # killed by one that was woken just before
        if ended is not None and ended[0] == pycurl.E_OPERATION_TIMEDOUT and transfer.sent:
            self._end_silent_connection(transfer)
        self._remove(transfer)
        waiter.switch(ended)

    def _end_silent_connection(self, transfer: Transfer) -> None:
        """End the connection of a transfer that timed out, if nothing at all came over it since it was sent.

        libcurl would go on using it, and so would TCP, which after a partition tries again at longer and longer
        intervals: the client would find the server back minutes after it is. Others on that connection end as broken.
        """
        fd = transfer.easy.getinfo(pycurl.ACTIVESOCKET)  # -1 when libcurl has ended it itself, as it does HTTP/1.1's
        watched = self._watched.get(fd)
        if watched is not None and watched.heard_at_s < transfer.sent_at_s:
            with suppress(OSError), _borrowed(fd) as connection:
                self._note_end(connection, watched)
                connection.shutdown(socket.SHUT_RDWR)

    def _look_at_idle(self, fd: int, watched: _Watched) -> None:
        """Take note if a connection ended while no request was on it: libcurl finds out by its next request only."""
        with suppress(OSError), _borrowed(fd) as connection:
            try:
                if connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                    return
            except ConnectionError:
                pass  # ended as well
            self._note_end(connection, watched)

    def _note_end(self, connection: socket.socket, watched: _Watched) -> None:
        host, port, *_ = connection.getsockname()
        watched.ended_as = (host, port)
        self._ended.add((host, port))


@contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    """Give a socket of libcurl's as one of Python's. Raises OSError if it is none any more."""
    connection = _Socket(fileno=fd)
    try:
        yield connection
    finally:
        connection.detach()


@cache
def shared_multi() -> CurlMulti:
    """Return the one that a process needs, made when first asked for and closed when the process ends."""
    multi = CurlMulti()
    atexit.register(multi.close)
    return multi
