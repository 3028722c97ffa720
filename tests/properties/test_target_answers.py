"""Laws of the clients: whatever a server answers, a call gives what it promises or raises TargetError."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from fractions import Fraction
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from target.errors import TargetError
from target.power import VotingPower
from target.probe import genesis_hash
from target.query import (
    account_state,
    balance,
    balances,
    has_market,
    node_config,
    sensitive_transactions,
    simulate,
    total_supply,
)
from target.rpc import RpcClient, parse_new_block, parse_time
from tests.servers import Reply, Request, http_server
from tests.strategies import LAW, json_values
from tests.unit.target.test_rpc import SHAPES, holes, replaced

pytestmark = pytest.mark.slow

Call = Callable[[RpcClient], Any]

CALLS: dict[str, Call] = {
    "status": lambda rpc: rpc.status(),
    "peer_count": lambda rpc: rpc.peer_count(),
    "mempool_count": lambda rpc: rpc.mempool_count(),
    "app_state": lambda rpc: rpc.app_state(),
    "block": lambda rpc: rpc.block(1),
    "block_results": lambda rpc: rpc.block_results(1),
    "headers": lambda rpc: rpc.headers(1, 2),
    "validators": lambda rpc: rpc.validators(),
    "genesis_time": lambda rpc: rpc.genesis_time(),
    "query": lambda rpc: rpc.query("/a"),
    "query_many of one": lambda rpc: rpc.query_many("/a", [b"1"], height=1),
    "query_many of two": lambda rpc: rpc.query_many("/a", [b"1", b"2"], height=1),
    "broadcast": lambda rpc: rpc.broadcast(b"1"),
    "health": lambda rpc: rpc.health(),
    "account_state": lambda rpc: account_state(rpc, "ve1"),
    "balance": lambda rpc: balance(rpc, "ve1", "uve"),
    "balances": lambda rpc: balances(rpc, ["ve1"], "uve", height=1),
    "total_supply": lambda rpc: total_supply(rpc, "uve"),
    "node_config": node_config,
    "sensitive_transactions": sensitive_transactions,
    "has_market": has_market,
    "simulate": lambda rpc: simulate(rpc, b"1"),
    "genesis_hash": genesis_hash,
}


def assert_typed(value: Any, kind: Any) -> None:
    """Assert that a value and all its parts are of the types that the code promises."""
    origin = get_origin(kind)
    if kind is float:
        assert isinstance(value, float)
    elif origin is UnionType:
        assert any(value is None if part is type(None) else isinstance(value, part) for part in get_args(kind))
    elif origin in (list, tuple):
        parts = get_args(kind)
        assert isinstance(value, origin)
        kinds = parts if origin is tuple and Ellipsis not in parts else (parts[0],) * len(value)
        for part, part_kind in zip(value, kinds, strict=True):
            assert_typed(part, part_kind)
    elif is_dataclass(kind):
        hints = get_type_hints(kind)
        for field in fields(kind):
            assert_typed(getattr(value, field.name), hints[field.name])
    elif origin is not None:  # a mapping of text to text
        assert all(isinstance(part, str) for pair in value.items() for part in pair)
    else:
        assert isinstance(value, kind)
        assert not (kind is int and isinstance(value, bool))


_bodies = json_values.map(lambda value: json.dumps(value).encode())
_results = json_values.map(lambda value: json.dumps({"jsonrpc": "2.0", "id": 0, "result": value}).encode())
_errors = json_values.map(lambda value: json.dumps({"jsonrpc": "2.0", "id": 0, "error": value}).encode())
_responses = st.fixed_dictionaries(
    {}, optional={"code": json_values, "value": json_values, "log": json_values, "codespace": json_values}
).map(lambda value: json.dumps({"id": 0, "result": {"response": value}}).encode())
_deep = st.integers(1, 2000).map(lambda depth: b'{"result":' + b"[" * depth + b"]" * depth + b"}")
answers = _bodies | _results | _errors | _responses | _deep | st.binary(max_size=50)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_any_answer_gives_what_is_promised_or_a_target_error(name: str) -> None:
    """Law: no answer, of any bytes and with any status, makes a call raise anything but TargetError."""
    body, status = b"", 200

    def answer(request: Request) -> Reply:
        return Reply(body=body, status=status)

    with http_server(answer) as url:
        rpc = RpcClient(url, timeout_s=10)

        @LAW
        @given(answers, st.sampled_from([200, 200, 200, 404, 500]))
        def law(said: bytes, with_status: int) -> None:
            nonlocal body, status
            body, status = said, with_status
            try:
                CALLS[name](rpc)
            except TargetError as error:
                told = str(error)
            else:
                return
            assert told.startswith("http://127.0.0.1:")
            assert len(told) < 1000

        law()
        rpc.close()


@pytest.mark.parametrize(("parse", "sample"), SHAPES, ids=[parse.__name__ for parse, _ in SHAPES])
@LAW
@given(data=st.data())
def test_answer_with_any_part_replaced_is_typed_or_refused(
    parse: Callable[[Any], Any], sample: Any, data: st.DataObject
) -> None:
    """Law: what a parser returns is of the types it promises, to the last part; or it raises one of three errors."""
    way = data.draw(st.sampled_from(holes(sample)))
    part = data.draw(json_values)
    try:
        found = parse(replaced(sample, way, part))
    except (KeyError, TypeError, ValueError):
        return
    assert_typed(found, get_type_hints(parse)["return"])


@LAW
@given(json_values)
def test_anything_is_a_new_block_or_refused(value: Any) -> None:
    """Law: the event of a subscription is a block, or one of three errors."""
    with pytest.raises((KeyError, TypeError, ValueError)):
        parse_new_block(value)


@LAW
@given(st.integers(0, 4_000_000_000), st.integers(0, 999_999_999), st.integers(0, 9))
def test_time_is_read_as_go_writes_it(seconds: int, nanos: int, digits: int) -> None:
    """Law: parse(write(t)) is the float nearest to t, for any number of digits that Go may leave."""
    from datetime import UTC, datetime

    fraction = f"{nanos:09}"[:digits]
    head = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    exact = seconds + Fraction(int(fraction or 0), 10 ** len(fraction))
    found = parse_time(head + (f".{fraction}" if fraction else "") + "Z")
    assert abs(Fraction(found) - exact) <= Fraction(1, 2**20)


@LAW
@given(st.text(max_size=40))
def test_any_text_is_a_time_or_a_value_error(text: str) -> None:
    """Law: reading a time raises ValueError and nothing else."""
    try:
        assert isinstance(parse_time(text), float)
    except ValueError:
        return


@LAW
@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 2**62), max_size=8),
    st.integers(0, 2**62),
    st.lists(st.sampled_from("abcdefghxyz"), max_size=12),
)
def test_chain_survives_exactly_while_more_than_two_thirds_remain(
    by_node: dict[str, int], unknown: int, lost: list[str]
) -> None:
    """Law: survives iff remaining × 3 > total × 2, each node counted once, in whole numbers."""
    power = VotingPower(by_node=by_node, unknown=unknown)
    total = sum(by_node.values()) + unknown
    remaining = total - sum(value for name, value in by_node.items() if name in lost)
    assert power.survives_losing(lost) is (remaining * 3 > total * 2)
    assert power.total == total
    assert power.lost(lost) == total - remaining


@LAW
@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 10**9), min_size=1),
    st.sets(st.sampled_from("abcdef")),
    st.sampled_from("abcdef"),
)
def test_losing_more_never_helps(by_node: dict[str, int], lost: set[str], more: str) -> None:
    """Law: a chain that does not survive a loss does not survive that loss and another."""
    power = VotingPower(by_node=by_node)
    assert power.survives_losing(lost) or not power.survives_losing({*lost, more})
