"""One step of a capacity search, as figures: did its rate hold, what gave way, what was near its limit.

Rests on a run's bundle and its judgement. A step's own verdict is that of any run. What it says about its *rate* is
something else: a budget whose interval has the limit inside is undecided, and counts here by its value, because the
search expects single steps to be wrong now and then.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.budget import BudgetResult, Direction, Severity, show
from analysis.estimate import quantile
from analysis.fault_story import block_times
from analysis.indicators import INDICATORS
from analysis.judge import Judgement
from analysis.rate_search import Outcome
from analysis.run import Run
from analysis.verdict import Check, Verdict
from bundle import ErrorKind
from bundle import Outcome as SampleOutcome

KEPT_UP = "tx.committed_ratio"
_GENERATOR, _OFFERED = "load.generator", "load.offered"
_LOAD_PREFIX = "load "
"""Names of the generator's processes in the table of resources begin so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBudget:
    """One gating budget in one step."""

    id: str
    title: str
    unit: str
    value: float | None
    limit: float
    used_ratio: float | None
    is_broken: bool
    """Whether the value, undecided or not, is beyond the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """How near a step came to what the machine and the chain have. None where it was not watched."""

    machine_cores: int | None
    machine_load: float | None
    """Load average of the last minute when the step began: far above the cores says that others were at work."""
    target_cores: float | None
    """All watched processes of the target together, mean over the load."""
    busiest_process: str | None
    busiest_cores: float | None
    generator_cores: float | None
    memory_ratio: float | None
    """Resident memory of all watched processes together, at their highest, by that of the machine."""
    mempool_growth_per_s: float | None
    """Transactions by which the mempool of the worst node grew in a second of the load."""
    block_interval_s: float | None
    """Mean time from block to block in the load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadStep:
    """One step of a search. Rates are a second, over the load's time."""

    number: int
    """From 1."""
    rate_per_s: float
    outcome: Outcome
    verdict: Verdict
    why: str
    """What broke, or what kept the step from telling anything; where it held, what would have excused it."""
    offered_per_s: float
    """Operations that were begun."""
    done_per_s: float | None
    """Committed transactions; for reads, good answers. None where nothing was."""
    p95_ms: float | None
    """Confirmation; for reads, all operations."""
    budgets: tuple[StepBudget, ...]
    pressure: Pressure
    bundle: str


def read_step(run: Run, judgement: Judgement, *, number: int, rate_per_s: float) -> LoadStep:
    """Return what one run, judged, says about its rate."""
    budgets = tuple(_budget(result) for result in judgement.budgets if result.budget.severity is Severity.GATE)
    outcome, why = _outcome(judgement, budgets)
    rows, seconds = _load_rows(run)
    return LoadStep(
        number=number,
        rate_per_s=rate_per_s,
        outcome=outcome,
        verdict=judgement.verdict,
        why=why,
        offered_per_s=_offered(run, rows) / seconds if seconds else 0.0,
        done_per_s=_done_per_s(run, rows, seconds),
        p95_ms=_p95(rows),
        budgets=budgets,
        pressure=_pressure(run),
        bundle=judgement.run_id,
    )


# --- what it says about the rate ---


def _outcome(judgement: Judgement, budgets: tuple[StepBudget, ...]) -> tuple[Outcome, str]:
    """Return the outcome, and in words what it rests on.

    A generator that was late, and yet offered everything, spoils less than it seems to: latencies count from intended
    times, so they can only be better than measured. Where every value is within its limit, the rate held all the more;
    and a chain that committed less than it was really sent fell behind, however punctual that was. Only what lies in
    between says nothing.
    """
    gates = [result for result in judgement.budgets if result.budget.severity is Severity.GATE]
    checks = [check for check in judgement.checks if check.applies and check.verdict is not Verdict.PASS]
    failed = [_told(result) for result in gates if result.verdict is Verdict.FAIL]
    failed += [check.summary for check in checks if check.verdict is Verdict.FAIL]
    if failed:
        return Outcome.GAVE_WAY, "; ".join(failed)
    if unusable := _unusable(gates, checks):
        return Outcome.NOTHING, unusable
    spoiled = {check.name: check.summary for check in checks if check.name in (_GENERATOR, _OFFERED)}
    behind = [_beyond(budget) for result, budget in zip(gates, budgets, strict=True) if _fell_behind(result)]
    if behind:
        return Outcome.GAVE_WAY, "; ".join(behind)
    beyond = [_beyond(budget) for budget in budgets if budget.is_broken]
    is_measured = all(budget.value is not None for budget in budgets)
    if _OFFERED in spoiled or (spoiled and (beyond or not is_measured)):
        return Outcome.GENERATOR, "; ".join(spoiled.values())
    if not is_measured:
        return Outcome.NOTHING, "; ".join(_told(result) for result in gates if result.estimate is None)
    return (Outcome.GAVE_WAY, "; ".join(beyond)) if beyond else (Outcome.HELD, "; ".join(spoiled.values()))


def _unusable(gates: list[BudgetResult], checks: list[Check]) -> str:
    """Return why the budgets cannot rest on this run for another reason than the generator; empty where they can."""
    if not gates:
        return "no budget gates"
    needed = {source for result in gates for source in INDICATORS[result.budget.indicator].sources}
    spoiling = [check for check in checks if check.name not in (_GENERATOR, _OFFERED) and needed & set(check.taints)]
    return spoiling[0].summary if spoiling else ""


def _fell_behind(result: BudgetResult) -> bool:
    """Whether the chain surely committed less than it was really sent: that needs no punctual generator."""
    found = result.estimate
    return result.budget.indicator == KEPT_UP and found is not None and found.high < result.budget.limit


def _budget(result: BudgetResult) -> StepBudget:
    budget, found = result.budget, result.estimate
    value = None if found is None else found.value
    is_broken = value is not None and (
        value >= budget.limit if budget.direction is Direction.BELOW else value < budget.limit
    )
    return StepBudget(
        id=budget.id,
        title=budget.title,
        unit=budget.unit,
        value=value,
        limit=budget.limit,
        used_ratio=result.used_ratio,
        is_broken=is_broken,
    )


def _told(result: BudgetResult) -> str:
    return result.reasons[0].sentence if result.reasons else result.budget.title


def _beyond(budget: StepBudget) -> str:
    return f"{budget.title} is {show(budget.value or 0.0)} {budget.unit}".rstrip() + f", limit {show(budget.limit)}"


# --- figures ---


def _load_rows(run: Run) -> tuple[pd.DataFrame, float]:
    """Return the samples that were meant for the load's time, and its length in seconds."""
    load = run.manifest.phase("load")
    if load is None or load.end_at_s is None:
        return run.samples.iloc[:0], 0.0
    intended = run.samples["intended_at_s"]
    return run.samples[(intended >= load.start_at_s) & (intended < load.end_at_s)], load.end_at_s - load.start_at_s


def _offered(run: Run, rows: pd.DataFrame) -> int:
    scheduled = [op.name for expected in run.manifest.loads for op in expected.operations if op.scheduled]
    begun = rows["operation"].isin(scheduled) & (rows["error_kind"] != ErrorKind.NOT_SENT.value)
    return int(begun.sum())


def _done_per_s(run: Run, rows: pd.DataFrame, seconds: float) -> float | None:
    """Return committed transactions a second between the first and the last block of the load; for reads good answers.

    Rows are those of the load's time.
    """
    submits = rows[rows["operation"] == "tx.submit"]
    if submits.empty:
        good = rows["outcome"] == SampleOutcome.OK.value
        return float(good.sum()) / seconds if seconds and len(rows) else None
    inside = _load_blocks(run)
    if len(inside) < 2:
        return None
    ours = run.transactions[run.transactions["tx_hash"].isin(submits["tx_hash"].dropna())]
    good = (ours["code"] == 0) & ours["height"].between(inside["height"].iloc[0] + 1, inside["height"].iloc[-1])
    return float(good.sum()) / float(inside["at_s"].iloc[-1] - inside["at_s"].iloc[0])


def _p95(rows: pd.DataFrame) -> float | None:
    confirmed = rows[rows["operation"] == "tx.confirm"]
    chosen = rows if confirmed.empty else confirmed
    chosen = chosen[chosen["error_kind"] != ErrorKind.NOT_SENT.value]
    if chosen.empty:
        return None
    good = chosen["outcome"] == SampleOutcome.OK.value
    return quantile(np.where(good, chosen["latency_ms"].fillna(np.inf).to_numpy(float), np.inf), 0.95).value


# --- pressure ---


def _pressure(run: Run) -> Pressure:
    load = run.manifest.phase("load")
    start, end = (0.0, 0.0) if load is None or load.end_at_s is None else (load.start_at_s, load.end_at_s)
    resources = run.resources[(run.resources["at_s"] >= start) & (run.resources["at_s"] < end)]
    cores = _cores(resources)
    generator = {name: used for name, used in cores.items() if name.startswith(_LOAD_PREFIX)}
    target = {name: used for name, used in cores.items() if name not in generator}
    busiest = max(sorted(target), key=target.__getitem__, default=None)
    host = run.manifest.host
    memory, count, queued = host.get("memory_bytes"), host.get("cpu_count"), host.get("load_average_1min")
    used_bytes = float(resources.groupby("process")["rss_bytes"].max().sum())
    intervals = np.diff(_load_blocks(run)["at_s"].to_numpy(float))
    return Pressure(
        machine_cores=int(count) if isinstance(count, int) and count > 0 else None,
        machine_load=float(queued) if isinstance(queued, int | float) else None,
        target_cores=sum(target.values()) if target else None,
        busiest_process=busiest,
        busiest_cores=None if busiest is None else target[busiest],
        generator_cores=sum(generator.values()) if generator else None,
        memory_ratio=used_bytes / memory if target and isinstance(memory, int) and memory > 0 else None,
        mempool_growth_per_s=_mempool_growth(run, start, end),
        block_interval_s=float(intervals.mean()) if len(intervals) else None,
    )


def _cores(resources: pd.DataFrame) -> dict[str, float]:
    """Return the cores that each process used, CPU time over wall time."""
    used: dict[str, float] = {}
    for name, rows in resources.groupby("process", sort=True):
        seconds = float(rows["at_s"].max() - rows["at_s"].min())
        if seconds > 0:
            used[str(name)] = float(rows["cpu_s"].max() - rows["cpu_s"].min()) / seconds
    return used


def _mempool_growth(run: Run, start: float, end: float) -> float | None:
    """Return the steepest straight line through one node's mempool sizes, transactions a second; never negative."""
    probes = run.probes[(run.probes["at_s"] >= start) & (run.probes["at_s"] < end) & run.probes["mempool_txs"].notna()]
    slopes = [
        _slope(rows["at_s"].to_numpy(float), rows["mempool_txs"].to_numpy(float))
        for _, rows in probes.groupby("endpoint", sort=True)
        if len(rows) > 2
    ]
    return max(0.0, *slopes) if slopes else None


def _slope(at_s: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64]) -> float:
    """Return the slope of the least-squares line."""
    moments = at_s - at_s.mean()
    return float((moments * sizes).sum() / max(float((moments * moments).sum()), 1e-9))


def _load_blocks(run: Run) -> pd.DataFrame:
    """Return the blocks whose header time lies in the load, ascending."""
    load = run.manifest.phase("load")
    times = block_times(run)
    if load is None or load.end_at_s is None:
        return times.iloc[:0]
    return times[(times["at_s"] >= load.start_at_s) & (times["at_s"] < load.end_at_s)]
