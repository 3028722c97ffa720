"""Module queries over RPC `abci_query`, with protobuf written by hand: the only way that works on every node.

(VirtEngine's REST answers 501 for its own modules, and its gRPC needs one more open port.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from target.errors import BadAnswer, Refused
from target.rpc import RpcClient
from target.wire import bytes_field, fields, first_bytes, first_int, text_field

T = TypeVar("T")

_BASE_ACCOUNT = "/cosmos.auth.v1beta1.BaseAccount"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """An account's place on the chain: what a signature needs."""

    number: int
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """A node's own settings that matter for load."""

    minimum_gas_price: str


def account_state(rpc: RpcClient, address: str) -> AccountState | None:
    """Return number and next sequence of an account, None when the chain does not know it."""
    try:
        answer = rpc.query("/cosmos.auth.v1beta1.Query/Account", text_field(1, address))
    except Refused as error:
        if "not found" in error.why:
            return None
        raise
    return _read(rpc, answer, _account)


def _account(answer: bytes) -> AccountState:
    holder = first_bytes(answer, 1)
    kind = first_bytes(holder, 1).decode()
    if kind != _BASE_ACCOUNT:
        raise ValueError(f"account is a {kind}; expected {_BASE_ACCOUNT}")
    account = first_bytes(holder, 2)
    return AccountState(number=first_int(account, 3), sequence=first_int(account, 4))


def balance(rpc: RpcClient, address: str, denom: str, *, height: int = 0) -> int:
    """Return an account's balance after `height` (0: the latest)."""
    request = text_field(1, address) + text_field(2, denom)
    answer = rpc.query("/cosmos.bank.v1beta1.Query/Balance", request, height=height)
    return _read(rpc, answer, _amount)


def balances(rpc: RpcClient, addresses: Sequence[str], denom: str, *, height: int) -> list[int]:
    """Return the balances of many accounts after `height`, in the order given."""
    requests = [text_field(1, address) + text_field(2, denom) for address in addresses]
    answers = rpc.query_many("/cosmos.bank.v1beta1.Query/Balance", requests, height=height)
    return [_read(rpc, answer, _amount) for answer in answers]


def total_supply(rpc: RpcClient, denom: str, *, height: int = 0) -> int:
    """Return the total supply of a denomination after `height` (0: the latest)."""
    answer = rpc.query("/cosmos.bank.v1beta1.Query/SupplyOf", text_field(1, denom), height=height)
    return _read(rpc, answer, _amount)


def node_config(rpc: RpcClient) -> NodeConfig:
    """Return the node's minimum gas price, as text such as "0.025uve"."""
    answer = rpc.query("/cosmos.base.node.v1beta1.Service/Config")
    return NodeConfig(minimum_gas_price=_read(rpc, answer, lambda config: first_bytes(config, 1).decode()))


def sensitive_transactions(rpc: RpcClient) -> int | None:
    """Return how many kinds of transaction VirtEngine's MFA gate holds back, None without that module."""
    try:
        answer = rpc.query("/virtengine.mfa.v1.Query/AllSensitiveTxConfigs")
    except Refused:
        return None
    return _read(rpc, answer, lambda configs: sum(1 for number, _ in fields(configs) if number == 1))


def has_market(rpc: RpcClient) -> bool:
    """Return whether the chain has VirtEngine's market module."""
    try:
        rpc.query("/virtengine.market.v1beta5.Query/Params")
    except Refused:
        return False
    return True


def simulate(rpc: RpcClient, raw: bytes) -> int:
    """Return the gas that a signed transaction would use now. Raises Refused with the chain's words."""
    answer = rpc.query("/cosmos.tx.v1beta1.Service/Simulate", bytes_field(2, raw))
    return _read(rpc, answer, lambda simulated: first_int(first_bytes(simulated, 1), 2))


def _amount(answer: bytes) -> int:
    """Return the amount of the one coin in an answer; protobuf leaves out a coin that is 0."""
    return int(first_bytes(first_bytes(answer, 1), 2) or 0)


def _read(rpc: RpcClient, answer: bytes, read: Callable[[bytes], T]) -> T:
    """Return what `read` finds in an answer. Raises BadAnswer where that is no such message."""
    try:
        return read(answer)
    except ValueError as error:
        raise BadAnswer(rpc.url, f"answered something else than expected ({error})") from None
