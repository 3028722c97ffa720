"""The chain as each node has it: block hash and app hash of every height, from every node.

`/health` does not tell a node that has left the consensus; its app hash and its height do.
"""

from __future__ import annotations

import threading

from bundle import TableWriter
from observers.observer import ticks
from target.errors import TargetError
from target.rpc import AppState, RpcClient
from target.target import Node

_ASK_LIMIT_S = 1.0
_PAGE = 20  # headers that a node gives in one answer


class BlockWatch:
    """Watches one node's chain, from the height at which it finds it."""

    def __init__(self, node: Node, blocks: TableWriter, period_s: float) -> None:
        self.name = f"blocks of {node.name}"
        self._node = node.name
        self._rpc = RpcClient(node.rpc_url, timeout_s=_ASK_LIMIT_S)
        self._blocks, self._period_s = blocks, period_s
        self._height = 0

    def run(self, stop: threading.Event) -> None:
        for at_s in ticks(stop, self._period_s):
            try:
                state = self._rpc.app_state()
                if state.height > self._height > 0:
                    self._record(state, at_s)
                self._height = max(self._height, state.height)
            except TargetError:
                continue  # the health watch records that the node is silent

    def _record(self, state: AppState, at_s: float) -> None:
        """Write a row for every new height; the newest also has what the node itself computed."""
        while self._height < state.height:
            highest = min(self._height + _PAGE, state.height)
            headers = self._rpc.headers(self._height + 1, highest)
            for header in headers:
                self._blocks.append(
                    node=self._node,
                    height=header.height,
                    block_hash=header.block_hash,
                    header_app_hash=header.app_hash,
                    own_app_hash=state.app_hash if header.height == state.height else None,
                    header_time_at_s=header.time_s,
                    observed_at_s=at_s,
                    tx_count=header.tx_count,
                    proposer=header.proposer,
                )
            self._height = highest
