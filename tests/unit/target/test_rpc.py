"""The RPC of a node: numbers, times and envelopes as CometBFT writes them, and every other shape refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from target.errors import BadAnswer, Refused, Unreachable
from target.rpc import (
    AppState,
    BlockHeader,
    CheckedTransaction,
    Event,
    NodeStatus,
    RpcClient,
    TransactionResult,
    Validator,
    parse_app_state,
    parse_block,
    parse_block_results,
    parse_checked,
    parse_headers,
    parse_new_block,
    parse_result,
    parse_status,
    parse_time,
    parse_validators,
    unwrap,
)
from target.transaction import hash_of
from tests.servers import Reply, Request, RpcError, free_port, http_server, rpc_node

# --- times ---


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("1970-01-01T00:00:01.5Z", 1.5),
        ("2025-06-15T15:06:40Z", 1_750_000_000.0),
        ("2025-06-15T15:06:40.123456789Z", 1_750_000_000.123456789),
        ("2025-06-15T15:06:40.000000001Z", 1_750_000_000.0),
        ("2025-06-15T15:06:40.999999999Z", 1_750_000_000.999999999),
        ("0001-01-01T00:00:00Z", -62_135_596_800.0),
    ],
)
def test_time_is_read_to_the_nanosecond(text: str, seconds: float) -> None:
    """Go leaves out final zeros, and has nine digits; the last is Go's time of nothing."""
    assert parse_time(text) == seconds


def test_nanoseconds_are_not_cut_to_microseconds() -> None:
    """What Python's own datetime would lose."""
    assert parse_time("1970-01-01T00:00:00.000000123Z") == pytest.approx(123e-9, rel=1e-9)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Z",
        "now",
        "2025-06-15",
        "1750000000",
        "2025-13-01T00:00:00Z",
        "2025-06-15T15:06:40.Z",
        "2025-06-15T15:06:40.1e3Z",
        "2025-06-15T15:06:40.1_0Z",
        "2025-06-15T15:06:40.-1Z",
        "2025-06-15T15:06:40+02:00",
        "2025-06-15T15:06:40.5+02:00",
        "2025-06-15T15:06:40",
        "2025-06-15T15:06:40ZZ",
    ],
)
def test_text_that_is_no_utc_time_is_refused(text: str) -> None:
    """A wrong time is worse than none."""
    with pytest.raises(ValueError):
        parse_time(text)


@pytest.mark.parametrize("value", [None, 5, 1.5, [], {}, True])
def test_what_is_no_text_is_no_time(value: Any) -> None:
    """With one of the three errors that a caller expects."""
    with pytest.raises(TypeError):
        parse_time(value)


# --- envelopes ---


def test_result_is_taken_from_its_envelope() -> None:
    """Also one that is null: it is there."""
    assert unwrap({"jsonrpc": "2.0", "id": 1, "result": {"a": 1}}, "here") == {"a": 1}
    assert unwrap({"result": None}, "here") is None
    assert unwrap({"error": None, "result": 5}, "here") == 5


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        ({"code": -32603, "message": "Internal error", "data": "height 9 is not available"}, -32603, "height 9"),
        ({"message": "Internal error"}, 0, "Internal error"),
        ({"code": "5", "message": "text for a code"}, 0, "text for a code"),
        ({"code": [], "message": ["list"], "data": {}}, 0, "list"),
        ({"code": None}, 0, ""),
    ],
)
def test_error_of_the_node_is_a_refusal_in_its_words(error: Any, code: int, words: str) -> None:
    """With its code, where it is one."""
    with pytest.raises(Refused) as caught:
        unwrap({"jsonrpc": "2.0", "error": error}, "here")
    assert caught.value.code == code
    assert words in caught.value.why


@pytest.mark.parametrize(
    "envelope", [None, 5, "ok", [], [{"result": 1}], {}, {"id": 1}, {"error": "text"}, {"error": [1]}]
)
def test_anything_else_is_no_envelope(envelope: Any) -> None:
    """A proxy, a gateway, another program on the port."""
    with pytest.raises(BadAnswer):
        unwrap(envelope, "here")


# --- shapes ---

STATUS: dict[str, Any] = {
    "node_info": {"id": "ab", "network": "c-1", "version": "0.38.17"},
    "sync_info": {
        "latest_block_hash": "AA",
        "latest_app_hash": "BB",
        "latest_block_height": "12",
        "latest_block_time": "1970-01-01T00:00:02Z",
        "catching_up": False,
    },
    "validator_info": {"address": "CC", "voting_power": "10"},
}
TX = base64.b64encode(b"transaction").decode()
HEADER = {"height": "12", "app_hash": "BB", "time": "1970-01-01T00:00:02Z", "proposer_address": "CC"}
BLOCK: dict[str, Any] = {"block_id": {"hash": "AA"}, "block": {"header": HEADER, "data": {"txs": [TX]}}}
RESULT: dict[str, Any] = {
    "code": 5,
    "codespace": "sdk",
    "gas_wanted": "100",
    "gas_used": "90",
    "log": "no funds",
    "events": [{"type": "transfer", "attributes": [{"key": "amount", "value": "5uve"}]}],
}
RESULTS: dict[str, Any] = {"height": "12", "txs_results": [RESULT], "finalize_block_events": [{"type": "mint"}]}
OUTCOME: dict[str, Any] = {name: value for name, value in RESULT.items() if name != "events"}
NEW_BLOCK: dict[str, Any] = {
    "data": {
        "value": {
            "block": {"header": {"height": "12", "time": "1970-01-01T00:00:02Z"}, "data": {"txs": [TX]}},
            "result_finalize_block": {"tx_results": [OUTCOME]},
        }
    }
}


def test_status() -> None:
    """64-bit numbers come as text and leave as numbers."""
    assert parse_status(STATUS) == NodeStatus(
        node_id="ab",
        chain_id="c-1",
        version="0.38.17",
        height=12,
        block_hash="AA",
        header_app_hash="BB",
        block_time_s=2.0,
        catching_up=False,
        validator_address="CC",
        voting_power=10,
    )


def test_block_with_and_without_transactions() -> None:
    """An empty block has null for its list."""
    block = parse_block(BLOCK)
    assert block.transactions == (b"transaction",)
    assert block.header == BlockHeader(height=12, block_hash="AA", app_hash="BB", time_s=2.0, proposer="CC", tx_count=1)
    empty = parse_block(BLOCK | {"block": {"header": HEADER, "data": {"txs": None}}})
    assert (empty.transactions, empty.header.tx_count) == ((), 0)


def test_headers_come_in_ascending_order() -> None:
    """CometBFT gives the newest first."""
    metas = [
        {"block_id": {"hash": f"H{height}"}, "header": HEADER | {"height": str(height)}, "num_txs": "3"}
        for height in (14, 13, 12)
    ]
    headers = parse_headers({"last_height": "14", "block_metas": metas})
    assert [(header.height, header.block_hash, header.tx_count) for header in headers] == [
        (12, "H12", 3),
        (13, "H13", 3),
        (14, "H14", 3),
    ]


def test_block_results_with_what_is_zero_left_out() -> None:
    """A result without code has code 0; a block without transactions has null."""
    found = parse_block_results(RESULTS)
    assert found.height == 12
    assert found.events == (Event(kind="mint", attributes={}),)
    assert found.transactions == (
        TransactionResult(
            code=5,
            codespace="sdk",
            gas_wanted=100,
            gas_used=90,
            log="no funds",
            events=(Event(kind="transfer", attributes={"amount": "5uve"}),),
        ),
    )
    assert parse_result({}) == TransactionResult(code=0, codespace="", gas_wanted=0, gas_used=0, log="")
    empty = parse_block_results({"height": "12", "txs_results": None, "finalize_block_events": None})
    assert (empty.transactions, empty.events) == ((), ())


def test_attribute_without_a_value_is_empty() -> None:
    """Null, or not there."""
    events = [
        {"type": "t", "attributes": [{"key": "a", "value": None}, {"key": "b"}]},
        {"type": "u", "attributes": None},
    ]
    (first, second) = parse_result({"events": events}).events
    assert first.attributes == {"a": "", "b": ""}
    assert second.attributes == {}


def test_app_state_before_the_first_block() -> None:
    """A node that has computed nothing yet."""
    assert parse_app_state({"response": {}}) == AppState(height=0, app_hash="")
    raw = {"response": {"last_block_height": "3", "last_block_app_hash": base64.b64encode(b"\xab\xcd").decode()}}
    assert parse_app_state(raw) == AppState(height=3, app_hash="ABCD")


def test_checked_transaction() -> None:
    """CheckTx says 0, or why not."""
    raw = {"code": 0, "data": "", "log": "[]", "codespace": "", "hash": "AB"}
    assert parse_checked(raw) == CheckedTransaction(code=0, codespace="", log="[]", tx_hash="AB")
    assert parse_checked({"code": 13, "log": "fee", "codespace": "sdk", "hash": "AB"}).codespace == "sdk"


def test_new_block_settles_its_transactions() -> None:
    """By hash, in block order."""
    block = parse_new_block(NEW_BLOCK)
    assert (block.height, block.time_s) == (12, 2.0)
    ((tx_hash, result),) = block.transactions
    assert tx_hash == hash_of(b"transaction")
    assert (result.code, result.events) == (5, ())


def new_block(txs: Any, outcomes: Any = ...) -> dict[str, Any]:
    """Return the event of a block, `tx_results` left out where no outcomes are given."""
    finalized = {} if outcomes is ... else {"tx_results": outcomes}
    value = {"block": {"header": HEADER, "data": {"txs": txs}}, "result_finalize_block": finalized}
    return {"data": {"value": value}}


@pytest.mark.parametrize("event", [new_block(None), new_block([]), new_block(None, None), new_block([], [])])
def test_new_block_without_transactions_leaves_out_the_results(event: dict[str, Any]) -> None:
    """Every way in which the field can be empty."""
    assert parse_new_block(event).transactions == ()


def test_new_block_leaves_out_code_0() -> None:
    """A result of a transaction that worked has no `code` in this event."""
    event = new_block([TX], [{"gas_wanted": "100", "gas_used": "90"}])
    ((_, result),) = parse_new_block(event).transactions
    assert (result.code, result.gas_used) == (0, 90)


@pytest.mark.parametrize(
    "event", [new_block([TX]), new_block([TX], []), new_block([TX], [{}, {}]), new_block([], [{}])]
)
def test_new_block_whose_results_do_not_match_is_refused(event: dict[str, Any]) -> None:
    """A transaction without a result is not taken for one that worked."""
    with pytest.raises(ValueError, match="transactions and"):
        parse_new_block(event)


def holes(value: Any) -> list[tuple[Any, ...]]:
    """Return the way to every part of plain data."""
    found: list[tuple[Any, ...]] = []
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        found += [(key,), *((key, *way) for way in holes(part))]
    return found


def replaced(value: Any, way: tuple[Any, ...], part: Any) -> Any:
    """Return a copy of plain data with one part replaced."""
    copy = json.loads(json.dumps(value))
    holder = copy
    for key in way[:-1]:
        holder = holder[key]
    holder[way[-1]] = part
    return copy


SHAPES: list[tuple[Callable[[Any], Any], Any]] = [
    (parse_status, STATUS),
    (parse_app_state, {"response": {"last_block_height": "3", "last_block_app_hash": "q80="}}),
    (parse_block, BLOCK),
    (parse_headers, {"block_metas": [{"block_id": {"hash": "A"}, "header": HEADER, "num_txs": "0"}]}),
    (parse_block_results, RESULTS),
    (parse_validators, {"validators": [{"address": "A", "voting_power": "5"}]}),
    (parse_checked, {"code": 1, "codespace": "sdk", "log": "l", "hash": "A"}),
    (parse_new_block, NEW_BLOCK),
]


@pytest.mark.parametrize(("parse", "sample"), SHAPES, ids=[parse.__name__ for parse, _ in SHAPES])
def test_each_part_of_another_kind_is_refused(parse: Callable[[Any], Any], sample: Any) -> None:
    """A part that is a list, a table, a fraction or a flag where it should not be is not read as something else."""
    assert parse(sample)
    for way in holes(sample):
        parts: list[Any] = [[[]], [{}], {"a": {}}, 1.5, True, "\ud800☃"]
        for part in parts:
            here = sample
            for key in way:
                here = here[key]
            if type(here) is type(part):
                continue
            with pytest.raises((KeyError, TypeError, ValueError)):
                parse(replaced(sample, way, part))


@pytest.mark.parametrize(("parse", "sample"), SHAPES, ids=[parse.__name__ for parse, _ in SHAPES])
def test_part_that_nobody_knows_is_passed_over(parse: Callable[[Any], Any], sample: Any) -> None:
    """A later version may say more."""
    more = json.loads(json.dumps(sample), object_hook=lambda table: table | {"brand_new": [1]})
    assert parse(more) == parse(sample)


@pytest.mark.parametrize("number", ["", "x", "1.0", "1_0", " 1", "+1", "0x1", "٣", "9223372036854775808", "9" * 5000])
def test_number_that_is_not_written_as_one_is_refused(number: str) -> None:
    """Decimal digits of a 64-bit number, as Go writes them."""
    with pytest.raises(ValueError):
        parse_validators({"validators": [{"address": "A", "voting_power": number}]})
    assert parse_validators({"validators": [{"address": "A", "voting_power": "-1"}]}) == [
        Validator(address="A", voting_power=-1)
    ]


@pytest.mark.parametrize("encoded", ["%%%", "YQ", "YQ==YQ", "Y Q=="])
def test_transaction_that_is_no_base64_is_refused(encoded: str) -> None:
    """Bytes that are guessed would have another hash."""
    with pytest.raises(ValueError):
        parse_block(BLOCK | {"block": {"header": HEADER, "data": {"txs": [encoded]}}})


# --- calls ---


def test_every_call_asks_for_its_method() -> None:
    """Method, parameters and what comes back, for the whole interface."""
    asked: list[tuple[str, Any]] = []

    def noting(method: str, result: Any) -> Callable[[Any], Any]:
        def answer(params: Any) -> Any:
            asked.append((method, params))
            return result

        return answer

    answers = {
        "status": STATUS,
        "net_info": {"n_peers": "3"},
        "num_unconfirmed_txs": {"n_txs": "1", "total": "7"},
        "abci_info": {"response": {"last_block_height": "3"}},
        "block": BLOCK,
        "block_results": RESULTS,
        "blockchain": {"block_metas": []},
        "genesis": {"genesis": {"genesis_time": "2025-01-01T00:00:00Z"}},
        "abci_query": {"response": {"value": "YQ=="}},
        "broadcast_tx_sync": {"code": 0, "log": "", "hash": "AB"},
    }
    with rpc_node({method: noting(method, result) for method, result in answers.items()}) as url:
        rpc = RpcClient(url + "/")
        rpc.health()
        assert rpc.url == url
        assert rpc.status().height == 12
        assert (rpc.peer_count(), rpc.mempool_count(), rpc.app_state().height) == (3, 7, 3)
        assert rpc.block(12).transactions == (b"transaction",)
        assert rpc.block_results(12).height == 12
        assert rpc.headers(3, 9) == []
        assert rpc.genesis_time() == "2025-01-01T00:00:00Z"
        assert rpc.query("/a.Query/B", b"\x0a\x01", height=5) == b"a"
        assert rpc.broadcast(b"transaction").tx_hash == "AB"
        rpc.close()
    assert dict(asked) == {
        "status": {},
        "net_info": {},
        "num_unconfirmed_txs": {},
        "abci_info": {},
        "block": {"height": "12"},
        "block_results": {"height": "12"},
        "blockchain": {"minHeight": "3", "maxHeight": "9"},
        "genesis": {},
        "abci_query": {"path": "/a.Query/B", "data": "0a01", "height": "5", "prove": False},
        "broadcast_tx_sync": {"tx": TX},
    }


def test_validators_of_all_pages() -> None:
    """A set of more than a page is asked page by page; the asking has an end."""
    everyone = [{"address": f"V{i}", "voting_power": str(i)} for i in range(250)]

    def page(params: Any) -> Any:
        start = (int(params["page"]) - 1) * int(params["per_page"])
        return {"validators": everyone[start : start + 100], "count": "100", "total": "250"}

    with rpc_node({"validators": page}) as url:
        rpc = RpcClient(url)
        assert rpc.validators() == [Validator(address=f"V{i}", voting_power=i) for i in range(250)]
        rpc.close()
    with rpc_node({"validators": lambda params: {"validators": [], "total": "5"}}) as url:
        rpc = RpcClient(url)
        assert rpc.validators() == []
        rpc.close()


def test_module_refuses_in_its_own_words() -> None:
    """A query with a code is a refusal, not an empty answer."""
    response = {"code": 22, "codespace": "sdk", "log": "account ve1a not found", "value": None}
    with rpc_node({"abci_query": {"response": response}}) as url:
        rpc = RpcClient(url)
        with pytest.raises(Refused) as caught:
            rpc.query("/a.Query/B")
        rpc.close()
    assert (caught.value.code, caught.value.codespace) == (22, "sdk")
    assert caught.value.why == "/a.Query/B: account ve1a not found"


def test_many_queries_keep_their_order() -> None:
    """Ten at a time, answered in any order; one alone may come without a list."""

    def answer(request: Request) -> Reply:
        calls = json.loads(request.body)
        assert len(calls) <= 10
        found = [
            {
                "id": call["id"],
                "result": {"response": {"value": base64.b64encode(bytes.fromhex(call["params"]["data"])).decode()}},
            }
            for call in reversed(calls)
        ]
        return Reply(body=json.dumps(found[0] if len(found) == 1 else found).encode())

    requests = [bytes([i]) for i in range(21)]
    with http_server(answer) as url:
        rpc = RpcClient(url)
        assert rpc.query_many("/a.Query/B", requests, height=7) == requests
        assert rpc.query_many("/a.Query/B", [], height=7) == []
        rpc.close()


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        5,
        [1, 2],
        [{"id": 0, "result": {"response": {}}}],
        [{"id": [], "result": {}}, {"id": {}, "result": {}}],
        [{"id": 0, "result": {"response": {}}}, {"id": 0, "result": {"response": {}}}],
        [{"id": 0, "result": {"response": {}}}, {"id": 7, "result": {"response": {}}}],
    ],
)
def test_batch_that_is_not_answered_whole_is_a_bad_answer(answer: Any) -> None:
    """Too few, doubled, for another question, or no envelopes at all."""
    with http_server(lambda _: Reply(body=json.dumps(answer).encode())) as url:
        rpc = RpcClient(url)
        with pytest.raises(BadAnswer):
            rpc.query_many("/a.Query/B", [b"1", b"2"], height=1)
        rpc.close()


def test_refusal_within_a_batch_is_a_refusal() -> None:
    """One that fails is not passed over."""

    def query(params: Any) -> Any:
        if params["data"] == "02":
            raise RpcError("no such height")
        return {"response": {}}

    with rpc_node({"abci_query": query}) as url:
        rpc = RpcClient(url)
        with pytest.raises(Refused, match="no such height"):
            rpc.query_many("/a.Query/B", [b"\x01", b"\x02", b"\x03"], height=1)
        rpc.close()


def test_unhealthy_node_is_a_bad_answer() -> None:
    """Any status but 200."""
    with http_server(lambda _: Reply(status=500, body=b"{}")) as url:
        rpc = RpcClient(url)
        with pytest.raises(BadAnswer, match="answered 500"):
            rpc.health()
        rpc.close()


def test_node_that_is_not_there_is_unreachable() -> None:
    """As for every request."""
    with pytest.raises(Unreachable):
        RpcClient(f"http://127.0.0.1:{free_port()}").status()
