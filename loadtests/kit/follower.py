"""The block follower: one for all transactions of a process. It settles each with the block that has it.

It listens to NewBlock on one node, moves to another when that one breaks or falls behind, and fetches the
blocks that it missed in between. No transaction is asked for by itself, however many there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import gevent
from gevent.event import Event

from bundle import ErrorKind, Outcome
from loadtests.kit.calls import CallFailed
from loadtests.kit.endpoints import EndpointPool
from loadtests.kit.web_socket import EventSocket, SocketClosed
from target.errors import TargetError
from target.rpc import NewBlock, RpcClient, TransactionResult, parse_new_block
from target.target import Node
from target.transaction import hash_of

_SILENCE_LIMIT_S = 5.0
"""Without a block for so long, another node is asked whether it has more."""
_EXPIRY_PERIOD_S = 0.5
_MAX_GAP = 2000
"""Blocks fetched after an interruption, at most: more is hours of blocks, and the limit has passed long ago."""
_RETRY_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """The block that has the transaction. `seen_at_s`: when this process learnt of it."""

    height: int
    result: TransactionResult
    seen_at_s: float


Settled = Callable[[Inclusion | CallFailed], None]
"""Called once for each transaction: with its block, or with why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pending:
    expires_at_s: float
    settled: Settled


class BlockFollower:
    """Follows the chain and settles transactions."""

    def __init__(self, nodes: list[Node], *, confirm_limit_s: float) -> None:
        self._nodes = EndpointPool(nodes)
        self._clients = {node.name: RpcClient(node.rpc_url, timeout_s=5.0) for node in nodes}
        self._confirm_limit_s = confirm_limit_s
        self._pending: dict[str, _Pending] = {}
        # Known before the first transaction is sent, so that no block with one can be missed.
        self._height = self._first_height()
        self._empty = Event()
        self._empty.set()
        self._greenlets = [gevent.spawn(self._follow_forever), gevent.spawn(self._expire_forever)]

    def watch(self, tx_hash: str, settled: Settled) -> None:
        """Settle the transaction when its block comes, or when the limit passes."""
        expires_at_s = time.monotonic() + self._confirm_limit_s
        self._pending[tx_hash] = _Pending(expires_at_s=expires_at_s, settled=settled)
        self._empty.clear()

    def forget(self, tx_hash: str) -> bool:
        """Stop watching a transaction that was not accepted; returns whether it was still unsettled."""
        was_pending = self._pending.pop(tx_hash, None) is not None
        self._note_empty()
        return was_pending

    @property
    def pending_count(self) -> int:
        return len(self._pending)

    def drain(self, limit_s: float) -> None:
        """Wait until nothing is pending, at most `limit_s`; what is left then counts as not included."""
        self._empty.wait(limit_s)
        self._expire(everything=True)

    def stop(self) -> None:
        gevent.killall(self._greenlets)

    def _first_height(self) -> int:
        for client in self._clients.values():
            try:
                return client.status().height
            except TargetError:
                continue
        return 0

    def _follow_forever(self) -> None:
        while True:
            node = self._nodes.choose()
            try:
                self._follow(node)
            except (SocketClosed, TargetError, AttributeError, KeyError, TypeError, ValueError):
                self._nodes.failed(node)
                gevent.sleep(_RETRY_S)

    def _follow(self, node: Node) -> None:
        """Follow one node until it breaks or another one is ahead of it."""
        stream = EventSocket(node.rpc_url)
        try:
            stream.subscribe("tm.event='NewBlock'", identity=1)
            self._catch_up(node, self._clients[node.name].status().height)
            while True:
                received = stream.receive(_SILENCE_LIMIT_S)
                if received is None:
                    if self._somebody_is_ahead(node):
                        raise SocketClosed("has fallen behind")
                    continue
                message, arrived_at_s = received
                result = message.get("result") or {}
                if not result:
                    if "error" in message:
                        raise SocketClosed(str(message["error"]))
                    continue  # the answer to the subscription
                self._nodes.worked(node)
                block = parse_new_block(result)
                self._catch_up(node, block.height - 1)
                self._settle(block, arrived_at_s)
        finally:
            stream.close()

    def _catch_up(self, node: Node, height: int) -> None:
        """Fetch the blocks between the last one settled and `height`, which included."""
        client = self._clients[node.name]
        for missed in range(max(self._height + 1, height - _MAX_GAP), height + 1):
            block, results = client.block(missed), client.block_results(missed)
            pairs = zip(block.transactions, results.transactions, strict=True)
            settled = tuple((hash_of(raw), result) for raw, result in pairs)
            self._settle(NewBlock(height=missed, time_s=block.header.time_s, transactions=settled), time.time())

    def _settle(self, block: NewBlock, seen_at_s: float) -> None:
        if block.height <= self._height:
            return
        self._height = block.height
        for tx_hash, result in block.transactions:
            pending = self._pending.pop(tx_hash, None)
            if pending is not None:
                pending.settled(Inclusion(height=block.height, result=result, seen_at_s=seen_at_s))
        self._note_empty()

    def _somebody_is_ahead(self, node: Node) -> bool:
        for name, client in self._clients.items():
            if name != node.name:
                try:
                    if client.status().height > self._height + 1:
                        return True
                except TargetError:
                    continue
        return False

    def _expire_forever(self) -> None:
        while True:
            gevent.sleep(_EXPIRY_PERIOD_S)
            self._expire(everything=False)

    def _expire(self, *, everything: bool) -> None:
        now = time.monotonic()
        gone = [tx_hash for tx_hash, item in self._pending.items() if everything or item.expires_at_s <= now]
        for tx_hash in gone:
            pending = self._pending.pop(tx_hash, None)
            if pending is None:
                continue  # settled by a block while another one's callback waited
            failure = CallFailed(
                ErrorKind.NOT_INCLUDED, f"accepted, and in no block up to {self._height}", outcome=Outcome.UNKNOWN
            )
            pending.settled(failure)
        self._note_empty()

    def _note_empty(self) -> None:
        if not self._pending:
            self._empty.set()
