"""The CometBFT RPC of a node, typed: status, blocks, results, peers, module queries, broadcast.

64-bit numbers arrive as text in this RPC and leave this module as int; times leave as Unix seconds.
"""

from __future__ import annotations

import base64
import itertools
import json
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
        return self._typed(lambda result: int(result["n_peers"]), self.call("net_info"))

    def mempool_count(self) -> int:
        """Return how many transactions wait in the node's mempool."""
        return self._typed(lambda result: int(result["total"]), self.call("num_unconfirmed_txs"))

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
            if len(found) >= int(result["total"]):
                break
        return found

    def genesis_time(self) -> str:
        """Return the text of the genesis time, from the first page of the genesis."""
        return self._typed(lambda result: str(result["genesis"]["genesis_time"]), self.call("genesis"))

    def query(self, path: str, data: bytes = b"", *, height: int = 0) -> bytes:
        """Return the protobuf answer of a module query (`abci_query`), at a height or at the latest (0)."""
        result = self.call("abci_query", path=path, data=data.hex(), height=str(height), prove=False)
        return self._value(path, result)

    def _value(self, path: str, result: Any) -> bytes:
        """Return the bytes in the result of a query. Raises Refused with the module's words."""
        response = result.get("response", {})
        if response.get("code", 0):
            log, code = str(response.get("log", "")), int(response["code"])
            raise Refused(self.url, f"{path}: {log[:200]}", code=code, codespace=response.get("codespace", ""))
        return base64.b64decode(response.get("value") or "")

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
            by_id = {envelope.get("id"): envelope for envelope in envelopes}
            answers += [self._value(path, unwrap(by_id.get(call["id"]), self.url)) for call in calls]
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
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise BadAnswer(self.url, f"answered something else than expected ({error!r})") from None


def unwrap(envelope: Any, address: str) -> Any:
    """Return the result in a JSON-RPC envelope. Raises Refused, BadAnswer."""
    if not isinstance(envelope, dict):
        raise BadAnswer(address, "answered JSON that is no JSON-RPC envelope")
    error = envelope.get("error")
    if error:
        text = f"{error.get('message', '')}: {error.get('data', '')}"
        raise Refused(address, text[:300], code=int(error.get("code", 0)))
    if "result" not in envelope:
        raise BadAnswer(address, "answered without a result")
    return envelope["result"]


def parse_time(text: str) -> float:
    """Return an RFC 3339 time with up to nanoseconds as Unix seconds. Raises ValueError."""
    head, dot, fraction = text.rstrip("Z").partition(".")
    seconds = datetime.fromisoformat(head + "+00:00").timestamp()
    return seconds + (float("0." + fraction) if dot else 0.0)


def parse_status(result: Any) -> NodeStatus:
    sync, validator = result["sync_info"], result["validator_info"]
    return NodeStatus(
        node_id=result["node_info"]["id"],
        chain_id=result["node_info"]["network"],
        version=result["node_info"]["version"],
        height=int(sync["latest_block_height"]),
        block_hash=sync["latest_block_hash"],
        header_app_hash=sync["latest_app_hash"],
        block_time_s=parse_time(sync["latest_block_time"]),
        catching_up=bool(sync["catching_up"]),
        validator_address=validator["address"],
        voting_power=int(validator["voting_power"]),
    )


def parse_app_state(result: Any) -> AppState:
    response = result["response"]
    app_hash = base64.b64decode(response.get("last_block_app_hash") or "").hex().upper()
    return AppState(height=int(response.get("last_block_height") or 0), app_hash=app_hash)


def parse_block(result: Any) -> Block:
    header, encoded = result["block"]["header"], result["block"]["data"]["txs"] or []
    return Block(
        header=BlockHeader(
            height=int(header["height"]),
            block_hash=result["block_id"]["hash"],
            app_hash=header["app_hash"],
            time_s=parse_time(header["time"]),
            proposer=header["proposer_address"],
            tx_count=len(encoded),
        ),
        transactions=tuple(base64.b64decode(raw) for raw in encoded),
    )


def parse_headers(result: Any) -> list[BlockHeader]:
    headers = [
        BlockHeader(
            height=int(meta["header"]["height"]),
            block_hash=meta["block_id"]["hash"],
            app_hash=meta["header"]["app_hash"],
            time_s=parse_time(meta["header"]["time"]),
            proposer=meta["header"]["proposer_address"],
            tx_count=int(meta["num_txs"]),
        )
        for meta in result["block_metas"]
    ]
    return sorted(headers, key=lambda header: header.height)


def parse_events(raw: Any) -> tuple[Event, ...]:
    return tuple(
        Event(
            kind=event["type"],
            attributes={item["key"]: item.get("value") or "" for item in event.get("attributes") or []},
        )
        for event in raw or []
    )


def parse_result(raw: Any, *, with_events: bool = True) -> TransactionResult:
    """Return one transaction's result; fields that are zero are absent in some of the RPC's answers."""
    return TransactionResult(
        code=int(raw.get("code") or 0),
        codespace=raw.get("codespace") or "",
        gas_wanted=int(raw.get("gas_wanted") or 0),
        gas_used=int(raw.get("gas_used") or 0),
        log=raw.get("log") or "",
        events=parse_events(raw.get("events")) if with_events else (),
    )


def parse_block_results(result: Any) -> BlockResults:
    return BlockResults(
        height=int(result["height"]),
        transactions=tuple(parse_result(raw) for raw in result.get("txs_results") or []),
        events=parse_events(result.get("finalize_block_events")),
    )


def parse_validators(result: Any) -> list[Validator]:
    return [Validator(address=item["address"], voting_power=int(item["voting_power"])) for item in result["validators"]]


def parse_checked(result: Any) -> CheckedTransaction:
    return CheckedTransaction(
        code=int(result["code"]), codespace=result.get("codespace") or "", log=result["log"], tx_hash=result["hash"]
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
    header, encoded = value["block"]["header"], value["block"]["data"]["txs"] or []
    outcomes = value["result_finalize_block"].get("tx_results") or []
    if len(outcomes) != len(encoded):
        raise ValueError(f"{len(encoded)} transactions and {len(outcomes)} results")
    settled = tuple(
        (hash_of(base64.b64decode(raw)), parse_result(outcome, with_events=False))
        for raw, outcome in zip(encoded, outcomes, strict=True)
    )
    return NewBlock(height=int(header["height"]), time_s=parse_time(header["time"]), transactions=settled)
