"""Account keys from a mnemonic: BIP-39 to a seed, BIP-32 along m/44'/118'/0'/0/i (VirtEngine's path)."""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

from coincurve import PrivateKey

from target.address import account_bytes, encode

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_HARDENED = 0x80000000
_COSMOS_COIN_TYPE = 118
MNEMONIC_LENGTHS = (12, 15, 18, 21, 24)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountKey:
    """One account: its index on the derivation path, its address, its keys. The secret never shows in a repr."""

    index: int
    address: str
    public_key: bytes
    private_key: PrivateKey = field(repr=False, compare=False)


def derive_accounts(mnemonic: str, *, prefix: str, first: int = 0, count: int) -> Iterator[AccountKey]:
    """Yield the accounts m/44'/118'/0'/0/first … first + count - 1.

    Raises ValueError when the mnemonic has not 12, 15, 18, 21 or 24 words. The words are not checked against
    a word list: BIP-39 gives every text a seed.
    """
    words = mnemonic.split()
    if len(words) not in MNEMONIC_LENGTHS:
        raise ValueError(f"the mnemonic has {len(words)} words; expected 12, 15, 18, 21 or 24")
    secret, chain_code = _master(unicodedata.normalize("NFKD", " ".join(words)))
    for step in (44 | _HARDENED, _COSMOS_COIN_TYPE | _HARDENED, _HARDENED, 0):
        secret, chain_code = _child(secret, chain_code, step)
    # The parent's public key is the costly part; it is the same for all accounts.
    parent_public = PrivateKey(secret.to_bytes(32, "big")).public_key.format()
    for index in range(first, first + count):
        child, _ = _add(secret, chain_code, parent_public + index.to_bytes(4, "big"))
        yield account_from_secret(child.to_bytes(32, "big"), prefix=prefix, index=index)


def account_from_secret(secret: bytes, *, prefix: str, index: int) -> AccountKey:
    """Return the account of a 32-byte secp256k1 secret."""
    private_key = PrivateKey(secret)
    public_key = private_key.public_key.format()
    address = encode(prefix, account_bytes(public_key))
    return AccountKey(index=index, address=address, public_key=public_key, private_key=private_key)


def _master(mnemonic: str) -> tuple[int, bytes]:
    seed = hashlib.pbkdf2_hmac("sha512", mnemonic.encode(), b"mnemonic", 2048)
    digest = hmac.digest(b"Bitcoin seed", seed, "sha512")
    return int.from_bytes(digest[:32], "big"), digest[32:]


def _child(secret: int, chain_code: bytes, step: int) -> tuple[int, bytes]:
    own = secret.to_bytes(32, "big")
    head = b"\0" + own if step & _HARDENED else PrivateKey(own).public_key.format()
    return _add(secret, chain_code, head + step.to_bytes(4, "big"))


def _add(secret: int, chain_code: bytes, data: bytes) -> tuple[int, bytes]:
    digest = hmac.digest(chain_code, data, "sha512")
    return (int.from_bytes(digest[:32], "big") + secret) % _ORDER, digest[32:]
