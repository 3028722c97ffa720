"""A WebSocket connection to a node's event stream: subscribe, then receive event by event.

The protocol is `websockets`' sans-IO one; this module moves its bytes over a gevent socket.
"""

from __future__ import annotations

import json
import socket
import time
from collections import deque
from typing import Any
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import WebSocketException
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

CONNECT_LIMIT_S = 5.0
MAX_MESSAGE_BYTES = 256 * 1024 * 1024  # a full block with its events
_READ_BYTES = 256 * 1024


class SocketClosed(Exception):
    """The connection ended, or could not be made; the text says why."""


class EventSocket:
    """One connection to `/websocket` of a node."""

    def __init__(self, rpc_url: str) -> None:
        """Connect and complete the handshake. Raises SocketClosed."""
        parts = urlsplit(rpc_url)
        secure = parts.scheme == "https"
        uri = parse_uri(f"{'wss' if secure else 'ws'}://{parts.netloc}/websocket")
        self._protocol = ClientProtocol(uri, max_size=MAX_MESSAGE_BYTES)
        self._messages: deque[str] = deque()
        self._pieces: list[bytes] = []
        self._ended = ""
        """Why there is nothing more to come; what has come before is still received."""
        try:
            self._socket = socket.create_connection((uri.host, uri.port), timeout=CONNECT_LIMIT_S)
        except OSError as error:
            raise SocketClosed(f"cannot connect: {error}") from None
        try:
            if secure:
                import ssl

                self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=uri.host)
            self._protocol.send_request(self._protocol.connect())
            self._flush()
            self._handshake()
        except OSError as error:
            self.close()
            raise SocketClosed(f"cannot connect: {error}") from None
        except BaseException:
            self.close()
            raise

    def subscribe(self, query: str, *, identity: int) -> None:
        """Ask for events that match `query`; answers and events carry `identity`. Raises SocketClosed."""
        request = {"jsonrpc": "2.0", "method": "subscribe", "id": identity, "params": {"query": query}}
        try:
            self._protocol.send_text(json.dumps(request).encode())
        except WebSocketException as error:
            raise SocketClosed(self._ended or str(error)) from None
        self._flush()

    def receive(self, limit_s: float) -> tuple[Any, float] | None:
        """Return (message, Unix time at which it was complete), None when none came in time.

        Raises SocketClosed when the connection ended, or sent something that is no JSON object.
        """
        end = time.monotonic() + limit_s
        while not self._messages:
            if self._ended:
                raise SocketClosed(self._ended)
            left = end - time.monotonic()
            if left <= 0:
                return None
            self._read(left)
        text, arrived_at_s = self._messages.popleft(), time.time()
        try:
            message = json.loads(text)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise SocketClosed(f"sent something that is no JSON object: {text[:60]!r}")
        return message, arrived_at_s

    def close(self) -> None:
        """End the connection without waiting for the other side."""
        self._socket.close()

    def _handshake(self) -> None:
        end = time.monotonic() + CONNECT_LIMIT_S
        while self._protocol.handshake_exc is None:
            if self._protocol.state is not State.CONNECTING:
                return  # open; or open and ended again, which `receive` tells
            if self._ended:
                raise SocketClosed(self._ended)
            self._read(end - time.monotonic())
        raise SocketClosed(f"refuses the upgrade: {self._protocol.handshake_exc}")

    def _read(self, limit_s: float) -> None:
        """Take in what arrives within the limit; nothing when nothing does."""
        self._socket.settimeout(max(limit_s, 0.001))
        try:
            data = self._socket.recv(_READ_BYTES)
        except TimeoutError:
            if self._protocol.state is State.CONNECTING:
                raise SocketClosed("does not answer the upgrade in time") from None
            return
        except OSError as error:
            raise SocketClosed(str(error)) from None
        try:
            self._protocol.receive_data(data) if data else self._protocol.receive_eof()
        except (WebSocketException, EOFError) as error:
            raise SocketClosed(str(error)) from None
        for event in self._protocol.events_received():
            self._take(event)
        if not data or self._protocol.state in (State.CLOSING, State.CLOSED):
            # By a close frame, by the end of the stream, or by what is no WebSocket any more.
            self._ended = self._ended or "the other side closed the connection"
        try:
            self._flush()
        except SocketClosed as error:
            self._ended = self._ended or str(error)

    def _take(self, event: Frame | Response | Any) -> None:
        if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.CONT, Opcode.BINARY):
            self._pieces.append(bytes(event.data))
            if event.fin:
                self._messages.append(b"".join(self._pieces).decode(errors="replace"))
                self._pieces.clear()

    def _flush(self) -> None:
        """Send what the protocol wants sent, answers to pings included. Raises SocketClosed."""
        try:
            for data in self._protocol.data_to_send():
                if data:
                    self._socket.sendall(data)
        except OSError as error:
            raise SocketClosed(str(error)) from None
