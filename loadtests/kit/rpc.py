"""CometBFT JSON-RPC for load: one call to whichever node works, and what its refusals mean."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

from bundle import ErrorKind
from loadtests.kit.calls import Call, CallFailed
from loadtests.kit.http import HttpPool, expect_status

_HEADERS = {"Content-Type": "application/json"}
_ids = itertools.count(1)

# A full mempool and a known transaction come as JSON-RPC errors with text, not as ABCI codes.
_BACK_PRESSURE_TEXTS = ("mempool is full", "too many open", "max_subscription", "max_subscriptions")


def rpc_call(pool: HttpPool, call: Call, method: str, **parameters: Any) -> Any:
    """Return the result of one JSON-RPC call. Raises CallFailed."""
    request = {"jsonrpc": "2.0", "id": next(_ids), "method": method, "params": parameters}
    body, repeatable = json.dumps(request).encode(), not method.startswith("broadcast_")
    answer = pool.request(call, "POST", "/", body=body, headers=_HEADERS, repeatable=repeatable)
    try:
        envelope = json.loads(answer.body)
    except ValueError:
        envelope = None
    if not isinstance(envelope, dict) or ("result" not in envelope and not isinstance(envelope.get("error"), dict)):
        expect_status(answer)  # not the node's words: a gateway's, which its status tells
        raise CallFailed(ErrorKind.BAD_ANSWER, f"no JSON-RPC envelope: {answer.body[:80]!r}")
    if isinstance(error := envelope.get("error"), dict):
        text = f"{error.get('code')} {error.get('message')}: {error.get('data')}"
        raise CallFailed(_error_kind(text), text)
    return envelope["result"]


def broadcast(pool: HttpPool, call: Call, raw: bytes) -> None:
    """Submit a transaction and return when CheckTx accepted it. Raises CallFailed with why not."""
    result = rpc_call(pool, call, "broadcast_tx_sync", tx=base64.b64encode(raw).decode())
    try:
        code, codespace, log = int(result["code"]), str(result.get("codespace") or ""), str(result["log"])
    except (KeyError, TypeError, ValueError):
        raise CallFailed(ErrorKind.BAD_ANSWER, f"no broadcast result: {str(result)[:80]}") from None
    if code:
        kind = ErrorKind.BACK_PRESSURE if codespace == "ratelimit" else ErrorKind.CLIENT_ERROR
        raise CallFailed(kind, f"{codespace}/{code} {log}")


def _error_kind(text: str) -> ErrorKind:
    if any(sign in text for sign in _BACK_PRESSURE_TEXTS):
        return ErrorKind.BACK_PRESSURE
    if "already exists in cache" in text or "must be less than or equal" in text or "not found" in text:
        return ErrorKind.CLIENT_ERROR
    return ErrorKind.SERVER_ERROR
