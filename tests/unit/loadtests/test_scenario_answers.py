"""The scenarios' own tasks against answers of another shape: a bad answer, reported once, and the user goes on."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from locust.env import Environment

from bundle import ErrorKind, Outcome
from loadtests import provider as provider_file
from loadtests.kit.calls import Call, CallFailed
from loadtests.kit.session import Session
from loadtests.kit.users import HarnessUser
from loadtests.provider import ProviderUser
from loadtests.query import QueryUser
from loadtests.websocket import WebSocketUser
from target.wire import bytes_field, coin, text_field
from tests.unit.loadtests.kit_chain import FakeChain
from tests.unit.loadtests.kit_servers import Request, http_bytes, http_server
from tests.unit.loadtests.kit_session import a_session, a_target

Answers = Callable[[Request], tuple[int, bytes]]


def calls_of(environment: Environment) -> list[Call]:
    """Return the list to which every call of the environment is added when it is reported."""
    found: list[Call] = []
    environment.events.request.add_listener(lambda context, **_: found.append(context["call"]))
    return found


@contextmanager
def users_of(user_class: type[HarnessUser], answers: Answers) -> Iterator[tuple[Any, list[Call], Session]]:
    """Give a user of a target that answers all its requests so, the calls that it reports, and its session."""

    def answer(request: Request, connection: socket.socket) -> bool:
        connection.sendall(http_bytes(*answers(request)))
        return True

    with http_server(answer) as server:
        more = (
            f'[[api]]\nname = "api"\nrest = "{server.url}"\n[[provider]]\nname = "provider-0"\nurl = "{server.url}"\n'
        )
        session = a_session(target=a_target(server.url, more=more, accounts=2))
        calls = calls_of(session.environment)
        provider_file._pools.clear()
        yield user_class(session.environment), calls, session


def rpc_result(value: Any) -> Answers:
    return lambda request: (200, json.dumps({"jsonrpc": "2.0", "id": 1, "result": value}).encode())


def body(value: Any) -> Answers:
    return lambda request: (200, value if isinstance(value, bytes) else json.dumps(value).encode())


def only_call(calls: list[Call], operation: str) -> Call:
    (call,) = calls
    assert call.operation == operation
    return call


SHAPES: list[Any] = [None, [], {}, "text", 5, {"sync_info": 5}, {"block": {"header": []}}]


@pytest.mark.parametrize("value", SHAPES, ids=json.dumps)
@pytest.mark.parametrize("task", ["rpc_status", "rpc_block", "rpc_validators", "rpc_net_info"])
def test_rpc_answers_of_another_shape(task: str, value: Any) -> None:
    with users_of(QueryUser, rpc_result(value)) as (user, calls, _):
        getattr(user, task)()
    call = only_call(calls, task.replace("_", ".", 1))
    assert call.failure is not None
    assert (call.failure.kind, call.outcome) == (ErrorKind.BAD_ANSWER, Outcome.FAIL)


@pytest.mark.parametrize("height", ["many", "", None, [], "5.5"])
def test_a_height_that_is_no_number(height: Any) -> None:
    with users_of(QueryUser, rpc_result({"sync_info": {"latest_block_height": height}})) as (user, calls, _):
        user.rpc_status()
    call = only_call(calls, "rpc.status")
    assert call.failure is not None
    assert call.failure.kind is ErrorKind.BAD_ANSWER


def test_another_block_than_asked_for() -> None:
    with users_of(QueryUser, rpc_result({"block": {"header": {"height": "999999999"}}})) as (user, calls, _):
        user.rpc_block()
    call = only_call(calls, "rpc.block")
    assert call.failure is not None
    assert "another block" in call.failure.detail


@pytest.mark.parametrize("value", [*SHAPES, b"<html>", {"balance": {"denom": "other"}}], ids=repr)
@pytest.mark.parametrize("task", ["rest_balance", "rest_latest_block", "rest_node_info"])
def test_rest_answers_of_another_shape(task: str, value: Any) -> None:
    with users_of(QueryUser, body(value)) as (user, calls, _):
        getattr(user, task)()
    call = only_call(calls, task.replace("_", ".", 1))
    assert call.failure is not None
    assert (call.failure.kind, call.outcome) == (ErrorKind.BAD_ANSWER, Outcome.FAIL)


def test_a_node_of_another_chain() -> None:
    with users_of(QueryUser, body({"default_node_info": {"network": "other-1"}})) as (user, calls, _):
        user.rest_node_info()
    call = only_call(calls, "rest.node_info")
    assert call.failure is not None
    assert call.failure.detail == "chain other-1"


class FakeGrpc:
    """Stands for the gRPC pool: the answer's bytes are what matters here."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def unary(self, call: Call, method: str, request: bytes) -> bytes:
        return self._answer


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\xff\xff\xff",  # no protobuf
        b"\x0a\x7fshort",  # a field that ends after the message
        bytes_field(1, coin("other", 5)),
        bytes_field(1, b"\x0a\x02\xff\xfe"),  # a denomination that is no text
    ],
    ids=["empty", "no protobuf", "cut off", "another coin", "no text"],
)
def test_grpc_answers_of_another_shape(answer: bytes) -> None:
    with users_of(QueryUser, body({})) as (user, calls, session):
        session.parts["grpc"] = FakeGrpc(answer)
        user.grpc_balance()
    call = only_call(calls, "grpc.balance")
    assert call.failure is not None
    assert (call.failure.kind, call.outcome) == (ErrorKind.BAD_ANSWER, Outcome.FAIL)


def test_a_grpc_balance() -> None:
    with users_of(QueryUser, body({})) as (user, calls, session):
        session.parts["grpc"] = FakeGrpc(bytes_field(1, text_field(1, "uve") + text_field(2, "5")))
        user.grpc_balance()
    assert only_call(calls, "grpc.balance").failure is None


def test_what_the_target_does_not_serve_is_not_sent() -> None:
    session = a_session()
    calls = calls_of(session.environment)
    user = QueryUser(session.environment)
    user.rest_balance()
    user.grpc_balance()
    provider_user = ProviderUser(session.environment)
    provider_user.health()
    provider_user.blob()
    assert [call.failure.kind for call in calls if call.failure] == [ErrorKind.NOT_SENT] * 4


@pytest.mark.parametrize("value", [*SHAPES, b"<html>"], ids=repr)
@pytest.mark.parametrize("task", ["health", "info", "pricing", "capacity", "attributes"])
def test_provider_answers_of_another_shape(task: str, value: Any) -> None:
    with users_of(ProviderUser, body(value)) as (user, calls, _):
        getattr(user, task)()
    call = only_call(calls, f"provider.{task}")
    assert call.failure is not None
    assert call.failure.kind is ErrorKind.BAD_ANSWER


BLOB_SHAPES: list[Any] = [*SHAPES, {"metadata": None}, {"metadata": []}, {"metadata": {}}, {"metadata": {"id": ""}}]


@pytest.mark.parametrize("value", BLOB_SHAPES, ids=json.dumps)
def test_a_blob_stored_without_an_id(value: Any) -> None:
    with users_of(ProviderUser, lambda request: (201, json.dumps(value).encode())) as (user, calls, _):
        user.blob()
    call = only_call(calls, "provider.blob_put")
    assert call.failure is not None
    assert call.failure.kind is ErrorKind.BAD_ANSWER


@pytest.mark.parametrize(
    "value", [[], {}, {"data_base64": "A"}, {"data_base64": 5}, {"data_base64": None}, {"data_base64": "QQ=="}, "text"]
)
def test_a_blob_that_comes_back_as_something_else(value: Any) -> None:
    def answers(request: Request) -> tuple[int, bytes]:
        if request.method == "POST":
            return 201, b'{"metadata": {"id": "b1"}}'
        return (204, b"") if request.method == "DELETE" else (200, json.dumps(value).encode())

    with users_of(ProviderUser, answers) as (user, calls, _):
        user.blob()
    assert [call.operation for call in calls] == ["provider.blob_put", "provider.blob_get", "provider.blob_delete"]
    assert [call.failure.kind if call.failure else None for call in calls] == [None, ErrorKind.BAD_ANSWER, None]


def test_a_blob_that_comes_back_as_it_was() -> None:
    stored: list[str] = []

    def answers(request: Request) -> tuple[int, bytes]:
        if request.method == "POST":
            stored.append(request.json()["payload_base64"])
            return 201, b'{"metadata": {"id": "b1"}}'
        return (204, b"") if request.method == "DELETE" else (200, json.dumps({"data_base64": stored[0]}).encode())

    with users_of(ProviderUser, answers) as (user, calls, _):
        user.blob()
    assert [call.failure for call in calls] == [None, None, None]
    assert len(base64.b64decode(stored[0])) == provider_file.BLOB_BYTES


@pytest.fixture
def subscriber() -> tuple[WebSocketUser, list[Call]]:
    session = a_session()
    return WebSocketUser(session.environment), calls_of(session.environment)


def new_block(height: int, *, chain: FakeChain | None = None) -> dict[str, Any]:
    chain = chain or FakeChain()
    return {
        "id": 1,
        "result": {"data": {"value": {"block": {"header": chain.header(height)}}}},
    }


def new_tx(height: int) -> dict[str, Any]:
    return {"id": 2, "result": {"data": {"value": {"TxResult": {"height": str(height)}}}}}


EPOCH_S = 1767225600.0  # 2026-01-01, when the fake chain's height 0 is


def test_a_message_is_reported_when_the_next_block_tells_its_commit(
    subscriber: tuple[WebSocketUser, list[Call]],
) -> None:
    """A header's time is the commit of the block before it."""
    user, calls = subscriber
    user._take(new_tx(5), EPOCH_S + 6.3)
    user._take(new_block(5), EPOCH_S + 6.4)
    assert calls == []
    user._take(new_block(6), EPOCH_S + 7.5)
    assert [(call.operation, call.failure) for call in calls] == [("ws.tx", None), ("ws.new_block", None)]
    assert [call.latency_ms for call in calls] == pytest.approx([300, 400], abs=0.1)


def test_a_block_that_was_not_announced_is_lost(subscriber: tuple[WebSocketUser, list[Call]]) -> None:
    user, calls = subscriber
    for height in (5, 6, 9):
        user._take(new_block(height), EPOCH_S + height)
    found = [(call.operation, call.failure.kind if call.failure else None, call.latency_ms is None) for call in calls]
    # 5 is told by 6; 7 and 8 never came; that of 6 cannot be told, because 7's header was not seen.
    assert found == [
        ("ws.new_block", None, False),
        ("ws.new_block", ErrorKind.LOST, True),
        ("ws.new_block", ErrorKind.LOST, True),
    ]


@pytest.mark.parametrize(
    "message",
    [
        {"id": 1, "result": {"data": 5}},
        {"id": 1, "result": [1]},
        {"id": 1, "result": {"data": {"value": {"block": {"header": {"height": "x", "time": "y"}}}}}},
        {"id": 2, "result": {"data": {"value": {}}}},
        {"result": {"data": {"value": {}}}},
    ],
    ids=json.dumps,
)
def test_events_of_another_shape(subscriber: tuple[WebSocketUser, list[Call]], message: dict[str, Any]) -> None:
    user, calls = subscriber
    user._take(message, EPOCH_S)
    call = only_call(calls, "ws.new_block")
    assert call.failure is not None
    assert call.failure.kind is ErrorKind.BAD_ANSWER


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": -32603, "data": "max_subscriptions_per_client 5 reached"}, ErrorKind.BACK_PRESSURE),
        ({"code": -32603, "data": "client is not pulling messages fast enough"}, ErrorKind.SERVER_ERROR),
        ("text", ErrorKind.SERVER_ERROR),
    ],
)
def test_a_refused_subscription(subscriber: tuple[WebSocketUser, list[Call]], error: Any, kind: ErrorKind) -> None:
    user, calls = subscriber
    user._take({"id": 1, "error": error}, EPOCH_S)
    call = only_call(calls, "ws.connect")
    assert isinstance(call.failure, CallFailed)
    assert call.failure.kind is kind


def test_the_answer_to_a_subscription_is_no_event(subscriber: tuple[WebSocketUser, list[Call]]) -> None:
    user, calls = subscriber
    user._take({"id": 1, "result": {}}, EPOCH_S)
    assert calls == []
