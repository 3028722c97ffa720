"""A real run, kept: it is judged as it was, and some of its figures are counted here once more by other means."""

from __future__ import annotations

import json
import math
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from analysis.judge import judge, verdict_text
from bundle import find_damage, open_bundle, read_manifest
from tests.golden.refresh import BUNDLE, FOLDER, VERDICT

MAX_BYTES = 1_000_000
Row = dict[str, Any]


def rows(table: str) -> list[Row]:
    return [dict(row) for row in pq.read_table(BUNDLE / f"{table}.parquet").to_pylist()]


@pytest.fixture(scope="module")
def verdict() -> Any:
    return json.loads(VERDICT.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def load() -> tuple[float, float]:
    phases = {phase.name: phase for phase in read_manifest(BUNDLE / "manifest.json").phases}
    end = phases["load"].end_at_s
    assert end is not None
    return phases["load"].start_at_s, end


def estimate(verdict: Any, id_: str) -> Any:
    [result] = [result for result in verdict["budgets"] if result["budget"]["id"] == id_]
    return result["estimate"]


def test_the_golden_run_is_judged_as_it_was() -> None:
    """After a change that is meant: `python -m tests.golden.refresh`, and look at the difference."""
    assert verdict_text(judge(BUNDLE)[1]) == VERDICT.read_text(encoding="utf-8")


def test_it_is_judged_the_same_in_another_place(tmp_path: Path) -> None:
    copy = shutil.copytree(BUNDLE, tmp_path / "elsewhere")
    assert verdict_text(judge(copy)[1]) == VERDICT.read_text(encoding="utf-8")


def test_the_golden_bundle_is_whole_and_small() -> None:
    layout = open_bundle(BUNDLE)
    assert find_damage(layout, read_manifest(layout.manifest)) == []
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < MAX_BYTES


def p95(values: list[float]) -> float:
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


@pytest.mark.parametrize(
    ("id_", "column", "wanted"),
    [("PB-L-02", "operation", "tx.confirm"), ("PB-L-03", "protocol", "RPC"), ("PB-L-09", "protocol", "REST")],
)
def test_latencies_by_a_full_sort(verdict: Any, load: tuple[float, float], id_: str, column: str, wanted: str) -> None:
    chosen = [
        row for row in rows("samples/local") if row[column] == wanted and load[0] <= row["intended_at_s"] < load[1]
    ]
    values = [row["latency_ms"] if row["outcome"] == "ok" else math.inf for row in chosen]
    assert len(values) > 72
    found = estimate(verdict, id_)
    assert (found["value"], found["count"]) == (p95(values), len(values))
    assert found["low"] in values
    assert found["low"] <= found["value"] <= found["high"]


def test_failures_by_the_chain_s_books(verdict: Any) -> None:
    committed = {row["tx_hash"] for row in rows("transactions") if row["code"] == 0}
    submitted = [row["tx_hash"] for row in rows("samples/local") if row["operation"] == "tx.submit"]
    failed = sum(tx_hash not in committed for tx_hash in submitted)
    assert estimate(verdict, "PB-Q-02")["value"] == failed / len(submitted)
    assert estimate(verdict, "PB-Q-02")["count"] == len(submitted)


def test_recovery_by_looking_at_every_look(verdict: Any) -> None:
    """The first look after the undo at which the killed node is not catching up, on a par, and moving."""
    events = [json.loads(line) for line in (BUNDLE / "faults.jsonl").read_text(encoding="utf-8").splitlines()]
    [healed] = [event["at_s"] for event in events if event["event"] == "healed"]
    highest, first, recovered = 0, None, math.inf
    for row in sorted((row for row in rows("probes") if row["probe"] == "status"), key=lambda row: row["at_s"]):
        if row["ok"]:
            highest = max(highest, row["height"])
        if row["endpoint"] != "validator-3" or row["at_s"] < healed or not row["ok"]:
            continue
        first = row["height"] if first is None else min(first, row["height"])
        if not row["catching_up"] and first < row["height"] and row["height"] >= highest - 1:
            recovered = row["at_s"] - healed
            break
    assert estimate(verdict, "RT-NODE-RECOVERY")["value"] == pytest.approx(recovered, abs=1e-9)


def test_the_longest_gap_by_looking_at_every_block(verdict: Any) -> None:
    seen: dict[int, float] = {}
    for row in rows("blocks"):
        seen[row["height"]] = min(seen.get(row["height"], math.inf), row["observed_at_s"])
    ordered = [seen[height] for height in sorted(seen)]
    assert ordered == sorted(ordered), "no height was fetched late in this run"
    watched = [row["at_s"] for row in rows("probes")]
    moments = [min(watched), *ordered, max(watched)]
    longest = max(later - earlier for earlier, later in pairwise(moments))
    assert estimate(verdict, "CE-NO-BLOCK")["value"] == pytest.approx(longest, abs=1e-9)


def test_money_by_hand(verdict: Any) -> None:
    """Every account's balance, from its opening balance and the transfers and fees in the blocks."""
    balances: dict[str, int] = {}
    told: dict[str, int] = {}
    table = rows("balances")
    opening = min(row["height"] for row in table)
    for row in table:
        (balances if row["height"] == opening else told)[row["address"]] = int(row["amount_uve"])
    for row in rows("transactions"):
        paid = row["amount_uve"] if row["code"] == 0 else 0
        balances[row["sender"]] -= paid + row["fee_uve"]
        balances[row["recipient"]] += paid
    assert balances == told
    [check] = [check for check in verdict["checks"] if check["name"] == "invariant.transfers"]
    assert f"{len(told)} balances agree" in check["summary"]
