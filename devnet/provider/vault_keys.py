"""The vault's scopes and the key of each, with sealing and opening under a key.

The real vault wraps each blob in an X25519 envelope for one or more recipients. Here one AES-256-GCM key seals a
scope: what matters to a client is that content comes back whole, and that a restart makes it unreadable.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from Crypto.Cipher import AES

from devnet.provider.gotext import format_rfc3339

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16


class Scope(StrEnum):
    """What kind of data a blob is."""

    VEID = "veid"
    SUPPORT = "support"
    MARKET = "market"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultKey:
    """The key of one scope; there is one version, since the HTTP API cannot rotate it."""

    id: str
    scope: Scope
    secret: bytes = field(repr=False)
    created_at_s: float
    version: int = 1

    def as_json(self) -> dict[str, Any]:
        """The key under its JSON names, without the secret."""
        at = format_rfc3339(self.created_at_s)
        return {
            "id": self.id,
            "scope": self.scope,
            "version": self.version,
            "status": "active",
            "created_at": at,
            "activated_at": at,
        }


def new_key(scope: Scope, at_s: float) -> VaultKey:
    """A fresh random key, created at `at_s` (Unix seconds)."""
    return VaultKey(
        id=f"{scope}-{secrets.token_hex(16)}", scope=scope, secret=secrets.token_bytes(KEY_BYTES), created_at_s=at_s
    )


def seal(key: VaultKey, content: bytes) -> bytes:
    """Nonce, tag and ciphertext of `content`, 28 bytes longer than it."""
    cipher = AES.new(key.secret, AES.MODE_GCM, nonce=secrets.token_bytes(NONCE_BYTES))
    ciphertext, tag = cipher.encrypt_and_digest(content)
    return cipher.nonce + tag + ciphertext


def unseal(key: VaultKey, sealed: bytes) -> bytes:
    """The content that `seal` was given; ValueError if a bit of `sealed` has changed."""
    cipher = AES.new(key.secret, AES.MODE_GCM, nonce=sealed[:NONCE_BYTES])
    tag_end = NONCE_BYTES + TAG_BYTES
    return cipher.decrypt_and_verify(sealed[tag_end:], sealed[NONCE_BYTES:tag_end])
