"""CometBFT JSON-RPC for load: one call to whichever node works, and what its refusals mean."""

from __future__ import annotations

import base64
import itertools
import json
import re
from typing import Any

from bundle import ErrorKind, Rejection
from loadtests.kit.calls import Call, CallFailed, ChainCode
from loadtests.kit.http import HttpPool, expect_status

_HEADERS = {"Content-Type": "application/json"}
_ids = itertools.count(1)

_BACK_PRESSURE_TEXTS = ("mempool is full", "too many open", "max_subscription", "max_subscriptions")
_INTERNAL_ERROR = -32603
"""JSON-RPC's code under which a node gives most of its errors, with text that says which."""
_TEXT_REJECTIONS = {
    # CometBFT gives these as JSON-RPC errors with text (mempool/errors.go), not as ABCI codes.
    "mempool is full": Rejection.MEMPOOL_FULL,
    "already exists in cache": Rejection.IN_CACHE,
    "tx too large": Rejection.CHECK_TX,
}
_CODE_REJECTIONS = {
    # cosmos-sdk types/errors/errors.go
    ("sdk", 19): Rejection.IN_CACHE,
    ("sdk", 20): Rejection.MEMPOOL_FULL,
    ("sdk", 32): Rejection.SEQUENCE,
}
_BACK_PRESSURE = (Rejection.MEMPOOL_FULL, Rejection.RATE_LIMIT)
_SEQUENCES = re.compile(r"account sequence mismatch, expected (\d+), got (\d+)")


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
        raise _rpc_failure(error)
    return envelope["result"]


def broadcast(pool: HttpPool, call: Call, raw: bytes) -> None:
    """Submit a transaction and return when CheckTx accepted it. Raises CallFailed with why not, and which rejection."""
    try:
        result = rpc_call(pool, call, "broadcast_tx_sync", tx=base64.b64encode(raw).decode())
    except CallFailed as failure:
        raise _as_rejection(failure) from None
    try:
        code, codespace, log = int(result["code"]), str(result.get("codespace") or ""), str(result["log"])
    except (KeyError, TypeError, ValueError):
        raise CallFailed(ErrorKind.BAD_ANSWER, f"no broadcast result: {str(result)[:80]}") from None
    if code:
        rejection = rejection_of(codespace, code)
        kind = ErrorKind.BACK_PRESSURE if rejection in _BACK_PRESSURE else ErrorKind.CLIENT_ERROR
        chain_code = ChainCode(codespace=codespace, code=code)
        raise CallFailed(kind, f"{codespace}/{code} {log}", rejection=rejection, chain_code=chain_code)


def rejection_of(codespace: str, code: int) -> Rejection:
    """Return which kind of no an ABCI code other than 0 is."""
    if codespace == "ratelimit":
        return Rejection.RATE_LIMIT
    return _CODE_REJECTIONS.get((codespace, code), Rejection.CHECK_TX)


def expected_sequence(failure: CallFailed) -> int | None:
    """Return the sequence at which the node has the account, by its words for sdk/32; None for any other failure."""
    if failure.rejection is not Rejection.SEQUENCE:
        return None
    found = _SEQUENCES.search(failure.detail)
    return int(found[1]) if found else None


def _rpc_failure(error: dict[str, Any]) -> CallFailed:
    code, text = error.get("code"), f"{error.get('code')} {error.get('message')}: {error.get('data')}"
    chain_code = ChainCode(codespace="jsonrpc", code=code) if isinstance(code, int) else None
    return CallFailed(_error_kind(code, text), text, chain_code=chain_code)


def _as_rejection(failure: CallFailed) -> CallFailed:
    """Return why a broadcast failed, with the kind of no that it is where the node or a gateway said no."""
    text = failure.detail.lower()
    rejection = next((kind for sign, kind in _TEXT_REJECTIONS.items() if sign in text), None)
    chain_code = failure.chain_code
    if chain_code is None and failure.kind is ErrorKind.BACK_PRESSURE:
        rejection, chain_code = Rejection.RATE_LIMIT, ChainCode(codespace="http", code=429)
    elif chain_code is None:
        return failure  # no JSON-RPC answer at all: whatever its text is, no node refused anything
    return CallFailed(failure.kind, failure.detail, outcome=failure.outcome, rejection=rejection, chain_code=chain_code)


def _error_kind(code: object, text: str) -> ErrorKind:
    if any(sign in text for sign in _BACK_PRESSURE_TEXTS):
        return ErrorKind.BACK_PRESSURE
    if isinstance(code, int) and -32700 <= code <= -32600 and code != _INTERNAL_ERROR:
        return ErrorKind.CLIENT_ERROR  # JSON-RPC 2.0 § 5.1: the request itself is wrong
    wrong = ("already exists in cache", "must be less than or equal", "not found", "Tx too large")
    return ErrorKind.CLIENT_ERROR if any(sign in text for sign in wrong) else ErrorKind.SERVER_ERROR
