"""The CometBFT RPC of a node, typed: status, blocks, results, peers, module queries, broadcast.

64-bit numbers arrive as text in this RPC and leave this module as int; times leave as Unix seconds.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from target.errors import BadAnswer, Refused
from target.http import DEFAULT_TIMEOUT_S, HttpClient
from target.transaction import hash_of

T = TypeVar("T")

_JSON = {"Content-Type": "application/json"}
_BATCH = 10  # CometBFT takes no more in one JSON-RPC batch
_INT64 = range(-(2**63), 2**63)
_DECIMAL = re.compile(r"-?[0-9]{1,19}")
_UTC_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """What a node says of itself (`/status`)."""

    node_id: str
    chain_id: str
    version: str
    height: int
    block_hash: str
    header_app_hash: str
    block_time_s: float
    catching_up: bool
    validator_address: str
    voting_power: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockHeader:
    """A committed block as one node has it. `app_hash` is the state *before* the block's transactions."""

    height: int
    block_hash: str
    app_hash: str
    time_s: float
    proposer: str
    tx_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A committed block with its transactions."""

    header: BlockHeader
    transactions: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One ABCI event: its type and its attributes."""

    kind: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionResult:
    """How one transaction of a block was executed."""

    code: int
    codespace: str
    gas_wanted: int
    gas_used: int
    log: str
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockResults:
    """How a block was executed: per transaction, and the block's own events."""

    height: int
    transactions: tuple[TransactionResult, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppState:
    """A node's own view of its state (`/abci_info`): the app hash after `height`."""

    height: int
    app_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryAnswer:
    """Answer to a module query: `value` is protobuf. A code other than 0 is a refusal."""

    code: int
    codespace: str
    log: str
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedTransaction:
    """Answer to a broadcast: code 0 means accepted into the mempool, not committed."""

    code: int
    codespace: str
    log: str
    tx_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Validator:
    """One member of the validator set."""

    address: str
    voting_power: int


class RpcClient:
    """Calls to one node. Raises Unreachable, NoAnswer, BadAnswer, Refused."""

    def __init__(self, url: str, *, timeout_s: float = DEFAULT_TIMEOUT_S, connections: int = 2) -> None:
        self.url = url.rstrip("/")
        self._http = HttpClient(self.url, timeout_s=timeout_s, connections=connections)
        self._ids = itertools.count(1)

    def health(self) -> None:
        """Return nothing when `/health` answers 200."""
        answer = self._http.get("/health")
        if answer.status != 200:
            raise BadAnswer(f"{self.url}/health", f"answered {answer.status}")

    def status(self) -> NodeStatus:
        return self._typed(parse_status, self.call("status"))

    def peer_count(self) -> int:
        return self._typed(lambda result: _number(result["n_peers"]), self.call("net_info"))

    def mempool_count(self) -> int:
        """Return how many transactions wait in the node's mempool."""
        return self._typed(lambda result: _number(result["total"]), self.call("num_unconfirmed_txs"))

    def app_state(self) -> AppState:
        return self._typed(parse_app_state, self.call("abci_info"))

    def block(self, height: int) -> Block:
        return self._typed(parse_block, self.call("block", height=str(height)))

    def block_results(self, height: int) -> BlockResults:
        return self._typed(parse_block_results, self.call("block_results", height=str(height)))

    def headers(self, lowest: int, highest: int) -> list[BlockHeader]:
        """Return the headers lowest … highest, ascending; a node gives 20 at most, the highest ones."""
        result = self.call("blockchain", minHeight=str(lowest), maxHeight=str(highest))
        return self._typed(parse_headers, result)

    def validators(self) -> list[Validator]:
        """Return the current validator set, all pages."""
        found: list[Validator] = []
        for page in range(1, 101):  # 100 validators a page at most; a set is bounded
            result = self.call("validators", page=str(page), per_page="100")
            found += self._typed(parse_validators, result)
            if len(found) >= self._typed(lambda result: _number(result["total"]), result):
                break
        return found

    def genesis_time(self) -> str:
        """Return the text of the genesis time, from the first page of the genesis."""
        return self._typed(lambda result: _text(result["genesis"]["genesis_time"]), self.call("genesis"))

    def query(self, path: str, data: bytes = b"", *, height: int = 0) -> bytes:
        """Return the protobuf answer of a module query (`abci_query`), at a height or at the latest (0)."""
        result = self.call("abci_query", path=path, data=data.hex(), height=str(height), prove=False)
        return self._value(path, result)

    def _value(self, path: str, result: Any) -> bytes:
        """Return the bytes in the result of a query. Raises Refused with the module's words."""
        answer = self._typed(parse_query, result)
        if answer.code:
            raise Refused(self.url, f"{path}: {answer.log[:200]}", code=answer.code, codespace=answer.codespace)
        return answer.value

    def query_many(self, path: str, requests: Sequence[bytes], *, height: int) -> list[bytes]:
        """Return the answers of many queries of one kind at one height, asked ten at a time."""
        answers: list[bytes] = []
        for start in range(0, len(requests), _BATCH):
            calls = [
                {
                    "jsonrpc": "2.0",
                    "id": start + place,
                    "method": "abci_query",
                    "params": {"path": path, "data": data.hex(), "height": str(height), "prove": False},
                }
                for place, data in enumerate(requests[start : start + _BATCH])
            ]
            answer = self._http.request("POST", "/", body=json.dumps(calls).encode(), headers=_JSON)
            envelopes = answer.json(self.url)
            if len(calls) == 1 and isinstance(envelopes, dict):
                envelopes = [envelopes]
            if not isinstance(envelopes, list) or len(envelopes) != len(calls):
                raise BadAnswer(self.url, f"answered a batch of {len(calls)} with something else")
            by_id = {str(envelope.get("id")): envelope for envelope in envelopes if isinstance(envelope, dict)}
            answers += [self._value(path, unwrap(by_id.get(str(call["id"])), self.url)) for call in calls]
        return answers

    def broadcast(self, raw: bytes) -> CheckedTransaction:
        """Submit a transaction and return what CheckTx said."""
        result = self.call("broadcast_tx_sync", tx=base64.b64encode(raw).decode())
        return self._typed(parse_checked, result)

    def call(self, method: str, **parameters: Any) -> Any:
        """Return the `result` of one JSON-RPC call. Raises Refused for a JSON-RPC error."""
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": parameters}
        body = json.dumps(request).encode()
        answer = self._http.request("POST", "/", body=body, headers=_JSON)
        return unwrap(answer.json(f"{self.url} {method}"), f"{self.url} {method}")

    def close(self) -> None:
        self._http.close()

    def _typed(self, parse: Callable[[Any], T], result: Any) -> T:
        try:
            return parse(result)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise BadAnswer(self.url, f"answered something else than expected ({error!r})") from None


def unwrap(envelope: Any, address: str) -> Any:
    """Return the result in a JSON-RPC envelope. Raises Refused, BadAnswer."""
    if not isinstance(envelope, dict):
        raise BadAnswer(address, "answered JSON that is no JSON-RPC envelope")
    error = envelope.get("error")
    if isinstance(error, dict):
        code = error.get("code")
        text = f"{error.get('message', '')}: {error.get('data', '')}"
        raise Refused(address, text[:300], code=code if isinstance(code, int) else 0)
    if error:
        raise BadAnswer(address, "answered with an error that is none of JSON-RPC")
    if "result" not in envelope:
        raise BadAnswer(address, "answered without a result")
    return envelope["result"]


# Each `parse_…` raises KeyError, TypeError or ValueError for another shape, and nothing else: a part of another type
# is refused here, because it would break whoever writes it down later.


def parse_time(text: str) -> float:
    """Return a time in RFC 3339, UTC, with up to nanoseconds, as Unix seconds. Raises ValueError, TypeError."""
    parts = _UTC_TIME.fullmatch(text)
    if parts is None:
        raise ValueError(f"{text[:40]!r} is no UTC time")
    return datetime.fromisoformat(parts[1] + "+00:00").timestamp() + float(parts[2] or 0)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    return value


def _number(value: Any) -> int:
    """Return a 64-bit number that is written as one or as decimal text."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value not in _INT64:
        raise ValueError(f"{value!r:.40} is no whole number of 64 bits")
    return value


def _text_of(table: dict[str, Any], name: str) -> str:
    """Return a text that may be left out or null, which is empty then."""
    value = table.get(name)
    return "" if value is None else _text(value)


def _number_of(table: dict[str, Any], name: str) -> int:
    """Return a number that is left out when it is 0."""
    return _number(table.get(name, 0))


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r:.40} is neither true nor false")
    return value


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r:.40} is no object")
    return value


def _list(value: Any) -> list[Any]:
    """Return a list; Go writes an empty one as null."""
    if value is not None and not isinstance(value, list):
        raise TypeError(f"{value!r:.40} is no list")
    return value or []


def _base64(value: Any) -> bytes:
    return base64.b64decode(_text(value), validate=True)


def parse_status(result: Any) -> NodeStatus:
    node, sync, validator = result["node_info"], result["sync_info"], result["validator_info"]
    return NodeStatus(
        node_id=_text(node["id"]),
        chain_id=_text(node["network"]),
        version=_text(node["version"]),
        height=_number(sync["latest_block_height"]),
        block_hash=_text(sync["latest_block_hash"]),
        header_app_hash=_text(sync["latest_app_hash"]),
        block_time_s=parse_time(sync["latest_block_time"]),
        catching_up=_flag(sync["catching_up"]),
        validator_address=_text(validator["address"]),
        voting_power=_number(validator["voting_power"]),
    )


def parse_app_state(result: Any) -> AppState:
    response = _table(result["response"])
    app_hash = _base64(_text_of(response, "last_block_app_hash")).hex().upper()
    return AppState(height=_number_of(response, "last_block_height"), app_hash=app_hash)


def parse_query(result: Any) -> QueryAnswer:
    response = _table(result["response"])
    return QueryAnswer(
        code=_number_of(response, "code"),
        codespace=_text_of(response, "codespace"),
        log=_text_of(response, "log"),
        value=_base64(_text_of(response, "value")),
    )


def parse_block(result: Any) -> Block:
    header, encoded = result["block"]["header"], _list(result["block"]["data"]["txs"])
    return Block(
        header=BlockHeader(
            height=_number(header["height"]),
            block_hash=_text(result["block_id"]["hash"]),
            app_hash=_text(header["app_hash"]),
            time_s=parse_time(header["time"]),
            proposer=_text(header["proposer_address"]),
            tx_count=len(encoded),
        ),
        transactions=tuple(_base64(raw) for raw in encoded),
    )


def parse_headers(result: Any) -> list[BlockHeader]:
    headers = [
        BlockHeader(
            height=_number(meta["header"]["height"]),
            block_hash=_text(meta["block_id"]["hash"]),
            app_hash=_text(meta["header"]["app_hash"]),
            time_s=parse_time(meta["header"]["time"]),
            proposer=_text(meta["header"]["proposer_address"]),
            tx_count=_number(meta["num_txs"]),
        )
        for meta in _list(result["block_metas"])
    ]
    return sorted(headers, key=lambda header: header.height)


def parse_events(raw: Any) -> tuple[Event, ...]:
    return tuple(
        Event(
            kind=_text(event["type"]),
            attributes={
                _text(item["key"]): _text_of(item, "value") for item in map(_table, _list(event.get("attributes")))
            },
        )
        for event in map(_table, _list(raw))
    )


def parse_result(raw: Any, *, with_events: bool = True) -> TransactionResult:
    """Return one transaction's result; fields that are zero are absent in some of the RPC's answers."""
    raw = _table(raw)
    return TransactionResult(
        code=_number_of(raw, "code"),
        codespace=_text_of(raw, "codespace"),
        gas_wanted=_number_of(raw, "gas_wanted"),
        gas_used=_number_of(raw, "gas_used"),
        log=_text_of(raw, "log"),
        events=parse_events(raw.get("events")) if with_events else (),
    )


def parse_block_results(result: Any) -> BlockResults:
    result = _table(result)
    return BlockResults(
        height=_number(result["height"]),
        transactions=tuple(parse_result(raw) for raw in _list(result.get("txs_results"))),
        events=parse_events(result.get("finalize_block_events")),
    )


def parse_validators(result: Any) -> list[Validator]:
    return [
        Validator(address=_text(item["address"]), voting_power=_number(item["voting_power"]))
        for item in _list(result["validators"])
    ]


def parse_checked(result: Any) -> CheckedTransaction:
    result = _table(result)
    return CheckedTransaction(
        code=_number(result["code"]),
        codespace=_text_of(result, "codespace"),
        log=_text(result["log"]),
        tx_hash=_text(result["hash"]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBlock:
    """A block as the WebSocket event NewBlock tells it: enough to settle every transaction in it."""

    height: int
    time_s: float
    transactions: tuple[tuple[str, TransactionResult], ...]
    """(hash, result) in block order."""


def parse_new_block(result: Any) -> NewBlock:
    """Return the event's block. Raises KeyError, TypeError, ValueError for another shape.

    An empty block leaves out `tx_results`, and a result with code 0 leaves out `code`.
    """
    value = result["data"]["value"]
    header, encoded = value["block"]["header"], _list(value["block"]["data"]["txs"])
    outcomes = _list(_table(value["result_finalize_block"]).get("tx_results"))
    if len(outcomes) != len(encoded):
        raise ValueError(f"{len(encoded)} transactions and {len(outcomes)} results")
    settled = tuple(
        (hash_of(_base64(raw)), parse_result(outcome, with_events=False))
        for raw, outcome in zip(encoded, outcomes, strict=True)
    )
    return NewBlock(height=_number(header["height"]), time_s=parse_time(header["time"]), transactions=settled)
