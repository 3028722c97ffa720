"""The truth table against somebody who knows: a filter between load and nodes that wrote down what it did to each.

TRUTH_TRANSACTIONS=50000 in the environment makes it a long run by hand (100 a second).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from analysis.run import Run
from analysis.transactions import State, TransactionTruth, tell_truth, truth_table
from bundle import RunEnd, read_manifest
from target.file import read_target_file, target_toml
from target.target import load_target
from tests.e2e.filter_proxy import Action, action_of
from tests.e2e.gameday_process import Ended, gameday
from tests.e2e.plans import write_plan

RATE_PER_S = 100
TRANSACTIONS = int(os.environ.get("TRUTH_TRANSACTIONS", "2000"))
DRAIN_S = 20.0
"""Longer than the 10 s after which what no block has was never included, and two blocks more."""

SCRIPT = {
    Action.DROP: 20,
    Action.DUPLICATE: 30,
    Action.DELAY: 10,
    Action.MUTE: 10,
    Action.REJECT_CHECKTX: 15,
    Action.REJECT_SEQUENCE: 15,
    Action.REJECT_RATE_LIMIT: 15,
    Action.REJECT_MEMPOOL_FULL: 15,
    Action.REJECT_IN_CACHE: 15,
    Action.BREAK: 10,
    Action.REJECT_AND_FORWARD: 10,
}
ENDS = {
    Action.PASS: State.COMMITTED,
    Action.DROP: State.NEVER_INCLUDED,
    Action.DUPLICATE: State.COMMITTED,
    Action.DELAY: State.COMMITTED,
    Action.MUTE: State.UNKNOWN,
    Action.REJECT_CHECKTX: State.REJECTED_CHECKTX,
    Action.REJECT_SEQUENCE: State.REJECTED_SEQUENCE,
    Action.REJECT_RATE_LIMIT: State.REJECTED_RATE_LIMIT,
    Action.REJECT_MEMPOOL_FULL: State.REJECTED_MEMPOOL_FULL,
    Action.REJECT_IN_CACHE: State.REJECTED_IN_CACHE,
    Action.BREAK: State.UNKNOWN,
    Action.REJECT_AND_FORWARD: State.COMMITTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A run behind the filter: what the filter wrote down, by hash, and how the command ended."""

    actions: dict[str, Action]
    node_took: dict[str, list[bool]]
    """What the node said to each copy that was forwarded."""
    ended: Ended

    def hashes(self, *actions: Action) -> set[str]:
        return {tx_hash for tx_hash, action in self.actions.items() if action in actions}


@contextmanager
def filtered(target: Path, folder: Path, script: dict[Action, int]) -> Iterator[tuple[Path, Path]]:
    """Give (Target file of the same network behind the filter, the filter's log)."""
    log = folder / "filter.jsonl"
    urls = [node.rpc_url for node in load_target(target).nodes]
    command = [sys.executable, "-m", "tests.e2e.filter_proxy", str(log), json.dumps(script), *urls]
    proxy = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert proxy.stdout is not None
    try:
        ports = proxy.stdout.readline().split()
        assert len(ports) == len(urls), "the filter did not start"
        file = read_target_file(target)
        nodes = tuple(
            replace(node, rpc=f"http://127.0.0.1:{port}") for node, port in zip(file.node, ports, strict=True)
        )
        behind = folder / "filtered.toml"
        behind.write_text(target_toml(replace(file, node=nodes), with_secrets=True), encoding="utf-8")
        yield behind, log
    finally:
        proxy.communicate("", timeout=30)


def run_behind(target: Path, folder: Path, script: dict[Action, int], *, load_s: float, users: int, **env: str) -> Told:
    """Run transfers through the filter, one a second of each user."""
    load = {"scenario": "transfer", "users": users}
    plan = write_plan(folder, "truth", load_s=load_s, loads=[load], drain_limit_s=DRAIN_S, budgets=["PB-L-02"])
    with filtered(target, folder, script) as (behind, log):
        arguments = ("run", plan, "--target", behind, "--runs", folder / "runs")
        ended = gameday(*arguments, limit_s=200 + load_s, **env)
    manifest = read_manifest(ended.bundle / "manifest.json")
    assert manifest.end is RunEnd.COMPLETED, manifest.end_reason
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    told = Told(
        actions={line["tx_hash"]: Action(line["action"]) for line in lines},
        node_took={line["tx_hash"]: line["node_took"] for line in lines},
        ended=ended,
    )
    assert len(told.actions) == len(lines)  # no transaction was sent twice by the load
    assert all(action is action_of(tx_hash, script) for tx_hash, action in told.actions.items())
    return told


def assert_table(run: Run, expected: dict[str, State]) -> TransactionTruth:
    """Assert that the table has just these transactions in these states, and counts them so."""
    table = truth_table(run)
    assert dict(zip(table["tx_hash"], table["state"], strict=True)) == expected
    truth = tell_truth(run)
    assert truth is not None
    counted: Counter[State] = Counter()
    for fate in truth.fates:
        counted[fate.state] += fate.count
    assert counted == Counter(expected.values())
    assert truth.submissions == truth.transactions == len(expected)
    print(f"{len(expected)} transactions: {dict(counted)}")
    return truth


def test_the_table_is_what_the_filter_did(target: Path, tmp_path: Path) -> None:
    """Every transaction that reached the filter ends in the table as the filter made it end, to the unit."""
    told = run_behind(target, tmp_path, SCRIPT, load_s=TRANSACTIONS / RATE_PER_S, users=RATE_PER_S)
    assert set(told.actions.values()) == set(ENDS)
    # The network took all that it was given, and of two copies the first.
    for tx_hash, took in told.node_took.items():
        assert took == ([True, False] if told.actions[tx_hash] is Action.DUPLICATE else [True] * len(took))
    run = Run.open(told.ended.bundle)
    expected = {tx_hash: ENDS[action] for tx_hash, action in told.actions.items()}
    kept_back = told.hashes(Action.DROP, Action.MUTE, Action.BREAK)
    expected |= dict.fromkeys(kept_back & _expired(told.ended.bundle), State.EXPIRED)
    unanswered = _unanswered(told.ended.bundle)
    expected |= _unheard(expected, unanswered)
    truth = assert_table(run, expected)
    assert truth.contradictions == {
        "rejected_but_included": len(told.hashes(Action.REJECT_AND_FORWARD) - unanswered),
        "unanswered_but_included": sum(expected[tx_hash] is State.COMMITTED for tx_hash in unanswered),
    }
    assert truth.duplicates == 0
    assert sum(fate["count"] for fate in told.ended.verdict["transactions"]["fates"]) == len(told.actions)
    assert "What became of the transactions" in (told.ended.bundle / "report.md").read_text(encoding="utf-8")


def test_a_pipeline_goes_on_after_what_the_filter_did(target: Path, tmp_path: Path) -> None:
    """Transactions with consecutive sequences: one that is lost costs at most one refusal, and its account goes on."""
    script = {
        Action.DROP: 15,
        Action.REJECT_SEQUENCE: 15,
        Action.REJECT_RATE_LIMIT: 15,
        Action.REJECT_MEMPOOL_FULL: 15,
        Action.REJECT_IN_CACHE: 10,
        Action.DUPLICATE: 15,
    }
    order = {"GAMEDAY_TX_ORDER": "pipeline", "GAMEDAY_CONFIRM_LIMIT_S": "15"}
    told = run_behind(target, tmp_path, script, load_s=20, users=60, **order)
    expected = {tx_hash: ENDS[action] for tx_hash, action in told.actions.items()}
    refused = {tx_hash for tx_hash, took in told.node_took.items() if took[:1] == [False]}
    expected |= dict.fromkeys(refused, State.REJECTED_SEQUENCE)
    expected |= _unheard(expected, _unanswered(told.ended.bundle))
    assert_table(Run.open(told.ended.bundle), expected)
    lies = told.hashes(Action.DROP, Action.REJECT_SEQUENCE, Action.REJECT_IN_CACHE)
    assert len(refused) <= len(lies)


def _submits(bundle: Path) -> list[dict[str, Any]]:
    samples: list[dict[str, Any]] = pq.read_table(bundle / "samples").to_pylist()
    return [row for row in samples if row["operation"] == "tx.submit"]


def _unanswered(bundle: Path) -> set[str]:
    """Return the transactions whose answer did not reach the client: kept back, or too late on a busy machine."""
    return {row["tx_hash"] for row in _submits(bundle) if row["outcome"] == "unknown"}


def _unheard(expected: dict[str, State], unanswered: set[str]) -> dict[str, State]:
    """Return what the client cannot know of what the filter made of these: nothing, unless a block has them."""
    settled = (State.COMMITTED, State.EXPIRED)
    return {tx_hash: State.UNKNOWN for tx_hash in unanswered & set(expected) if expected[tx_hash] not in settled}


def _expired(bundle: Path) -> set[str]:
    """Return the transactions whose time had passed at the last block, which there are in a long run only."""
    blocks: list[dict[str, Any]] = pq.read_table(bundle / "blocks.parquet").to_pylist()
    last_at_s = max(row["header_time_at_s"] for row in blocks if row["header_time_at_s"])
    return {row["tx_hash"] for row in _submits(bundle) if row["valid_until_at_s"] < last_at_s}
