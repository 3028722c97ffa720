"""A chain of fake nodes that speak CometBFT's RPC and WebSocket: they lag, skip announcements, fall silent and die.

The chain makes a block when it is told to. Nodes serve blocks up to a height of their own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from gevent.server import StreamServer

from target.transaction import hash_of
from tests.unit.loadtests.kit_servers import Request, WebSocketPeer, http_bytes, read_request, upgrade

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class FakeTx:
    raw: bytes
    code: int = 0

    @property
    def tx_hash(self) -> str:
        return hash_of(self.raw)


@dataclass(slots=True)
class FakeChain:
    """Blocks from height 1 on; `blocks[0]` is height 1. It begins with three empty ones."""

    blocks: list[list[FakeTx]] = field(default_factory=lambda: [[], [], []])
    nodes: list[FakeNode] = field(default_factory=list)
    accounts: dict[str, tuple[int, int]] = field(default_factory=dict)
    """(number, sequence) by address."""
    on_broadcast: Callable[[bytes], dict[str, Any]] = lambda raw: {"code": 0, "codespace": "", "log": "", "hash": "A"}

    @property
    def height(self) -> int:
        return len(self.blocks)

    def make_block(self, *transactions: FakeTx) -> int:
        """Make a block, and let every node that keeps up have it."""
        self.blocks.append(list(transactions))
        for node in self.nodes:
            if node.keeps_up:
                node.take(self.height)
        return self.height

    def header(self, height: int) -> dict[str, Any]:
        return {
            "height": str(height),
            "time": (EPOCH + timedelta(seconds=height)).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "app_hash": "",
            "proposer_address": "AA",
            "chain_id": "fake-1",
        }

    def encoded(self, height: int) -> list[str]:
        return [base64.b64encode(tx.raw).decode() for tx in self.blocks[height - 1]]

    def event(self, height: int, identity: int) -> dict[str, Any]:
        """Return the NewBlock event: without results for an empty block, without the code for code 0."""
        block = {"header": self.header(height), "data": {"txs": self.encoded(height)}}
        results = [{"code": tx.code, "log": "no"} if tx.code else {"gas_used": "1"} for tx in self.blocks[height - 1]]
        value = {"block": block, "result_finalize_block": {"tx_results": results} if results else {}}
        return {"jsonrpc": "2.0", "id": identity, "result": {"data": {"value": value}, "query": "NewBlock"}}


class FakeNode:
    """One node of the chain, on a port of its own that stays the same."""

    def __init__(self, chain: FakeChain) -> None:
        self.chain = chain
        self.height = chain.height
        self.keeps_up = True
        """Whether it takes the chain's new blocks."""
        self.announces = True
        """Whether it announces those that it takes."""
        self.asked: list[str] = []
        """The methods that it was asked for."""
        self.answers: dict[str, Any] = {}
        """Answers to methods instead of the true ones: whole envelopes."""
        self.unable: set[str] = set()
        """Methods that give an error."""
        self._subscribers: list[tuple[WebSocketPeer, int]] = []
        self._connections: set[socket.socket] = set()
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        self.port = int(self._server.server_port or 0)
        chain.nodes.append(self)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def subscriber_count(self) -> int:
        return len(self._subscribers)

    def take(self, height: int) -> None:
        """Have the blocks up to a height, and announce the new ones to whoever subscribed."""
        heights = range(self.height + 1, height + 1)
        self.height = height
        if self.announces:
            for number in heights:
                self.announce(number)

    def announce(self, height: int) -> None:
        for peer, identity in list(self._subscribers):
            with suppress(OSError):
                peer.send(self.chain.event(height, identity))

    def send_to_subscribers(self, raw: bytes) -> None:
        for peer, _ in list(self._subscribers):
            with suppress(OSError):
                peer.connection.sendall(raw)

    def die(self) -> None:
        """Break all connections and refuse new ones."""
        self._server.stop(timeout=0.1)
        self.break_connections()

    def break_connections(self) -> None:
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def live(self) -> None:
        """Listen again where it listened before."""
        self._server = StreamServer(("127.0.0.1", self.port), self._serve)
        self._server.start()

    def _serve(self, connection: socket.socket, address: Any) -> None:
        self._connections.add(connection)
        try:
            with suppress(OSError, EOFError), connection, connection.makefile("rb") as stream:
                while (request := read_request(stream)) is not None:
                    if request.path == "/websocket":
                        self._stream(upgrade(request, connection))
                        return
                    connection.sendall(http_bytes(200, json.dumps(self._answer(request)).encode()))
        finally:
            self._connections.discard(connection)

    def _stream(self, peer: WebSocketPeer) -> None:
        entry: tuple[WebSocketPeer, int] | None = None
        try:
            while True:
                asked = peer.receive()
                self.asked.append(asked["method"])
                if "subscribe" in self.unable:
                    peer.send({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32603, "message": "no"}})
                    continue
                peer.send({"jsonrpc": "2.0", "id": asked["id"], "result": {}})
                entry = (peer, int(asked["id"]))
                self._subscribers.append(entry)
        finally:
            if entry:
                self._subscribers.remove(entry)

    def _answer(self, request: Request) -> dict[str, Any]:
        call = request.json()
        method, parameters = call["method"], call["params"]
        self.asked.append(method)
        if method in self.answers:
            return dict(self.answers[method])
        envelope = {"jsonrpc": "2.0", "id": call["id"]}
        if method in self.unable:
            return envelope | {"error": {"code": -32603, "message": "Internal error", "data": "not today"}}
        try:
            return envelope | {"result": getattr(self, f"_{method}")(parameters)}
        except LookupError as error:
            return envelope | {"error": {"code": -32603, "message": "Internal error", "data": str(error)}}

    def _status(self, parameters: dict[str, Any]) -> dict[str, Any]:
        header = self.chain.header(max(self.height, 1))
        sync = {
            "latest_block_height": str(self.height),
            "latest_block_hash": "AA",
            "latest_app_hash": "",
            "latest_block_time": header["time"],
            "catching_up": False,
        }
        info = {"id": "node", "network": "fake-1", "version": "1"}
        return {"node_info": info, "sync_info": sync, "validator_info": {"address": "AA", "voting_power": "1"}}

    def _height_in(self, parameters: dict[str, Any]) -> int:
        height = int(parameters["height"])
        if not 0 < height <= self.height:
            raise LookupError(f"height {height} must be less than or equal to the current blockchain height")
        return height

    def _block(self, parameters: dict[str, Any]) -> dict[str, Any]:
        height = self._height_in(parameters)
        block = {"header": self.chain.header(height), "data": {"txs": self.chain.encoded(height)}}
        return {"block_id": {"hash": "AA"}, "block": block}

    def _block_results(self, parameters: dict[str, Any]) -> dict[str, Any]:
        height = self._height_in(parameters)
        results = [{"code": tx.code, "log": "no" if tx.code else ""} for tx in self.chain.blocks[height - 1]]
        return {"height": str(height), "txs_results": results or None, "finalize_block_events": None}

    def _broadcast_tx_sync(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return self.chain.on_broadcast(base64.b64decode(parameters["tx"]))


@contextmanager
def chain_of(count: int) -> Iterator[tuple[FakeChain, list[FakeNode]]]:
    """Give a chain and its nodes, which end with the block."""
    chain = FakeChain()
    with ExitStack() as stack:
        for _ in range(count):
            stack.callback(FakeNode(chain).die)
        yield chain, chain.nodes


def a_tx(label: object, code: int = 0) -> FakeTx:
    """Return a transaction that is different for every label."""
    return FakeTx(hashlib.sha256(repr(label).encode()).digest(), code)
