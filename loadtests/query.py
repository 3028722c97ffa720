"""Reads as a block explorer makes them: RPC, REST and gRPC, mostly the latest blocks and account pages.

locust -f loadtests/query.py --headless -u 20 -r 20 -t 60
"""

from __future__ import annotations

from typing import Any

from locust import task

from bundle import ErrorKind
from loadtests.kit import CallFailed, HarnessUser
from loadtests.kit.calls import Call
from loadtests.kit.http import Answer, expect_status
from loadtests.kit.rpc import rpc_call
from target.address import encode
from target.wire import first_bytes, text_field

RECENT_BLOCKS = 20
_latest_height = 0  # of all users of this process: an explorer's front page knows it too


class QueryUser(HarnessUser):
    """Looks at the chain. The weights add up to 100."""

    scenario = "query"

    @task(20)
    def rpc_status(self) -> None:
        global _latest_height
        with self.measured("rpc.status", "RPC") as call:
            result = rpc_call(self.session.rpc, call, "status")
            _latest_height = max(_latest_height, _number(result, "sync_info", "latest_block_height"))

    @task(20)
    def rpc_block(self) -> None:
        """One of the latest blocks; the very latest may not have reached every node yet."""
        height = max(1, _latest_height - self.draw.randrange(1, RECENT_BLOCKS))
        with self.measured("rpc.block", "RPC") as call:
            result = rpc_call(self.session.rpc, call, "block", height=str(height))
            _require(_part(result, "block", "header", "height") == str(height), "another block than asked for")

    @task(5)
    def rpc_validators(self) -> None:
        with self.measured("rpc.validators", "RPC") as call:
            _require(bool(_part(rpc_call(self.session.rpc, call, "validators"), "validators")), "no validators")

    @task(5)
    def rpc_net_info(self) -> None:
        with self.measured("rpc.net_info", "RPC") as call:
            _part(rpc_call(self.session.rpc, call, "net_info"), "n_peers")

    @task(20)
    def rest_balance(self) -> None:
        address = self._any_address()
        with self.measured("rest.balance", "REST") as call:
            answer = self._rest(call, f"/cosmos/bank/v1beta1/balances/{address}/by_denom?denom={self._denom}")
            _require(_part(answer.json(), "balance", "denom") == self._denom, "no balance")

    @task(8)
    def rest_latest_block(self) -> None:
        with self.measured("rest.latest_block", "REST") as call:
            answer = self._rest(call, "/cosmos/base/tendermint/v1beta1/blocks/latest")
            _part(answer.json(), "block", "header", "height")

    @task(2)
    def rest_node_info(self) -> None:
        with self.measured("rest.node_info", "REST") as call:
            answer = self._rest(call, "/cosmos/base/tendermint/v1beta1/node_info")
            chain_id = _part(answer.json(), "default_node_info", "network")
            _require(chain_id == self.session.target.chain.chain_id, f"chain {chain_id}")

    @task(20)
    def grpc_balance(self) -> None:
        request = text_field(1, self._any_address()) + text_field(2, self._denom)
        with self.measured("grpc.balance", "GRPC") as call:
            if self.session.grpc is None:
                raise CallFailed(ErrorKind.NOT_SENT, "the target serves no gRPC")
            answer = self.session.grpc.unary(call, "/cosmos.bank.v1beta1.Query/Balance", request)
            _require(_coin_denom(answer) == self._denom, "no balance")

    @property
    def _denom(self) -> str:
        return self.session.target.chain.denom

    def _any_address(self) -> str:
        """One of the load accounts; without any, an address that nobody has, whose balance is 0."""
        recipients = self.session.recipients
        return self.draw.choice(recipients) if recipients else encode(self.session.target.bech32_prefix, bytes(20))

    def _rest(self, call: Call, path: str) -> Answer:
        if self.session.rest is None:
            raise CallFailed(ErrorKind.NOT_SENT, "the target serves no REST")
        answer: Answer = self.session.rest.request(call, "GET", path, repeatable=True)
        expect_status(answer)
        return answer


def _part(value: Any, *path: str) -> Any:
    """Return what lies at the path. Raises CallFailed when the answer has another shape."""
    for key in path:
        if not isinstance(value, dict) or key not in value:
            raise CallFailed(ErrorKind.BAD_ANSWER, f"answer has no {'.'.join(path)}")
        value = value[key]
    return value


def _number(value: Any, *path: str) -> int:
    """Return the whole number, mostly written as text, that lies at the path. Raises CallFailed."""
    found = _part(value, *path)
    try:
        return int(found)
    except (TypeError, ValueError):
        raise CallFailed(ErrorKind.BAD_ANSWER, f"{'.'.join(path)} is {found!r}") from None


def _coin_denom(answer: bytes) -> str:
    """Return the denomination of the coin in a QueryBalanceResponse, "" when there is none."""
    try:
        return first_bytes(first_bytes(answer, 1), 1).decode()
    except ValueError:
        return ""


def _require(condition: bool, otherwise: str) -> None:
    """Raise CallFailed unless the answer is what it should be."""
    if not condition:
        raise CallFailed(ErrorKind.BAD_ANSWER, otherwise)
