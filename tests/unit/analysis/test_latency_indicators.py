"""Latencies: planted values come back, waits in vain are infinite, what says nothing about the target is left out."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from analysis.budget import WindowName
from bundle import ErrorKind
from tests.bundles import PART, Row, SyntheticRun, failed, healthy, sample
from tests.unit.analysis.scenes import evidence, is_nothing, observe, values

INDICATORS = [
    ("tx.confirm_latency", "tx.confirm", "TX"),
    ("tx.submit_latency", "tx.submit", "TX"),
    ("node.query_latency", "rpc.status", "RPC"),
    ("api.rest_latency", "rest.balance", "REST"),
    ("api.grpc_latency", "grpc.balance", "GRPC"),
    ("ws.delay", "ws.new_block", "WS"),
    ("ws.delay", "ws.tx", "WS"),
    ("provider.latency", "provider.health", "HTTP"),
]
WAITED_IN_VAIN = [
    failed("unknown", ErrorKind.TIMEOUT, "no answer in 5 s"),
    failed("unknown", ErrorKind.BROKEN),
    failed("unknown", ErrorKind.NOT_INCLUDED, latency_ms=None),
    failed("fail", ErrorKind.REFUSED),
    failed("fail", ErrorKind.SERVER_ERROR, "HTTP 500"),
    failed("fail", ErrorKind.BAD_ANSWER),
    failed("fail", ErrorKind.EXECUTION_FAILED),
    failed("fail", ErrorKind.LOST, latency_ms=None),
    {"latency_ms": None},  # ended well, and nobody knows when
]
SAYS_NOTHING = [
    failed("fail", ErrorKind.BACK_PRESSURE, "HTTP 429"),
    failed("fail", ErrorKind.NOT_SENT),
    failed("fail", ErrorKind.CLIENT_ERROR, "HTTP 404"),
]


def only(*rows: Row) -> SyntheticRun:
    """Return a run whose samples are just these."""
    run = healthy()
    run.samples[PART] = list(rows)
    return run


@pytest.mark.parametrize(("indicator", "operation", "protocol"), INDICATORS)
def test_planted_latencies_come_back(tmp_path: Path, indicator: str, operation: str, protocol: str) -> None:
    at_s = healthy().load_start_at_s
    planted = [30.0, 10.0, 900.5, 20.0]
    rows = [sample(at_s + n, operation, protocol, latency) for n, latency in enumerate(planted)]
    rows.insert(1, sample(at_s, "something.else", "OTHER", 77.0))
    observation = observe(only(*rows), tmp_path, indicator)
    assert values(observation) == planted
    # The rows of 900.5, 30 and 20 in the file, where "something.else" has row 1.
    assert evidence(observation) == [(f"samples/{PART}.parquet", row) for row in (3, 0, 4)]


@pytest.mark.parametrize("how", WAITED_IN_VAIN)
def test_who_waited_in_vain_waited_for_ever(tmp_path: Path, how: Row) -> None:
    at_s = healthy().load_start_at_s
    run = only(sample(at_s, "rpc.status", "RPC", 5.0), sample(at_s + 1, "rpc.status", "RPC", 5000.0) | how)
    observation = observe(run, tmp_path, "node.query_latency")
    assert values(observation) == [5.0, math.inf]
    assert evidence(observation)[0] == (f"samples/{PART}.parquet", 1)


@pytest.mark.parametrize("how", SAYS_NOTHING)
def test_who_was_never_asked_is_left_out(tmp_path: Path, how: Row) -> None:
    at_s = healthy().load_start_at_s
    run = only(sample(at_s, "rpc.status", "RPC", 5.0), sample(at_s + 1, "rpc.status", "RPC", 1.0) | how)
    assert values(observe(run, tmp_path, "node.query_latency")) == [5.0]


def test_the_window_is_half_open_and_counts_by_the_intended_time(tmp_path: Path) -> None:
    run = healthy()
    start, end = run.load_start_at_s, run.load_end_at_s
    moments = [(start - 0.001, 1.0), (start, 2.0), (end - 0.001, 3.0), (end, 4.0)]
    # Sent late, after the load, and still a request of the load.
    late = sample(end - 1, "rpc.status", "RPC", 9000.0) | {"sent_at_s": end + 5}
    run = only(*(sample(at_s, "rpc.status", "RPC", latency) for at_s, latency in moments), late)
    assert values(observe(run, tmp_path, "node.query_latency")) == [2.0, 3.0, 9000.0]


def test_outside_faults_leaves_out_the_time_from_the_plan_to_the_recovery(tmp_path: Path) -> None:
    [spec] = healthy().shape.faults
    start = healthy().load_start_at_s - healthy().shape.baseline
    moments = {spec.at - 0.5: 1.0, spec.at: 2.0, spec.healed + 0.5: 3.0, spec.recovered + 1.5: 4.0}
    run = only(*(sample(start + moment, "rpc.status", "RPC", latency) for moment, latency in moments.items()))
    assert values(observe(run, tmp_path, "node.query_latency", WindowName.OUTSIDE_FAULTS)) == [1.0, 4.0]


def test_parts_of_several_workers_are_one_distribution_and_evidence_names_the_part(tmp_path: Path) -> None:
    at_s = healthy().load_start_at_s
    run = only()
    run.samples = {
        "worker-0": [sample(at_s, "rpc.status", "RPC", 1.0)],
        "worker-1": [sample(at_s, "rpc.block", "RPC", 3.0), sample(at_s, "rpc.status", "RPC", 2.0)],
    }
    observation = observe(run, tmp_path, "node.query_latency")
    assert sorted(values(observation)) == [1.0, 2.0, 3.0]
    assert evidence(observation) == [
        ("samples/worker-1.parquet", 0),
        ("samples/worker-1.parquet", 1),
        ("samples/worker-0.parquet", 0),
    ]


@pytest.mark.parametrize(("indicator", "operation", "protocol"), INDICATORS)
def test_no_request_is_nothing(tmp_path: Path, indicator: str, operation: str, protocol: str) -> None:
    before = sample(healthy().load_start_at_s - 1, operation, protocol, 1.0)
    refused = sample(healthy().load_start_at_s, operation, protocol, 1.0) | failed("fail", ErrorKind.BACK_PRESSURE)
    assert is_nothing(observe(only(before, refused), tmp_path, indicator))
