"""Transfers (`MsgSend`, `MsgMultiSend`): built, signed in mode DIRECT and encoded by hand; and read back from a block.

By hand, because the load path needs tens of thousands a second on one core. The shapes are those of
cosmos.tx.v1beta1 (TxBody, AuthInfo, SignDoc, TxRaw) and of cosmos.bank.v1beta1 (MsgSend, MsgMultiSend, Input, Output).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from target.keys import AccountKey
from target.wire import any_message, bytes_field, coin, fields, first_bytes, first_int, text_field, uint_field, varint

MSG_SEND = "/cosmos.bank.v1beta1.MsgSend"
MSG_MULTI_SEND = "/cosmos.bank.v1beta1.MsgMultiSend"
_SECP256K1_KEY = "/cosmos.crypto.secp256k1.PubKey"
_MODE_DIRECT = 1
_NS_PER_S = 1_000_000_000

TRANSFER_GAS = 120_000
"""Gas offered for one transfer; observed use is 60,000 to 90,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainIdentity:
    """What a signature on this chain covers, and what a transaction costs."""

    chain_id: str
    denom: str
    gas_price: float
    """Price of one unit of gas, in `denom`."""

    def fee(self, gas: int) -> int:
        """Return the fee for `gas`, rounded up to whole units of the denomination, from the price as it is written."""
        return math.ceil(gas * Fraction(repr(self.gas_price)))


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """The bytes to broadcast, and the hash under which blocks and queries know them (upper-case hex)."""

    raw: bytes
    tx_hash: str


class TransferSigner:
    """Signs transfers of one account. All that does not change between two transfers is encoded once."""

    __slots__ = ("_chain", "_coin_denom", "_fee", "_from", "_key", "_sign", "_signer_head", "account_number")

    def __init__(self, key: AccountKey, chain: ChainIdentity, *, account_number: int, gas: int = TRANSFER_GAS) -> None:
        self._key = key
        self._chain = chain
        self._sign = key.private_key.sign_recoverable
        self._from = text_field(1, key.address)
        public_key = any_message(_SECP256K1_KEY, bytes_field(1, key.public_key))
        mode_direct = bytes_field(2, bytes_field(1, uint_field(1, _MODE_DIRECT)))
        self._signer_head = bytes_field(1, public_key) + mode_direct
        self._fee = bytes_field(2, bytes_field(1, coin(chain.denom, chain.fee(gas))) + uint_field(2, gas))
        self._coin_denom = text_field(1, chain.denom)
        self.account_number = account_number

    @property
    def address(self) -> str:
        return self._key.address

    def transfer(self, recipient: str, amount: int, *, sequence: int, memo: str = "") -> SignedTransaction:
        """Return a transfer that takes the account's next place, `sequence`."""
        return self._signed(self._body(recipient, amount) + text_field(2, memo), sequence)

    def unordered_transfer(
        self, recipient: str, amount: int, *, timeout_at_ns: int, memo: str = ""
    ) -> SignedTransaction:
        """Return a transfer outside the sequence.

        `timeout_at_ns`, Unix time in nanoseconds, must be unique for the account and at most 10 minutes ahead:
        it is the replay protection.
        """
        seconds, nanos = divmod(timeout_at_ns, _NS_PER_S)
        timestamp = uint_field(1, seconds) + uint_field(2, nanos)
        order = uint_field(4, 1) + bytes_field(5, timestamp)
        return self._signed(self._body(recipient, amount) + text_field(2, memo) + order, 0)

    def multi_transfer(self, outputs: Sequence[tuple[str, int]], *, sequence: int) -> SignedTransaction:
        """Return one transaction that pays every (recipient, amount), in the account's place `sequence`."""
        total = self._coins(sum(amount for _, amount in outputs))
        message = bytes_field(1, self._from + bytes_field(2, total))
        for recipient, amount in outputs:
            message += bytes_field(2, text_field(1, recipient) + bytes_field(2, self._coins(amount)))
        return self._signed(bytes_field(1, any_message(MSG_MULTI_SEND, message)), sequence)

    def _coins(self, amount: int) -> bytes:
        return self._coin_denom + text_field(2, str(amount))

    def _body(self, recipient: str, amount: int) -> bytes:
        message = self._from + text_field(2, recipient) + bytes_field(3, self._coins(amount))
        return bytes_field(1, any_message(MSG_SEND, message))

    def _signed(self, body: bytes, sequence: int) -> SignedTransaction:
        auth_info = bytes_field(1, self._signer_head + uint_field(3, sequence)) + self._fee
        head = b"\x0a" + varint(len(body)) + body + b"\x12" + varint(len(auth_info)) + auth_info
        sign_doc = head + text_field(3, self._chain.chain_id) + uint_field(4, self.account_number)
        # The recoverable form is r ‖ s ‖ recovery id; the chain wants r ‖ s, and libsecp256k1 gives low s.
        signature = self._sign(sign_doc)[:64]
        raw = head + b"\x1a\x40" + signature
        return SignedTransaction(raw, hash_of(raw))


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One MsgSend as found in a block: who pays whom how much, and the fee that the sender pays besides."""

    sender: str
    recipient: str
    amount: int
    fee: int


def hash_of(raw: bytes) -> str:
    """Return the transaction hash: SHA-256 of the bytes, upper-case hex."""
    return hashlib.sha256(raw).hexdigest().upper()


def read_transfer(raw: bytes, denom: str) -> Transfer | None:
    """Return the transfer in a transaction, or None unless it is exactly one MsgSend of one coin in `denom`."""
    try:
        messages = [value for number, value in fields(first_bytes(raw, 1)) if number == 1]
        if len(messages) != 1 or not isinstance(messages[0], bytes):
            return None
        if first_bytes(messages[0], 1).decode() != MSG_SEND:
            return None
        send = first_bytes(messages[0], 2)
        coins = [value for number, value in fields(send) if number == 3]
        if len(coins) != 1 or not isinstance(coins[0], bytes) or first_bytes(coins[0], 1).decode() != denom:
            return None
        fee_coin = first_bytes(first_bytes(first_bytes(raw, 2), 2), 1)
        return Transfer(
            sender=first_bytes(send, 1).decode(),
            recipient=first_bytes(send, 2).decode(),
            amount=int(first_bytes(coins[0], 2)),
            fee=int(first_bytes(fee_coin, 2) or 0),
        )
    except (ValueError, UnicodeDecodeError):
        return None


def read_sequence(raw: bytes) -> int:
    """Return the sequence of a transaction's first signer. Raises ValueError."""
    return first_int(first_bytes(first_bytes(raw, 2), 1), 3)
