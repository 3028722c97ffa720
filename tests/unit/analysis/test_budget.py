"""Budgets: how a measurement is held against one, how a plan chooses, and each budget of the rulebook broken once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from analysis.budget import (
    RULEBOOK,
    Budget,
    BudgetChange,
    Direction,
    Rulebook,
    Severity,
    WindowName,
    choose,
    hold_against,
    read_budgets,
    read_rulebook,
    show,
    used_share,
    write_budgets,
)
from analysis.estimate import Estimate
from analysis.indicator import Counts, Distribution, Measurement, WrongStatistic, estimate
from analysis.indicators import INDICATORS
from analysis.judge import Judgement, judge
from analysis.run import Run
from analysis.verdict import Verdict
from bundle import DocumentError, ErrorKind, parse_document
from tests.bundles import (
    BEYOND_A_MINUTE,
    KILL,
    NODES,
    PARTITION,
    PROVIDER,
    PROVIDER_KILL,
    START_AT_S,
    SyntheticRun,
    failed,
    healthy_by_the_rulebook,
    sample,
)
from tests.unit.analysis.judgements import against, budget_verdicts
from tests.unit.analysis.scenes import scene_of

PASS, INCONCLUSIVE, FAIL = Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL
INF = math.inf


def budget(limit: float, direction: Direction = Direction.BELOW, unit: str = "ms") -> Budget:
    return Budget(
        id="B",
        title="Something",
        indicator="node.query_latency",
        statistic="p95",
        unit=unit,
        limit=limit,
        direction=direction,
        source="a test",
    )


def interval(low: float, value: float, high: float) -> Estimate:
    return Estimate(value=value, low=low, high=high, count=100, method="")


# --- holding a measurement against a budget ---

HELD = [
    # below 100: the whole interval below it, the whole at it or above it, or neither
    (Direction.BELOW, (80, 90, 99.999), PASS),
    (Direction.BELOW, (80, 90, 100), INCONCLUSIVE),
    (Direction.BELOW, (99, 150, 200), INCONCLUSIVE),
    (Direction.BELOW, (100, 100, 100), FAIL),
    (Direction.BELOW, (100, 120, INF), FAIL),
    (Direction.BELOW, (90, INF, INF), INCONCLUSIVE),
    (Direction.BELOW, (INF, INF, INF), FAIL),
    (Direction.BELOW, (-INF, 50, 60), PASS),
    # at least 100
    (Direction.AT_LEAST, (100, 110, 120), PASS),
    (Direction.AT_LEAST, (99.999, 110, 120), INCONCLUSIVE),
    (Direction.AT_LEAST, (80, 90, 100), INCONCLUSIVE),
    (Direction.AT_LEAST, (80, 90, 99.999), FAIL),
    (Direction.AT_LEAST, (0, 0, 0), FAIL),
]


@pytest.mark.parametrize(("direction", "bounds", "verdict"), HELD)
def test_the_whole_interval_decides(direction: Direction, bounds: tuple[float, float, float], verdict: Verdict) -> None:
    result = hold_against(budget(100, direction), interval(*bounds))
    assert result.verdict is verdict
    expected = {PASS: [], INCONCLUSIVE: ["budget.undecided"], FAIL: ["budget.exceeded"]}[verdict]
    assert [reason.code for reason in result.reasons] == expected


def test_nothing_is_rounded_before_it_is_compared() -> None:
    assert hold_against(budget(100), interval(99, 99.9999999, 99.9999999)).verdict is PASS
    assert hold_against(budget(0.9995, Direction.AT_LEAST, ""), interval(0, 0.99949, 0.99949999)).verdict is FAIL


USED = [
    # (limit, direction, unit, value, used share)
    (200.0, Direction.BELOW, "ms", 50.0, 0.25),
    (200.0, Direction.BELOW, "ms", 300.0, 1.5),
    (200.0, Direction.BELOW, "ms", INF, INF),
    (0.0, Direction.BELOW, "", 0.0, None),
    (50.0, Direction.AT_LEAST, "tx/s", 100.0, 0.5),
    (50.0, Direction.AT_LEAST, "tx/s", 25.0, 2.0),
    (50.0, Direction.AT_LEAST, "tx/s", 0.0, INF),
    # 99.9 % leaves a thousandth: half a thousandth down is half of it, two thousandths are twice as much
    (0.999, Direction.AT_LEAST, "", 0.9995, 0.5),
    (0.999, Direction.AT_LEAST, "", 1.0, 0.0),
    (0.999, Direction.AT_LEAST, "", 0.998, 2.0),
]


@pytest.mark.parametrize(("limit", "direction", "unit", "value", "used"), USED)
def test_the_used_share(limit: float, direction: Direction, unit: str, value: float, used: float | None) -> None:
    found = used_share(budget(limit, direction, unit), value)
    assert found == (None if used is None else pytest.approx(used))


@pytest.mark.parametrize(
    ("value", "status"),
    [(90.0, "within"), (90.1, "approaching"), (100.0, "approaching"), (100.1, "exceeded"), (INF, "exceeded")],
)
def test_the_status_follows_the_used_share(value: float, status: str) -> None:
    assert hold_against(budget(100), interval(value, value, value)).status == status


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (12, "12"),
        (1.23456, "1.235"),
        (9999.4, "9999"),
        (9999.7, "10000"),
        (12345.6, "12346"),
        (0.99958, "0.9996"),
        (INF, "unbounded"),
    ],
)
def test_numbers_in_sentences(value: float, text: str) -> None:
    assert show(value) == text


# --- documents ---


def test_budgets_come_back_as_they_were_written(tmp_path: Path) -> None:
    chosen = tuple(read_rulebook().values())
    path = tmp_path / "budgets.json"
    write_budgets(path, chosen)
    assert read_budgets(path) == chosen


def test_an_id_that_is_there_twice_is_refused() -> None:
    with pytest.raises(DocumentError) as caught:
        parse_document(Rulebook, {"budget": [_plain("A"), _plain("B"), _plain("A")]}, source="here")
    assert "has the budget A twice" in str(caught.value)


def test_a_rulebook_has_at_least_one_budget() -> None:
    with pytest.raises(DocumentError):
        parse_document(Rulebook, {"budget": []}, source="here")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("limit", "5"),
        ("limit", None),
        ("direction", "above"),
        ("window", "all"),
        ("severity", "fatal"),
        ("id", ""),
        ("surplus", 1),
    ],
)
def test_a_budget_with_a_wrong_field_is_refused_with_its_place(field: str, value: object) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_document(Rulebook, {"budget": [_plain("A"), _plain("B") | {field: value}]}, source="here")
    assert f"budget[1].{field}" in str(caught.value)


def _plain(id_: str) -> dict[str, object]:
    return {
        "id": id_,
        "title": "T",
        "indicator": "i",
        "statistic": "p95",
        "unit": "ms",
        "limit": 1,
        "direction": "below",
        "source": "s",
    }


def test_a_plan_chooses_and_changes() -> None:
    changes = [
        BudgetChange(id="PB-L-02", limit=50.0, reason="a test"),
        BudgetChange(id="PB-L-03", window=WindowName.OUTSIDE_FAULTS, severity=Severity.WARN, reason="halt"),
    ]
    chosen = choose(read_rulebook(), ["PB-L-03", "PB-L-02", "PB-T-01"], changes, source="plan")
    before = read_rulebook()
    assert [item.id for item in chosen] == ["PB-L-03", "PB-L-02", "PB-T-01"]
    query, confirm, throughput = chosen
    assert confirm == replace(before["PB-L-02"], limit=50.0, note="Changed by the plan: a test")
    assert (query.window, query.severity) == (WindowName.OUTSIDE_FAULTS, Severity.WARN)
    assert query.limit == before["PB-L-03"].limit
    assert throughput == before["PB-T-01"]


def test_a_limit_of_zero_is_a_change() -> None:
    [chosen] = choose(read_rulebook(), ["PB-Q-01"], [BudgetChange(id="PB-Q-01", limit=0.0, reason="none")], source="p")
    assert chosen.limit == 0.0


def test_what_is_unknown_in_a_choice_is_told_all_at_once() -> None:
    with pytest.raises(DocumentError) as caught:
        choose(read_rulebook(), ["NO", "PB-L-02"], [BudgetChange(id="PB-L-03", reason="not chosen")], source="plan")
    assert [problem.where for problem in caught.value.problems] == ["budgets[0]", "budget[0].id"]


# --- the rulebook ---

ALL = read_rulebook()
WITHIN = [id_ for id_ in ALL if id_ not in BEYOND_A_MINUTE]


def test_ids_are_unique() -> None:
    written = RULEBOOK.read_text(encoding="utf-8").count("[[budget]]")
    assert len(ALL) == written


@pytest.mark.parametrize("id_", ALL)
def test_each_indicator_exists(id_: str) -> None:
    assert ALL[id_].indicator in INDICATORS


@pytest.mark.parametrize("id_", ALL)
def test_each_source_is_told(id_: str) -> None:
    assert ALL[id_].source.split()[0] in {"PB", "SLI", "SEED", "CE", "RT", "CT;", "C-51:", "BM:", "Decision"}


SUITING = {Distribution: {"p50", "p95", "p99", "mean", "max"}, Counts: {"ratio"}, Measurement: {"value"}}


@pytest.fixture(scope="module")
def by_the_rulebook(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Judgement]:
    return judge(healthy_by_the_rulebook().write(tmp_path_factory.mktemp("rulebook")))


def test_the_healthy_run_meets_every_budget_that_a_minute_can(by_the_rulebook: tuple[Run, Judgement]) -> None:
    _, judgement = by_the_rulebook
    assert budget_verdicts(judgement) == dict.fromkeys(WITHIN, PASS)
    assert judgement.verdict is PASS
    assert all(result.estimate is not None and result.estimate.count > 0 for result in judgement.budgets)


@pytest.mark.parametrize("id_", ALL)
def test_each_statistic_fits_its_indicator_and_no_other_does(by_the_rulebook: tuple[Run, Judgement], id_: str) -> None:
    scene = scene_of(by_the_rulebook[0], ALL[id_].window)
    observation = INDICATORS[ALL[id_].indicator].observe(scene)
    assert isinstance(observation, Distribution | Counts | Measurement)
    suiting = SUITING[type(observation)]
    assert ALL[id_].statistic in suiting
    assert estimate(observation, ALL[id_].statistic).count > 0
    for other in set().union(*SUITING.values()) - suiting:
        with pytest.raises(WrongStatistic):
            estimate(observation, other)


# --- each budget of the rulebook, broken ---


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A run that breaks one budget, and what else follows because it cannot be otherwise."""

    make: Callable[[], SyntheticRun]
    fails_too: frozenset[str] = frozenset()
    undecided: frozenset[str] = frozenset()


def spoiled(spoil: Callable[[SyntheticRun], object]) -> Violation:
    def make() -> SyntheticRun:
        run = healthy_by_the_rulebook()
        spoil(run)
        return run

    return Violation(make=make)


def slower(operation: str, by_ms: float) -> Violation:
    def spoil(run: SyntheticRun) -> None:
        for row in run.of(operation):
            row["latency_ms"] += by_ms

    return spoiled(spoil)


def _bunched_blocks(run: SyntheticRun) -> None:
    """Blocks come in bunches, 7.1 s apart: more than a twentieth of the intervals are too long.

    No block crosses the ends of the window over which throughput is counted, [13, 72).
    """
    for row in run.blocks:
        at = row["header_time_at_s"] - START_AT_S
        if 5.9 <= at < 72:
            bunch = math.floor((at - 5.9) / 7.1)
            row["header_time_at_s"] = START_AT_S + 5.9 + 7.1 * bunch + 0.001 * (row["height"] % 20)


def _late_commits(run: SyntheticRun) -> None:
    """The transfers of five blocks are committed only after the load, in the last block of the run."""
    last = run.supply[-1]["height"]
    heights = sorted({row["height"] for row in run.transactions})
    late = heights[20:25]
    for index, row in enumerate(row for row in run.transactions if row["height"] in late):
        row["height"], row["index"] = last, 1000 + index


def _pushed_back(run: SyntheticRun) -> None:
    """The nodes take nine of ten: those told to come again count as sent, and as nothing else."""
    for row in run.of("tx.submit")[::9]:
        back = failed("fail", ErrorKind.BACK_PRESSURE, "mempool is full")
        run.rows.append(sample(row["intended_at_s"], "tx.submit", "TX", 3.0) | back)


def _failed_queries(run: SyntheticRun, count: int) -> None:
    for row in run.of("rest.balance")[:count]:
        row.update(failed("fail", ErrorKind.SERVER_ERROR, "HTTP 500"))


def _rejected_transfers(run: SyntheticRun) -> None:
    """Fifty of 3,378: with all of the interval above 1 %."""
    at_s = run.load_start_at_s + 1
    for _ in range(50):
        run.rows.append(sample(at_s, "tx.submit", "TX", 3.0) | failed("fail", ErrorKind.CLIENT_ERROR, "code 5"))


def _outage(run: SyntheticRun, name: str, kind: str) -> None:
    """Two seconds down, with no fault to excuse it."""
    for row in run.probes:
        if (row["endpoint"], row["kind"], row["probe"]) == (name, kind, "health"):
            row["ok"] = row["ok"] and not 25 <= row["at_s"] - START_AT_S < 27


def _memory(run: SyntheticRun, name: str, size: int) -> None:
    [row, *_] = [row for row in run.resources if row["process"] == name and row["at_s"] > run.load_start_at_s]
    row["rss_bytes"] = size


def _leak(run: SyntheticRun) -> None:
    """A third more at the end of the load than at its start."""
    for row in run.resources:
        if row["process"] == NODES[0]:
            row["rss_bytes"] = round(100e6 * (1 + 0.33 * (row["at_s"] - run.load_start_at_s) / run.shape.load))


def _busy(run: SyntheticRun) -> None:
    for row in run.resources:
        if row["process"] == NODES[0]:
            row["cpu_s"] *= 20


def _seen_late(run: SyntheticRun, start: float, end: float) -> None:
    """The observers saw no block in [start, end), and then all of them at once."""
    for row in run.blocks:
        if START_AT_S + start <= row["observed_at_s"] < START_AT_S + end:
            row["observed_at_s"] = START_AT_S + end


EARLY = 8.25
"""When a fault has to begin so that a recovery of more than a minute ends within the run."""


def _slow_recovery(spec: object) -> Callable[[], SyntheticRun]:
    others = {"kill": KILL, "partition": PARTITION, "provider": PROVIDER_KILL}

    def make() -> SyntheticRun:
        faults = tuple(
            replace(other, at=EARLY, hold=1.0, recovery=64.0) if other is spec else replace(other, at=place, hold=2.0)
            for other, place in zip(others.values(), (12.0, 28.0, 48.0), strict=True)
        )
        return healthy_by_the_rulebook(faults=faults)

    return make


def _chain_that_stays_away() -> SyntheticRun:
    """No block is seen from the undo of the first fault on, for more than a minute."""
    run = healthy_by_the_rulebook(faults=(replace(KILL, at=EARLY, hold=1.0), PARTITION, PROVIDER_KILL))
    _seen_late(run, 9.5, 72.0)
    return run


VIOLATIONS = {
    "PB-L-01": spoiled(_bunched_blocks),
    "PB-L-02": slower("tx.confirm", 10_000),
    "LOAD-TX-BURST-P95": replace(slower("tx.confirm", 15_000), fails_too=frozenset({"PB-L-02"})),
    "PB-L-03": slower("rpc.status", 2_000),
    "PB-L-09": slower("rest.balance", 2_000),
    "PB-L-10": slower("grpc.balance", 1_000),
    "PB-L-11": slower("ws.new_block", 500),
    "PB-L-15": slower("tx.submit", 100),
    # What is committed after the load was not kept up with in it either.
    "PB-T-01": replace(spoiled(_late_commits), fails_too=frozenset({"CAP-KEPT-UP"})),
    "CAP-KEPT-UP": spoiled(_pushed_back),
    # Nearly 1 % of errors: no availability of 99.9 % goes with an error rate of 0.5 %.
    "PB-Q-01": replace(spoiled(lambda run: _failed_queries(run, 40)), fails_too=frozenset({"PB-Q-07"})),
    # The scenario's limit and the budget are the same 1 %.
    "PB-Q-02": replace(spoiled(_rejected_transfers), fails_too=frozenset({"LOAD-TX-ERRORS"})),
    "LOAD-TX-ERRORS": replace(spoiled(_rejected_transfers), fails_too=frozenset({"PB-Q-02"})),
    "PB-Q-05": spoiled(lambda run: _outage(run, NODES[0], "node")),
    "PB-Q-06": spoiled(lambda run: _outage(run, PROVIDER, "provider")),
    # 10 of 4,096: an error rate within its own budget.
    "PB-Q-07": spoiled(lambda run: _failed_queries(run, 10)),
    "PB-R-NODE-MEM": spoiled(lambda run: _memory(run, NODES[0], 17_000_000_000)),
    "SOAK-NODE-MEM": spoiled(_leak),
    "PB-R-NODE-CPU": spoiled(_busy),
    "PB-R-PROV-MEM": spoiled(lambda run: _memory(run, PROVIDER, 4_100_000_000)),
    "RT-NODE-RECOVERY": Violation(make=_slow_recovery(KILL)),
    "RT-PARTITION-RECOVERY": Violation(make=_slow_recovery(PARTITION)),
    # A minute without the provider is left out of its availability; what is left is too short to prove 99.9 %.
    "RT-PROVIDER-RECOVERY": Violation(make=_slow_recovery(PROVIDER_KILL), undecided=frozenset({"PB-Q-06"})),
    # A minute from the undo to the next block is half a minute without a block as well; and the provider's fault
    # counts as not over while the chain stands still, so that too little of its time is left.
    "RT-CHAIN-RECOVERY": Violation(
        make=_chain_that_stays_away, fails_too=frozenset({"CE-NO-BLOCK"}), undecided=frozenset({"PB-Q-06"})
    ),
    "CE-NO-BLOCK": spoiled(lambda run: _seen_late(run, 20.0, 52.0)),
}


def test_every_budget_has_a_violation() -> None:
    assert sorted(VIOLATIONS) == sorted(WITHIN)


@pytest.mark.slow
@pytest.mark.parametrize("id_", VIOLATIONS)
def test_each_budget_is_failed_by_its_violation_and_no_other_is(tmp_path: Path, id_: str) -> None:
    violation = VIOLATIONS[id_]
    found = violation.make().judge(tmp_path)
    assert against(found) == set(), "the data are good; only a number is not"
    expected = dict.fromkeys(WITHIN, PASS) | dict.fromkeys(violation.undecided, INCONCLUSIVE)
    expected |= dict.fromkeys({id_, *violation.fails_too}, FAIL)
    assert budget_verdicts(found) == expected
    gates = {name for name, verdict in expected.items() if verdict is FAIL and ALL[name].severity is Severity.GATE}
    assert found.verdict is (FAIL if gates else PASS)


@pytest.mark.slow
@pytest.mark.parametrize("id_", ["PB-T-02", "PB-T-07", "PB-T-08"])
def test_a_rate_that_no_synthetic_minute_has_is_held_against_a_limit_that_it_has(tmp_path: Path, id_: str) -> None:
    run = healthy_by_the_rulebook()
    offered = run.shape.transfers_per_s if ALL[id_].indicator == "tx.throughput" else run.shape.queries_per_s
    run.budgets = (
        replace(ALL[id_], id="met", limit=offered * 0.9),
        replace(ALL[id_], id="missed", limit=offered * 1.1),
    )
    assert budget_verdicts(run.judge(tmp_path)) == {"met": PASS, "missed": FAIL}


@pytest.mark.slow
def test_a_latency_that_grows_in_the_middle_of_a_load_is_found(tmp_path: Path) -> None:
    """Half as slow again at the end as at the start, with a spread that is small beside it."""
    run = healthy_by_the_rulebook()
    run.budgets = (ALL["SOAK-TX-LATENCY"],)
    verdicts: list[Verdict] = []
    for growth in (0.0, 0.5):
        for number, row in enumerate(run.of("tx.confirm")):
            passed = (row["intended_at_s"] - run.load_start_at_s) / run.shape.load
            row["latency_ms"] = (1000 + number % 7) * (1 + growth * passed)
        folder = tmp_path / str(growth)
        folder.mkdir()
        verdicts += budget_verdicts(run.judge(folder)).values()
    assert verdicts == [PASS, FAIL]
