"""Bech32 addresses, as BIP-173 defines them, of Cosmos SDK accounts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from Crypto.Hash import RIPEMD160  # hashlib has it only where OpenSSL does

_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_MAX_CHARS = 90
ADDRESS_BYTES = 20


def account_bytes(public_key: bytes) -> bytes:
    """Return the 20 address bytes of a compressed secp256k1 public key (33 bytes)."""
    return RIPEMD160.new(hashlib.sha256(public_key).digest()).digest()


def encode(prefix: str, payload: bytes) -> str:
    """Return the bech32 text of `payload`: `encode("ve", …)` gives `ve1…`.

    Raises ValueError for a prefix that is not lower-case ASCII, and when it would be longer than 90 characters.
    """
    words = _regroup(payload, 8, 5, pad=True)
    if not _is_prefix(prefix) or prefix != prefix.lower() or len(prefix) + 1 + len(words) + 6 > _MAX_CHARS:
        raise ValueError(f"{prefix!r} with {len(payload)} bytes makes no bech32")
    checksum = _polymod([*_expand(prefix), *words, 0, 0, 0, 0, 0, 0]) ^ 1
    tail = [(checksum >> 5 * (5 - i)) & 31 for i in range(6)]
    return prefix + "1" + "".join(_CHARSET[word] for word in (*words, *tail))


def decode(text: str) -> tuple[str, bytes]:
    """Return (prefix, payload) of a bech32 text, which is in lower case or all in upper case. Raises ValueError."""
    prefix, _, data = text.lower().rpartition("1")
    has_form = text.isascii() and text in (text.lower(), text.upper()) and len(text) <= _MAX_CHARS
    if not has_form or not _is_prefix(prefix) or len(data) < 6:
        raise ValueError(f"{text!r} is not bech32")
    try:
        words = [_CHARSET.index(char) for char in data]
    except ValueError:
        raise ValueError(f"{text!r} has a character outside bech32") from None
    if _polymod([*_expand(prefix), *words]) != 1:
        raise ValueError(f"{text!r} has a wrong checksum")
    return prefix, bytes(_regroup(words[:-6], 5, 8, pad=False))


def _is_prefix(prefix: str) -> bool:
    return bool(prefix) and all("!" <= char <= "~" for char in prefix)


def _expand(prefix: str) -> list[int]:
    return [ord(char) >> 5 for char in prefix] + [0] + [ord(char) & 31 for char in prefix]


def _polymod(words: Iterable[int]) -> int:
    checksum = 1
    for word in words:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ word
        for i, generator in enumerate(_GENERATOR):
            if top >> i & 1:
                checksum ^= generator
    return checksum


def _regroup(values: Iterable[int], from_bits: int, to_bits: int, *, pad: bool) -> list[int]:
    """Return the same bits in groups of another width. Raises ValueError for non-zero leftover bits."""
    accumulator = bits = 0
    groups = []
    for value in values:
        accumulator = (accumulator << from_bits) | value
        bits += from_bits
        while bits >= to_bits:
            bits -= to_bits
            groups.append((accumulator >> bits) & ((1 << to_bits) - 1))
        accumulator &= (1 << bits) - 1
    if pad and bits:
        groups.append((accumulator << (to_bits - bits)) & ((1 << to_bits) - 1))
    elif not pad and (bits >= from_bits or accumulator):
        raise ValueError("leftover bits are not zero")
    return groups
