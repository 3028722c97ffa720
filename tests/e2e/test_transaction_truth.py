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
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from analysis.run import Run
from analysis.transactions import State, tell_truth, truth_table
from target.file import read_target_file, target_toml
from target.target import load_target
from tests.e2e.filter_proxy import Action, action_of
from tests.e2e.gameday_process import gameday
from tests.e2e.plans import write_plan

RATE_PER_S = 100
TRANSACTIONS = int(os.environ.get("TRUTH_TRANSACTIONS", "2000"))
DRAIN_S = 20.0
"""Longer than the 10 s after which what no block has was never included, and two blocks more."""

SCRIPT = {
    Action.DROP: 20,
    Action.DUPLICATE: 30,
    Action.DELAY: 4,
    Action.MUTE: 4,
    Action.REJECT_CHECKTX: 15,
    Action.REJECT_SEQUENCE: 15,
    Action.REJECT_RATE_LIMIT: 15,
    Action.REJECT_MEMPOOL_FULL: 15,
    Action.REJECT_IN_CACHE: 15,
    Action.BREAK: 4,
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


@contextmanager
def filtered(target: Path, folder: Path) -> Iterator[tuple[Path, Path]]:
    """Give (Target file of the same network behind the filter, the filter's log)."""
    log = folder / "filter.jsonl"
    urls = [node.rpc_url for node in load_target(target).nodes]
    command = [sys.executable, "-m", "tests.e2e.filter_proxy", str(log), json.dumps(SCRIPT), *urls]
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


def test_the_table_is_what_the_filter_did(target: Path, tmp_path: Path) -> None:
    """Every transaction that reached the filter ends in the table as the filter made it end, to the unit."""
    load_s = TRANSACTIONS / RATE_PER_S
    load = {"scenario": "transfer", "users": RATE_PER_S}
    plan = write_plan(tmp_path, "truth", load_s=load_s, loads=[load], drain_limit_s=DRAIN_S, budgets=["PB-L-02"])
    with filtered(target, tmp_path) as (behind, log):
        limit_s = 200 + load_s
        ended = gameday("run", plan, "--target", behind, "--runs", tmp_path / "runs", limit_s=limit_s)
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    done = {line["tx_hash"]: Action(line["action"]) for line in lines}
    assert len(done) == len(lines)  # no transaction was sent twice by the load
    assert all(action is action_of(tx_hash, SCRIPT) for tx_hash, action in done.items())
    assert set(done.values()) == set(ENDS)
    refused = [line for line in lines if line["action"] != Action.DUPLICATE and False in line["node_took"]]
    assert refused == []  # the network took all that it was given
    assert all(line["node_took"] == [True, False] for line in lines if line["action"] == Action.DUPLICATE)

    run = Run.open(ended.bundle)
    expected = {tx_hash: ENDS[action] for tx_hash, action in done.items()}
    for tx_hash in _expired(ended.bundle, done):
        expected[tx_hash] = State.EXPIRED
    table = truth_table(run)
    assert dict(zip(table["tx_hash"], table["state"], strict=True)) == expected
    truth = tell_truth(run)
    assert truth is not None
    counted: Counter[State] = Counter()
    for fate in truth.fates:
        counted[fate.state] += fate.count
    assert counted == Counter(expected.values())
    assert truth.submissions == truth.transactions == len(done)
    assert truth.submissions >= 0.99 * TRANSACTIONS
    actions = Counter(done.values())
    assert truth.contradictions == {
        "rejected_but_included": actions[Action.REJECT_AND_FORWARD],
        "unanswered_but_included": actions[Action.DELAY],
    }
    assert truth.duplicates == 0
    told = ended.verdict["transactions"]
    assert sum(fate["count"] for fate in told["fates"]) == len(done)
    assert "What became of the transactions" in (ended.bundle / "report.md").read_text(encoding="utf-8")
    print(f"{len(done)} transactions: {dict(counted)}")


def _expired(bundle: Path, done: dict[str, Action]) -> set[str]:
    """Return what the filter kept back and whose time has passed before the last block, which a long run has."""
    blocks: list[dict[str, Any]] = pq.read_table(bundle / "blocks.parquet").to_pylist()
    last_at_s = max(row["header_time_at_s"] for row in blocks if row["header_time_at_s"])
    kept_back = (Action.DROP, Action.MUTE, Action.BREAK)
    samples: list[dict[str, Any]] = pq.read_table(bundle / "samples").to_pylist()
    return {
        row["tx_hash"]
        for row in samples
        if row["operation"] == "tx.submit"
        and done.get(row["tx_hash"]) in kept_back
        and row["valid_until_at_s"] < last_at_s
    }
