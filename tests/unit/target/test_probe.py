"""The capability probe against fake nodes: who is silent, who is somebody else, what is missing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from target.errors import TargetError, Unreachable
from target.file import AccountsEntry, Environment, NodeEntry, ProviderEntry, TargetFile
from target.keys import derive_accounts
from target.power import VotingPower
from target.probe import Answer, Finding, examine, genesis_hash, identify, supports_unordered
from target.rpc import RpcClient
from target.target import Target, resolve
from target.wire import any_message, bytes_field, coin, first_bytes, text_field, uint_field
from tests.servers import Reply, RpcError, free_port, http_server, rpc_node

MNEMONIC = "abandon " * 11 + "about"
GENESIS = b'{"genesis_time": "2025-01-01T00:00:00Z"}' * 5


def status(name: str, *, chain_id: str = "c-1", height: int = 12) -> dict[str, Any]:
    """Return what the node of that name says of itself; it signs with the address V-name."""
    return {
        "node_info": {"id": name, "network": chain_id, "version": "0.38.17"},
        "sync_info": {
            "latest_block_hash": "AA",
            "latest_app_hash": "BB",
            "latest_block_height": str(height),
            "latest_block_time": "2025-01-01T00:00:00Z",
            "catching_up": False,
        },
        "validator_info": {"address": f"V-{name}", "voting_power": "10"},
    }


def chunk(params: Any) -> Any:
    """Give out the genesis in pieces of 64 bytes."""
    number, total = int(params["chunk"]), -(-len(GENESIS) // 64)
    piece = GENESIS[64 * number : 64 * (number + 1)]
    return {"chunk": str(number), "total": str(total), "data": base64.b64encode(piece).decode()}


def node(name: str, powers: Mapping[str, int], **changes: Any) -> dict[str, Any]:
    """Return the answers of a fake node, some of them changed, or taken away where the change is None."""
    validators = [{"address": f"V-{who}", "voting_power": str(power)} for who, power in powers.items()]
    answers: dict[str, Any] = {
        "status": status(name),
        "validators": {"validators": validators, "total": str(len(validators))},
        "genesis_chunked": chunk,
    }
    return {method: answer for method, answer in (answers | changes).items() if answer is not None}


@contextmanager
def network(answers: Mapping[str, Mapping[str, Any] | None], **fields: Any) -> Iterator[Target]:
    """Give a target whose nodes answer as told; a node without answers is not there."""
    with ExitStack() as stack:
        urls = {
            name: f"http://127.0.0.1:{free_port()}" if told is None else stack.enter_context(rpc_node(told))
            for name, told in answers.items()
        }
        file = TargetFile(
            name="t",
            environment=Environment.DEV,
            chain_id="c-1",
            node=tuple(NodeEntry(name=name, rpc=url) for name, url in urls.items()),
            **fields,
        )
        yield resolve(file, source="test", environ={})


POWERS = {"a": 10, "b": 20, "stranger": 5}

# --- identify ---


def test_target_says_who_it_is() -> None:
    """Chain, genesis, version, and the power of every node by the address that it signs with."""
    with network({"a": node("a", POWERS), "b": node("b", POWERS)}) as target:
        identity = identify(target)
    assert identity.chain_id == "c-1"
    assert identity.app_version == "0.38.17"
    assert identity.genesis_hash == hashlib.sha256(GENESIS).hexdigest()
    assert identity.power == VotingPower(by_node={"a": 10, "b": 20}, unknown=5)
    assert sorted(identity.statuses) == ["a", "b"]
    assert identity.silent == {}


def test_silent_nodes_are_named_with_the_reason() -> None:
    """A node that is gone, one that answers nonsense, one that refuses; the first that speaks is asked."""

    def refuse(params: Any) -> Any:
        raise RpcError("not now")

    answers: dict[str, Any] = {
        "gone": None,
        "odd": {"status": {}},
        "cross": {"status": refuse},
        "a": node("a", {"a": 10, "gone": 10}),
    }
    with network(answers) as target:
        identity = identify(target, timeout_s=1)
    assert list(identity.statuses) == ["a"]
    assert list(identity.silent) == ["gone", "odd", "cross"]
    assert identity.silent["gone"] == "refuses the connection"
    assert "something else than expected" in identity.silent["odd"]
    assert "not now" in identity.silent["cross"]
    # What a silent node holds cannot be told from what strangers hold.
    assert identity.power == VotingPower(by_node={"a": 10}, unknown=10)


def test_target_of_which_nobody_answers_is_unreachable() -> None:
    """Every node is named."""
    with network({"a": None, "b": None}) as target, pytest.raises(Unreachable) as caught:
        identify(target, timeout_s=1)
    assert str(caught.value) == "t: no node answers (a: refuses the connection; b: refuses the connection)"


def test_chain_is_told_as_it_is_and_not_as_it_should_be() -> None:
    """Whether it is the right one is for the caller to say."""
    with network({"a": node("a", POWERS, status=status("a", chain_id="another-1"))}) as target:
        assert identify(target).chain_id == "another-1"


def test_validator_set_that_nobody_tells_is_an_error() -> None:
    """Without it no guard can say what is safe: nothing is guessed."""
    with network({"a": node("a", POWERS, validators=None)}) as target, pytest.raises(TargetError):
        identify(target)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        5,
        [],
        "text",
        {},
        {"data": "YQ=="},
        {"data": "YQ==", "total": "many"},
        {"data": "%%%", "total": "1"},
        {"data": 5, "total": "1"},
        {"data": "YQ==", "total": "100000"},
        {"data": "YQ==", "total": None},
    ],
)
def test_genesis_that_is_not_given_out_has_no_hash(answer: Any) -> None:
    """None, never the hash of a part; and the asking has an end."""
    asked = []

    def chunked(params: Any) -> Any:
        asked.append(params)
        return answer

    with rpc_node({"genesis_chunked": chunked}) as url:
        rpc = RpcClient(url)
        assert genesis_hash(rpc) is None
        rpc.close()
    assert 1 <= len(asked) <= 64
    with rpc_node({}) as url:
        assert genesis_hash(RpcClient(url)) is None


# --- unordered transactions ---

BASE = "/cosmos.auth.v1beta1.BaseAccount"


def module_queries(paths: Mapping[str, bytes]) -> Any:
    """Return how a node answers `abci_query`: these paths, and no others."""

    def query(params: Any) -> Any:
        if params["path"] not in paths:
            return {"response": {"code": 6, "codespace": "sdk", "log": "unknown query path"}}
        return {"response": {"value": base64.b64encode(paths[params["path"]]).decode()}}

    return query


ACCOUNT = {"/cosmos.auth.v1beta1.Query/Account": bytes_field(1, any_message(BASE, uint_field(3, 7)))}
SIMULATED = {"/cosmos.tx.v1beta1.Service/Simulate": bytes_field(1, uint_field(2, 70_000))}


@pytest.mark.parametrize(
    ("paths", "supported"),
    [(ACCOUNT | SIMULATED, True), (ACCOUNT, False)],
    ids=["simulates", "refuses"],
)
def test_unordered_transactions_are_tried(paths: Mapping[str, bytes], supported: bool) -> None:
    """By simulating one: nothing is broadcast."""
    key = next(derive_accounts(MNEMONIC, prefix="ve", count=1))
    with network({"a": {"abci_query": module_queries(paths)}}) as target:
        assert supports_unordered(RpcClient(target.nodes[0].rpc_url), target, key) is supported


def test_unordered_transactions_of_an_account_that_is_not_there() -> None:
    """Cannot be tried, so they are not relied on."""
    key = next(derive_accounts(MNEMONIC, prefix="ve", count=1))
    answers = {"abci_query": {"response": {"code": 22, "log": "account not found"}}}
    with network({"a": answers}) as target:
        assert not supports_unordered(RpcClient(target.nodes[0].rpc_url), target, key)


# --- examine ---


def by_name(findings: Sequence[Finding]) -> dict[tuple[str, str], Finding]:
    return {(finding.part, finding.capability): finding for finding in findings}


def rising() -> Any:
    """Return a status whose height rises every time that it is asked."""
    heights = iter(range(10, 1000))
    return lambda params: status("a", height=next(heights))


def test_whole_target_is_examined() -> None:
    """A finding for every part, YES where it works, ABSENT where it is not offered."""
    funded = {"/cosmos.bank.v1beta1.Query/Balance": bytes_field(1, coin("uve", 500))}
    config = {"/cosmos.base.node.v1beta1.Service/Config": text_field(1, "0.025uve")}
    queries = module_queries(ACCOUNT | SIMULATED | funded | config)
    answers = node("a", {"a": 10, "b": 10}, status=rising(), abci_query=queries)
    with http_server(lambda request: Reply(status=404 if request.path in ("/ready", "/metrics") else 200)) as portal:
        provider = ProviderEntry(name="p", url=portal)
        accounts = AccountsEntry(mnemonic=MNEMONIC, count=3)
        with network({"a": answers}, provider=(provider,), accounts=accounts) as target:
            found = by_name(list(examine(target)))
    assert {key: finding.answer for key, finding in found.items()} == {
        ("a", "rpc"): Answer.YES,
        ("a", "health"): Answer.YES,
        ("p", "health"): Answer.YES,
        ("p", "portal api"): Answer.YES,
        ("p", "/ready"): Answer.ABSENT,
        ("p", "/metrics"): Answer.ABSENT,
        ("chain", "makes blocks"): Answer.YES,
        ("chain", "genesis hash"): Answer.YES,
        ("chain", "survives one loss"): Answer.NO,
        ("chain", "gas price"): Answer.YES,
        ("chain", "market module"): Answer.ABSENT,
        ("chain", "mfa gate"): Answer.ABSENT,
        ("accounts", "first funded"): Answer.YES,
        ("accounts", "last funded"): Answer.YES,
        ("chain", "unordered transactions"): Answer.YES,
        ("control", "faults"): Answer.ABSENT,
    }
    assert found["chain", "survives one loss"].detail == "would halt without a: 10 of 20 voting power (50.0 %)"
    assert found["chain", "gas price"].detail == "0.025uve"
    assert found["chain", "genesis hash"].detail == hashlib.sha256(GENESIS).hexdigest()


def test_node_of_another_chain_does_not_work() -> None:
    """Both names are told."""
    with network({"a": node("a", POWERS, status=status("a", chain_id="another-1"))}) as target:
        found = next(examine(target))
    assert (found.part, found.capability, found.answer) == ("a", "rpc", Answer.NO)
    assert found.detail == "is on chain another-1; expected c-1"


def test_target_that_is_down_is_examined_to_the_end() -> None:
    """Every part is a finding; none is an exception."""
    with network(
        {"a": None, "b": None}, provider=(ProviderEntry(name="p", url=f"http://127.0.0.1:{free_port()}"),)
    ) as target:
        found = list(examine(target))
    assert {finding.answer for finding in found} == {Answer.NO, Answer.ABSENT}
    assert by_name(found)["chain", "answers"] == Finding(
        part="chain", capability="answers", answer=Answer.NO, detail="no node answers"
    )


def test_account_without_money_does_not_work() -> None:
    """It is named, so that somebody can send it some."""
    paths = module_queries(ACCOUNT | {"/cosmos.bank.v1beta1.Query/Balance": b""})
    answers = node("a", {"a": 10}, status=rising(), abci_query=paths)
    with network({"a": answers}, accounts=AccountsEntry(mnemonic=MNEMONIC, count=1)) as target:
        found = by_name(list(examine(target)))
    assert found["accounts", "first funded"].answer is Answer.NO
    assert found["accounts", "first funded"].detail == "ve19rl4cm2hmr8afy4kldpxz3fka4jguq0aqakfsa has nothing"


def test_chain_that_stands_still_does_not_work() -> None:
    """Ten times the block time is waited for, and no longer."""
    with network({"a": node("a", POWERS)}, block_time_s=0.02) as target:
        found = by_name(list(examine(target)))
    assert found["chain", "makes blocks"].answer is Answer.NO


def test_node_that_breaks_off_halfway_is_examined_to_the_end() -> None:
    """It answers for itself and not for its modules: those are not known, and nothing is raised."""
    with network({"a": node("a", {"a": 10}, status=rising(), abci_query={"response": 5})}) as target:
        found = by_name(list(examine(target)))
    assert found["chain", "market module"].answer is Answer.NO
    assert found["chain", "mfa gate"].answer is Answer.NO
    assert found["control", "faults"].answer is Answer.ABSENT


def test_unordered_transactions_are_tried_with_the_account_given() -> None:
    """The account asked for is the one whose place is tested."""
    asked = []

    def query(params: Any) -> Any:
        asked.append(first_bytes(bytes.fromhex(params["data"]), 1).decode())
        return {"response": {"code": 22, "log": "not found"}}

    key = next(derive_accounts(MNEMONIC, prefix="ve", count=1))
    with network({"a": {"abci_query": query}}) as target:
        supports_unordered(RpcClient(target.nodes[0].rpc_url), target, key)
    assert asked == [key.address]
