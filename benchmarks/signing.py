"""Transactions built, signed and encoded a second on one core; accounts derived a second."""

from __future__ import annotations

import base64
import time

from benchmarks.measurement import Measurement
from devnet.network import TEST_MNEMONIC
from target.keys import derive_accounts
from target.transaction import ChainIdentity, TransferSigner

_COUNT = 20_000
_CHAIN = ChainIdentity(chain_id="virtengine-devnet-1", denom="uve", gas_price=0.025)


def _signer() -> tuple[TransferSigner, list[str]]:
    keys = list(derive_accounts(TEST_MNEMONIC, prefix="ve", count=100))
    return TransferSigner(keys[0], _CHAIN, account_number=0), [key.address for key in keys]


def in_sequence() -> float:
    signer, recipients = _signer()
    start = time.perf_counter()
    for sequence in range(_COUNT):
        base64.b64encode(signer.transfer(recipients[sequence % 100], 1 + sequence % 999, sequence=sequence).raw)
    return _COUNT / (time.perf_counter() - start)


def unordered() -> float:
    signer, recipients = _signer()
    first = time.time_ns()
    start = time.perf_counter()
    for place in range(_COUNT):
        transaction = signer.unordered_transfer(recipients[place % 100], 1 + place % 999, timeout_at_ns=first + place)
        base64.b64encode(transaction.raw)
    return _COUNT / (time.perf_counter() - start)


def derived() -> float:
    start = time.perf_counter()
    count = sum(1 for _ in derive_accounts(TEST_MNEMONIC, prefix="ve", count=2000))
    return count / (time.perf_counter() - start)


SIGNING = (
    Measurement(
        name="transfers built, signed, encoded, in sequence", unit="/s", run=in_sequence, claim="20,000 or more"
    ),
    Measurement(name="transfers built, signed, encoded, unordered", unit="/s", run=unordered, claim="20,000 or more"),
    Measurement(name="accounts derived from a mnemonic", unit="/s", run=derived),
)
