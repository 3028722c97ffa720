"""VirtEngine account addresses, with the checks and the words of the real daemon."""

from __future__ import annotations

from target.address import ADDRESS_BYTES, account_bytes, decode, encode

PREFIX = "ve"
PUBLIC_KEY_BYTES = 33


def address_of(public_key: bytes) -> str:
    """The `ve1…` address of a compressed secp256k1 public key (33 bytes); ValueError for another length."""
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise ValueError(f"public key has {len(public_key)} bytes; expected {PUBLIC_KEY_BYTES}")
    return encode(PREFIX, account_bytes(public_key))


def decode_address(text: str) -> bytes:
    """The 20 bytes inside a `ve1…` address; ValueError for bad characters, checksum, prefix or length."""
    if text not in (text.lower(), text.upper()) or not text.isascii():
        raise ValueError("mixed case or characters outside ASCII")
    prefix, payload = decode(text.lower())
    if prefix != PREFIX:
        raise ValueError(f"prefix {prefix}; expected {PREFIX}")
    if len(payload) != ADDRESS_BYTES:
        raise ValueError(f"{len(payload)} bytes; expected {ADDRESS_BYTES}")
    return payload
