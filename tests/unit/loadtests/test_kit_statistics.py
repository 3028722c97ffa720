"""Batched statistics are what Locust would have made of the same calls, one after another."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from locust import stats
from locust.env import Environment

from bundle import BundleLayout, ErrorKind, Outcome
from loadtests.kit.calls import Call, CallFailed, measured, report
from loadtests.kit.recorder import Recorder
from loadtests.kit.statistics import BatchedStatistics
from tests.unit.loadtests import fleet as fleets
from tests.unit.loadtests.kit_session import an_environment
from tests.unit.loadtests.locust_process import (
    LIMIT_S,
    ROOT,
    locust_counts,
    sample_counts,
    samples_of,
)
from tests.unit.loadtests.locust_process import environment as plain_environment
from tests.unit.loadtests.test_kit_recorder import rows_of

FAILURES = st.one_of(
    st.none(),
    st.builds(
        CallFailed, st.sampled_from(ErrorKind), st.just("why"), outcome=st.sampled_from([Outcome.FAIL, Outcome.UNKNOWN])
    ),
)
CALLS = st.builds(
    Call,
    operation=st.sampled_from(["tx.submit", "rpc.status"]),
    protocol=st.sampled_from(["TX", "RPC"]),
    intended_at_s=st.just(1_000_000_000.0),
    sent_at_s=st.just(1_000_000_000.0),
    ended_at_s=st.floats(1_000_000_000.0, 1_000_000_100.0),
    answer_bytes=st.one_of(st.none(), st.integers(0, 10**9)),
    failure=FAILURES,
)
FIELDS = (
    *("num_requests", "num_failures", "min_response_time", "max_response_time", "total_content_length"),
    *("response_times", "num_none_requests"),
)


def counting() -> Environment:
    """Return an environment whose runner keeps statistics."""
    environment = an_environment()
    environment.create_local_runner()
    return environment


def figures(environment: Environment) -> dict[Any, dict[str, Any]]:
    every: dict[Any, Any] = {**environment.stats.entries, "total": environment.stats.total}
    return {key: {name: getattr(entry, name) for name in FIELDS} for key, entry in every.items() if entry.num_requests}


def errors(environment: Environment) -> dict[Any, int]:
    return {(e.method, e.name, str(e.error)): e.occurrences for e in environment.stats.errors.values()}


@given(batches=st.lists(st.lists(CALLS, max_size=30), max_size=4))
def test_they_are_equal_to_locusts(batches: list[list[Call]]) -> None:
    one, other = counting(), counting()
    batched = BatchedStatistics(other, None)
    for calls in batches:
        for call in calls:
            report(one, call)
            report(other, call)
        batched.flush()
    batched.close()
    assert figures(other) == figures(one)
    assert errors(other) == errors(one)
    for mine, theirs in zip(other.stats.entries.values(), one.stats.entries.values(), strict=True):
        assert mine.total_response_time == pytest.approx(theirs.total_response_time)


def test_a_bucket_of_the_users_own_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "bucket_response_time", lambda ms: int(ms) // 7 * 7)
    environment = counting()
    batched = BatchedStatistics(environment, None)
    report(environment, Call(operation="a", protocol="RPC", intended_at_s=1.0, sent_at_s=1.0, ended_at_s=1.0105))
    batched.close()
    assert dict(environment.stats.entries["a", "RPC"].response_times) == {7: 1}


def test_a_call_that_never_ended_has_lasted_until_it_was_reported() -> None:
    environment = counting()
    batched = BatchedStatistics(environment, None)
    with pytest.raises(KeyboardInterrupt), measured(environment, "a", "RPC", intended_at_s=1.0):
        raise KeyboardInterrupt
    batched.close()
    entry = environment.stats.entries["a", "RPC"]
    assert entry.num_requests == entry.num_failures == 1
    assert entry.max_response_time > 1e12, "since 1970"


def test_calls_are_recorded_and_those_of_others_too() -> None:
    with tempfile.TemporaryDirectory() as folder:
        layout = BundleLayout(root=Path(folder))
        environment = counting()
        recorder = Recorder(layout, "local")
        environment.events.request.add_listener(recorder.on_request)
        batched = BatchedStatistics(environment, recorder)
        with measured(environment, "ours", "RPC", intended_at_s=1.0):
            pass
        environment.events.request.fire(
            request_type="GET", name="theirs", response_time=1.0, response_length=1, exception=None, context={}
        )
        batched.close()
        recorder.close()
        assert sorted(row["operation"] for row in rows_of(layout)) == ["ours", "theirs"]
        counts = {name: entry.num_requests for (name, _), entry in environment.stats.entries.items()}
        assert counts == {"ours": 1, "theirs": 1}


def test_a_worker_tells_its_master_what_has_just_come() -> None:
    environment = counting()
    stats.setup_distributed_stats_event_listeners(environment.events, environment.stats)  # as a worker's runner does
    batched = BatchedStatistics(environment, None)
    report(environment, Call(operation="a", protocol="RPC", intended_at_s=1.0, sent_at_s=1.0, ended_at_s=1.5))
    told: dict[str, Any] = {}
    environment.events.report_to_master.fire(client_id="worker", data=told)
    batched.close()
    assert [entry["num_requests"] for entry in told["stats"]] == [1]


def test_a_whole_run_counts_to_the_unit(tmp_path: Path) -> None:
    """Locust's own end: it writes its statistics before it says that it quits."""
    arguments = [*fleets.write_locustfile(tmp_path), "--bundle", str(tmp_path), "--statistics", "batched", "--headless"]
    arguments += ["-u", "10", "-r", "10", "-t", "4", "--loads", "work:10~200", "--load-time", "2", "--only-summary"]
    arguments += ["--json-file", str(tmp_path / "locust")]
    answer = subprocess.run(
        fleets.locust_argv(*arguments),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env=plain_environment(PYTHONPATH=str(ROOT)),
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    counts = locust_counts(tmp_path / "locust.json")
    assert counts == sample_counts(samples_of(tmp_path))
    assert counts["work"][0] > 300
