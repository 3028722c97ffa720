"""Budgets: what was agreed, as data, and how a measurement is held against it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from annotated_types import MinLen
from pydantic import StringConstraints

from analysis.estimate import Estimate
from analysis.verdict import Evidence, Reason, Verdict
from bundle import DocumentError, Problem, document, read_json, read_toml

RULEBOOK = Path(__file__).parent / "budgets.toml"

Text = Annotated[str, StringConstraints(min_length=1)]


class Direction(StrEnum):
    """On which side of the limit a value has to be."""

    BELOW = "below"
    AT_LEAST = "at_least"


class WindowName(StrEnum):
    """Which part of the run a budget is about."""

    LOAD = "load"
    """The load phase, faults included: what users went through."""
    OUTSIDE_FAULTS = "outside_faults"
    """The load phase without the time from each fault to its recovery: for declared halts."""
    RUN = "run"
    """Baseline, load and drain."""


class Severity(StrEnum):
    """What a broken budget does."""

    GATE = "gate"
    WARN = "warn"
    """Shown, and counts for nothing in the verdict."""


@document
class Budget:
    """One budget."""

    id: Text
    title: Text
    indicator: Text
    statistic: Text
    """p50, p95, p99, max or mean of a distribution; ratio of counts; value of a measurement."""
    unit: str
    limit: float
    direction: Direction
    window: WindowName = WindowName.LOAD
    severity: Severity = Severity.GATE
    source: Text
    """Document and line; where the rulebook corrects the document, the correction and why."""
    note: str = ""


@document
class BudgetChange:
    """What a plan changes in a budget of the rulebook, with the reason; or a budget of its own (all fields)."""

    id: Text
    limit: float | None = None
    window: WindowName | None = None
    severity: Severity | None = None
    reason: Text


@document
class Rulebook:
    """`budgets.toml`: every budget that is bound to an indicator."""

    budget: Annotated[tuple[Budget, ...], MinLen(1)]

    def __post_init__(self) -> None:
        ids = [budget.id for budget in self.budget]
        twice = sorted({id_ for id_ in ids if ids.count(id_) > 1})
        if twice:
            raise ValueError(f"has the budget {twice[0]} twice; expected each id once")


def read_rulebook(path: Path = RULEBOOK) -> dict[str, Budget]:
    """Return the budgets by id. Raises DocumentError."""
    return {budget.id: budget for budget in read_toml(path, Rulebook).budget}


def choose(
    rulebook: dict[str, Budget], ids: Iterable[str], changes: Iterable[BudgetChange], *, source: str
) -> tuple[Budget, ...]:
    """Return the budgets that a plan chose, with its changes. Raises DocumentError for an id that is unknown."""
    chosen: dict[str, Budget] = {}
    problems = []
    for place, id_ in enumerate(ids):
        if id_ in rulebook:
            chosen[id_] = rulebook[id_]
        else:
            problems.append(_unknown(f"budgets[{place}]", id_, rulebook))
    for place, change in enumerate(changes):
        if change.id in chosen:
            chosen[change.id] = _changed(chosen[change.id], change)
        else:
            problems.append(_unknown(f"budget[{place}].id", change.id, chosen))
    if problems:
        raise DocumentError(source, tuple(problems))
    return tuple(chosen.values())


def _changed(budget: Budget, change: BudgetChange) -> Budget:
    return replace(
        budget,
        limit=budget.limit if change.limit is None else change.limit,
        window=change.window or budget.window,
        severity=change.severity or budget.severity,
        note=" ".join(filter(None, (budget.note, f"Changed by the plan: {change.reason}"))),
    )


def _unknown(where: str, id_: str, known: Iterable[str]) -> Problem:
    return Problem(where=where, found=f"is {id_!r}", expected=f"one of {', '.join(sorted(known))}")


def write_budgets(path: Path, budgets: Iterable[Budget]) -> None:
    """Write chosen budgets as JSON."""
    path.write_text(json.dumps({"budget": [asdict(b) for b in budgets]}, indent=1, sort_keys=True) + "\n")


def read_budgets(path: Path) -> tuple[Budget, ...]:
    """Return budgets from JSON (as in a bundle) or TOML (as in the rulebook). Raises DocumentError."""
    return (read_toml if path.suffix == ".toml" else read_json)(path, Rulebook).budget


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetResult:
    """A budget with what was measured. `estimate` is None where nothing could be measured."""

    budget: Budget
    estimate: Estimate | None
    verdict: Verdict
    used_ratio: float | None
    """Share of the budget that is used: 1 is all of it. Infinite where nothing reached the budget at all."""
    status: str
    """within, approaching (above 90 %), exceeded (above 100 %), or unknown: sre-spec 3.6."""
    reasons: tuple[Reason, ...]


def hold_against(budget: Budget, estimate: Estimate, evidence: tuple[Evidence, ...] = ()) -> BudgetResult:
    """Return the verdict: PASS when the whole interval is inside the budget, FAIL when all of it is beyond.

    Compared unrounded. Between the two it cannot be said.
    """
    if budget.direction is Direction.BELOW:
        inside, beyond = estimate.high < budget.limit, estimate.low >= budget.limit
    else:
        inside, beyond = estimate.low >= budget.limit, estimate.high < budget.limit
    verdict = Verdict.PASS if inside else Verdict.FAIL if beyond else Verdict.INCONCLUSIVE
    used = used_share(budget, estimate.value)
    reasons: tuple[Reason, ...] = ()
    if verdict is Verdict.FAIL:
        reasons = (Reason(code="budget.exceeded", sentence=_sentence(budget, estimate), evidence=evidence),)
    elif verdict is Verdict.INCONCLUSIVE:
        text = f"{_sentence(budget, estimate)}; the limit lies inside the interval, so it cannot be said"
        reasons = (Reason(code="budget.undecided", sentence=text, evidence=evidence),)
    return BudgetResult(
        budget=budget, estimate=estimate, verdict=verdict, used_ratio=used, status=_status(used), reasons=reasons
    )


def undecidable(budget: Budget, *reasons: Reason) -> BudgetResult:
    """Return the result of a budget that rests on nothing, or on bad data."""
    return BudgetResult(
        budget=budget,
        estimate=None,
        verdict=Verdict.INCONCLUSIVE,
        used_ratio=None,
        status="unknown",
        reasons=reasons,
    )


def used_share(budget: Budget, value: float) -> float | None:
    """Return value / limit; limit / value for a minimum; for an availability, the used share of its error budget."""
    if budget.unit == "" and budget.direction is Direction.AT_LEAST and 0 < budget.limit < 1:
        return (1 - value) / (1 - budget.limit)
    if budget.direction is Direction.BELOW:
        return value / budget.limit if budget.limit > 0 else None
    return budget.limit / value if value > 0 else math.inf


def _status(used: float | None) -> str:
    if used is None:
        return "unknown"
    return "exceeded" if used > 1 else "approaching" if used > 0.9 else "within"


def _sentence(budget: Budget, estimate: Estimate) -> str:
    side = "below" if budget.direction is Direction.BELOW else "at least"
    interval = f"{show(estimate.low)} to {show(estimate.high)}"
    unit = f" {budget.unit}" if budget.unit else ""
    return (
        f"{budget.title} is {show(estimate.value)}{unit} ({interval}, n = {estimate.count});"
        f" expected {side} {show(budget.limit)}{unit}"
    )


def show(value: float) -> str:
    """Return a number for people: four significant digits, and "none" for what never came to be."""
    if math.isinf(value):
        return "unbounded"
    if value == int(value) and abs(value) < 1e7:
        return f"{int(value)}"
    # Up to where four digits would round to 1e+04.
    return f"{value:.4g}" if abs(value) < 9999.5 else f"{value:.0f}"
