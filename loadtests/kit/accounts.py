"""The load accounts: who may send next, and with which sequence.

In order, an account has one transaction on its way at a time: it is taken out of the pool until a block has
the transaction, so its sequence is always known. Unordered, an account is back as soon as it has sent.
The pool is a queue: load spreads over all accounts, which keeps each below the chain's rate limit.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum

import gevent
from gevent.pool import Pool

from target.errors import TargetError
from target.keys import AccountKey
from target.query import AccountState
from target.transaction import ChainIdentity, SignedTransaction, TransferSigner

PREPARING_AT_ONCE = 8
_UNORDERED_LIFETIME_S = 300
_RETRY_S = 1.0


class TxOrder(StrEnum):
    """How transactions of one account are kept apart."""

    SEQUENCE = "sequence"
    UNORDERED = "unordered"


class LoadAccount:
    """One account of the pool."""

    __slots__ = ("_last_timeout_ns", "key", "sequence", "signer")

    def __init__(self, key: AccountKey, signer: TransferSigner, sequence: int) -> None:
        self.key = key
        self.signer = signer
        self.sequence = sequence
        self._last_timeout_ns = 0

    @property
    def address(self) -> str:
        return self.key.address

    def sign(self, recipient: str, amount: int, order: TxOrder) -> SignedTransaction:
        """Return the account's next transfer."""
        if order is TxOrder.SEQUENCE:
            return self.signer.transfer(recipient, amount, sequence=self.sequence)
        # The timeout is the nonce: never the same twice for one account.
        wanted = time.time_ns() + _UNORDERED_LIFETIME_S * 1_000_000_000
        self._last_timeout_ns = max(wanted, self._last_timeout_ns + 1)
        return self.signer.unordered_transfer(recipient, amount, timeout_at_ns=self._last_timeout_ns)


class AccountPool:
    """Accounts that are ready to send.

    `ask_state` asks the chain for an account; it raises TargetError, or returns None for an unknown account.
    """

    def __init__(
        self, keys: list[AccountKey], chain: ChainIdentity, ask_state: Callable[[str], AccountState | None]
    ) -> None:
        self._keys = keys
        self._chain = chain
        self._ask_state = ask_state
        self._free: deque[LoadAccount] = deque()
        self._preparers = Pool(PREPARING_AT_ONCE)
        self.unknown_to_chain = 0
        """Accounts that the chain does not know: not funded."""
        self._filler = gevent.spawn(self._fill)

    def lease(self) -> LoadAccount | None:
        """Return the account that has rested longest, None when none is free."""
        return self._free.popleft() if self._free else None

    def release(self, account: LoadAccount) -> None:
        """Put an account back whose sequence is known."""
        self._free.append(account)

    def resync(self, account: LoadAccount) -> None:
        """Ask the chain for the account's sequence, then put it back. Does not wait for it: the follower calls this."""
        gevent.spawn(self._preparers.spawn, self._prepare, account.key)  # which waits while the pool is full

    def wait_until_asked(self, limit_s: float) -> None:
        """Wait until the chain has been asked for every account, at most `limit_s`; the rest goes on behind."""
        end = time.monotonic() + limit_s
        self._filler.join(limit_s)
        self._preparers.join(max(0.0, end - time.monotonic()))

    def __len__(self) -> int:
        return len(self._keys)

    def _fill(self) -> None:
        for key in self._keys:
            self._preparers.spawn(self._prepare, key)  # waits while the pool is full

    def _prepare(self, key: AccountKey) -> None:
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
        signer = TransferSigner(key, self._chain, account_number=state.number)
        self._free.append(LoadAccount(key, signer, state.sequence))
