"""A connection under TLS: the same callbacks, with an SSLObject between the socket and the answer."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from functools import cache

from gevent.hub import Hub

from loadtests.kit.wire.answers import AnswerReader
from loadtests.kit.wire.connection import READ, WRITE, Connection, Unused
from loadtests.kit.wire.errors import Broken, NotConnected, WireError
from loadtests.kit.wire.waiting import wait_ready

_RECORD_BYTES = 64 * 1024
_NOT_YET = (BlockingIOError, InterruptedError)


@cache
def default_context() -> ssl.SSLContext:
    """Return a context that verifies certificates and host names, and speaks HTTP/1.1."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class Tunnel:
    """The TLS state of one socket: what came goes in, what is to go out comes out."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str) -> None:
        self.socket = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self.incoming, self.outgoing, server_hostname=host)

    def agree(self, hub: Hub, due_s: float) -> None:
        """Do the handshake in the calling greenlet. Raises NotConnected."""
        late = NotConnected("TLS was not agreed on in time")
        try:
            while True:
                try:
                    self.session.do_handshake()
                except ssl.SSLWantReadError:
                    self._flush(hub, due_s, late)
                    self._fill(hub, due_s, late)
                else:
                    self._flush(hub, due_s, late)
                    return
        except OSError as error:  # ssl.SSLError is one
            raise NotConnected(f"TLS was not agreed on: {error.strerror or error}") from None

    def _flush(self, hub: Hub, due_s: float, late: WireError) -> None:
        data = memoryview(self.outgoing.read())
        while data:
            try:
                data = data[self.socket.send(data) :]
            except _NOT_YET:
                wait_ready(hub, self.socket.fileno(), WRITE, due_s, late)

    def _fill(self, hub: Hub, due_s: float, late: WireError) -> None:
        while True:
            try:
                data = self.socket.recv(_RECORD_BYTES)
            except _NOT_YET:
                wait_ready(hub, self.socket.fileno(), READ, due_s, late)
                continue
            if not data:
                raise NotConnected("the other side closed the connection in the TLS handshake")
            self.incoming.write(data)
            return


class TlsConnection(Connection):
    """A connection whose handshake is done."""

    __slots__ = ("_incoming", "_outgoing", "_session")

    def __init__(
        self, tunnel: Tunnel, hub: Hub, answers: AnswerReader, on_idle_end: Callable[[Connection], None]
    ) -> None:
        self._session = tunnel.session
        self._incoming, self._outgoing = tunnel.incoming, tunnel.outgoing
        super().__init__(tunnel.socket, hub, answers, on_idle_end)

    def _send(self, data: bytes) -> None:
        try:
            self._session.write(data)
        except ssl.SSLError as error:
            raise Unused(Broken(f"TLS broke: {error.strerror or error}", sent=False)) from None
        super()._send(self._outgoing.read())

    def _on_readable(self) -> None:
        try:
            data = self._socket.recv(_RECORD_BYTES)
        except _NOT_YET:
            return
        except OSError as error:
            self._fail(Broken(f"the connection broke: {error.strerror or error}"))
            return
        if data:
            self._incoming.write(data)
            self._decrypt()
        else:
            # Without TLS's own good-bye it may have been cut off by anybody: no end of a body (RFC 9112, section 9.8).
            self._fail(Broken("the connection ended without the end of TLS"))

    def _decrypt(self) -> None:
        """Take what the records hold that have come whole, all at once: after the answer nothing may be left over."""
        pieces = []
        while True:
            try:
                piece = self._session.read(_RECORD_BYTES)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                piece = b""
            except ssl.SSLError as error:
                self._fail(Broken(f"TLS broke: {error.strerror or error}"))
                return
            if not piece:
                self._ending = True
                break
            pieces.append(piece)
        if self._outgoing.pending:
            self._reply()
        ending = self._ending  # before a greenlet goes on with this connection
        if pieces and not self.closed:
            self._take(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if ending and not self.closed:
            self._end("the other side closed the connection")

    def _reply(self) -> None:
        """Send what TLS has to say for itself: an answer to a change of keys."""
        data = self._outgoing.read()
        if self._unsent is not None:
            self._unsent = memoryview(bytes(self._unsent) + data)
            return
        try:
            super()._send(data)
        except Unused:
            self._fail(Broken("the connection takes no more"))
