"""Fake nodes for observers: a chain in memory, served over real RPC; killed and started again at the same address."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from target.wire import bytes_field, coin, first_bytes
from tests.unit.experiments.fake_net import FakePart

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
PAGE = 20


@dataclass(slots=True)
class FakeBlock:
    """One block: transactions with their results, and the block's own events."""

    transactions: list[tuple[bytes, dict[str, Any]]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class FakeLedger:
    """The chain that all nodes have. `balances` and `supply` are functions of height and address."""

    blocks: list[FakeBlock] = field(default_factory=lambda: [FakeBlock() for _ in range(3)])
    balance: Callable[[int, str], int] = lambda height, address: 1000 + height
    supply: Callable[[int], int] = lambda height: 10**30 + height

    @property
    def height(self) -> int:
        return len(self.blocks)

    def add(self, *blocks: FakeBlock) -> None:
        self.blocks += blocks or (FakeBlock(),)


class ChainNode(FakePart):
    """One node. It has the chain up to `height`, or all of it while that is None."""

    def __init__(self, name: str, ledger: FakeLedger) -> None:
        self.ledger = ledger
        self.height: int | None = None
        self.catching_up = False
        self.asked: list[tuple[str, Any]] = []
        """(method, parameters) of every call."""
        self.instead: dict[str, Callable[[Any], Any]] = {}
        """Results by method instead of the true ones. May raise ValueError: then the node gives an error."""
        self.raw: tuple[int, bytes] | None = None
        """What to answer whatever is asked: status and body."""
        self.requests = 0
        super().__init__(name, "node")

    @property
    def top(self) -> int:
        return self.ledger.height if self.height is None else self.height

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        self.requests += 1
        if self.raw is not None:
            return self.raw
        if method == "GET":
            return 200, b"{}"
        calls = json.loads(body)
        found = [self._envelope(call) for call in calls] if isinstance(calls, list) else self._envelope(calls)
        return 200, json.dumps(found).encode()

    def calls_of(self, method: str) -> list[Any]:
        """Return the parameters of every call of a method."""
        return [parameters for name, parameters in self.asked if name == method]

    def _envelope(self, call: dict[str, Any]) -> dict[str, Any]:
        method, parameters = call["method"], call["params"]
        self.asked.append((method, parameters))
        head = {"jsonrpc": "2.0", "id": call["id"]}
        try:
            answer = self.instead.get(method, getattr(self, f"_{method}"))
            return head | {"result": answer(parameters)}
        except ValueError as error:
            return head | {"error": {"code": -32603, "message": "Internal error", "data": str(error)}}

    def _header(self, height: int) -> dict[str, Any]:
        time = (EPOCH + timedelta(seconds=height)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {"height": str(height), "time": time, "app_hash": f"{height - 1:064X}", "proposer_address": "AA"}

    def _status(self, parameters: Any) -> dict[str, Any]:
        sync = {
            "latest_block_height": str(self.top),
            "latest_block_hash": "AA",
            "latest_app_hash": "BB",
            "latest_block_time": "2026-01-01T00:00:00Z",
            "catching_up": self.catching_up,
        }
        info = {"id": self.name, "network": "fake-1", "version": "1"}
        return {"node_info": info, "sync_info": sync, "validator_info": {"address": "AA", "voting_power": "1"}}

    def _net_info(self, parameters: Any) -> dict[str, Any]:
        return {"n_peers": "3"}

    def _num_unconfirmed_txs(self, parameters: Any) -> dict[str, Any]:
        return {"n_txs": "1", "total": "17", "total_bytes": "5", "txs": None}

    def _abci_info(self, parameters: Any) -> dict[str, Any]:
        app_hash = base64.b64encode(self.top.to_bytes(32, "big")).decode()
        return {"response": {"last_block_height": str(self.top), "last_block_app_hash": app_hash}}

    def _blockchain(self, parameters: Any) -> dict[str, Any]:
        lowest, highest = int(parameters["minHeight"]), min(int(parameters["maxHeight"]), self.top)
        heights = [*range(lowest, highest + 1)][-PAGE:]
        metas = [
            {
                "block_id": {"hash": f"{height:064X}"},
                "header": self._header(height),
                "num_txs": str(len(self.ledger.blocks[height - 1].transactions)),
            }
            for height in reversed(heights)
        ]
        return {"last_height": str(self.top), "block_metas": metas}

    def _at(self, parameters: Any) -> int:
        height = int(parameters["height"])
        if not 0 < height <= self.top:
            raise ValueError(f"height {height} must be less than or equal to the current blockchain height {self.top}")
        return height

    def _block(self, parameters: Any) -> dict[str, Any]:
        height = self._at(parameters)
        transactions = [base64.b64encode(raw).decode() for raw, _ in self.ledger.blocks[height - 1].transactions]
        block = {"header": self._header(height), "data": {"txs": transactions}}
        return {"block_id": {"hash": f"{height:064X}"}, "block": block}

    def _block_results(self, parameters: Any) -> dict[str, Any]:
        height = self._at(parameters)
        block = self.ledger.blocks[height - 1]
        results = [result for _, result in block.transactions]
        return {"height": str(height), "txs_results": results or None, "finalize_block_events": block.events or None}

    def _abci_query(self, parameters: Any) -> dict[str, Any]:
        height = self._at(parameters)
        if parameters["path"].endswith("/SupplyOf"):
            amount = self.ledger.supply(height)
        else:
            address = first_bytes(bytes.fromhex(parameters["data"]), 1).decode()
            amount = self.ledger.balance(height, address)
        value = base64.b64encode(bytes_field(1, coin("uve", amount))).decode()
        return {"response": {"code": 0, "log": "", "codespace": "", "value": value, "height": str(height)}}


@contextmanager
def chain_nodes(count: int) -> Iterator[tuple[FakeLedger, list[ChainNode]]]:
    """Give a ledger and nodes that have it; they end with the block."""
    ledger = FakeLedger()
    with ExitStack() as stack:
        nodes = []
        for place in range(count):
            node = ChainNode(f"node-{place}", ledger)
            stack.callback(node.kill)
            nodes.append(node)
        yield ledger, nodes


def event(kind: str, **attributes: str) -> dict[str, Any]:
    """Return an ABCI event as block results have it."""
    return {"type": kind, "attributes": [{"key": key, "value": value} for key, value in attributes.items()]}
