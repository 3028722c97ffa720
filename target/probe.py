"""The capability probe: what works on a target, found out by asking it.

`identify` asks what a run must know before it begins. `examine` asks everything, for `gameday doctor`.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import grpc

from target.control import connect_control
from target.errors import ControlError, Refused, TargetError, Unreachable
from target.http import HttpClient
from target.keys import AccountKey
from target.power import VotingPower
from target.query import account_state, balance, has_market, node_config, sensitive_transactions, simulate
from target.rpc import NodeStatus, RpcClient
from target.target import Node, Provider, Target
from target.transaction import TransferSigner

PROBE_TIMEOUT_S = 3.0
_NODE_INFO = "/cosmos.base.tendermint.v1beta1.Service/GetNodeInfo"
_MAX_GENESIS_CHUNKS = 64  # of 16 MB each


class Answer(StrEnum):
    """What asking for one capability gave."""

    YES = "yes"
    NO = "no"
    """Should work on every target, and does not."""
    ABSENT = "absent"
    """Not offered by this target: scenarios that need it are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One capability of one part of the target."""

    part: str
    capability: str
    answer: Answer
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What the target says it is. Nodes that gave no answer are in `silent` with the reason."""

    chain_id: str
    genesis_hash: str | None
    app_version: str
    power: VotingPower
    statuses: dict[str, NodeStatus]
    silent: dict[str, str]


def identify(target: Target, *, timeout_s: float = PROBE_TIMEOUT_S) -> Identity:
    """Return who the target is. Raises Unreachable when not one node answers."""
    statuses: dict[str, NodeStatus] = {}
    silent: dict[str, str] = {}
    for node in target.nodes:
        try:
            statuses[node.name] = RpcClient(node.rpc_url, timeout_s=timeout_s).status()
        except TargetError as error:
            silent[node.name] = error.why
    if not statuses:
        raise Unreachable(target.name, f"no node answers ({'; '.join(f'{n}: {why}' for n, why in silent.items())})")
    first = next(node for node in target.nodes if node.name in statuses)
    rpc = RpcClient(first.rpc_url, timeout_s=max(timeout_s, 10.0))
    return Identity(
        chain_id=statuses[first.name].chain_id,
        genesis_hash=genesis_hash(rpc),
        app_version=statuses[first.name].version,
        power=voting_power(rpc, statuses),
        statuses=statuses,
        silent=silent,
    )


def voting_power(rpc: RpcClient, statuses: dict[str, NodeStatus]) -> VotingPower:
    """Return the power of the validator set by node name, matched by the address that each node signs with."""
    node_by_address = {status.validator_address: name for name, status in statuses.items()}
    by_node: dict[str, int] = {}
    unknown = 0
    for validator in rpc.validators():
        name = node_by_address.get(validator.address)
        if name is None:
            unknown += validator.voting_power
        else:
            by_node[name] = validator.voting_power
    return VotingPower(by_node=by_node, unknown=unknown)


def genesis_hash(rpc: RpcClient) -> str | None:
    """Return the SHA-256 of the node's genesis document (hex), None when the node does not give it out."""
    digest = hashlib.sha256()
    try:
        for chunk in range(_MAX_GENESIS_CHUNKS):
            result = rpc.call("genesis_chunked", chunk=str(chunk))
            digest.update(base64.b64decode(result["data"], validate=True))
            if chunk + 1 >= int(result["total"]):
                return digest.hexdigest()
    except (TargetError, KeyError, TypeError, ValueError):
        return None
    return None


def supports_unordered(rpc: RpcClient, target: Target, key: AccountKey) -> bool:
    """Return whether the chain takes transactions outside the sequence, asked by simulating one."""
    state = account_state(rpc, key.address)
    if state is None:
        return False
    signer = TransferSigner(key, target.chain, account_number=state.number)
    probe = signer.unordered_transfer(key.address, 1, timeout_at_ns=time.time_ns() + 60_000_000_000)
    try:
        simulate(rpc, probe.raw)
    except Refused:
        return False
    return True


def examine(target: Target) -> Iterator[Finding]:
    """Yield a finding for every capability of every part, in the order of the Target file."""
    for node in target.nodes:
        yield from _examine_node(target, node)
    for provider in target.providers:
        yield from _examine_provider(provider)
    yield from _examine_chain(target)
    yield from _examine_control(target)


def _ask(part: str, capability: str, question: Callable[[], str | None], *, otherwise: Answer = Answer.NO) -> Finding:
    """Return YES with the question's answer, ABSENT for None, or `otherwise` with the reason that it gave none."""
    try:
        detail = question()
        answer = Answer.ABSENT if detail is None else Answer.YES
        return Finding(part=part, capability=capability, answer=answer, detail=detail or "")
    except (TargetError, grpc.RpcError) as error:
        why = error.why if isinstance(error, TargetError) else f"{error.code().name}: {error.details()}"
        return Finding(part=part, capability=capability, answer=otherwise, detail=why)


def _examine_node(target: Target, node: Node) -> Iterator[Finding]:
    rpc = RpcClient(node.rpc_url, timeout_s=PROBE_TIMEOUT_S)

    def status() -> str:
        now = rpc.status()
        if now.chain_id != target.chain.chain_id:
            raise Unreachable(node.rpc_url, f"is on chain {now.chain_id}; expected {target.chain.chain_id}")
        return f"height {now.height}{', catching up' if now.catching_up else ''}, version {now.version}"

    def rest() -> str:
        return _get(f"{node.rest_url}", "/cosmos/base/tendermint/v1beta1/node_info")

    def rest_market() -> str:
        return _get(f"{node.rest_url}", "/virtengine/market/v1beta5/params")

    yield _ask(node.name, "rpc", status)
    yield _ask(node.name, "health", lambda: _get(node.rpc_url, "/health"))
    if node.rest_url:
        yield _ask(node.name, "rest", rest)
        yield _ask(node.name, "rest /virtengine", rest_market, otherwise=Answer.ABSENT)
    if node.grpc_address:
        yield _ask(node.name, "grpc", lambda: _grpc_node_info(f"{node.grpc_address}"))
    if node.metrics_url:
        yield _ask(node.name, "metrics", lambda: _metrics_prefix(f"{node.metrics_url}"), otherwise=Answer.ABSENT)


def _examine_provider(provider: Provider) -> Iterator[Finding]:
    yield _ask(provider.name, "health", lambda: _get(provider.url, "/health"))
    yield _ask(provider.name, "portal api", lambda: _get(provider.url, "/api/v1/provider/info"))
    for path in ("/ready", "/metrics"):
        yield _ask(provider.name, path, lambda path=path: _get(provider.url, path), otherwise=Answer.ABSENT)  # type: ignore[misc]


def _examine_chain(target: Target) -> Iterator[Finding]:
    """Ask the first node that answers about the chain as a whole."""
    rpc = next((client for node in target.nodes if _answers(client := RpcClient(node.rpc_url, timeout_s=10.0))), None)
    if rpc is None:
        yield Finding(part="chain", capability="answers", answer=Answer.NO, detail="no node answers")
        return
    yield _ask("chain", "makes blocks", lambda: _advance(rpc, limit_s=10 * target.block_time_s))
    yield _ask("chain", "genesis hash", lambda: genesis_hash(rpc) or "not given out")
    yield _ask("chain", "survives one loss", lambda: _loss(target))
    yield _ask("chain", "gas price", lambda: node_config(rpc).minimum_gas_price, otherwise=Answer.ABSENT)
    yield _ask("chain", "market module", lambda: "" if has_market(rpc) else None)
    yield _ask("chain", "mfa gate", lambda: _gate(rpc))
    if target.accounts:
        first, last = target.accounts.key(0), target.accounts.key(target.accounts.count - 1)
        yield _ask("accounts", "first funded", lambda: _funds(rpc, target, first))
        yield _ask("accounts", "last funded", lambda: _funds(rpc, target, last))
        yield _ask("chain", "unordered transactions", lambda: "" if supports_unordered(rpc, target, first) else None)


def _examine_control(target: Target) -> Iterator[Finding]:
    control = connect_control(target)
    if control is None:
        yield Finding(part="control", capability="faults", answer=Answer.ABSENT, detail="control is none")
        return

    def processes() -> str:
        found = control.processes()
        return ", ".join(f"{process.name} {process.state}" for process in found)

    yield _ask("control", "processes", processes)
    yield _ask("control", "links", lambda: f"{len(control.links())} directions")


def _gate(rpc: RpcClient) -> str | None:
    gated = sensitive_transactions(rpc)
    return f"{gated} kinds of transaction held back" if gated else None


def _answers(rpc: RpcClient) -> bool:
    try:
        rpc.status()
    except TargetError:
        return False
    return True


def _get(url: str, path: str) -> str:
    answer = HttpClient(url, timeout_s=PROBE_TIMEOUT_S).get(path)
    if answer.status != 200:
        raise Refused(url, f"{path} answers {answer.status}", code=answer.status)
    return "200"


def _grpc_node_info(address: str) -> str:
    with grpc.insecure_channel(address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_NODE_INFO)
        size = len(call(b"", timeout=PROBE_TIMEOUT_S))
    return f"GetNodeInfo answers {size} bytes"


def _metrics_prefix(url: str) -> str:
    parts = url.partition("://")
    host, slash, path = parts[2].partition("/")
    answer = HttpClient(f"{parts[0]}://{host}", timeout_s=PROBE_TIMEOUT_S).get(slash + path or "/metrics")
    names = {line.split("_", 1)[0] for line in answer.body.decode(errors="replace").splitlines() if line[:1].isalpha()}
    if answer.status != 200 or not names:
        raise Refused(url, f"answers {answer.status} without metrics", code=answer.status)
    return "prefixes " + ", ".join(sorted(names))


def _advance(rpc: RpcClient, *, limit_s: float) -> str:
    """Return how long the next block took; asks until the height rises or the limit passes."""
    start, first = time.monotonic(), rpc.status().height
    while time.monotonic() - start < limit_s:
        if rpc.status().height > first:
            return f"next block after {time.monotonic() - start:.1f} s"
        time.sleep(0.1)
    raise Unreachable(rpc.url, f"made no block in {limit_s:.0f} s")


def _loss(target: Target) -> str:
    power = identify(target).power
    weakest = [name for name in power.by_node if not power.survives_losing([name])]
    if weakest:
        raise ControlError("chain", f"would halt without {weakest[0]}: {power.describe_loss(weakest[:1])}")
    return f"{len(power.by_node)} validators of this target, total power {power.total}"


def _funds(rpc: RpcClient, target: Target, key: AccountKey) -> str:
    amount = balance(rpc, key.address, target.chain.denom)
    if not amount:
        raise Refused(rpc.url, f"{key.address} has nothing", code=0)
    return f"{key.address} has {amount} {target.chain.denom}"
