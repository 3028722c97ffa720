"""libcurl's multi interface driven by gevent's hub: many transfers at once, each awaited by its own greenlet.

libcurl says which sockets it wants watched and when it wants to be called (the SOCKETFUNCTION and TIMERFUNCTION of
https://curl.se/libcurl/c/libcurl-multi.html); the hub's event loop does both. libcurl is entered from the hub alone,
when a socket is ready or a time has come, and never from its own callbacks, which only take notes.
"""

from __future__ import annotations

import atexit
import math
import os
import socket
import stat
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

    They are kept while libcurl does not want the socket watched: started again in the same turn of the loop, they cost
    no call of the kernel. But the socket may have been closed meanwhile and its number given to another, of which libev
    must learn by new watchers, or it waits for ever. (That libcurl closes a socket is not always told: pycurl loses
    CLOSESOCKETFUNCTION for a handle at rest.) And none may run then: libev aborts the process over a closed socket.
    """

    __slots__ = ("address", "heard_at_s", "inode", "is_cut", "reader", "running", "writer")

    def __init__(self, hub: gevent.hub.Hub, fd: int) -> None:
        self.reader = hub.loop.io(fd, _READ)
        self.writer = hub.loop.io(fd, _WRITE)
        self.running = 0
        """POLL_IN, POLL_OUT, both or none, as the watchers run."""
        self.inode = _socket_inode(fd)
        self.heard_at_s = time.monotonic()
        """When something last came, the connection itself included."""
        self.address: Address | None = None
        """The client's address of the connection, once a request was about to leave."""
        self.is_cut = False
        """Whether the connection was ended here."""

    def is_of(self, fd: int) -> bool:
        """Whether the number is still that of the same socket. What is no socket (libcurl's alarm) cannot be told."""
        return bool(self.running) or (self.inode is not None and self.inode == _socket_inode(fd))

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
        self._by_address: dict[Address, int] = {}
        self._unnamed: list[int] = []  # new sockets, not in _by_address yet
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
        transfer = Transfer(self._has_ended)
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
        if wanted == pycurl.POLL_REMOVE:
            if watched is None:
                return 0
        elif watched is None or not watched.is_of(fd):
            watched = self._watch_anew(fd)
        wanted &= pycurl.POLL_INOUT  # of POLL_REMOVE nothing is left
        changed = wanted ^ watched.running
        watched.running = wanted
        if changed & pycurl.POLL_IN:
            if wanted & pycurl.POLL_IN:
                watched.reader.start(self._on_readable, fd, watched)
            else:
                watched.reader.stop()
        if changed & pycurl.POLL_OUT:
            if wanted & pycurl.POLL_OUT:
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

    def _watch_anew(self, fd: int) -> _Watched:
        """Return new watchers for a socket, and forget those of the one that had its number before."""
        if (old := self._watched.pop(fd, None)) is not None:
            old.close()
            if old.address is not None and self._by_address.get(old.address) == fd:
                del self._by_address[old.address]
        watched = self._watched[fd] = _Watched(self._hub, fd)
        self._unnamed.append(fd)
        return watched

    def _has_ended(self, address: Address) -> bool:
        """Whether a connection that libcurl is about to use has ended, if no other request is on it."""
        if (fd := self._by_address.get(address)) is None:
            self._name_sockets()
            if (fd := self._by_address.get(address)) is None:
                return False
        watched = self._watched[fd]
        if watched.is_cut:
            return True
        if watched.running & pycurl.POLL_IN:
            return False  # in use: libcurl learns of its end as it comes
        with suppress(OSError), _borrowed(fd) as connection:
            if connection.getsockname()[:2] != address:
                return False  # closed, and its number is another's
            try:
                return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except ConnectionError:
                return True
        return False

    def _name_sockets(self) -> None:
        """Learn which of the new sockets has which address."""
        for fd in self._unnamed:
            with suppress(OSError), _borrowed(fd) as connection:
                host, port, *_ = connection.getsockname()
                self._by_address[host, port] = fd
                self._watched[fd].address = (host, port)
        self._unnamed.clear()

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
            watched.is_cut = True
            with suppress(OSError), _borrowed(fd) as connection:
                connection.shutdown(socket.SHUT_RDWR)


def _socket_inode(fd: int) -> int | None:
    """Return what no other socket of this host has; None for what is no socket, or is closed."""
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return found.st_ino if stat.S_ISSOCK(found.st_mode) else None


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
