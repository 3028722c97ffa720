"""The tables of a bundle: their files and their columns.

Times are Unix seconds UTC as floats and end in `_at_s`. A value that was not measured is null, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa


class Outcome(StrEnum):
    """How an operation ended, as far as its caller can know."""

    OK = "ok"
    """It happened, and the answer was right."""
    FAIL = "fail"
    """It did not happen, or the answer was wrong."""
    UNKNOWN = "unknown"
    """It may or may not have happened: timed out, or the connection broke after sending."""


class ErrorKind(StrEnum):
    """Why an operation did not end in OK. Stable names: budgets and reports refer to them."""

    BACK_PRESSURE = "back_pressure"
    """The target said "not now": HTTP 429, rate limit of the chain, mempool full. No failure of the service."""
    CLIENT_ERROR = "client_error"
    """The target refused the request as wrong: HTTP 4xx, a transaction that CheckTx refuses."""
    SERVER_ERROR = "server_error"
    """HTTP 5xx, a JSON-RPC or gRPC internal error."""
    BAD_ANSWER = "bad_answer"
    """The answer arrived and is not what the operation is defined to give."""
    REFUSED = "refused"
    """No connection could be made."""
    BROKEN = "broken"
    """The connection ended before the answer was complete."""
    TIMEOUT = "timeout"
    """No answer within the limit."""
    EXECUTION_FAILED = "execution_failed"
    """A transaction is in a block with a code other than 0."""
    NOT_INCLUDED = "not_included"
    """A transaction was accepted and no block had it within the limit."""
    NOT_SENT = "not_sent"
    """The generator could not send: no free account, or no time left. Says nothing about the target."""
    LOST = "lost"
    """A message that a subscriber should have received never came."""


NO_FAILURE_KINDS = frozenset({ErrorKind.BACK_PRESSURE, ErrorKind.NOT_SENT})
"""Kinds that Locust does not count as a failure: the target did nothing wrong."""


class Rejection(StrEnum):
    """Which kind of no a node said to a transaction: by codespace and code, or by its words where it gives none."""

    MEMPOOL_FULL = "mempool_full"
    IN_CACHE = "in_cache"
    """The node knows these very bytes already: it may have them in its mempool, or in a block."""
    RATE_LIMIT = "rate_limit"
    """Too many of an account or in a block (codespace ratelimit), or of a client (HTTP 429)."""
    SEQUENCE = "sequence"
    """The account stands at another sequence: sdk/32."""
    CHECK_TX = "check_tx"
    """CheckTx refused it for any other reason; codespace and code say which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table of the bundle. `path` is relative, without ending; a folder holds one part a writer."""

    name: str
    path: str
    schema: pa.Schema
    is_folder: bool = False
    newer: frozenset[str] = frozenset()
    """Columns that bundles of earlier versions lack; they are null there."""


def _schema(*columns: tuple[str, pa.DataType, bool]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=nullable) for name, kind, nullable in columns])


_F64, _I64, _I32, _TEXT, _BOOL = pa.float64(), pa.int64(), pa.int32(), pa.string(), pa.bool_()

SAMPLES = Table(
    name="samples",
    path="samples",
    is_folder=True,
    schema=_schema(
        ("intended_at_s", _F64, False),  # when the schedule meant the request to go out
        ("sent_at_s", _F64, False),  # when it went out
        ("latency_ms", _F64, True),  # from intended_at_s to the end of the answer; null if it never ended
        ("operation", _TEXT, False),  # "tx.submit", "rpc.status", …: the name in Locust's statistics
        ("protocol", _TEXT, False),  # Locust's request type: TX, RPC, REST, GRPC, WS, HTTP
        ("outcome", _TEXT, False),  # Outcome
        ("error_kind", _TEXT, True),  # ErrorKind; null when outcome is ok
        ("detail", _TEXT, True),  # the target's words, cut to 200 characters
        ("rejection", _TEXT, True),  # Rejection; null unless a node refused a transaction
        ("codespace", _TEXT, True),  # who gave `code`: an ABCI codespace, "jsonrpc" or "http"
        ("code", _I64, True),  # of a transaction that was refused, or failed in a block
        ("bytes", _I64, True),  # size of the answer
        ("endpoint", _TEXT, True),  # the node or provider that answered last
        ("tx_hash", _TEXT, True),  # upper-case hex, for transactions
        ("valid_until_at_s", _F64, True),  # when the transaction itself expires; null where it has no time of its own
        ("attempts", _I32, False),  # connections tried; more than 1 means that the client failed over
    ),
    newer=frozenset({"rejection", "codespace", "code", "valid_until_at_s"}),
)

BLOCKS = Table(
    name="blocks",
    path="blocks",
    schema=_schema(
        ("node", _TEXT, False),
        ("height", _I64, False),
        ("block_hash", _TEXT, True),  # null in a row that only tells the node's own app hash
        ("header_app_hash", _TEXT, True),  # the app hash in the header: the state after height - 1
        ("own_app_hash", _TEXT, True),  # what this node computed after `height` (abci_info); null if not seen
        ("header_time_at_s", _F64, True),
        ("observed_at_s", _F64, False),  # when the observer first saw the height on this node
        ("tx_count", _I32, True),
        ("proposer", _TEXT, True),
    ),
)

TRANSACTIONS = Table(
    name="transactions",
    path="transactions",
    schema=_schema(
        ("height", _I64, False),
        ("index", _I32, False),
        ("tx_hash", _TEXT, False),
        ("code", _I64, False),
        ("codespace", _TEXT, False),
        ("gas_wanted", _I64, False),
        ("gas_used", _I64, False),
        ("sender", _TEXT, True),  # null unless the transaction is one MsgSend
        ("recipient", _TEXT, True),
        ("amount_uve", _I64, True),
        ("fee_uve", _I64, True),  # what the chain charged, by its own event
        ("node", _TEXT, False),  # the node it was read from
        ("observed_at_s", _F64, False),
    ),
)

SUPPLY = Table(
    name="supply",
    path="supply",
    schema=_schema(
        ("height", _I64, False),
        ("minted_uve", _TEXT, True),  # flow: by the events of this height; decimal text, may exceed 64 bits
        ("burned_uve", _TEXT, True),  # flow
        ("total_uve", _TEXT, True),  # level: the total supply after this height; a row has the flows or the level
    ),
)

BALANCES = Table(
    name="balances",
    path="balances",
    schema=_schema(
        ("height", _I64, False),  # the state after this height
        ("address", _TEXT, False),
        ("amount_uve", _TEXT, False),
    ),
)

PROBES = Table(
    name="probes",
    path="probes",
    schema=_schema(
        ("at_s", _F64, False),  # when the probe was sent
        ("endpoint", _TEXT, False),
        ("kind", _TEXT, False),  # node, provider, api
        ("probe", _TEXT, False),  # health, status, peers
        ("ok", _BOOL, False),
        ("latency_ms", _F64, True),
        ("detail", _TEXT, True),  # why it was not ok
        ("height", _I64, True),
        ("catching_up", _BOOL, True),
        ("peers", _I32, True),
        ("mempool_txs", _I32, True),
    ),
)

RESOURCES = Table(
    name="resources",
    path="resources",
    schema=_schema(
        ("at_s", _F64, False),
        ("process", _TEXT, False),
        ("pid", _I32, False),
        ("rss_bytes", _I64, False),
        ("cpu_s", _F64, False),  # user + system since the process began
        ("threads", _I32, True),
        ("open_files", _I32, True),
        ("read_bytes", _I64, True),
        ("written_bytes", _I64, True),
    ),
)

GENERATOR = Table(
    name="generator",
    path="generator",
    is_folder=True,
    schema=_schema(
        ("at_s", _F64, False),  # end of the period
        ("period_s", _F64, False),  # about a second
        ("due", _I64, False),  # arrivals whose time came
        ("begun", _I64, False),  # arrivals that a user took up
        ("given_up", _I64, False),  # arrivals that waited too long for a user: not sent
        ("waiting", _I64, False),  # arrivals that wait for a user at the end of the period
        ("late_by_2_ms", _I64, False),  # of those due: noticed more than 2 ms late, and so on
        ("late_by_20_ms", _I64, False),
        ("late_by_100_ms", _I64, False),
        ("late_max_ms", _F64, False),
        ("cpu_ratio", _F64, False),  # CPU time of the process by time: 1 is a whole core
        ("collected_ms", _F64, False),  # time spent in garbage collection
        ("stalled_max_ms", _F64, False),  # longest time by which a heartbeat of 20 ms came late
    ),
)

ALL_TABLES = (SAMPLES, BLOCKS, TRANSACTIONS, SUPPLY, BALANCES, PROBES, RESOURCES, GENERATOR)
