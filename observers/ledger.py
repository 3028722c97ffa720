"""The chain's books: every transaction in every block, what was minted and burned, and balances before and after.

Read once, from whichever node answers, height by height without a gap. Whether the books balance is for
`analysis` to say.
"""

from __future__ import annotations

import threading
import time

from bundle import TableWriter
from observers.observer import ticks
from target.errors import BadAnswer, TargetError
from target.query import balances, total_supply
from target.rpc import Block, BlockResults, Event, RpcClient
from target.target import Target
from target.transaction import hash_of, read_transfer

_ASK_LIMIT_S = 5.0
_HEIGHT_LIMIT_S = 1.0
"""Every node is asked for its height; one that is mute must not hold up the reading from the others for long."""
_PERIOD_S = 0.25
MAX_ACCOUNTS = 5000
"""Load accounts whose balances are written down; of a larger pool, the first ones."""
_MOST_STORABLE = 2**63 - 1
FINISH_LIMIT_S = 10.0
"""How long the end of the watch may take to read up to the last block and the closing balances."""


class LedgerWatch:
    """Reads the books from the height at which it finds the chain to the height at which it is told to stop."""

    name = "ledger"

    def __init__(
        self, target: Target, transactions: TableWriter, supply: TableWriter, balance_table: TableWriter
    ) -> None:
        self._target = target
        self._clients = {node.name: RpcClient(node.rpc_url, timeout_s=_ASK_LIMIT_S) for node in target.nodes}
        self._heights = {node.name: RpcClient(node.rpc_url, timeout_s=_HEIGHT_LIMIT_S) for node in target.nodes}
        self._transactions, self._supply, self._balances = transactions, supply, balance_table
        self._height = 0
        self._addresses: list[str] = []

    def run(self, stop: threading.Event) -> None:
        accounts = self._target.accounts.derive(MAX_ACCOUNTS) if self._target.accounts else []
        self._addresses = [account.address for account in accounts]
        if not self._open(stop):
            return
        for _ in ticks(stop, _PERIOD_S):
            self._advance()
        self._finish()

    def _open(self, stop: threading.Event) -> bool:
        """Write the opening balances; returns False when no node gave them before the end."""
        for _ in ticks(stop, _PERIOD_S):
            for client in self._clients.values():
                try:
                    height = client.status().height
                    self._write_state(client, height)
                    self._height = height
                    return True
                except TargetError:
                    continue
        return False

    def _finish(self) -> None:
        """Read up to the block that is the last one now, and write the closing balances there."""
        end = time.monotonic() + FINISH_LIMIT_S
        while time.monotonic() < end:
            if self._advance():
                for client in self._clients.values():
                    try:
                        self._write_state(client, self._height)
                        return
                    except TargetError:
                        continue
            time.sleep(_PERIOD_S)

    def _advance(self) -> bool:
        """Read the blocks that any node has by now; returns whether the last of them was read.

        Every node is asked: one that answers may stand still while the others go on.
        """
        highest = 0
        for name, client in self._clients.items():
            try:
                height = self._heights[name].status().height
                highest = max(highest, height)
                while self._height < height:
                    block, results = client.block(self._height + 1), client.block_results(self._height + 1)
                    if len(block.transactions) != len(results.transactions):
                        why = f"has {len(block.transactions)} transactions and {len(results.transactions)} results"
                        raise BadAnswer(client.url, f"block {self._height + 1} {why}")
                    self._write(name, block, results)
                    self._height += 1
            except TargetError:
                continue
        return 0 < highest <= self._height

    def _write(self, node: str, block: Block, results: BlockResults) -> None:
        now, height, denom = time.time(), block.header.height, self._target.chain.denom
        events = list(results.events)
        for index, (raw, result) in enumerate(zip(block.transactions, results.transactions, strict=True)):
            transfer = read_transfer(raw, denom)
            events += result.events
            self._transactions.append(
                height=height,
                index=index,
                tx_hash=hash_of(raw),
                code=result.code,
                codespace=result.codespace,
                gas_wanted=result.gas_wanted,
                gas_used=result.gas_used,
                sender=transfer.sender if transfer else None,
                recipient=transfer.recipient if transfer else None,
                amount_uve=_storable(transfer.amount) if transfer else None,
                fee_uve=_storable(_fee_charged(result.events, denom)),
                node=node,
                observed_at_s=now,
            )
        self._supply.append(
            height=height,
            minted_uve=str(_sum_of(events, "coinbase", denom)),
            burned_uve=str(_sum_of(events, "burn", denom)),
        )

    def _write_state(self, client: RpcClient, height: int) -> None:
        """Write total supply and the load accounts' balances after `height`."""
        denom = self._target.chain.denom
        total = total_supply(client, denom, height=height)
        amounts = balances(client, self._addresses, denom, height=height)
        for address, amount in zip(self._addresses, amounts, strict=True):
            self._balances.append(height=height, address=address, amount_uve=str(amount))
        self._supply.append(height=height, total_uve=str(total))


def _fee_charged(events: tuple[Event, ...], denom: str) -> int:
    """Return the fee that the chain took, by its own event; 0 where it took none (refused before the fee)."""
    return next((_amount(fee, denom) for e in events if e.kind == "tx" and (fee := e.attributes.get("fee"))), 0)


def _sum_of(events: list[Event], kind: str, denom: str) -> int:
    """Return the sum of a bank event's amounts ("coinbase": minted, "burn": burned)."""
    return sum(_amount(event.attributes.get("amount", ""), denom) for event in events if event.kind == kind)


def _amount(coins: str, denom: str) -> int:
    """Return how much of a denomination is in a text like "12uve,3x"."""
    parts = [part.removesuffix(denom) for part in coins.split(",") if part.endswith(denom)]
    return sum(int(part) for part in parts if part.isascii() and part.isdigit())


def _storable(amount: int) -> int | None:
    """Return the amount, None when it is more than the table can hold: a transfer of that much can only have failed."""
    return amount if amount <= _MOST_STORABLE else None
