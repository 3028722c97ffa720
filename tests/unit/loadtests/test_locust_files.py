"""Each Locust file by itself, on a real network of one validator; the samples are Locust's own counts, to the unit."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtests.catalogue import scenarios
from tests.unit.loadtests.locust_process import (
    LIMIT_S,
    environment,
    locust,
    locust_command,
    locust_counts,
    sample_counts,
    samples_of,
)

pytestmark = pytest.mark.slow

ACCOUNTS = 30
NETWORK = f"""
import os, sys
from devnet.lifecycle import bring_up
from devnet.network import NetworkSpec
spec = NetworkSpec(validators=1, providers=1, accounts={ACCOUNTS}, timeout_commit_ms=200)
running = bring_up(f"unit-loadtests-{{os.getpid()}}", spec, lambda line: None, owned=True)
print(running.network.target_file, flush=True)
sys.stdin.read()
running.close()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def target_file() -> Iterator[Path]:
    """The Target file of a network that ends with this process, however that ends."""
    owner = subprocess.Popen([sys.executable, "-c", NETWORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    line = owner.stdout.readline().strip()
    assert line, "the network did not start"
    yield Path(line)
    owner.communicate("", timeout=60)


def run(file: str, target_file: Path, folder: Path, *arguments: str) -> tuple[list[dict[str, Any]], str]:
    """Run a file for a few seconds and return its samples, checked against Locust's counts, and what was printed."""
    ended = locust(
        file,
        *("--headless", "-u", "2", "-r", "2", "-t", "3", "--only-summary", "--exit-code-on-error", "0"),
        *("--target-file", str(target_file), "--bundle", str(folder), "--json-file", str(folder / "locust")),
        *arguments,
    )
    assert ended.code == 0, ended.text
    assert "Traceback" not in ended.text, ended.text
    rows = samples_of(folder)
    assert sample_counts(rows) == locust_counts(folder / "locust.json")
    return rows, ended.text


def operations(*names: str) -> set[str]:
    return {operation.name for name in names for operation in scenarios()[name].operation}


def failures(rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(row["operation"], row["error_kind"], row["detail"]) for row in rows if row["outcome"] != "ok"]


@pytest.mark.parametrize("order", ["auto", "sequence", "pipeline"])
def test_transfers(order: str, target_file: Path, tmp_path: Path) -> None:
    rows, _ = run("transfer.py", target_file, tmp_path, "--tx-order", order, "--rate-per-user", "5")
    assert failures(rows) == []
    submitted = {row["tx_hash"] for row in rows if row["operation"] == "tx.submit"}
    confirmed = [row["tx_hash"] for row in rows if row["operation"] == "tx.confirm"]
    assert sorted(confirmed) == sorted(submitted)  # each exactly once
    # Two seconds at ten a second, give or take one of each user.
    assert 18 <= len(submitted) <= 22
    assert {row["operation"] for row in rows} == operations("transfer")
    by_hash = {row["tx_hash"]: row for row in rows if row["operation"] == "tx.submit"}
    for row in rows:
        assert row["intended_at_s"] == by_hash[row["tx_hash"]]["intended_at_s"]
        assert row["sent_at_s"] >= row["intended_at_s"]
        assert row["latency_ms"] > 0


def test_queries(target_file: Path, tmp_path: Path) -> None:
    rows, _ = run("query.py", target_file, tmp_path, "--rate-per-user", "40")
    assert failures(rows) == []
    assert {row["operation"] for row in rows} <= operations("query")
    assert {row["protocol"] for row in rows} == {"RPC", "REST", "GRPC"}
    assert all(row["bytes"] > 0 and row["endpoint"] == "validator-0" for row in rows)
    noted = [json.loads(line) for line in (tmp_path / "logs" / "load.jsonl").read_text().splitlines()]
    assert [(line["worker"], line["event"]) for line in noted] == [
        ("local", "ready"),
        ("local", "started"),
        ("local", "ended"),
    ]


def test_subscribers(target_file: Path, tmp_path: Path) -> None:
    rows, _ = run("websocket.py,transfer.py", target_file, tmp_path)
    assert failures(rows) == []
    found = {row["operation"] for row in rows}
    assert found == operations("websocket", "transfer")
    delays = [row["latency_ms"] for row in rows if row["operation"] == "ws.new_block"]
    assert len(delays) > 2
    assert all(delay > 0 for delay in delays)


def test_a_provider(target_file: Path, tmp_path: Path) -> None:
    rows, _ = run("provider.py", target_file, tmp_path, "--rate-per-user", "40")
    harmless = [row for row in rows if row["error_kind"] == "back_pressure"]
    assert [failure for failure in failures(rows) if failure[1] != "back_pressure"] == []
    assert {row["operation"] for row in rows} <= operations("provider")
    assert "provider.health" in {row["operation"] for row in rows}
    assert "provider.health" not in {row["operation"] for row in harmless}


def test_every_scenario_at_once_with_its_own_users(target_file: Path, tmp_path: Path) -> None:
    rows, _ = run(
        "transfer.py,query.py,websocket.py,provider.py",
        target_file,
        tmp_path,
        *("-u", "7", "-r", "7", "--loads", "transfer:2@5,query:2@10,websocket:1@1,provider:2@5"),
    )
    assert failures(rows) == []
    assert {row["operation"].partition(".")[0] for row in rows} == {"tx", "rpc", "rest", "grpc", "ws", "provider"}
    submitted = [row for row in rows if row["operation"] == "tx.submit"]
    queried = [row for row in rows if row["operation"].partition(".")[0] in ("rpc", "rest", "grpc")]
    assert 18 <= len(submitted) <= 22
    assert 38 <= len(queried) <= 42


def test_a_class_without_a_load_has_no_users(target_file: Path, tmp_path: Path) -> None:
    rows, _ = run("transfer.py,query.py", target_file, tmp_path, "--loads", "query:2@5")
    assert {row["protocol"] for row in rows} <= {"RPC", "REST", "GRPC"}


def test_workers_record_parts_that_add_up_to_the_masters_counts(target_file: Path, tmp_path: Path) -> None:
    """A worker is told by the master when to begin, and by --load-time how long its users act."""
    files, port = "transfer.py,query.py", str(free_port())
    common = ["--target-file", str(target_file), "--bundle", str(tmp_path), "--load-time", "2"]
    common += ["--loads", "transfer:4@5,query:4@5"]
    workers = [
        subprocess.Popen(
            locust_command(files, "--worker", "--master-port", port, *common),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(),
        )
        for _ in range(2)
    ]
    try:
        ended = locust(
            files,
            *("--master", "--master-bind-port", port, "--expect-workers", "2", "--headless", "-u", "8", "-r", "8"),
            *(
                "-t",
                "6",
                "--only-summary",
                "--exit-code-on-error",
                "0",
                "--json-file",
                str(tmp_path / "locust"),
                *common,
            ),
        )
        codes = [worker.wait(LIMIT_S) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert (ended.code, codes) == (0, [0, 0]), ended.text
    rows = samples_of(tmp_path)
    assert sample_counts(rows) == locust_counts(tmp_path / "locust.json")
    assert {row["part"] for row in rows} == {"worker-0", "worker-1"}
    assert failures(rows) == []
    submitted = [row["tx_hash"] for row in rows if row["operation"] == "tx.submit"]
    assert sorted(submitted) == sorted(row["tx_hash"] for row in rows if row["operation"] == "tx.confirm")


def without_accounts(target_file: Path, folder: Path) -> Path:
    path = folder / "bare.toml"
    path.write_text(target_file.read_text().partition("[accounts]")[0])
    return path


def test_a_target_without_accounts_takes_queries_and_no_transfers(target_file: Path, tmp_path: Path) -> None:
    bare = without_accounts(target_file, tmp_path)
    for folder in ("queries", "transfers"):
        (tmp_path / folder).mkdir()
    rows, _ = run("query.py", bare, tmp_path / "queries", "--rate-per-user", "10")
    assert failures(rows) == []
    rows, _ = run("transfer.py", bare, tmp_path / "transfers", "--rate-per-user", "10")
    assert {row["operation"] for row in rows} == {"tx.submit"}
    assert {failure[1:] for failure in failures(rows)} == {("not_sent", "the Target file has no [accounts]")}
    assert 38 <= len(rows) <= 42


def test_a_pool_that_is_too_small_is_told_as_not_sent(target_file: Path, tmp_path: Path) -> None:
    """In order, an account waits for its block: two cannot carry forty transfers a second."""
    small = tmp_path / "small.toml"
    small.write_text(target_file.read_text().replace(f"count = {ACCOUNTS}", "count = 2"))
    rows, _ = run("transfer.py", small, tmp_path, "--rate-per-user", "20", "--tx-order", "sequence")
    kinds = {failure[1] for failure in failures(rows)}
    assert kinds == {"not_sent"}
    assert all(row["tx_hash"] is None for row in rows if row["outcome"] != "ok")
    sent = [row["tx_hash"] for row in rows if row["operation"] == "tx.submit" and row["outcome"] == "ok"]
    assert sorted(sent) == sorted(row["tx_hash"] for row in rows if row["operation"] == "tx.confirm")
