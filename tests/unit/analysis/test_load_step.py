"""What one run says about its rate: held, gave way, or nothing, and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.budget import Budget, read_rulebook
from analysis.judge import judge
from analysis.load_step import LoadStep, read_step
from analysis.rate_search import Outcome
from analysis.verdict import Verdict
from bundle import ErrorKind, RunEnd
from tests.bundles import NODES, SyntheticRun, end_as, failed, healthy, look_away, offer_less, sample

TRANSFER_BUDGETS = ("CAP-KEPT-UP", "PB-L-02", "PB-Q-02")


def stepping(*budgets: str) -> SyntheticRun:
    """Return a step as a capacity search makes one: no faults, budgets of its own."""
    return healthy(faults=(), budgets=budgets or TRANSFER_BUDGETS)


def read(run: SyntheticRun, folder: Path) -> LoadStep:
    return read_step(*judge(run.write(folder)), number=3, rate_per_s=8.0)


def limited(run: SyntheticRun, id_: str, limit: float) -> SyntheticRun:
    """Return the run with another limit of one budget."""

    def changed(budget: Budget) -> Budget:
        return replace(budget, limit=limit) if budget.id == id_ else budget

    run.budgets = tuple(changed(budget) for budget in run.budgets)
    return run


def late(run: SyntheticRun) -> SyntheticRun:
    """Return the run with a generator that noticed a tenth of its arrivals late."""
    for row in run.generator:
        row.update(late_by_2_ms=1, late_by_20_ms=1, late_by_100_ms=1, late_max_ms=300.0)
    return run


def slow(run: SyntheticRun, by_ms: float) -> SyntheticRun:
    for row in run.of("tx.confirm"):
        row["latency_ms"] += by_ms
    return run


def pushed_back(run: SyntheticRun) -> SyntheticRun:
    """Return the run with a quarter more sent, all of it told to come again."""
    for row in run.of("tx.submit")[::4]:
        back = failed("fail", ErrorKind.BACK_PRESSURE, "mempool is full")
        run.rows.append(sample(row["intended_at_s"], "tx.submit", "TX", 3.0) | back)
    return run


def test_a_healthy_run_held(tmp_path: Path) -> None:
    step = read(stepping(), tmp_path)
    assert (step.outcome, step.why) == (Outcome.HELD, "")
    assert (step.number, step.rate_per_s) == (3, 8.0)
    assert step.offered_per_s == pytest.approx(8.0 + 12.0 + 2.0, abs=0.1)
    assert step.done_per_s == pytest.approx(8.0, abs=0.5)
    assert step.p95_ms is not None
    assert 0 < step.p95_ms < 3000
    assert [budget.id for budget in step.budgets] == list(TRANSFER_BUDGETS)
    assert not any(budget.is_broken for budget in step.budgets)


def test_a_budget_with_too_few_samples_to_be_decided_counts_by_its_value(tmp_path: Path) -> None:
    """192 transfers without a failure prove no failure rate below 1 %: the verdict is INCONCLUSIVE, the rate held."""
    step = read(stepping(), tmp_path)
    assert step.verdict is Verdict.INCONCLUSIVE
    assert step.outcome is Outcome.HELD


def test_a_budget_whose_value_is_beyond_its_limit_gave_way_though_undecided(tmp_path: Path) -> None:
    """Three failures of 192 are 1.6 % (0.5 to 4.5): beyond 1 % by value, not by interval."""
    run = stepping()
    for row in run.of("tx.submit")[50:53]:
        row.update(failed("fail", ErrorKind.CLIENT_ERROR, "code 5", tx_hash=None))
    step = read(run, tmp_path)
    assert step.outcome is Outcome.GAVE_WAY
    assert [budget.id for budget in step.budgets if budget.is_broken] == ["PB-Q-02"]


def test_a_failed_budget_gave_way(tmp_path: Path) -> None:
    step = read(limited(stepping(), "PB-L-02", 50.0), tmp_path)
    assert (step.outcome, step.verdict) == (Outcome.GAVE_WAY, Verdict.FAIL)
    assert "Transaction confirmation" in step.why


def test_a_late_generator_spoils_nothing_where_every_value_is_good(tmp_path: Path) -> None:
    """Latency counts from the intended time: a punctual generator would have measured less still."""
    step = read(late(stepping()), tmp_path)
    assert step.outcome is Outcome.HELD
    assert "the generator, not the target" in step.why


def test_a_late_generator_spoils_a_latency_that_is_beyond_its_limit(tmp_path: Path) -> None:
    step = read(late(slow(stepping(), 11_000)), tmp_path)
    assert step.outcome is Outcome.GENERATOR
    assert "more than 100 ms late" in step.why


def test_a_chain_that_fell_behind_did_so_though_the_generator_was_late(tmp_path: Path) -> None:
    step = read(late(pushed_back(stepping())), tmp_path)
    assert step.outcome is Outcome.GAVE_WAY
    assert "Transactions committed of those sent is 0.8" in step.why


def test_a_load_that_was_not_offered_tells_nothing_of_the_target(tmp_path: Path) -> None:
    run = stepping()
    offer_less(run, "tx.submit", 0.5)
    assert read(run, tmp_path).outcome is Outcome.GENERATOR


def test_a_watch_with_a_gap_tells_nothing_that_rests_on_it(tmp_path: Path) -> None:
    """Blocks were not watched: what was committed is not known. Reads do not rest on blocks."""
    run, reads = stepping(), stepping("PB-L-03", "PB-Q-01")
    for each in (run, reads):
        look_away(each, NODES[1], 10.0, 18.0)
    assert read(run, tmp_path / "a").outcome is Outcome.NOTHING
    assert read(reads, tmp_path / "b").outcome is Outcome.HELD


def test_a_run_that_was_cut_short_tells_nothing(tmp_path: Path) -> None:
    run = stepping()
    end_as(run, RunEnd.ABORTED, "the load did not start")
    step = read(run, tmp_path)
    assert step.outcome is Outcome.NOTHING
    assert "the load did not start" in step.why


def test_reads_are_counted_by_good_answers(tmp_path: Path) -> None:
    run = stepping("PB-L-03", "PB-Q-01")
    run.samples["local"] = [row for row in run.rows if row["protocol"] in ("RPC", "REST", "GRPC")]
    step = read(run, tmp_path)
    assert step.done_per_s == pytest.approx(12.0, abs=0.1)


def test_pressure_is_what_the_watch_saw(tmp_path: Path) -> None:
    """Five processes at a quarter of a core, blocks every second, a mempool that grows by 3 a second on one node."""
    run = stepping()
    run.manifest = replace(run.manifest, host={"cpu_count": 2, "memory_bytes": 5_200_000_000, "load_average_1min": 1.5})
    for row in run.probes:
        if row["probe"] == "peers":
            row["mempool_txs"] = (
                round(3 * (row["at_s"] - run.load_start_at_s)) + 100 if row["endpoint"] == NODES[2] else 7
            )
    found = read(run, tmp_path).pressure
    assert (found.machine_cores, found.machine_load) == (2, 1.5)
    assert found.target_cores == pytest.approx(1.25, abs=0.01)
    assert found.busiest_cores == pytest.approx(0.25, abs=0.01)
    assert found.generator_cores is None
    assert found.memory_ratio == pytest.approx(0.1)
    assert found.mempool_growth_per_s == pytest.approx(3.0, abs=0.1)
    assert found.block_interval_s == pytest.approx(1.0, abs=0.01)


def test_what_was_not_watched_is_not_known(tmp_path: Path) -> None:
    run = stepping()
    run.resources, run.probes = [], [row for row in run.probes if row["probe"] != "peers"]
    found = read(run, tmp_path).pressure
    assert (found.target_cores, found.busiest_process, found.memory_ratio, found.mempool_growth_per_s) == (None,) * 4


def test_every_transfer_budget_is_in_the_rulebook() -> None:
    assert set(TRANSFER_BUDGETS) <= set(read_rulebook())
