"""Module queries: the question on the wire, the answer read, and every other answer refused."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from target.errors import BadAnswer, Refused
from target.query import (
    AccountState,
    account_state,
    balance,
    balances,
    has_market,
    node_config,
    sensitive_transactions,
    simulate,
    total_supply,
)
from target.rpc import RpcClient
from target.wire import any_message, bytes_field, coin, first_bytes, text_field, uint_field
from tests.servers import rpc_node

ACCOUNT = "/cosmos.auth.v1beta1.Query/Account"
BALANCE = "/cosmos.bank.v1beta1.Query/Balance"
BASE_ACCOUNT = "/cosmos.auth.v1beta1.BaseAccount"


Told = Mapping[str, bytes | Callable[[bytes, int], bytes]]


@contextmanager
def chain(answers: Told) -> Iterator[RpcClient]:
    """Give a client of a chain that answers these paths, by the request and the height, and refuses all others."""

    def query(params: Any) -> Any:
        answer = answers.get(params["path"])
        if answer is None:
            return {"response": {"code": 6, "codespace": "sdk", "log": f"unknown query path: {params['path']}"}}
        value = answer(bytes.fromhex(params["data"]), int(params["height"])) if callable(answer) else answer
        return {"response": {"code": 0, "value": base64.b64encode(value).decode()}}

    with rpc_node({"abci_query": query}) as url:
        rpc = RpcClient(url)
        yield rpc
        rpc.close()


def account(number: int, sequence: int) -> bytes:
    base = text_field(1, "ve1a") + uint_field(3, number) + uint_field(4, sequence)
    return bytes_field(1, any_message(BASE_ACCOUNT, base))


def test_account_state() -> None:
    """Number and next sequence; both may be 0, which protobuf leaves out."""
    with chain(
        {ACCOUNT: lambda data, height: account(7, 3) if first_bytes(data, 1) == b"ve1a" else account(0, 0)}
    ) as rpc:
        assert account_state(rpc, "ve1a") == AccountState(number=7, sequence=3)
        assert account_state(rpc, "ve1b") == AccountState(number=0, sequence=0)


def test_account_that_the_chain_does_not_know() -> None:
    """Not found is an answer; any other refusal is none."""
    missing = {
        "response": {"code": 22, "codespace": "sdk", "log": "rpc error: code = NotFound desc = account not found"}
    }
    with rpc_node({"abci_query": missing}) as url:
        assert account_state(RpcClient(url), "ve1a") is None
    busy = {"response": {"code": 1, "codespace": "sdk", "log": "height 9 is pruned"}}
    with rpc_node({"abci_query": busy}) as url:
        with pytest.raises(Refused, match="pruned"):
            account_state(RpcClient(url), "ve1a")


def test_account_of_another_kind_is_a_bad_answer() -> None:
    """A module account or a vesting account has its numbers elsewhere."""
    other = bytes_field(1, any_message("/cosmos.auth.v1beta1.ModuleAccount", b""))
    with chain({ACCOUNT: other}) as rpc, pytest.raises(BadAnswer, match="ModuleAccount"):
        account_state(rpc, "ve1a")


def test_balance_and_supply() -> None:
    """At a height, or at the latest; an account without the denomination has 0."""
    answers: Told = {
        BALANCE: lambda data, height: bytes_field(1, coin(first_bytes(data, 2).decode(), 10 * height)),
        "/cosmos.bank.v1beta1.Query/SupplyOf": bytes_field(1, coin("uve", 10**30)),
    }
    with chain(answers) as rpc:
        assert balance(rpc, "ve1a", "uve") == 0
        assert balance(rpc, "ve1a", "uve", height=7) == 70
        assert total_supply(rpc, "uve") == 10**30
    with chain({BALANCE: b""}) as rpc:
        assert balance(rpc, "ve1a", "uve") == 0


def test_balances_come_in_the_order_asked() -> None:
    """Also more than fit into one batch."""
    with chain({BALANCE: lambda data, height: bytes_field(1, coin("uve", int(first_bytes(data, 1))))}) as rpc:
        amounts = list(range(25, 0, -1))
        assert balances(rpc, [str(amount) for amount in amounts], "uve", height=3) == amounts


def test_node_config_and_gas() -> None:
    """The minimum gas price as text; the gas that a simulation used."""
    answers: Told = {
        "/cosmos.base.node.v1beta1.Service/Config": text_field(1, "0.025uve"),
        "/cosmos.tx.v1beta1.Service/Simulate": lambda data, height: bytes_field(
            1, uint_field(2, len(first_bytes(data, 2)))
        ),
    }
    with chain(answers) as rpc:
        assert node_config(rpc).minimum_gas_price == "0.025uve"
        assert simulate(rpc, b"x" * 321) == 321


def test_modules_of_virtengine() -> None:
    """They are there, or the chain does not know the path."""
    gate = "/virtengine.mfa.v1.Query/AllSensitiveTxConfigs"
    with chain(
        {
            gate: bytes_field(1, b"a") + bytes_field(1, b"b") + bytes_field(2, b"page"),
            "/virtengine.market.v1beta5.Query/Params": b"",
        }
    ) as rpc:
        assert sensitive_transactions(rpc) == 2
        assert has_market(rpc)
    with chain({}) as rpc:
        assert sensitive_transactions(rpc) is None
        assert not has_market(rpc)


NOT_PROTOBUF = b"\xff\xff"
NOT_A_NUMBER = bytes_field(1, text_field(1, "uve") + text_field(2, "many"))


@pytest.mark.parametrize("answer", [NOT_PROTOBUF, NOT_A_NUMBER, bytes_field(1, NOT_PROTOBUF)])
@pytest.mark.parametrize(
    "ask",
    [
        lambda rpc: balance(rpc, "ve1a", "uve"),
        lambda rpc: balances(rpc, ["ve1a"], "uve", height=1),
        lambda rpc: total_supply(rpc, "uve"),
    ],
    ids=["balance", "balances", "supply"],
)
def test_amount_that_is_none_is_a_bad_answer(ask: Callable[[RpcClient], Any], answer: bytes) -> None:
    """An observer goes on to the next node; it does not die of it."""
    paths = (BALANCE, "/cosmos.bank.v1beta1.Query/SupplyOf")
    with chain(dict.fromkeys(paths, answer)) as rpc, pytest.raises(BadAnswer):
        ask(rpc)


@pytest.mark.parametrize(
    ("path", "ask"),
    [
        (ACCOUNT, lambda rpc: account_state(rpc, "ve1a")),
        ("/cosmos.base.node.v1beta1.Service/Config", node_config),
        ("/virtengine.mfa.v1.Query/AllSensitiveTxConfigs", sensitive_transactions),
        ("/cosmos.tx.v1beta1.Service/Simulate", lambda rpc: simulate(rpc, b"")),
    ],
    ids=["account", "config", "gate", "simulate"],
)
def test_answer_that_is_no_protobuf_is_a_bad_answer(path: str, ask: Callable[[RpcClient], Any]) -> None:
    """Whatever was asked."""
    with chain({path: NOT_PROTOBUF}) as rpc, pytest.raises(BadAnswer):
        ask(rpc)


def test_price_that_is_no_text_is_a_bad_answer() -> None:
    """Protobuf of the right shape, with bytes that are not UTF-8."""
    with chain({"/cosmos.base.node.v1beta1.Service/Config": bytes_field(1, b"\xff")}) as rpc, pytest.raises(BadAnswer):
        node_config(rpc)
