"""New connections: every address of the origin in turn, within the time for connecting."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from time import monotonic
from typing import Any

from gevent.hub import Hub
from gevent.monkey import get_original

from loadtests.kit.wire.addresses import Address
from loadtests.kit.wire.connection import WRITE
from loadtests.kit.wire.errors import NotConnected
from loadtests.kit.wire.waiting import wait_ready

_plain_socket: Any = get_original("socket", "socket")
"""Locust has gevent take the place of sockets; the hub's callbacks need the system's own."""


def open_socket(addresses: Sequence[Address], hub: Hub, due_s: float) -> socket.socket:
    """Return a connected, non-blocking socket. Raises NotConnected with the last address's reason.

    An address that does not answer gets an equal share of the time that is left, so that the others get theirs.
    """
    failure = NotConnected("no address")
    for place, (family, address) in enumerate(addresses):
        left_s = due_s - monotonic()
        try:
            return _connect(family, address, hub, monotonic() + left_s / (len(addresses) - place))
        except NotConnected as error:
            failure = error
    raise failure


def _connect(family: int, address: Any, hub: Hub, due_s: float) -> socket.socket:
    try:
        sock: socket.socket = _plain_socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise NotConnected(f"no socket to be had: {error.strerror}") from None
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(address)
        if code == errno.EINPROGRESS:
            wait_ready(hub, sock.fileno(), WRITE, due_s, NotConnected("no connection in time"))
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise NotConnected(f"{os.strerror(code)} by {address[0]}:{address[1]}")
    except OSError as error:
        sock.close()
        raise NotConnected(f"{error.strerror or error} by {address[0]}:{address[1]}") from None
    except BaseException:
        sock.close()
        raise
    return sock
