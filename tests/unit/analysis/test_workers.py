"""Several load processes: one that is lost, late, or whose clock went its own way is told; the others count."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.verdict import Verdict
from bundle import ClockRecord, WorkerRecord
from tests.bundles import PART, SyntheticRun, healthy
from tests.unit.analysis.judgements import budget_verdicts, codes, sentences

pytestmark = pytest.mark.slow

WORKERS = ("worker-0", "worker-1")


def of_two_workers(*, offsets_s: tuple[float, ...] = (0.0, 0.0), late_s: float = 0.0) -> SyntheticRun:
    """Return a healthy run whose load two processes shared; each offset is the master's clock minus a worker's own."""
    run = healthy()
    run.samples = {part: rows_of(run.rows, number) for number, part in enumerate(WORKERS)}
    for part, offset_s in zip(WORKERS, offsets_s, strict=True):
        for row in run.samples[part]:
            row["intended_at_s"] -= offset_s
            row["sent_at_s"] -= offset_s
    run.manifest = replace(
        run.manifest,
        workers=tuple(
            WorkerRecord(
                part=part,
                core=number,
                begins_at_s=run.load_start_at_s,
                ended_at_s=run.load_end_at_s + 0.1 - offset_s,
            )
            for number, (part, offset_s) in enumerate(zip(WORKERS, offsets_s, strict=True))
        ),
        clocks=(*run.manifest.clocks, *(clock(part, at) for part, at in zip(WORKERS, offsets_s, strict=True))),
    )
    late = replace(run.manifest.workers[1], late_s=late_s)
    run.manifest = replace(run.manifest, workers=(run.manifest.workers[0], late))
    return run


def rows_of(rows: list[dict[str, object]], number: int) -> list[dict[str, object]]:
    """Return every other row, what belongs to one transaction together."""
    keys = {key: place for place, key in enumerate(dict.fromkeys(row.get("tx_hash") or id(row) for row in rows))}
    return [dict(row) for row in rows if keys[row.get("tx_hash") or id(row)] % 2 == number]


def clock(part: str, master_minus_own_s: float, error_s: float = 0.001) -> ClockRecord:
    return ClockRecord(
        process=f"load {part}",
        wall_minus_monotonic_s=0.0,
        host=f"host of {part}",
        part=part,
        master_minus_own_s=master_minus_own_s,
        clock_error_s=error_s,
    )


def lose(run: SyntheticRun, *, left_s: float) -> None:
    """The second worker ends so long before the load does; Locust heard nothing of its last second."""
    end_at_s = run.load_end_at_s - left_s
    kept = [row for row in run.samples["worker-1"] if row["intended_at_s"] + row["latency_ms"] / 1000 < end_at_s]
    run.samples["worker-1"] = kept
    workers = (run.manifest.workers[0], replace(run.manifest.workers[1], ended_at_s=None))
    run.manifest = replace(run.manifest, workers=workers)


def test_two_workers_that_stayed_pass(tmp_path: Path) -> None:
    found = of_two_workers().judge(tmp_path)
    assert found.reasons() == []
    assert found.verdict is Verdict.PASS
    [check] = [check for check in found.checks if check.name == "load.workers"]
    assert check.applies
    assert check.summary == "2 processes from the beginning to the end; worker-0 on core 0; worker-1 on core 1"


def test_a_lost_worker_makes_the_run_inconclusive_and_is_told_with_what_is_missing(tmp_path: Path) -> None:
    run = of_two_workers()
    lose(run, left_s=6.0)
    found = run.judge(tmp_path)
    assert found.verdict is Verdict.INCONCLUSIVE
    [sentence] = sentences(found, "load.worker_lost")
    last_s = max(row["intended_at_s"] + row["latency_ms"] / 1000 for row in run.samples["worker-1"])
    since_s = last_s - run.load_start_at_s
    share = (run.shape.load - since_s) / run.shape.load / 2
    assert sentence == (
        "worker-1, one of 2 load processes, was lost:"
        f" its samples are missing from {since_s:.1f} s of the load on, which is {share:.0%} of the load"
    )
    assert "load.counts_differ" not in codes(found), "its counts are left out on both sides"
    budgets = budget_verdicts(found)
    assert budgets == {"PB-L-02": Verdict.INCONCLUSIVE, "PB-L-03": Verdict.INCONCLUSIVE, "CE-NO-BLOCK": Verdict.PASS}


def test_a_worker_that_never_began_is_lost(tmp_path: Path) -> None:
    run = of_two_workers()
    run.samples["worker-1"] = []
    lost = replace(run.manifest.workers[1], begins_at_s=None, ended_at_s=None)
    run.manifest = replace(run.manifest, workers=(run.manifest.workers[0], lost))
    found = run.judge(tmp_path)
    [sentence] = sentences(found, "load.worker_lost")
    assert "missing from 0.0 s of the load on, which is 50% of the load" in sentence
    assert found.verdict is Verdict.INCONCLUSIVE


def test_samples_of_the_workers_that_stayed_are_still_counted(tmp_path: Path) -> None:
    run = of_two_workers()
    lose(run, left_s=6.0)
    run.worker_counts = {"worker-0": {"tx.submit": [3, 0]}, "worker-1": {"tx.submit": [5, 1]}}
    found = run.judge(tmp_path)
    submitted = sum(row["operation"] == "tx.submit" for row in run.samples["worker-0"])
    expected = f"tx.submit: {submitted} samples with 0 failures; Locust counted 3 requests with 0 failures"
    assert expected in sentences(found, "load.counts_differ")


@pytest.mark.parametrize(("late_s", "is_told"), [(0.05, False), (0.25, True)])
def test_a_worker_that_began_late_is_told(tmp_path: Path, late_s: float, is_told: bool) -> None:
    found = of_two_workers(late_s=late_s).judge(tmp_path)
    told = sentences(found, "load.worker_late")
    assert told == (["worker-1 learnt 0.25 s too late that the load had begun"] if is_told else [])
    assert (found.verdict is Verdict.INCONCLUSIVE) == is_told


def test_times_of_a_worker_on_another_clock_are_moved_to_the_masters(tmp_path: Path) -> None:
    """Two minutes ahead: as it stands its samples would lie outside the load. Moved, nothing is wrong."""
    run = of_two_workers(offsets_s=(0.0, -120.0))
    opened = run.open(tmp_path / "a")
    assert opened.clock_shifts_s == {"worker-1": -120.0}
    times = opened.samples.groupby("part", observed=True)["intended_at_s"].min()
    assert abs(times["worker-0"] - times["worker-1"]) < 1.0
    found = run.judge(tmp_path / "b")
    assert codes(found) == set()
    [check] = [check for check in found.checks if check.name == "clock.steady"]
    assert "worker-1's times were moved by -120.000 s" in check.summary


def test_an_offset_that_is_smaller_than_its_error_moves_nothing(tmp_path: Path) -> None:
    run = of_two_workers()
    run.manifest = replace(run.manifest, clocks=(*run.manifest.clocks, clock("worker-1", 0.0005, error_s=0.0006)))
    assert run.open(tmp_path).clock_shifts_s == {}


def test_a_clock_that_drifted_between_two_measurements_is_told(tmp_path: Path) -> None:
    run = of_two_workers()
    run.manifest = replace(run.manifest, clocks=(*run.manifest.clocks, clock("worker-1", 2.0)))
    found = run.judge(tmp_path)
    [sentence] = sentences(found, "clock.drifted")
    assert sentence == "the clock of worker-1 moved by 1.998 s against the master's during the run"
    assert found.verdict is Verdict.INCONCLUSIVE


def test_a_healthy_run_has_one_process_and_the_check_does_not_apply(tmp_path: Path) -> None:
    run = healthy()
    assert list(run.samples) == [PART]
    [check] = [check for check in run.judge(tmp_path).checks if check.name == "load.workers"]
    assert not check.applies
