"""The load accounts: who may send next, and with which sequence.

In sequence, an account has a bounded number of transactions on their way: one, so that its sequence is always
known, or several with consecutive sequences (a pipeline). Unordered, an account is back as soon as it has sent.
The pool is a queue: load spreads over all accounts, which keeps each below the chain's rate limit.

When a transaction of an account was lost, or may have been, nobody knows its sequence for certain. Then the account
rests until everything on its way has settled, and the chain is asked.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum

import gevent
from gevent.pool import Pool

from bundle import ErrorKind, Outcome, Rejection
from loadtests.kit.calls import CallFailed
from loadtests.kit.rpc import expected_sequence
from target.errors import TargetError
from target.keys import AccountKey
from target.query import AccountState
from target.transaction import ChainIdentity, SignedTransaction, TransferSigner

PREPARING_AT_ONCE = 8
_UNORDERED_LIFETIME_S = 300
_RETRY_S = 1.0
_TAKES_NO_SEQUENCE = (Rejection.MEMPOOL_FULL, Rejection.RATE_LIMIT, Rejection.CHECK_TX)
"""Refusals after which the account stands where it stood before."""


class TxOrder(StrEnum):
    """How transactions of one account are kept apart."""

    SEQUENCE = "sequence"
    PIPELINE = "pipeline"
    UNORDERED = "unordered"


class LoadAccount:
    """One account of the pool. What becomes of its transactions is told to it; the pool decides when it is free."""

    __slots__ = (
        "_last_timeout_ns",
        "floor",
        "in_doubt",
        "in_flight",
        "is_asked_for",
        "is_out",
        "is_queued",
        "key",
        "lane",
        "sequence",
        "signer",
    )

    def __init__(self, key: AccountKey, signer: TransferSigner, sequence: int) -> None:
        self.key = key
        self.signer = signer
        self.sequence = sequence
        """What the next transaction takes."""
        self.floor = sequence
        """The chain has the account here or further: by its own word, or by a block."""
        self.in_flight = 0
        """Transactions in sequence that are in no block yet, and may come into one."""
        self.in_doubt = False
        """One was lost, or may have been: `sequence` may be wrong."""
        self.is_out = self.is_queued = self.is_asked_for = False
        self.lane = key.index
        """Which node a pipeline goes to: others learn of a transaction later, and would refuse the one after it."""
        self._last_timeout_ns = 0

    @property
    def address(self) -> str:
        return self.key.address

    def sign(self, recipient: str, amount: int, order: TxOrder) -> SignedTransaction:
        """Return the account's next transfer. In sequence, it counts as on its way from now on."""
        if order is not TxOrder.UNORDERED:
            transaction = self.signer.transfer(recipient, amount, sequence=self.sequence)
            self.sequence += 1
            self.in_flight += 1
            return transaction
        # The timeout is the nonce: never the same twice for one account.
        wanted = time.time_ns() + _UNORDERED_LIFETIME_S * 1_000_000_000
        self._last_timeout_ns = max(wanted, self._last_timeout_ns + 1)
        return self.signer.unordered_transfer(recipient, amount, timeout_at_ns=self._last_timeout_ns)

    def valid_until_at_s(self, order: TxOrder) -> float | None:
        """Return when the transfer signed last expires; None for one in sequence."""
        return self._last_timeout_ns / 1e9 if order is TxOrder.UNORDERED else None

    def refused(self, failure: CallFailed) -> None:
        """Take note that the transfer signed last was not accepted, and is in no block.

        What a node expects (sdk/32) is believed while nothing is on its way. If it is below what a block has shown, the
        node is behind the chain.
        """
        self.in_flight -= 1
        expected = expected_sequence(failure)
        if failure.rejection in _TAKES_NO_SEQUENCE:
            self.sequence -= 1
        elif failure.kind is ErrorKind.REFUSED:
            self.sequence -= 1
            self.lane += 1
            self.in_doubt = self.in_flight > 0  # the next node may not know of what is on its way
        elif expected is not None and self.in_flight == 0:
            self.sequence = max(expected, self.floor)
        else:
            self.in_doubt = True

    def settle(self, sequence: int, *, committed: bool) -> None:
        """Take note of what became of a transfer: in a block with code 0, or something else.

        One that failed in its block has taken its sequence or not, by where it failed. Only the chain knows.
        """
        self.in_flight -= 1
        if committed:
            self.floor = max(self.floor, sequence + 1)
        else:
            self.in_doubt = True


class AccountPool:
    """Accounts that are ready to send.

    `ask_state` asks the chain for an account; it raises TargetError, or returns None for an unknown account.
    `depth` is how many transactions in sequence an account may have on their way.
    """

    def __init__(
        self,
        keys: list[AccountKey],
        chain: ChainIdentity,
        ask_state: Callable[[str], AccountState | None],
        *,
        depth: int = 1,
    ) -> None:
        self._keys = keys
        self._chain = chain
        self._ask_state = ask_state
        self._depth = depth
        self._free: deque[LoadAccount] = deque()
        self._preparers = Pool(PREPARING_AT_ONCE)
        self.unknown_to_chain = 0
        """Accounts that the chain does not know: not funded."""
        self._filler = gevent.spawn(self._fill)

    def lease(self) -> LoadAccount | None:
        """Return the account that has rested longest, None when none is free."""
        while self._free:
            account = self._free.popleft()
            account.is_queued = False
            if not account.in_doubt:
                account.is_out = True
                return account
            self._advance(account)  # came into doubt while it was free
        return None

    def release(self, account: LoadAccount) -> None:
        """Put an account back; it is free as soon as its sequence is known and it may have one more on its way."""
        account.is_out = False
        self._advance(account)

    def submitted(self, account: LoadAccount, failure: CallFailed | None, *, is_settled: bool) -> None:
        """Put an account back after a submission in sequence, and how that ended.

        `is_settled`: `settled` was called before the answer came. A block decides, whatever the answer was.
        """
        if failure is not None and not is_settled:
            if failure.outcome is Outcome.UNKNOWN:
                account.in_doubt = True  # and still on its way, until a block has it or its time has passed
            else:
                account.refused(failure)
        self.release(account)

    def settled(self, account: LoadAccount, sequence: int, *, committed: bool) -> None:
        """Take note of what became of an account's transaction. Does not wait: the follower calls this."""
        account.settle(sequence, committed=committed)
        self._advance(account)

    def resync(self, account: LoadAccount) -> None:
        """Ask the chain for the account's sequence, then put it back. Does not wait for it."""
        account.is_asked_for = True
        gevent.spawn(self._preparers.spawn, self._prepare, account.key, account)  # which waits while the pool is full

    def wait_until_asked(self, limit_s: float) -> None:
        """Wait until the chain has been asked for every account, at most `limit_s`; the rest goes on behind."""
        end = time.monotonic() + limit_s
        self._filler.join(limit_s)
        self._preparers.join(max(0.0, end - time.monotonic()))

    def __len__(self) -> int:
        return len(self._keys)

    def _advance(self, account: LoadAccount) -> None:
        """Put an account where it belongs now: into the queue, before the chain, or nowhere while it has to wait."""
        if account.is_out or account.is_queued or account.is_asked_for:
            return
        if account.in_doubt and account.in_flight == 0:
            if account.sequence == account.floor:
                account.in_doubt = False  # everything that was in doubt is in a block
            else:
                self.resync(account)
                return
        if not account.in_doubt and account.in_flight < self._depth:
            account.is_queued = True
            self._free.append(account)

    def _fill(self) -> None:
        for key in self._keys:
            self._preparers.spawn(self._prepare, key, None)  # waits while the pool is full

    def _prepare(self, key: AccountKey, account: LoadAccount | None) -> None:
        """Ask until the chain answers, then put the account in."""
        while True:
            try:
                state = self._ask_state(key.address)
                break
            except TargetError:
                gevent.sleep(_RETRY_S)
        if state is None:
            self.unknown_to_chain += 1
            return
        if account is None:
            signer = TransferSigner(key, self._chain, account_number=state.number)
            account = LoadAccount(key, signer, state.sequence)
        account.floor = account.sequence = max(state.sequence, account.floor)
        account.lane += account.is_asked_for
        account.in_doubt = account.is_asked_for = account.is_out = False
        self._advance(account)
