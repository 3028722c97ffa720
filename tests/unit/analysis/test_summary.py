"""Figures beside the verdict: operations add up to rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.summary import Summary, summarise
from bundle import ErrorKind
from tests.bundles import PART, START_AT_S, SyntheticRun, failed, healthy, healthy_by_the_rulebook, sample

OUTCOMES = ("ok", "failed", "unknown", "back_pressure", "not_sent")


def summary(run: SyntheticRun, folder: Path) -> Summary:
    return summarise(run.open(folder))


def mixed() -> SyntheticRun:
    """Return a run with transfers and queries of every outcome and error kind there is."""
    run = healthy()
    kinds = [
        *(("fail", kind) for kind in ErrorKind),
        *(("unknown", kind) for kind in (ErrorKind.TIMEOUT, ErrorKind.BROKEN, ErrorKind.NOT_INCLUDED)),
    ]
    for number, (outcome, kind) in enumerate(kinds):
        at_s = run.load_start_at_s + number / 4
        for operation, protocol in (("tx.submit", "TX"), ("rpc.status", "RPC")):
            row = sample(at_s, operation, protocol, 5.0, tx_hash=f"odd {number}") | failed(outcome, kind, "words")
            run.rows.append(row)
    return run


@pytest.mark.parametrize("make", [healthy, mixed, healthy_by_the_rulebook])
def test_operations_add_up_to_rows(tmp_path: Path, make: object) -> None:
    assert callable(make)
    run = make()
    found = summary(run, tmp_path)
    assert sum(row.count for row in found.operations) == len(run.rows)
    for row in found.operations:
        assert sum(getattr(row, name) for name in OUTCOMES) == row.count, row
    assert [row.operation for row in found.operations] == sorted({row["operation"] for row in run.rows})


def test_quantiles_are_of_what_ended_well(tmp_path: Path) -> None:
    """Of 1 … 100: the fiftieth, the ninety-fifth, the ninety-ninth and the last."""
    run = healthy()
    at_s = run.load_start_at_s
    run.samples[PART] = [sample(at_s, "x", "RPC", float(n)) for n in (*range(50, 0, -1), *range(51, 101))]
    run.rows.append(sample(at_s, "x", "RPC", 5000.0) | failed("unknown", ErrorKind.TIMEOUT))
    [row] = summary(run, tmp_path).operations
    assert (row.p50_ms, row.p95_ms, row.p99_ms, row.max_ms) == (50.0, 95.0, 99.0, 100.0)
    assert (row.count, row.ok, row.unknown, row.protocol) == (101, 100, 1, "RPC")


def test_no_quantile_where_nothing_ended_well(tmp_path: Path) -> None:
    run = healthy()
    run.samples[PART] = [sample(START_AT_S, "x", "RPC", 5.0) | failed("fail", ErrorKind.REFUSED)]
    [row] = summary(run, tmp_path).operations
    assert (row.p50_ms, row.p95_ms, row.p99_ms, row.max_ms) == (None, None, None, None)


def test_failed_over_is_more_than_one_attempt(tmp_path: Path) -> None:
    run = healthy()
    run.samples[PART] = [sample(START_AT_S, "x", "RPC", 5.0, attempts=n) for n in (1, 2, 3, 1)]
    assert summary(run, tmp_path).operations[0].failed_over == 2


def test_errors_are_counted_by_kind_with_the_target_s_words(tmp_path: Path) -> None:
    run = healthy()
    run.samples[PART] = [
        sample(START_AT_S, "a", "RPC", 5.0),
        sample(START_AT_S, "a", "RPC", 5.0) | failed("fail", ErrorKind.SERVER_ERROR),
        sample(START_AT_S, "a", "RPC", 5.0) | failed("fail", ErrorKind.SERVER_ERROR, "HTTP 502"),
        sample(START_AT_S, "a", "RPC", 5.0) | failed("fail", ErrorKind.SERVER_ERROR, "HTTP 503"),
        sample(START_AT_S, "b", "RPC", 5.0) | failed("fail", ErrorKind.REFUSED),
    ]
    found = [(row.operation, row.kind, row.count, row.example) for row in summary(run, tmp_path).errors]
    assert found == [("a", "server_error", 3, "HTTP 502"), ("b", "refused", 1, "")]


def test_lateness_is_of_what_had_a_schedule(tmp_path: Path) -> None:
    """Of 200 requests the 198th: 4 ms. A message has no schedule."""
    run = healthy()
    run.samples[PART] = [
        sample(START_AT_S, "x", "RPC", 5.0) | {"sent_at_s": START_AT_S + late / 1024}
        for late in (*[1] * 197, 4, 90, 90)
    ]
    run.rows.append(sample(START_AT_S, "ws.tx", "WS", 5.0) | {"sent_at_s": START_AT_S + 50})
    assert summary(run, tmp_path).lateness_p99_ms == pytest.approx(1000 * 4 / 1024)


def test_heights_are_the_first_and_the_last_seen(tmp_path: Path) -> None:
    run = healthy()
    heights = [row["height"] for row in run.blocks]
    assert summary(run, tmp_path).heights == (min(heights), max(heights))


def test_overhead_is_what_nobody_asked_for(tmp_path: Path) -> None:
    """From start to seal, without the 28 s of the plan and the 2 s of the drain."""
    opened = healthy().open(tmp_path)
    assert opened.manifest.seal is not None
    took = opened.manifest.seal.sealed_at_s - opened.manifest.started_at_s
    assert summarise(opened).overhead_s == pytest.approx(took - 28 - 2)


def test_overhead_is_unknown_for_a_run_that_did_not_come_to_its_end(tmp_path: Path) -> None:
    run = healthy()
    run.manifest = replace(run.manifest, phases=run.manifest.phases[:2])
    assert summary(run, tmp_path).overhead_s is None


def test_a_run_without_tables_has_no_figures(tmp_path: Path) -> None:
    run = healthy(faults=())
    run.left_out |= {"samples", "blocks", "transactions", "supply", "balances", "probes", "resources"}
    found = summary(run, tmp_path)
    assert (found.operations, found.errors) == ((), ())
    assert (found.lateness_p99_ms, found.heights) == (None, None)
