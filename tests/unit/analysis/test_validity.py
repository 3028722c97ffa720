"""Whether a run can be judged at all: each reason has exactly its own cause, and taints exactly its own data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from analysis.judge import Judgement
from analysis.verdict import Verdict
from bundle import ErrorKind, ExpectedLoad, ExpectedOperation, FaultEventKind, RunEnd
from tests.bundles import (
    KILL,
    NODES,
    PART,
    PROVIDER,
    SyntheticRun,
    chaos_journal,
    end_as,
    event,
    fail_child,
    failed,
    forget_events,
    healthy,
    healthy_by_the_rulebook,
    jump_clock,
    locust_counts,
    look_away,
    miscount,
    move_event,
    offer_less,
)
from tests.unit.analysis.judgements import against, budget_verdicts, codes, sentences, taints

pytestmark = pytest.mark.slow

Spoil = Callable[[SyntheticRun], object]


def test_a_healthy_run_passes_everything(tmp_path: Path) -> None:
    found = healthy().judge(tmp_path)
    assert found.verdict is Verdict.PASS
    assert [check.name for check in found.checks if check.applies and check.verdict is not Verdict.PASS] == []
    assert found.reasons() == []
    assert len(found.checks) == 14


def test_a_healthy_run_without_faults_passes(tmp_path: Path) -> None:
    assert healthy(faults=()).judge(tmp_path).verdict is Verdict.PASS


def test_a_run_of_one_node_cannot_disagree_with_itself(tmp_path: Path) -> None:
    """Checks that have no meaning are shown and count for nothing."""
    run = healthy(faults=())
    run.manifest = replace(run.manifest, target=replace(run.manifest.target, node_names=NODES[:1]))
    run.blocks = [row for row in run.blocks if row["node"] == NODES[0]]
    run.probes = [row for row in run.probes if row["endpoint"] in (NODES[0], PROVIDER)]
    found = run.judge(tmp_path)
    assert found.verdict is Verdict.PASS
    assert {check.name for check in found.checks if not check.applies} == {
        "load.workers",
        "experiments.hypothesis",
        "invariant.no_fork",
        "invariant.nobody_left_behind",
    }


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way to spoil a run, and all that follows from it."""

    name: str
    spoil: Spoil
    codes: set[str]
    check: str
    taints: frozenset[str] = frozenset()
    verdict: Verdict = Verdict.INCONCLUSIVE


PROBES_AND_BLOCKS = frozenset({"probes", "blocks"})
EVERY_TIME = frozenset({"samples", "blocks", "probes", "transactions"})
LOAD, SAMPLES, FAULTS = frozenset({"load"}), frozenset({"samples"}), frozenset({"faults"})


def _first_phases(run: SyntheticRun, count: int) -> None:
    run.manifest = replace(run.manifest, phases=run.manifest.phases[:count])


def _without(run: SyntheticRun, operation: str) -> None:
    run.samples[PART] = [row for row in run.rows if row["operation"] != operation]


def _not_sent(run: SyntheticRun, operation: str, count: int) -> None:
    for row in run.of(operation)[:count]:
        row.update(failed("fail", ErrorKind.NOT_SENT))


def _locust_knows_more(run: SyntheticRun) -> None:
    run.locust = [*locust_counts(run.rows), {"name": "tx.other", "num_requests": 1, "num_failures": 0}]


def _locust_knows_less(run: SyntheticRun) -> None:
    run.locust = [entry for entry in locust_counts(run.rows) if entry["name"] != "rpc.status"]


def _second_fault_missing(run: SyntheticRun) -> None:
    """The plan asked for two faults on the same target; the journal has one."""
    run.manifest = replace(run.manifest, faults=run.manifest.faults * 2)
    run.journals["01-validator_kill.json"] = chaos_journal(KILL)


def _refused(run: SyntheticRun) -> None:
    run.faults = [event(KILL, FaultEventKind.FAILED, KILL.at, lease="refused", evidence="production is off limits")]


def _journal(before: bool | None, after: bool | None) -> Spoil:
    def spoil(run: SyntheticRun) -> None:
        run.journals["00-validator_kill.json"] = chaos_journal(KILL, before=before, after=after)

    return spoil


def _broken_probe(run: SyntheticRun) -> None:
    """The second look at the steady state ended in an exception, as by a signal: the toolkit calls that a deviation."""
    journal = chaos_journal(KILL, after=False)
    journal["steady_states"]["after"]["probes"] = [
        {"activity": {"name": "every-node-answers"}, "status": "succeeded", "tolerance_met": True},
        {"activity": {"name": "chain-makes-blocks"}, "status": "failed", "tolerance_met": False},
    ]
    run.journals["00-validator_kill.json"] = journal


CASES = [
    *(
        Case(
            name=f"ended {end}",
            spoil=partial(end_as, end=end, reason="by somebody"),
            codes={f"run.{end}"},
            check="run.complete",
            taints=LOAD,
        )
        for end in RunEnd
        if end is not RunEnd.COMPLETED
    ),
    Case(
        name="child failed",
        spoil=lambda run: fail_child(run, "observers", 1),
        codes={"run.child_failed"},
        check="run.complete",
        taints=LOAD,
    ),
    Case(
        name="child killed",
        spoil=lambda run: fail_child(run, "locust", None),
        codes={"run.child_failed"},
        check="run.complete",
        taints=LOAD,
    ),
    Case(
        name="clock set forward",
        spoil=lambda run: jump_clock(run, 0.2),
        codes={"clock.jumped"},
        check="clock.steady",
        taints=EVERY_TIME,
    ),
    Case(
        name="clock set back",
        spoil=lambda run: jump_clock(run, -3600),
        codes={"clock.jumped"},
        check="clock.steady",
        taints=EVERY_TIME,
    ),
    *(
        Case(
            name=f"{endpoint} unseen from {start} to {end}",
            spoil=partial(look_away, endpoint=endpoint, start=start, end=end),
            codes={"watch.gap"},
            check="watch.gapless",
            taints=PROBES_AND_BLOCKS,
        )
        for endpoint, start, end in [
            (NODES[1], 15.0, 17.5),
            (NODES[1], -1.0, 2.6),
            (NODES[1], 25.0, 31.0),
            (PROVIDER, 15.0, 18.0),
            (PROVIDER, -1.0, 31.0),
        ]
    ),
    *(
        Case(
            name=f"a node's own {which} unseen while its API is looked at",
            spoil=partial(look_away, endpoint=NODES[1], start=15.0, end=20.0, kind="node", which=which),
            codes={"watch.gap"},
            check="watch.gapless",
            taints=PROBES_AND_BLOCKS,
        )
        for which in ("health", "status")
    ),
    Case(
        name="heights that no node was asked for",
        spoil=lambda run: setattr(run, "blocks", [row for row in run.blocks if row["height"] not in (20, 21)]),
        codes={"watch.heights_missing"},
        check="watch.gapless",
        taints=PROBES_AND_BLOCKS,
    ),
    Case(
        name="nothing offered",
        spoil=lambda run: _not_sent(run, "provider.health", 48),
        codes={"load.nothing_offered"},
        check="load.offered",
        taints=LOAD,
    ),
    Case(
        name="2 % not offered",
        spoil=lambda run: offer_less(run, "tx.submit", 0.02),
        codes={"load.under_offered"},
        check="load.offered",
        taints=LOAD,
    ),
    Case(
        name="2 % could not be sent",
        spoil=lambda run: _not_sent(run, "provider.health", 1),
        codes={"load.under_offered"},
        check="load.offered",
        taints=LOAD,
    ),
    Case(
        name="an operation that must be there is not",
        spoil=lambda run: _without(run, "ws.new_block"),
        codes={"load.operation_missing"},
        check="load.offered",
        taints=LOAD,
    ),
    Case(
        name="empty statistics of Locust",
        spoil=lambda run: setattr(run, "locust", []),
        codes={"load.no_statistics"},
        check="load.counts",
        taints=SAMPLES,
    ),
    Case(
        name="no statistics of Locust",
        spoil=lambda run: run.left_out.add("logs/locust.json"),
        codes={"load.no_statistics"},
        check="load.counts",
        taints=SAMPLES,
    ),
    *(
        Case(name=name, spoil=spoil, codes={"load.counts_differ"}, check="load.counts", taints=SAMPLES)
        for name, spoil in [
            ("Locust counted one more", lambda run: miscount(run, "tx.submit", requests=1)),
            ("Locust counted one less", lambda run: miscount(run, "ws.new_block", requests=-1)),
            ("Locust counted another failure", lambda run: miscount(run, "tx.submit", failures=1)),
            ("Locust counted what has no sample", _locust_knows_more),
            ("Locust did not count what has samples", _locust_knows_less),
        ]
    ),
    *(
        Case(name=name, spoil=spoil, codes={code}, check="faults.proved", taints=FAULTS)
        for name, code, spoil in [
            ("nothing in the journal", "fault.not_applied", lambda run: run.faults.clear()),
            ("refused", "fault.not_applied", _refused),
            ("one of two on the same target missing", "fault.not_applied", _second_fault_missing),
            ("no effect", "fault.no_effect", lambda run: forget_events(run, FaultEventKind.EFFECT_SEEN)),
            (
                "never undone",
                "fault.not_undone",
                lambda run: forget_events(run, FaultEventKind.HEALED, FaultEventKind.HEAL_SEEN),
            ),
            (
                "undone before its effect was seen",
                "fault.undone_early",
                lambda run: move_event(run, FaultEventKind.HEALED, KILL.applied + 0.01),
            ),
            (
                "undone before it had lasted as long as planned",
                "fault.undone_early",
                lambda run: move_event(run, FaultEventKind.HEALED, KILL.effect + KILL.hold / 2),
            ),
        ]
    ),
    *(
        Case(name=name, spoil=spoil, codes={code}, check="experiments.hypothesis", verdict=verdict)
        for name, code, verdict, spoil in [
            ("no steady state", "experiment.no_steady_state", Verdict.INCONCLUSIVE, _journal(False, None)),
            ("steady state not asked for", "experiment.no_steady_state", Verdict.INCONCLUSIVE, _journal(None, None)),
            ("unfinished", "experiment.unfinished", Verdict.INCONCLUSIVE, _journal(True, None)),
            ("deviated", "experiment.deviated", Verdict.FAIL, _journal(True, False)),
            ("ended while it looked", "experiment.unfinished", Verdict.INCONCLUSIVE, _broken_probe),
            ("no journal", "experiment.no_journal", Verdict.INCONCLUSIVE, lambda run: run.journals.clear()),
        ]
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_each_cause_has_its_reason_and_no_other(tmp_path: Path, case: Case) -> None:
    run = healthy()
    case.spoil(run)
    found = run.judge(tmp_path)
    assert codes(found) == case.codes
    assert against(found) == {case.check}
    assert taints(found) == case.taints
    assert found.verdict is case.verdict
    for _, _, reason in found.reasons():
        assert reason.code.startswith("budget.") or reason.evidence, "everything can be looked up"


@pytest.mark.parametrize("phases", [0, 1])
def test_a_run_that_did_not_come_to_its_load(tmp_path: Path, phases: int) -> None:
    run = healthy()
    _first_phases(run, phases)
    found = run.judge(tmp_path)
    assert codes(found) == {"watch.nothing", "load.not_started"}
    assert against(found) == {"watch.gapless", "load.offered"}
    assert set(budget_verdicts(found).values()) == {Verdict.INCONCLUSIVE}


def test_a_load_that_has_not_ended_is_no_load(tmp_path: Path) -> None:
    """The conductor died in the middle: the manifest's last phase is open."""
    run = healthy()
    baseline, load, _ = run.manifest.phases
    run.manifest = replace(run.manifest, phases=(baseline, replace(load, end_at_s=None)))
    found = run.judge(tmp_path)
    assert codes(found) == {"watch.nothing", "load.unfinished"}
    assert set(budget_verdicts(found).values()) == {Verdict.INCONCLUSIVE}


# --- the generator ---


def _generator(column: str, value: float, seconds: int | None = None) -> Spoil:
    """In so many seconds of the load, or all of them, the generator's watch says something else."""

    def spoil(run: SyntheticRun) -> None:
        for row in run.generator[:seconds]:
            row[column] = value

    return spoil


def _unwatched(run: SyntheticRun) -> None:
    run.generator.clear()


GENERATOR_CASES = [
    Case(name="late", spoil=_generator("late_by_100_ms", 1), codes={"generator.late"}, check=""),
    Case(name="busy", spoil=_generator("cpu_ratio", 0.97), codes={"generator.busy"}, check=""),
    Case(name="stalled", spoil=_generator("stalled_max_ms", 1500.0, 1), codes={"generator.stalled"}, check=""),
    Case(name="collecting", spoil=_generator("collected_ms", 60.0), codes={"generator.collecting"}, check=""),
    Case(name="unwatched", spoil=_unwatched, codes={"generator.unwatched"}, check=""),
]


@pytest.mark.parametrize("case", GENERATOR_CASES, ids=lambda case: case.name)
def test_a_generator_that_did_not_keep_up_is_told_and_no_latency_rests_on_it(tmp_path: Path, case: Case) -> None:
    run = healthy()
    case.spoil(run)
    found = run.judge(tmp_path)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert codes(found) == case.codes
    assert against(found) == {"load.generator"}
    assert taints(found) == {"samples"}
    sentence = sentences(found, *case.codes)[0]
    assert sentence.startswith("the generator")


@pytest.mark.parametrize(
    "spoil", [_generator("late_by_20_ms", 5), _generator("cpu_ratio", 1.2, 3), _generator("stalled_max_ms", 900.0)]
)
def test_a_generator_within_its_limits_is_no_matter(tmp_path: Path, spoil: Spoil) -> None:
    run = healthy()
    spoil(run)
    assert run.judge(tmp_path).verdict is Verdict.PASS


def test_only_the_time_of_the_load_counts_for_the_generator(tmp_path: Path) -> None:
    """Before it, keys are derived: a core is busy for seconds, and nothing waits for it."""
    run = healthy()
    run.generator.insert(
        0, run.generator[0] | {"at_s": run.load_start_at_s, "cpu_ratio": 1.0, "stalled_max_ms": 5000.0}
    )
    assert run.judge(tmp_path).verdict is Verdict.PASS


# --- where the line is ---


def test_a_hundredth_that_was_not_offered_is_allowed(tmp_path: Path) -> None:
    """190 of 192 transfers are 98.96 %, 191 are 99.48 %."""
    for left_out, verdict in ((1, Verdict.PASS), (2, Verdict.INCONCLUSIVE)):
        run = healthy()
        offer_less(run, "tx.submit", left_out / 192)
        assert len(run.of("tx.submit")) == 192 - left_out
        assert run.judge(tmp_path / str(left_out)).verdict is verdict


@pytest.mark.parametrize(("by_s", "passes"), [(0.09, True), (-0.09, True), (0.11, False), (-0.11, False)])
def test_a_clock_may_drift_by_a_tenth_of_a_second(tmp_path: Path, by_s: float, passes: bool) -> None:
    run = healthy()
    jump_clock(run, by_s)
    assert (run.judge(tmp_path).verdict is Verdict.PASS) == passes


@pytest.mark.parametrize(("unseen", "passes"), [(2.25, True), (2.5, False)])
def test_a_look_may_be_late(tmp_path: Path, unseen: float, passes: bool) -> None:
    """2.5 s is the limit where looks are a quarter of a second apart; the look at 15 was the last before the gap."""
    run = healthy()
    look_away(run, NODES[1], 15.25, 15.25 + unseen)
    assert (run.judge(tmp_path).verdict is Verdict.PASS) == passes


@pytest.mark.parametrize(("unseen", "passes"), [(4.25, True), (4.5, False)])
def test_a_status_may_be_later_because_others_are_asked_for_in_between(
    tmp_path: Path, unseen: float, passes: bool
) -> None:
    run = healthy()
    look_away(run, NODES[1], 15.25, 15.25 + unseen, which="status")
    found = run.judge(tmp_path)
    assert (found.verdict is Verdict.PASS) == passes
    assert [NODES[1] in sentence and "status" in sentence for sentence in sentences(found, "watch.gap")] == (
        [] if passes else [True]
    )


def test_slow_looks_have_five_periods(tmp_path: Path) -> None:
    """Looks every two seconds: nine seconds apart is no gap, eleven is one."""
    for unseen, passes in ((8.0, True), (10.0, False)):
        run = healthy(probe_period=2.0, faults=())
        look_away(run, NODES[1], 10.0, 10.0 + unseen)
        found = run.judge(tmp_path / str(unseen))
        assert ("watch.gap" not in codes(found)) == passes


def test_each_endpoint_has_its_own_gap(tmp_path: Path) -> None:
    run = healthy()
    look_away(run, NODES[1], 15.0, 19.0, which="health")
    look_away(run, PROVIDER, 15.0, 20.0)
    found = sentences(run.judge(tmp_path), "watch.gap")
    assert [sentence.split()[0] for sentence in found] == [NODES[1], PROVIDER]
    assert "4.2" in found[0] or "4.3" in found[0]
    assert "expected at most 2.5 s" in found[0]


def test_a_gap_after_the_load_is_no_gap(tmp_path: Path) -> None:
    run = healthy()
    look_away(run, PROVIDER, 28.0, 31.0)
    assert run.judge(tmp_path).verdict is Verdict.PASS


def test_an_operation_that_is_drawn_at_random_may_be_absent_from_a_short_run(tmp_path: Path) -> None:
    """Less than ten in 24 s may be none by chance; ten or more may not."""
    for expected, passes in ((9.9, True), (10.1, False)):
        run = healthy()
        rare = ExpectedOperation(name="rpc.rare", protocol="RPC", rate_per_s=expected / 24, scheduled=True)
        extra = ExpectedLoad(scenario="rare", users=1, rate_per_s=0.0, operations=(rare,))
        run.manifest = replace(run.manifest, loads=(*run.manifest.loads, extra))
        found = run.judge(tmp_path / str(expected))
        assert ("load.operation_missing" not in codes(found)) == passes


def test_back_pressure_is_no_failure_to_locust(tmp_path: Path) -> None:
    run = healthy()
    for row in run.of("provider.health")[:5]:
        row.update(failed("fail", ErrorKind.BACK_PRESSURE, "HTTP 429"))
    assert all(entry["num_failures"] == 0 for entry in locust_counts(run.rows))
    assert "load.counts_differ" not in codes(run.judge(tmp_path))


def test_a_recovery_that_was_not_seen_is_for_the_recovery_budget(tmp_path: Path) -> None:
    run = healthy()
    forget_events(run, FaultEventKind.HEAL_SEEN)
    assert "faults.proved" not in against(run.judge(tmp_path))


def test_why_a_fault_was_not_applied_is_told(tmp_path: Path) -> None:
    run = healthy()
    _refused(run)
    [sentence] = sentences(run.judge(tmp_path), "fault.not_applied")
    assert "production is off limits" in sentence


def test_a_plan_without_load_needs_no_counts(tmp_path: Path) -> None:
    run = healthy()
    run.manifest = replace(run.manifest, loads=())
    run.left_out.add("logs/locust.json")
    assert run.judge(tmp_path).verdict is Verdict.PASS


def test_a_load_without_a_schedule_is_not_counted_against_one(tmp_path: Path) -> None:
    """Subscribers hear what there is to hear: there is no number that they should have offered."""
    [check] = [check for check in healthy().judge(tmp_path).checks if check.name == "load.offered"]
    assert "transfer 192 of 192" in check.summary
    assert "query 288 of 288" in check.summary
    assert "websocket 0" not in check.summary


def test_what_is_tainted_decides_no_budget_whatever_the_number(tmp_path: Path) -> None:
    """The clock jumped: every latency, good or bad, and every gap is in doubt; memory is not."""
    run = healthy_by_the_rulebook()
    jump_clock(run, 5)
    for row in run.of("rpc.status"):
        row["latency_ms"] = 60_000.0
    for row in run.resources:
        row["rss_bytes"] = 20_000_000_000
    found = budget_verdicts(run.judge(tmp_path))
    memory = {"PB-R-NODE-MEM", "PB-R-PROV-MEM"}
    assert {found[id_] for id_ in memory} == {Verdict.FAIL}
    assert found["PB-R-NODE-CPU"] is Verdict.PASS
    assert found["SOAK-NODE-MEM"] is Verdict.PASS
    of_time = {verdict for id_, verdict in found.items() if not id_.startswith(("PB-R-", "SOAK-NODE"))}
    assert of_time == {Verdict.INCONCLUSIVE}


@pytest.mark.parametrize("latency_ms", [1.0, 60_000.0])
def test_a_budget_on_tainted_data_says_what_tainted_it(tmp_path: Path, latency_ms: float) -> None:
    run = healthy()
    miscount(run, "tx.submit", requests=1)
    for row in run.of("tx.confirm"):
        row["latency_ms"] = latency_ms
    found: Judgement = run.judge(tmp_path)
    [result] = [result for result in found.budgets if result.budget.id == "PB-L-02"]
    assert result.verdict is Verdict.INCONCLUSIVE
    assert [reason.code for reason in result.reasons] == ["budget.bad_data"]
    assert "tx.submit: 192 samples" in result.reasons[0].sentence
    assert "Locust counted 193" in result.reasons[0].sentence
    assert result.estimate is not None, "the number is shown all the same"
    assert result.estimate.value == latency_ms
