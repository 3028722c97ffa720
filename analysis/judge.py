"""Bundle in, verdict out.

Every check and every budget is asked by itself; one that breaks is INCONCLUSIVE and says so, and the others
go on. The verdict of the run is the gravest of all.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.budget import Budget, BudgetResult, Severity, WindowName, hold_against, read_budgets, undecidable
from analysis.experiment import hypotheses_held
from analysis.fault_story import FaultStory, tell_faults
from analysis.guard import crashed, guarded
from analysis.indicator import Nothing, Scene, Source, WrongStatistic, estimate
from analysis.indicators import INDICATORS
from analysis.invariants import check_invariants
from analysis.run import Run
from analysis.transactions import TransactionTruth, tell_truth
from analysis.validity import check_validity
from analysis.verdict import Check, Reason, Verdict, gravest
from analysis.warnings import find_warnings
from analysis.windows import Window
from bundle import Manifest

VERDICT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Everything that was found out about a run."""

    run_id: str
    plan_name: str
    plan_title: str
    hypothesis: str
    verdict: Verdict
    headline: str
    budgets: tuple[BudgetResult, ...]
    checks: tuple[Check, ...]
    """Validity of the run, hypotheses, invariants."""
    faults: tuple[FaultStory, ...]
    transactions: TransactionTruth | None
    """What became of the transactions; None where there were none, or where it could not be told."""
    warnings: tuple[Reason, ...]
    """What changes no verdict, and somebody should look at."""
    verdict_version: int = VERDICT_VERSION

    def reasons(self) -> list[tuple[str, Verdict, Reason]]:
        """Return (what, verdict, reason) of all that speaks against a pass, gravest first."""
        found = [(check.title, check.verdict, reason) for check in self.checks for reason in check.reasons]
        found += [
            (result.budget.id, result.verdict, reason)
            for result in self.budgets
            if result.budget.severity is Severity.GATE
            for reason in result.reasons
        ]
        order = [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS]
        return sorted(found, key=lambda entry: order.index(entry[1]))


def judge(path: Path, *, budgets: Path | None = None) -> tuple[Run, Judgement]:
    """Return the run at `path` and its judgement, by the run's own budgets or by those in another file.

    Raises NotABundle, and DocumentError for a manifest or budgets that are no such documents.
    """
    run = Run.open(path)
    return run, judge_run(run, _budgets(run, budgets))


def judge_run(run: Run, budgets: tuple[Budget, ...]) -> Judgement:
    """Return the judgement of a loaded run."""
    faults: tuple[FaultStory, ...] | None = None
    checks = []
    try:
        faults = tuple(tell_faults(run))
    except Exception as error:  # then which time was disturbed is not known, and nothing can rest on it
        checks.append(crashed("faults.told", error, taints=Source))
    checks += [
        *check_validity(run, faults or ()),
        guarded("experiments.hypothesis", lambda: hypotheses_held(run)),
        *check_invariants(run, faults),
    ]
    transactions: TransactionTruth | None = None
    warnings: tuple[Reason, ...] = ()
    try:
        transactions, warnings = tell_truth(run), tuple(find_warnings(run))
    except Exception as error:  # then nothing that rests on what became of the transactions can be said
        checks.append(crashed("transactions.told", error, taints=(Source.TRANSACTIONS,)))
    faults = faults or ()
    tainted = {taint: check for check in checks for taint in check.taints}
    results = tuple(_judge_budget(run, budget, faults, tainted) for budget in budgets)
    verdicts = [check.verdict for check in checks if check.applies]
    verdicts += [result.verdict for result in results if result.budget.severity is Severity.GATE]
    verdict = gravest(verdicts)
    return Judgement(
        run_id=run.manifest.run_id,
        plan_name=run.manifest.plan_name,
        plan_title=run.manifest.plan_title,
        hypothesis=run.manifest.hypothesis,
        verdict=verdict,
        headline=_headline(verdict, checks, results),
        budgets=results,
        checks=tuple(checks),
        faults=faults,
        transactions=transactions,
        warnings=warnings,
    )


def _budgets(run: Run, path: Path | None) -> tuple[Budget, ...]:
    if path is not None:
        return read_budgets(path)
    if any(item.file == run.layout.budgets.name for item in run.damage):
        return ()  # told by the check of the bundle; limits that were changed afterwards fail nobody
    return read_budgets(run.layout.budgets)


def _judge_budget(run: Run, budget: Budget, faults: tuple[FaultStory, ...], tainted: dict[str, Check]) -> BudgetResult:
    indicator = INDICATORS.get(budget.indicator)
    if indicator is None:
        sentence = f"there is no indicator {budget.indicator}; expected one of {', '.join(sorted(INDICATORS))}"
        return undecidable(budget, Reason(code="budget.no_indicator", sentence=sentence))
    try:
        scene = Scene(run=run, window=window_of(run.manifest, budget.window, faults), faults=faults)
        observation = indicator.observe(scene)
    except Exception as error:  # an indicator that breaks says nothing about the target
        return undecidable(budget, *crashed(budget.indicator, error).reasons)
    if isinstance(observation, Nothing):
        return undecidable(budget, *_taint_reasons(indicator.sources, tainted), _no_data(budget, observation.why))
    try:
        result = hold_against(budget, estimate(observation, budget.statistic), observation.evidence)
    except (WrongStatistic, ValueError) as error:
        return undecidable(budget, _no_data(budget, str(error)))
    against = _taint_reasons(indicator.sources, tainted)
    if against:
        return BudgetResult(
            budget=budget,
            estimate=result.estimate,
            verdict=Verdict.INCONCLUSIVE,
            used_ratio=result.used_ratio,
            status="unknown",
            reasons=tuple(against),
        )
    return result


def _taint_reasons(sources: frozenset[Any], tainted: dict[str, Check]) -> list[Reason]:
    """Return why the data of these sources cannot be relied on."""
    checks = {tainted[source].name: tainted[source] for source in sorted(sources) if source in tainted}
    return [
        Reason(
            code="budget.bad_data",
            sentence=f"rests on data that cannot be relied on: {check.summary}",
            evidence=check.reasons[0].evidence if check.reasons else (),
        )
        for check in checks.values()
    ]


def _no_data(budget: Budget, why: str) -> Reason:
    return Reason(code="budget.no_data", sentence=f"{budget.title} cannot be said: {why}")


def window_of(manifest: Manifest, name: WindowName, faults: tuple[FaultStory, ...]) -> Window:
    """Return the part of the run that a budget is about; empty when the run did not come so far."""
    load = manifest.phase("load")
    if load is None or load.end_at_s is None:
        return Window(())
    if name is WindowName.RUN:
        first = manifest.phase("baseline") or load
        last = manifest.phase("drain") or load
        return Window.of((first.start_at_s, last.end_at_s or load.end_at_s))
    whole = Window.of((load.start_at_s, load.end_at_s))
    if name is WindowName.OUTSIDE_FAULTS:
        return whole.without(fault.disturbed(load.end_at_s) for fault in faults)
    return whole


def _headline(verdict: Verdict, checks: list[Check], results: tuple[BudgetResult, ...]) -> str:
    """Return one sentence that a manager can read."""
    gates = [result for result in results if result.budget.severity is Severity.GATE]
    met = sum(result.verdict is Verdict.PASS for result in gates)
    if verdict is Verdict.PASS:
        return f"All {len(gates)} budgets are met, and every check of the run and the chain passed."
    bad = [f"budget {result.budget.id}" for result in gates if result.verdict is verdict]
    bad += [check.title for check in checks if check.applies and check.verdict is verdict]
    word = "Failed" if verdict is Verdict.FAIL else "Cannot be said"
    more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
    return f"{word}: {', '.join(bad[:3])}{more}. {met} of {len(gates)} budgets are met."


def verdict_text(judgement: Judgement) -> str:
    """Return the judgement as JSON, sorted: the same judgement gives the same bytes. Infinity is "unbounded"."""
    return json.dumps(_plain(asdict(judgement)), indent=1, sort_keys=True, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "unbounded" if value > 0 else "-unbounded"
    return value
