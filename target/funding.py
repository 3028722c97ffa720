"""Money for load accounts, by `MsgMultiSend`: for a network whose genesis somebody else writes.

Accounts that have enough are left alone, so that funding twice, or again after an interruption, does no harm. One
transaction is on its way at a time, and its block is waited for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from target.errors import BadAnswer, NoAnswer, Refused, TargetError
from target.keys import AccountKey
from target.query import account_state, balance, balances, simulate
from target.rpc import RpcClient
from target.target import Target
from target.transaction import TransferSigner

MAX_OUTPUTS = 500
"""Of one transaction: about 35 KB, far below the 1 MB that a mempool takes."""
MAX_RAW_BYTES = 200_000
GAS_SPARE = 1.3
"""Offered for what the chain simulates: an account that is new by then costs more."""
_PER_OUTPUT_GAS = 40_000
"""What a payment to a new account uses, rounded up; only to say beforehand whether the funder has enough."""
_BASE_GAS = 100_000
BLOCK_SHARE = 0.5
"""Of a block's gas that one transaction may take."""
_ASK_TIMEOUT_S = 10.0
_POLL_S = 0.2
_BLOCKS_WAITED = 30
_BALANCES_AT_ONCE = 500


class TooLittle(TargetError):
    """The funder cannot pay what the accounts lack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Funded:
    """One batch that is in a block, every balance seen."""

    accounts: int
    amount: int
    """Of all together, in the chain's denomination."""
    tx_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """What accounts need to have the amount each."""

    outputs: tuple[tuple[str, int], ...]
    """(address, what it lacks)"""
    enough: int
    """Accounts that have it already."""

    @property
    def total(self) -> int:
        return sum(amount for _, amount in self.outputs)


class Funder:
    """Pays from one account. Asks the first node that answers; raises its error when none does."""

    def __init__(self, target: Target, key: AccountKey) -> None:
        self._chain = target.chain
        self._key = key
        self._rpc = _first_that_answers(target)
        self._limit_s = max(_BLOCKS_WAITED * target.block_time_s, _ASK_TIMEOUT_S)
        state = account_state(self._rpc, key.address)
        if state is None:
            raise TooLittle(
                self._rpc.url, f"{key.address} pays, and is not known to the chain; expected one with money"
            )
        self._number = state.number
        self._block_gas = _block_gas(self._rpc)

    def lack(self, addresses: Sequence[str], amount: int) -> Lack:
        """Return what these accounts lack to `amount` each; the funder itself is left out."""
        height = self._rpc.status().height
        others = [address for address in addresses if address != self._key.address]
        outputs = []
        for start in range(0, len(others), _BALANCES_AT_ONCE):
            chunk = others[start : start + _BALANCES_AT_ONCE]
            found = balances(self._rpc, chunk, self._chain.denom, height=height)
            outputs += [(name, amount - has) for name, has in zip(chunk, found, strict=True) if has < amount]
        return Lack(outputs=tuple(outputs), enough=len(others) - len(outputs))

    def pay(self, lack: Lack) -> Iterator[Funded]:
        """Pay batch by batch, yielding each when its block is there. Raises TooLittle before anything is paid."""
        if not lack.outputs:
            return
        batches = -(-len(lack.outputs) // MAX_OUTPUTS)
        fees = self._chain.fee(len(lack.outputs) * _PER_OUTPUT_GAS + batches * _BASE_GAS)
        has = balance(self._rpc, self._key.address, self._chain.denom)
        if has < lack.total + fees:
            denom = self._chain.denom
            why = f"{self._key.address} has {has} {denom}; expected {lack.total} for {len(lack.outputs)} accounts"
            raise TooLittle(self._rpc.url, f"{why} and up to {fees} for fees")
        left = list(lack.outputs)
        while left:
            batch = left[:MAX_OUTPUTS]
            paid = self._pay_batch(batch)
            left = left[paid.accounts :]
            yield paid

    def _pay_batch(self, batch: list[tuple[str, int]]) -> Funded:
        """Pay as many of the batch, from its beginning, as fit into one transaction, and wait for their block."""
        sequence = self._sequence()
        while True:
            guess = _BASE_GAS + len(batch) * _PER_OUTPUT_GAS
            draft = self._signer(guess).multi_transfer(batch, sequence=sequence)
            gas = int(simulate(self._rpc, draft.raw) * GAS_SPARE)
            if len(batch) == 1 or (len(draft.raw) <= MAX_RAW_BYTES and gas <= self._block_gas):
                break
            batch = batch[: len(batch) // 2]
        address, amount = batch[-1]
        before = balance(self._rpc, address, self._chain.denom)
        transaction = self._signer(gas).multi_transfer(batch, sequence=sequence)
        checked = self._rpc.broadcast(transaction.raw)
        if checked.code:
            why = f"{checked.codespace}/{checked.code} {checked.log}"
            raise Refused(self._rpc.url, why, code=checked.code, codespace=checked.codespace)
        self._await_sequence(sequence + 1, transaction.tx_hash)
        # A transaction pays all of its outputs, or none: one of them tells.
        if balance(self._rpc, address, self._chain.denom) < before + amount:
            raise Refused(self._rpc.url, f"{transaction.tx_hash} is in a block and paid nothing", code=0)
        total = sum(amount for _, amount in batch)
        return Funded(accounts=len(batch), amount=total, tx_hash=transaction.tx_hash)

    def _signer(self, gas: int) -> TransferSigner:
        return TransferSigner(self._key, self._chain, account_number=self._number, gas=gas)

    def _sequence(self) -> int:
        state = account_state(self._rpc, self._key.address)
        if state is None:
            raise BadAnswer(self._rpc.url, f"does not know {self._key.address} any more")
        return state.sequence

    def _await_sequence(self, sequence: int, tx_hash: str) -> None:
        """Wait until a block has taken the funder's last sequence."""
        end = time.monotonic() + self._limit_s
        while self._sequence() < sequence:
            if time.monotonic() > end:
                raise NoAnswer(self._rpc.url, f"has no block with {tx_hash} after {self._limit_s:.0f} s")
            time.sleep(_POLL_S)


def _first_that_answers(target: Target) -> RpcClient:
    *others, last = (RpcClient(node.rpc_url, timeout_s=_ASK_TIMEOUT_S) for node in target.nodes)
    for client in others:
        try:
            client.status()
        except TargetError:
            continue
        return client
    last.status()
    return last


def _block_gas(rpc: RpcClient) -> float:
    """Return the gas that one transaction may use: a share of a block's, infinite where blocks have no limit."""
    try:
        limit = int(rpc.call("consensus_params")["consensus_params"]["block"]["max_gas"])
    except (KeyError, TypeError, ValueError):
        raise BadAnswer(rpc.url, "told no consensus parameters") from None
    return float("inf") if limit < 0 else BLOCK_SHARE * limit
