"""JSON-RPC for load: what the chain's refusals mean."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from bundle import ErrorKind, Outcome, Rejection
from loadtests.kit.calls import Call, CallFailed, ChainCode
from loadtests.kit.http import HttpEndpoint, HttpPool
from loadtests.kit.rpc import broadcast, expected_sequence, rpc_call
from tests.unit.loadtests.kit_servers import Handler, answering, http_server, sending


def a_call() -> Call:
    return Call(operation="tx.submit", protocol="TX", intended_at_s=0.0, sent_at_s=0.0)


def result(value: Any) -> Handler:
    return answering(200, json.dumps({"jsonrpc": "2.0", "id": 1, "result": value}).encode())


def error(code: int, message: str, data: str, *, status: int = 500) -> Handler:
    body = {"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message, "data": data}}
    return answering(status, json.dumps(body).encode())


def ask(handler: Handler, **parameters: Any) -> tuple[Any, list[Any]]:
    """Return (result, what the server was asked)."""
    with http_server(handler) as server:
        found = rpc_call(HttpPool([HttpEndpoint("a", server.url)]), a_call(), "block", **parameters)
    return found, [request.json() for request in server.requests]


def failure_of(handler: Handler) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        ask(handler)
    return caught.value


def submit(handler: Handler, raw: bytes = b"raw") -> list[Any]:
    with http_server(handler) as server:
        broadcast(HttpPool([HttpEndpoint("a", server.url)]), a_call(), raw)
    return [request.json() for request in server.requests]


def submission_failure(handler: Handler) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        submit(handler)
    return caught.value


def test_a_result_comes_back_and_the_question_is_json_rpc() -> None:
    found, asked = ask(result({"a": [1]}), height="5")
    assert found == {"a": [1]}
    assert len(asked) == 1
    assert (asked[0]["jsonrpc"], asked[0]["method"], asked[0]["params"]) == ("2.0", "block", {"height": "5"})


@pytest.mark.parametrize("method", ["status", "broadcast_tx_sync"])
def test_a_question_is_repeated_and_a_transaction_is_not(method: str) -> None:
    """The node dies with the request: only what may be asked twice goes to the next one."""
    with http_server(sending(b"")) as dying, http_server(result({"height": "1"})) as other:
        pool = HttpPool([HttpEndpoint("a", dying.url), HttpEndpoint("b", other.url)])
        if method == "status":
            assert rpc_call(pool, a_call(), method) == {"height": "1"}
        else:
            with pytest.raises(CallFailed) as caught:
                broadcast(pool, a_call(), b"raw")
            assert caught.value.outcome is Outcome.UNKNOWN
        assert (len(dying.requests), len(other.requests)) == (1, int(method == "status"))


def test_questions_have_ids_of_their_own() -> None:
    assert ask(result({}))[1][0]["id"] != ask(result({}))[1][0]["id"]


@pytest.mark.parametrize("value", [None, 0, "", []])
def test_a_result_may_be_empty(value: Any) -> None:
    assert ask(result(value))[0] == value


@pytest.mark.parametrize(
    ("code", "message", "data", "kind"),
    [
        (-32603, "Internal error", "mempool is full: number of txs 5000 (max: 5000)", ErrorKind.BACK_PRESSURE),
        (-32603, "Internal error", "too many open connections", ErrorKind.BACK_PRESSURE),
        (-32603, "Internal error", "max_subscription_clients 100 reached", ErrorKind.BACK_PRESSURE),
        (-32603, "Internal error", "max_subscriptions_per_client 5 reached", ErrorKind.BACK_PRESSURE),
        (-32603, "Internal error", "tx already exists in cache", ErrorKind.CLIENT_ERROR),
        (-32603, "Internal error", "height 9 must be less than or equal to the current 5", ErrorKind.CLIENT_ERROR),
        (-32601, "Method not found", "", ErrorKind.CLIENT_ERROR),
        (-32600, "Invalid Request", "error reading request body: http: request body too large", ErrorKind.CLIENT_ERROR),
        (-32603, "Internal error", "tx (AB) not found, err: <nil>", ErrorKind.CLIENT_ERROR),
        (-32603, "Internal error", "panic: runtime error", ErrorKind.SERVER_ERROR),
        (-32603, "Internal error", "", ErrorKind.SERVER_ERROR),
    ],
)
@pytest.mark.parametrize("status", [200, 500])
def test_json_rpc_errors_become_kinds(code: int, message: str, data: str, kind: ErrorKind, status: int) -> None:
    failure = failure_of(error(code, message, data, status=status))
    assert (failure.kind, failure.outcome) == (kind, Outcome.FAIL)
    assert str(code) in failure.detail
    assert data[:60] in failure.detail


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (502, b"<html>bad gateway</html>", ErrorKind.SERVER_ERROR),
        (503, b"", ErrorKind.SERVER_ERROR),
        (404, b"not here", ErrorKind.CLIENT_ERROR),
        (429, b"slow down", ErrorKind.BACK_PRESSURE),
        # A gateway that speaks JSON of its own.
        (502, b'{"message": "bad gateway"}', ErrorKind.SERVER_ERROR),
        (503, b'{"error": "no healthy upstream"}', ErrorKind.SERVER_ERROR),
        (429, b'{"error": "too many requests"}', ErrorKind.BACK_PRESSURE),
        (429, b'{"error": {"reason": "too many requests"}', ErrorKind.BACK_PRESSURE),
        (200, b"<html>", ErrorKind.BAD_ANSWER),
        (200, b"", ErrorKind.BAD_ANSWER),
        (200, b"[]", ErrorKind.BAD_ANSWER),
        (200, b"5", ErrorKind.BAD_ANSWER),
        (200, b"{}", ErrorKind.BAD_ANSWER),
        (200, b'{"error": "text"}', ErrorKind.BAD_ANSWER),
        (200, b'{"error": null}', ErrorKind.BAD_ANSWER),
    ],
)
def test_what_is_no_json_rpc_is_called_by_its_status(status: int, body: bytes, kind: ErrorKind) -> None:
    failure = failure_of(answering(status, body))
    assert (failure.kind, failure.outcome) == (kind, Outcome.FAIL)


def test_an_accepted_transaction_returns_and_was_sent_as_base64() -> None:
    asked = submit(result({"code": 0, "codespace": "", "log": "", "hash": "AB"}), raw=b"\x00\xff")
    assert [(item["method"], item["params"]) for item in asked] == [
        ("broadcast_tx_sync", {"tx": base64.b64encode(b"\x00\xff").decode()})
    ]


@pytest.mark.parametrize(
    ("codespace", "code", "kind", "rejection"),
    [
        ("ratelimit", 1, ErrorKind.BACK_PRESSURE, Rejection.RATE_LIMIT),
        ("ratelimit", 3, ErrorKind.BACK_PRESSURE, Rejection.RATE_LIMIT),
        ("sdk", 32, ErrorKind.CLIENT_ERROR, Rejection.SEQUENCE),
        ("sdk", 20, ErrorKind.BACK_PRESSURE, Rejection.MEMPOOL_FULL),
        ("sdk", 19, ErrorKind.CLIENT_ERROR, Rejection.IN_CACHE),
        ("sdk", 5, ErrorKind.CLIENT_ERROR, Rejection.CHECK_TX),
        ("other", 32, ErrorKind.CLIENT_ERROR, Rejection.CHECK_TX),
        ("", 1, ErrorKind.CLIENT_ERROR, Rejection.CHECK_TX),
    ],
)
def test_check_tx_refusals_are_told_apart(codespace: str, code: int, kind: ErrorKind, rejection: Rejection) -> None:
    failure = submission_failure(result({"code": code, "codespace": codespace, "log": "why not", "hash": "AB"}))
    assert (failure.kind, failure.outcome, failure.rejection) == (kind, Outcome.FAIL, rejection)
    assert failure.chain_code == ChainCode(codespace=codespace, code=code)
    assert failure.detail == f"{codespace}/{code} why not"


@pytest.mark.parametrize(
    ("data", "kind", "rejection"),
    [
        ("mempool is full: number of txs 5000", ErrorKind.BACK_PRESSURE, Rejection.MEMPOOL_FULL),
        ("tx already exists in cache", ErrorKind.CLIENT_ERROR, Rejection.IN_CACHE),
        ("Tx too large. Max size is 1048576, but got 2000000", ErrorKind.CLIENT_ERROR, Rejection.CHECK_TX),
        ("something else", ErrorKind.SERVER_ERROR, None),
    ],
)
def test_a_broadcast_refused_by_the_node_itself(data: str, kind: ErrorKind, rejection: Rejection | None) -> None:
    failure = submission_failure(error(-32603, "Internal error", data))
    assert (failure.kind, failure.rejection) == (kind, rejection)
    assert failure.chain_code == ChainCode(codespace="jsonrpc", code=-32603)


def test_a_gateway_that_puts_off_is_a_rate_limit() -> None:
    failure = submission_failure(answering(429, b"slow down"))
    assert (failure.kind, failure.rejection) == (ErrorKind.BACK_PRESSURE, Rejection.RATE_LIMIT)
    assert failure.chain_code == ChainCode(codespace="http", code=429)


def test_an_error_page_that_speaks_of_the_mempool_is_no_refusal_of_a_node() -> None:
    failure = submission_failure(answering(502, b"mempool is full"))
    assert (failure.kind, failure.rejection) == (ErrorKind.SERVER_ERROR, None)


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("account sequence mismatch, expected 7, got 9: incorrect account sequence", 7),
        ("account sequence mismatch, expected 0, got 1", 0),
        ("incorrect account sequence", None),
    ],
)
def test_the_expected_sequence_is_read_from_the_chains_words(log: str, expected: int | None) -> None:
    answer = {"code": 32, "codespace": "sdk", "log": log, "hash": "AB"}
    assert expected_sequence(submission_failure(result(answer))) == expected


def test_no_sequence_is_read_from_other_refusals() -> None:
    log = "account sequence mismatch, expected 7, got 9"
    assert expected_sequence(submission_failure(result({"code": 4, "codespace": "sdk", "log": log}))) is None


@pytest.mark.parametrize(
    "value", [None, [], "ok", {}, {"code": 0}, {"code": "many", "log": ""}, {"code": None, "log": ""}]
)
def test_a_broadcast_without_a_result_is_a_bad_answer(value: Any) -> None:
    assert submission_failure(result(value)).kind is ErrorKind.BAD_ANSWER
