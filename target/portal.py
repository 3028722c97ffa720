"""Requests to a provider's portal API, signed in the way that the provider asks for.

Wallet: secp256k1 over an ADR-36 amino document whose data names method, path, time, nonce and a hash of the
body. HMAC: SHA-256 over method, path, query, principal and time. Insecure: nothing. (VirtEngine
`pkg/provider_daemon`, portal authentication.)
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from typing import Any
from urllib.parse import unquote

from target.file import PortalAuth
from target.keys import AccountKey
from target.target import Provider

_JSON = {"Content-Type": "application/json"}


def portal_headers(
    provider: Provider, method: str, path: str, body: dict[str, Any] | None = None, *, chain_id: str = ""
) -> tuple[dict[str, str], bytes]:
    """Return (headers, body bytes) of a request; `path` may have a query."""
    content = b"" if body is None else _canonical(body)
    headers = {} if body is None else dict(_JSON)
    if provider.auth is PortalAuth.HMAC:
        headers |= _hmac_headers(provider.principal, provider.secret or "", method, path)
    elif provider.auth is PortalAuth.WALLET and provider.wallet is not None:
        headers |= _wallet_headers(provider.wallet, chain_id, method, path, content)
    return headers, content


def _hmac_headers(principal: str, secret: str, method: str, path: str) -> dict[str, str]:
    timestamp = str(int(time.time()))
    lines = (method.upper(), _decoded(path), path.partition("?")[2], principal, timestamp)
    message = "\n".join(lines).encode("utf-8", "surrogateescape")
    signature = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
    return {"X-VE-Principal": principal, "X-VE-Timestamp": timestamp, "X-VE-Signature": signature}


def _wallet_headers(key: AccountKey, chain_id: str, method: str, path: str, content: bytes) -> dict[str, str]:
    timestamp_ms, nonce = int(time.time() * 1000), secrets.token_hex(12)
    body_hash = hashlib.sha256(content).hexdigest() if content else ""
    # The daemon rebuilds this text: these keys, in this order, without spaces, nothing escaped.
    data = (
        f'{{"method":"{method.upper()}","path":"{_decoded(path)}","timestamp":{timestamp_ms},'
        f'"nonce":"{nonce}","body_hash":"{body_hash}"}}'
    ).encode("utf-8", "surrogateescape")
    message = {"data": base64.b64encode(data).decode(), "signer": key.address}
    document = {
        "account_number": "0",
        "chain_id": chain_id,
        "fee": {"amount": [], "gas": "0"},
        "memo": "",
        "msgs": [{"type": "sign/MsgSignData", "value": message}],
        "sequence": "0",
    }
    signature = key.private_key.sign_recoverable(_canonical(document))[:64]
    return {
        "X-VE-Address": key.address,
        "X-VE-Timestamp": str(timestamp_ms),
        "X-VE-Nonce": nonce,
        "X-VE-Signature": base64.b64encode(signature).decode(),
        "X-VE-PubKey": base64.b64encode(key.public_key).decode(),
    }


def _decoded(path: str) -> str:
    """Return the path as the daemon sees it: without query and without percent signs."""
    return unquote(path.partition("?")[0], errors="surrogateescape")


def _canonical(value: dict[str, Any]) -> bytes:
    """Return JSON with sorted keys, without spaces, escaped as Go escapes: what the daemon hashes."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text.encode()
